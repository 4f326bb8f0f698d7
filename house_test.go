package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The house rules that a machine can hold. The table is the design's order of packages, lowest first: a package
// imports the standard library, what its row names, and nothing else. A package that has no row is a fault too.

const module = "mqt"

const (
	maxFileLines = 600
	maxFuncLines = 130
)

type row struct {
	pkg   string   // import path
	house []string // packages of this module that it may import
	third []string // modules of others that it may import
}

func house() []row {
	color := []string{"github.com/fatih/color", "github.com/mattn/go-isatty", "github.com/olekukonko/tablewriter"}
	return []row{
		{pkg: "mqt/mqtt"},
		{pkg: "mqt/mqtt/topic"},
		{pkg: "mqt/mqtt/template"}, // one language of ${name}, for pub and bench
		{pkg: "mqt/completions"},
		{pkg: "mqt/mqtt/flow", house: []string{"mqt/mqtt"}},
		{pkg: "mqt/mqtt/transport", house: []string{"mqt/mqtt"},
			third: []string{"github.com/gobwas/ws", "golang.org/x/sys", "golang.org/x/net"}},
		{pkg: "mqt/mqtt/store", house: []string{"mqt/mqtt"}, third: []string{"go.etcd.io/bbolt"}},
		{pkg: "mqt/mqtt/store/storetest", house: []string{"mqt/mqtt", "mqt/mqtt/store"}},
		{pkg: "mqt/mqtt/client", house: []string{"mqt/mqtt", "mqt/mqtt/topic", "mqt/mqtt/flow", "mqt/mqtt/transport"},
			third: []string{"github.com/xdg-go/scram"}},
		{pkg: "mqt/mqtt/access", house: []string{"mqt/mqtt/topic"},
			third: []string{"golang.org/x/crypto", "github.com/golang-jwt/jwt/v5", "github.com/xdg-go/scram"}},
		{pkg: "mqt/mqtt/broker",
			house: []string{"mqt/mqtt", "mqt/mqtt/access", "mqt/mqtt/topic", "mqt/mqtt/flow", "mqt/mqtt/transport", "mqt/mqtt/store"}},
		{pkg: "mqt/mqtt/bench", house: []string{"mqt/mqtt", "mqt/mqtt/topic", "mqt/mqtt/template", "mqt/mqtt/client"},
			third: []string{"github.com/HdrHistogram/hdrhistogram-go"}},
		{pkg: "mqt/format", house: []string{"mqt/mqtt", "mqt/mqtt/bench"},
			third: append([]string{"github.com/ncruces/go-strftime"}, color...)},
		// Apart from format, so that who prints a report does not carry the libraries of payloads.
		{pkg: "mqt/format/codec", house: []string{"mqt/format", "mqt/mqtt/topic"},
			third: []string{"github.com/fxamacker/cbor/v2", "github.com/tinylib/msgp", "github.com/twmb/avro", "github.com/bufbuild/protocompile",
				"google.golang.org/protobuf", "github.com/klauspost/compress"}},
		{pkg: "mqt/cmd", house: []string{"mqt/mqtt", "mqt/mqtt/topic", "mqt/mqtt/template", "mqt/completions", "mqt/mqtt/flow", "mqt/mqtt/transport",
			"mqt/mqtt/store", "mqt/mqtt/client", "mqt/mqtt/access", "mqt/mqtt/broker", "mqt/mqtt/bench", "mqt/format", "mqt/format/codec"},
			third: append([]string{"github.com/urfave/cli/v2", "github.com/itchyny/gojq", "github.com/prometheus/client_golang", "go.yaml.in/yaml/v3",
				"golang.org/x/term"}, color...)},
		{pkg: "mqt", house: []string{"mqt/cmd"}},
	}
}

// source is one package without its tests: every file, also those that are built only for another platform.
type source struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
}

func TestHouse(t *testing.T) {
	pkgs := load(t)
	if len(pkgs) == 0 {
		t.Fatal("go list named no package")
	}
	for _, fault := range faults(pkgs) {
		t.Error(fault)
	}
}

// load asks the go command for the packages and parses them.
func load(t *testing.T) []source {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,CgoFiles,IgnoredGoFiles", "./...").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []source
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var listed struct {
			ImportPath, Dir                   string
			GoFiles, CgoFiles, IgnoredGoFiles []string
		}
		if err := dec.Decode(&listed); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		files := make(map[string]string)
		for _, name := range slices.Concat(listed.GoFiles, listed.CgoFiles, listed.IgnoredGoFiles) {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(listed.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[path.Join(strings.TrimPrefix(listed.ImportPath, module+"/"), name)] = string(text)
		}
		pkgs = append(pkgs, parse(t, listed.ImportPath, files))
	}
}

func parse(t *testing.T, pkg string, files map[string]string) source {
	t.Helper()
	s := source{path: pkg, fset: token.NewFileSet()}
	for name, text := range files {
		f, err := parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, f)
	}
	return s
}

// faults is the whole checker: one line for each broken rule, sorted.
func faults(pkgs []source) []string {
	var all []string
	for _, s := range pkgs {
		all = slices.Concat(all, importFaults(s), sizeFaults(s), funcFaults(s), docFaults(s), variableFaults(s))
		if s.path == "mqt/format" {
			all = append(all, reportFaults(s, pkgs)...)
		}
	}
	slices.Sort(all)
	return all
}

func (s source) fault(at token.Pos, format string, args ...any) string {
	p := s.fset.Position(at)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// belowCmd tells that the package is a library: it neither ends the process nor prints, and has no flags.
func (s source) belowCmd() bool { return s.path != module && s.path != "mqt/cmd" }

func importFaults(s source) []string {
	i := slices.IndexFunc(house(), func(r row) bool { return r.pkg == s.path })
	if i < 0 {
		return []string{s.path + ": has no row in the design's order of packages"}
	}
	r := house()[i]
	var all []string
	for _, f := range s.files {
		for _, spec := range f.Imports {
			if why := r.refuses(strings.Trim(spec.Path.Value, `"`)); why != "" {
				all = append(all, s.fault(spec.Pos(), "%s", why))
			}
		}
	}
	return all
}

// refuses says why the package must not import p, or "".
func (r row) refuses(p string) string {
	first, _, _ := strings.Cut(p, "/")
	switch {
	case first == module:
		if !slices.Contains(r.house, p) {
			return fmt.Sprintf("%s must not import %s", r.pkg, p)
		}
	case strings.Contains(first, "."):
		under := func(m string) bool { return p == m || strings.HasPrefix(p, m+"/") }
		if !slices.ContainsFunc(r.third, under) {
			return fmt.Sprintf("%s must not import %s: the design names no job for it there", r.pkg, p)
		}
	case p == "flag" || p == "log" || p == "testing" && r.pkg != "mqt/mqtt/store/storetest":
		return fmt.Sprintf("%s must not import %s", r.pkg, p)
	}
	return ""
}

// sizeFaults finds files and functions that are too long to be read at once.
func sizeFaults(s source) []string {
	var all []string
	for _, f := range s.files {
		if n := s.fset.File(f.FileStart).LineCount(); n > maxFileLines {
			all = append(all, s.fault(f.Package, "the file has %d lines, at most %d", n, maxFileLines))
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(fn.End()).Line - s.fset.Position(fn.Pos()).Line + 1; n > maxFuncLines {
				all = append(all, s.fault(fn.Pos(), "%s has %d lines, at most %d", fn.Name.Name, n, maxFuncLines))
			}
		}
	}
	return all
}

// funcFaults finds init functions anywhere, and below cmd what ends the process or writes to its streams.
func funcFaults(s source) []string {
	var all []string
	for _, f := range s.files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				all = append(all, s.fault(fn.Pos(), "no func init: what happens at start is called from main"))
			}
		}
		if !s.belowCmd() {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && processWide(x.Name, sel.Sel.Name) {
				all = append(all, s.fault(sel.Pos(), "no %s.%s below cmd", x.Name, sel.Sel.Name))
			}
			return true
		})
	}
	return all
}

func processWide(pkg, name string) bool {
	switch pkg {
	case "fmt":
		return strings.HasPrefix(name, "Print")
	case "os":
		return slices.Contains([]string{"Exit", "Stdin", "Stdout", "Stderr"}, name)
	case "slog":
		return slices.Contains([]string{"Debug", "Info", "Warn", "Error", "Default", "SetDefault"}, name)
	case "signal":
		return strings.HasPrefix(name, "Notify")
	}
	return false
}

// docFaults finds exported names that a reader of the documentation would meet bare. A method that an interface of
// the same package names is documented there.
func docFaults(s source) []string {
	known := map[string]bool{"Error": true, "String": true, "Unwrap": true}
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if it, ok := n.(*ast.InterfaceType); ok {
				for _, m := range it.Methods.List {
					for _, name := range m.Names {
						known[name.Name] = true
					}
				}
			}
			return true
		})
	}
	var all []string
	bare := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		written := slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil })
		if name.IsExported() && !written {
			all = append(all, s.fault(name.Pos(), "exported %s has no doc comment", name.Name))
		}
	}
	for _, f := range s.files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil || ast.IsExported(receiver(d)) && !known[d.Name.Name] {
					bare(d.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						bare(spec.Name, spec.Doc, spec.Comment, lone(d))
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							bare(name, spec.Doc, spec.Comment, d.Doc)
						}
					}
				}
			}
		}
	}
	return all
}

// lone is the comment of a declaration that is not a group: one comment does not document many types.
func lone(d *ast.GenDecl) *ast.CommentGroup {
	if d.Lparen.IsValid() {
		return nil
	}
	return d.Doc
}

func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// variableFaults finds package variables that change: a table is fine, a register is not.
func variableFaults(s source) []string {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	// Names of this package resolve without its imports, which are left empty; what does not is no concern here.
	conf := types.Config{Importer: emptyImporter{}, Error: func(error) {}, FakeImportC: true}
	pkg, _ := conf.Check(s.path, s.fset, s.files, info)
	var all []string
	change := func(e ast.Expr) {
		name := root(e)
		if name == nil {
			return
		}
		if v, ok := info.Uses[name].(*types.Var); ok && v.Parent() == pkg.Scope() {
			all = append(all, s.fault(name.Pos(), "package variable %s is changed", name.Name))
		}
	}
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					change(e)
				}
			case *ast.IncDecStmt:
				change(n.X)
			case *ast.CallExpr:
				if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
					change(n.Args[0])
				}
			}
			return true
		})
	}
	return all
}

// root is the variable that an assignment to e changes.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

type emptyImporter struct{}

func (emptyImporter) Import(p string) (*types.Package, error) {
	pkg := types.NewPackage(p, path.Base(p))
	pkg.MarkComplete()
	return pkg, nil
}

// reportFaults holds format to what bench says in its types: it renders a Report and runs nothing.
func reportFaults(s source, pkgs []source) []string {
	funcs := make(map[string]bool)
	for _, p := range pkgs {
		if p.path != "mqt/mqtt/bench" {
			continue
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
					funcs[fn.Name.Name] = true
				}
			}
		}
	}
	var all []string
	for _, f := range s.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "bench" && funcs[sel.Sel.Name] {
					all = append(all, s.fault(sel.Pos(), "format must not call bench.%s: it only renders a Report", sel.Sel.Name))
				}
			}
			return true
		})
	}
	return all
}

// The checker itself: each rule is broken once, in a small package, and must be noticed.
func TestHouseNoticesFaults(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\n", n) }
	tests := []struct{ name, pkg, text, want string }{
		{"clean", "mqt/mqtt", "package mqtt\n\nimport \"errors\"\n\n// ErrX is x.\nvar ErrX = errors.New(\"mqtt: x\")\n", ""},
		{"upwards", "mqt/mqtt/flow", "package flow\nimport _ \"mqt/mqtt/client\"\n", "mqtt/flow/a.go:2: mqt/mqtt/flow must not import mqt/mqtt/client"},
		{"sideways", "mqt/mqtt", "package mqtt\nimport _ \"mqt/mqtt/topic\"\n", "mqt/mqtt must not import mqt/mqtt/topic"},
		{"client to broker", "mqt/mqtt/client", "package client\nimport _ \"mqt/mqtt/broker\"\n", "mqt/mqtt/client must not import mqt/mqtt/broker"},
		{"broker to client", "mqt/mqtt/broker", "package broker\nimport _ \"mqt/mqtt/client\"\n", "mqt/mqtt/broker must not import mqt/mqtt/client"},
		{"third party", "mqt/mqtt", "package mqtt\nimport _ \"github.com/fatih/color\"\n", "must not import github.com/fatih/color"},
		{"third party at its place", "mqt/format", "package format\nimport _ \"github.com/fatih/color\"\n", ""},
		{"third party below its place", "mqt/mqtt/transport", "package transport\nimport _ \"github.com/gobwas/ws/wsutil\"\n", ""},
		{"third party of a like name", "mqt/mqtt/transport", "package transport\nimport _ \"github.com/gobwas/wsx\"\n", "github.com/gobwas/wsx"},
		{"no row", "mqt/internal/util", "package util\n", "mqt/internal/util: has no row"},
		{"test library in the product", "mqt/mqtt", "package mqtt\nimport _ \"testing\"\n", "must not import testing"},
		{"standard logger", "mqt/mqtt/broker", "package broker\nimport _ \"log\"\n", "must not import log"},
		{"other platform", "mqt/mqtt/store", "//go:build plan9\n\npackage store\nimport _ \"mqt/cmd\"\n", "must not import mqt/cmd"},
		{"init", "mqt/cmd", "package cmd\nfunc init() {}\n", "cmd/a.go:2: no func init"},
		{"method named init", "mqt/cmd", "package cmd\ntype x struct{}\nfunc (x) init() {}\n", ""},
		{"exit", "mqt/mqtt", "package mqtt\nimport \"os\"\nfunc f() { os.Exit(1) }\n", "no os.Exit below cmd"},
		{"print", "mqt/format", "package format\nimport \"fmt\"\nfunc f() { fmt.Println() }\n", "no fmt.Println below cmd"},
		{"print to a writer", "mqt/format", "package format\nimport \"fmt\"\nfunc f() { fmt.Fprintln(nil) }\n", ""},
		{"default logger", "mqt/mqtt/broker", "package broker\nimport \"log/slog\"\nfunc f() { slog.Info(\"x\") }\n", "no slog.Info below cmd"},
		{"exit in cmd", "mqt/cmd", "package cmd\nimport \"os\"\nfunc f() { os.Exit(1) }\n", ""},
		{"long file", "mqt/mqtt", "package mqtt\n" + long(maxFileLines), "the file has 601 lines"},
		{"just short enough a file", "mqt/mqtt", "package mqtt" + long(maxFileLines), ""},
		{"long function", "mqt/mqtt", "package mqtt\nfunc f() {" + long(maxFuncLines) + "}\n", "f has 131 lines"},
		{"just short enough a function", "mqt/mqtt", "package mqtt\nfunc f() {" + long(maxFuncLines-1) + "}\n", ""},
		{"bare function", "mqt/mqtt", "package mqtt\nfunc F() {}\n", "exported F has no doc"},
		{"bare type", "mqt/mqtt", "package mqtt\ntype T int\n", "exported T has no doc"},
		{"bare type in a group", "mqt/mqtt", "package mqtt\n// Both.\ntype (\nT int\n)\n", "exported T has no doc"},
		{"bare method", "mqt/mqtt", "package mqtt\n// T is t.\ntype T[K any] int\nfunc (t *T[K]) M() {}\n", "exported M has no doc"},
		{"method of an interface", "mqt/mqtt", "package mqtt\n// I is i.\ntype I interface{ M() }\n// T is t.\ntype T int\nfunc (T) M() {}\n", ""},
		{"method of a hidden type", "mqt/mqtt", "package mqtt\ntype t int\nfunc (t) M() {}\n", ""},
		{"bare constant", "mqt/mqtt", "package mqtt\nconst C = 1\n", "exported C has no doc"},
		{"constants of a group", "mqt/mqtt", "package mqtt\n// Numbers.\nconst (\nC = 1\nD = 2\n)\n", ""},
		{"assigned variable", "mqt/mqtt", "package mqtt\nvar n int\nfunc f() { n = 1 }\n", "package variable n is changed"},
		{"counted variable", "mqt/mqtt", "package mqtt\nvar n int\nfunc f() { n++ }\n", "package variable n is changed"},
		{"changed table", "mqt/mqtt", "package mqtt\nvar m = map[int]int{}\nfunc f() { m[1] = 2 }\n", "package variable m is changed"},
		{"emptied table", "mqt/mqtt", "package mqtt\nvar m = map[int]int{}\nfunc f() { delete(m, 1) }\n", "package variable m is changed"},
		{"changed field", "mqt/mqtt", "package mqtt\nvar s struct{ n int }\nfunc f() { s.n = 2 }\n", "package variable s is changed"},
		{"shadowed variable", "mqt/mqtt", "package mqtt\nvar n = 1\nfunc f() { n := 1; n = 2; _ = n }\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := path.Join(strings.TrimPrefix(tt.pkg, module+"/"), "a.go")
			got := faults([]source{parse(t, tt.pkg, map[string]string{file: tt.text})})
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("faults in clean code: %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("faults %q, want one with %q", got, tt.want)
			}
		})
	}
}

func TestHouseNoticesBenchCalls(t *testing.T) {
	bench := parse(t, "mqt/mqtt/bench", map[string]string{"mqtt/bench/a.go": "package bench\n// Report is it.\ntype Report int\n// Run runs.\nfunc Run() {}\n"})
	format := parse(t, "mqt/format", map[string]string{
		"format/a.go": "package format\nimport \"mqt/mqtt/bench\"\nfunc f(bench.Report) {\n bench.Run() }\n"})
	got := faults([]source{bench, format})
	if want := "format/a.go:4: format must not call bench.Run: it only renders a Report"; len(got) != 1 || got[0] != want {
		t.Errorf("faults %q, want %q", got, want)
	}
}
