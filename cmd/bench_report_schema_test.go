package cmd

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"mqt/mqtt/bench"
)

// schemaMaker makes the JSON Schema of Go types, with their comments.
type schemaMaker struct {
	comments map[string]string // "Type.Field" and "Type"
	enums    map[string][]any
	defs     map[string]any
}

// readComments collects what stands beside and above the fields of package bench.
func (m *schemaMaker) readComments(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "mqtt", "bench", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				m.readSpec(g, spec)
			}
		}
	}
}

func (m *schemaMaker) readSpec(g *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		m.comments[s.Name.Name] = commentText(g.Doc)
		st, ok := s.Type.(*ast.StructType)
		if !ok {
			return
		}
		for _, f := range st.Fields.List {
			for _, n := range f.Names {
				m.comments[s.Name.Name+"."+n.Name] = strings.TrimSpace(commentText(f.Doc) + " " + commentText(f.Comment))
			}
		}
	case *ast.ValueSpec:
		if id, ok := s.Type.(*ast.Ident); ok && g.Tok == token.CONST && len(s.Values) == 1 {
			if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				m.enums[id.Name] = append(m.enums[id.Name], strings.Trim(lit.Value, `"`))
			}
		}
	}
}

func commentText(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

func (m *schemaMaker) of(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return m.of(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": []any{"array", "null"}, "items": m.of(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": m.of(t.Elem())}
	case reflect.String:
		s := map[string]any{"type": "string"}
		if all := m.enums[t.Name()]; t.Name() == "Verdict" || t.Name() == "CheckState" || t.Name() == "ChangeState" {
			s["enum"] = all
		}
		return s
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			return map[string]any{"type": "string", "format": "date-time"}
		}
		m.structure(t)
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	}
	return map[string]any{"type": "integer"}
}

func (m *schemaMaker) structure(t reflect.Type) {
	if m.defs[t.Name()] != nil {
		return
	}
	props, required := map[string]any{}, []any{}
	def := map[string]any{"type": "object", "properties": props}
	if text := m.comments[t.Name()]; text != "" {
		def["description"] = text
	}
	m.defs[t.Name()] = def
	m.fields(t, props, &required)
	def["required"] = required
}

func (m *schemaMaker) fields(t reflect.Type, props map[string]any, required *[]any) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			m.fields(f.Type, props, required)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		p := m.of(f.Type)
		if text := m.comments[t.Name()+"."+f.Name]; text != "" {
			p["description"] = text
		}
		props[name] = p
		if !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}

// The schemas are those of the Go types: go test ./cmd -run BenchSchemas -update
func TestBenchSchemas(t *testing.T) {
	for _, tt := range []struct {
		of    reflect.Type
		title string
		file  string
		have  []byte
	}{
		{reflect.TypeFor[bench.Report](), "Result of mqt bench, version 1; later programs may add members", "bench_report_schema.json", benchReportSchema},
		{reflect.TypeFor[bench.Comparison](), "Result of mqt bench compare, version 1; later programs may add members", "bench_comparison_schema.json", benchComparisonSchema},
	} {
		m := &schemaMaker{comments: map[string]string{}, enums: map[string][]any{}, defs: map[string]any{}}
		m.readComments(t)
		root := m.of(tt.of)
		root["$schema"], root["$defs"], root["title"] = "https://json-schema.org/draft/2020-12/schema", m.defs, tt.title
		m.defs[tt.of.Name()].(map[string]any)["properties"].(map[string]any)["version"].(map[string]any)["const"] = bench.ReportVersion
		got, err := json.MarshalIndent(root, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
			if err := os.WriteFile(tt.file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !bytes.Equal(got, tt.have) {
			t.Errorf("%s is not what the types say: run go test ./cmd -run BenchSchemas -update", tt.file)
		}
	}
}

// closedSchema is a schema with nothing beside what it names.
func closedSchema(t *testing.T, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doc.(map[string]any)["$defs"].(map[string]any) {
		d.(map[string]any)["additionalProperties"] = false
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("report.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("report.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}
