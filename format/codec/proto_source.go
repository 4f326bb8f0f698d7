package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/reflect/protoregistry"
	_ "google.golang.org/protobuf/types/gofeaturespb" // the standard imports, for protoregistry
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/apipb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/sourcecontextpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/typepb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
	_ "google.golang.org/protobuf/types/pluginpb"
)

// standardDir holds the files that come with every compiler.
const standardDir = "google/protobuf/"

// languageFeatures are the standard imports that have no package: what an
// edition's file may say to the compilers of other languages.
const (
	cppFeatures = `edition = "2023";
package pb;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FeatureSet { CppFeatures cpp = 1000; }
message CppFeatures {
  enum StringType { STRING_TYPE_UNKNOWN = 0; VIEW = 1; CORD = 2; STRING = 3; }
  bool legacy_closed_enum = 1;
  StringType string_type = 2;
  bool enum_name_uses_string_view = 3;
}`
	javaFeatures = `edition = "2023";
package pb;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FeatureSet { JavaFeatures java = 1001; }
message JavaFeatures {
  enum Utf8Validation { UTF8_VALIDATION_UNKNOWN = 0; DEFAULT = 1; VERIFY = 2; }
  bool legacy_closed_enum = 1;
  Utf8Validation utf8_validation = 2;
}`
)

// protoSources compiles files with all that they import. It puts the library's
// parts together itself: the package that does so takes a millisecond at every
// start of the program, for standard imports that few ask for.
type protoSources struct {
	read    ReadFile
	handler *reporter.Handler
	symbols linker.Symbols
	files   map[string]linker.File
	open    []string // the file that is read, behind those that import it
}

func newProtoSources(read ReadFile) *protoSources {
	return &protoSources{read: read, handler: reporter.NewHandler(nil), files: make(map[string]linker.File)}
}

// file compiles one, once. The standard ones are not read, whatever the tree has.
func (s *protoSources) file(name string) (linker.File, error) {
	if f := s.files[name]; f != nil {
		return f, nil
	}
	f, err := s.standard(name)
	if errors.Is(err, protoregistry.NotFound) {
		f, err = s.compile(name)
	}
	if err == nil {
		s.files[name] = f
	}
	return f, err
}

func (s *protoSources) standard(name string) (linker.File, error) {
	if !strings.HasPrefix(name, standardDir) {
		return nil, protoregistry.NotFound
	}
	d, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil {
		return nil, err
	}
	return linker.NewFileRecursive(d)
}

func (s *protoSources) compile(name string) (linker.File, error) {
	text, err := s.text(name)
	if err != nil {
		return nil, err
	}
	tree, err := parser.Parse(name, bytes.NewReader(text), s.handler)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ResultFromAST(tree, true, s.handler)
	if err != nil {
		return nil, err
	}
	imports, err := s.imports(name, tree)
	if err != nil {
		return nil, err
	}
	linked, err := linker.Link(parsed, imports, &s.symbols, s.handler)
	if err != nil {
		return nil, err
	}
	if _, err := options.InterpretOptions(linked, s.handler); err != nil {
		return nil, err
	}
	if err := linked.ValidateOptions(s.handler, &s.symbols); err != nil {
		return nil, err
	}
	linked.RemoveAST()
	return linked, s.handler.Error()
}

func (s *protoSources) text(name string) ([]byte, error) {
	text, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		switch name {
		case standardDir + "cpp_features.proto":
			return []byte(cppFeatures), nil
		case standardDir + "java_features.proto":
			return []byte(javaFeatures), nil
		}
	}
	return text, err
}

// imports compiles what a file imports. An error that does not name a place yet
// gets that of the import.
func (s *protoSources) imports(name string, tree *ast.FileNode) (linker.Files, error) {
	s.open = append(s.open, name)
	defer func() { s.open = s.open[:len(s.open)-1] }()
	var files linker.Files
	for _, d := range tree.Decls {
		node, ok := d.(*ast.ImportNode)
		if !ok {
			continue
		}
		imported, at := node.Name.AsString(), tree.NodeInfo(node.Name)
		if slices.Contains(s.open, imported) {
			return nil, reporter.Error(at, fmt.Errorf("it imports itself: %s", strings.Join(append(s.open, imported), " > ")))
		}
		f, err := s.file(imported)
		if _, placed := errors.AsType[reporter.ErrorWithPos](err); err != nil && !placed {
			return nil, reporter.Error(at, err)
		} else if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
