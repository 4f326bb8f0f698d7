package codec

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

type protobufCodec struct {
	message protoreflect.MessageDescriptor
	types   *dynamicpb.Types
}

// newProtobuf reads FILE#MESSAGE. The file is source, or a descriptor set where
// its name does not end in .proto. Imports are looked for beside it and in the
// directories above. #MESSAGE may be left out if the file has one message only.
func newProtobuf(args string, read ReadFile) (Codec, error) {
	file, name := args, ""
	if i := strings.LastIndexByte(args, '#'); i >= 0 {
		file, name = args[:i], args[i+1:]
	}
	load := readDescriptors
	if path.Ext(file) == ".proto" {
		load = compile
	}
	files, main, err := load(file, read)
	if err != nil {
		return nil, err
	}
	message, err := findMessage(files, main, name)
	if err != nil {
		return nil, err
	}
	return protobufCodec{message, dynamicpb.NewTypes(files)}, nil
}

// compile returns the file main with all that it imports.
func compile(file string, read ReadFile) (*protoregistry.Files, string, error) {
	dir, main := filepath.Split(file)
	sources := newProtoSources(func(name string) ([]byte, error) { return readImport(dir, name, read) })
	f, err := sources.file(main)
	if err != nil {
		return nil, "", err
	}
	files := &protoregistry.Files{}
	return files, main, register(files, f)
}

// readImport looks beside the main file and in the directories above it, for
// imports are named from the top of a tree. The error is that of the first.
func readImport(dir, name string, read ReadFile) ([]byte, error) {
	name = filepath.FromSlash(name)
	text, err := read(filepath.Join(dir, name))
	for up := filepath.Clean(dir); err != nil; {
		parent := filepath.Dir(up)
		if parent == up {
			return nil, err
		}
		up = parent
		if text, e := read(filepath.Join(up, name)); e == nil {
			return text, nil
		}
	}
	return text, nil
}

// register adds a file behind those that it imports.
func register(files *protoregistry.Files, f protoreflect.FileDescriptor) error {
	if _, err := files.FindFileByPath(f.Path()); err == nil {
		return nil
	}
	for i := range f.Imports().Len() {
		if err := register(files, f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	return files.RegisterFile(f)
}

// readDescriptors reads what protoc --descriptor_set_out and buf build write.
// They write the file that was asked for last.
func readDescriptors(file string, read ReadFile) (*protoregistry.Files, string, error) {
	text, err := read(file)
	if err != nil {
		return nil, "", err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(text, set); err != nil {
		return nil, "", fmt.Errorf("%s is no descriptor set: %w", file, err)
	}
	if len(set.GetFile()) == 0 {
		return nil, "", fmt.Errorf("%s is a descriptor set of no files", file)
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
	return files, set.GetFile()[len(set.GetFile())-1].GetName(), err
}

// findMessage takes a name with its package or without.
func findMessage(files *protoregistry.Files, main, name string) (protoreflect.MessageDescriptor, error) {
	if d, err := files.FindDescriptorByName(protoreflect.FullName(name)); err == nil {
		if m, ok := d.(protoreflect.MessageDescriptor); ok {
			return m, nil
		}
	}
	var found []protoreflect.MessageDescriptor
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Messages().Len() {
			m := f.Messages().Get(i)
			if name == "" && f.Path() == main || name != "" && string(m.Name()) == name {
				found = append(found, m)
			}
		}
		return true
	})
	switch {
	case len(found) == 1:
		return found[0], nil
	case name == "" && len(found) > 1:
		return nil, errors.New("there are several messages: name one as FILE#MESSAGE")
	case len(found) > 1:
		return nil, fmt.Errorf("there are several messages %q: name one with its package", name)
	}
	return nil, fmt.Errorf("there is no message %q", name)
}

// Decode prints in the JSON mapping of Protocol Buffers, zeros included.
func (c protobufCodec) Decode(_ string, payload []byte) ([]byte, error) {
	m, err := unmarshal(c.message, c.types, payload)
	if err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{Resolver: c.types, EmitDefaultValues: true}.Marshal(m)
}

func unmarshal(d protoreflect.MessageDescriptor, types *dynamicpb.Types, payload []byte) (*dynamicpb.Message, error) {
	if len(payload) > MaxTree {
		return nil, ErrTooLarge
	}
	m := dynamicpb.NewMessage(d)
	if err := (proto.UnmarshalOptions{Resolver: types, RecursionLimit: MaxDepth}).Unmarshal(payload, m); err != nil {
		return nil, protoError(err)
	}
	return m, nil
}

// protoError is what the library says without the space or no-break space that
// it puts in so that nobody compares it.
func protoError(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return errors.New(strings.TrimPrefix(text, "proto: "))
}

// Encode reads the JSON mapping of Protocol Buffers. Fields that the message
// has not are errors.
func (c protobufCodec) Encode(payload []byte) ([]byte, error) {
	if err := checkTree(payload); err != nil {
		return nil, err
	}
	m := dynamicpb.NewMessage(c.message)
	if err := (protojson.UnmarshalOptions{Resolver: c.types, RecursionLimit: MaxDepth}).Unmarshal(payload, m); err != nil {
		return nil, protoError(err)
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, protoError(err)
	}
	return out, nil
}
