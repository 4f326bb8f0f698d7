package codec

import (
	"bytes"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoTree has what the linker has to work for: options of one's own, public
// imports, a diamond, groups, extensions, an edition with the features of others.
var protoTree = map[string]string{
	"main.proto": `syntax = "proto3"; package a.b;
		import public "left.proto"; import "right.proto"; import "own.proto"; import "google/protobuf/any.proto";
		message M { option (own.note) = { text: "x", n: [1, 2] }; L l = 1; .r.R r = 2 [(own.field) = HIGH, deprecated = true];
		  map<string, google.protobuf.Any> any = 3; oneof one { int32 i = 4; bytes b = 5; } optional sint64 s = 6 [json_name = "S"]; reserved 9 to 11; }
		service S { rpc Call(M) returns (stream M); }`,
	"left.proto":  `syntax = "proto3"; package a.b; import "base.proto"; message L { base.B b = 1; }`,
	"right.proto": `syntax = "proto3"; package r; import public "base.proto"; message R { repeated base.B b = 1 [packed = false]; }`,
	"base.proto": `syntax = "proto2"; package base;
		enum E { option allow_alias = true; ZERO = 0; ONE = 1; UNO = 1; }
		message B { extensions 100 to max; optional E e = 1 [default = ONE]; repeated group G = 2 { required string s = 1; } optional double d = 3 [default = -inf]; }
		extend B { optional E ext = 100; }`,
	"own.proto": `syntax = "proto3"; package own; import "google/protobuf/descriptor.proto";
		message Note { string text = 1; repeated int32 n = 2; } enum Level { LOW = 0; HIGH = 1; }
		extend google.protobuf.MessageOptions { Note note = 50000; } extend google.protobuf.FieldOptions { Level field = 50001; }`,
	"edition.proto": `edition = "2023"; package ed;
		import "google/protobuf/cpp_features.proto"; import "google/protobuf/java_features.proto"; import "google/protobuf/go_features.proto";
		option features.(pb.cpp).string_type = VIEW; option features.(pb.java).utf8_validation = VERIFY; option features.field_presence = IMPLICIT;
		message M { string s = 1 [features.field_presence = LEGACY_REQUIRED]; M m = 2 [features.message_encoding = DELIMITED];
		  E e = 3 [features.field_presence = EXPLICIT, features.(pb.java).legacy_closed_enum = true, features.(pb.cpp).legacy_closed_enum = false]; }
		enum E { option features.enum_type = CLOSED; option features.(pb.go).legacy_unmarshal_json_enum = true; A = 1; }`,
	"standard.proto": `syntax = "proto3"; import "google/protobuf/any.proto"; import "google/protobuf/api.proto"; import "google/protobuf/compiler/plugin.proto";
		import "google/protobuf/descriptor.proto"; import "google/protobuf/duration.proto"; import "google/protobuf/empty.proto";
		import "google/protobuf/field_mask.proto"; import "google/protobuf/source_context.proto"; import "google/protobuf/struct.proto";
		import "google/protobuf/timestamp.proto"; import "google/protobuf/type.proto"; import "google/protobuf/wrappers.proto";`,

	"missing.proto":    "syntax = \"proto3\";\nimport \"google/protobuf/none.proto\";",
	"deep.proto":       "syntax = \"proto3\";\n import \"missing.proto\";",
	"self.proto":       "syntax = \"proto3\";\nimport \"self.proto\";",
	"circle.proto":     "syntax = \"proto3\";\nimport \"circle2.proto\";",
	"circle2.proto":    "syntax = \"proto3\";\nimport \"circle.proto\";",
	"twice.proto":      "syntax = \"proto3\";\nimport \"base.proto\";\nimport \"base.proto\";",
	"clash.proto":      "syntax = \"proto3\";\npackage base;\nimport \"base.proto\";\nmessage B {}",
	"type.proto":       "syntax = \"proto3\";\nmessage M { N n = 1; }",
	"hidden.proto":     "syntax = \"proto3\";\nimport \"left.proto\";\nmessage M { base.B b = 1; }",
	"option.proto":     "syntax = \"proto3\";\nmessage M { string s = 1 [(none) = 1]; }",
	"optionkind.proto": "syntax = \"proto3\";\nimport \"own.proto\";\nmessage M { string s = 1 [(own.field) = 7]; }",
	"packed.proto":     "syntax = \"proto3\";\nmessage M { repeated string s = 1 [packed = true]; }",
}

func readTree(name string) ([]byte, error) {
	if text, ok := protoTree[filepath.ToSlash(name)]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// TestCompileAsTheLibrary: the same descriptors, and mistakes in the same files.
func TestCompileAsTheLibrary(t *testing.T) {
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: func(name string) (io.ReadCloser, error) {
			text, err := readTree(name)
			return io.NopCloser(bytes.NewReader(text)), err
		},
	})}
	for name := range protoTree {
		want, wrong := c.Compile(t.Context(), name)
		got, err := newProtoSources(readTree).file(name)
		switch {
		case slices.Contains([]string{"main.proto", "own.proto", "edition.proto", "standard.proto"}, name) && wrong != nil:
			t.Errorf("%s: the library refuses it: %v", name, wrong)
		case (err == nil) != (wrong == nil):
			t.Errorf("%s: %v, the library %v", name, err, wrong)
		case err == nil && !bytes.Equal(descriptor(t, got), descriptor(t, want[0])):
			t.Errorf("%s: got %v\nwant %v", name, protodesc.ToFileDescriptorProto(got), protodesc.ToFileDescriptorProto(want[0]))
		}
	}
}

// descriptor is in bytes, for either side has extensions of its own.
func descriptor(t *testing.T, f protoreflect.FileDescriptor) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(protodesc.ToFileDescriptorProto(f))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCompileErrors(t *testing.T) {
	tests := []struct{ file, want string }{
		{"none.proto", "none.proto"},
		{"missing.proto", "missing.proto:2:8: open google"},
		{"deep.proto", "missing.proto:2:8: open google"},
		{"self.proto", "self.proto:2:8: it imports itself: self.proto > self.proto"},
		{"circle.proto", "circle2.proto:2:8: it imports itself: circle.proto > circle2.proto > circle.proto"},
		{"type.proto", `type.proto:2:13: `},
		{"option.proto", "option.proto:2:"},
	}
	for _, tt := range tests {
		if _, err := newProtoSources(readTree).file(tt.file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.file, err, tt.want)
		}
	}
}

// TestCompileStandard: what comes with every compiler is not looked for.
func TestCompileStandard(t *testing.T) {
	files, _, err := compile("standard.proto", func(name string) ([]byte, error) {
		if name != "standard.proto" {
			t.Errorf("%s is read", name)
		}
		return readTree(name)
	})
	if err != nil || files.NumFiles() < 13 {
		t.Errorf("%v %v", files, err)
	}
}
