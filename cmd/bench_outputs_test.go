package cmd

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/joshdk/go-junit"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"

	"mqt/mqtt/bench"
)

// measureOnce runs a bench with every output and returns the folder and the
// report of the JSON.
func measureOnce(t *testing.T, args ...string) (string, *bench.Report, int) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("GITHUB_STEP_SUMMARY", filepath.Join(dir, "summary.md"))
	t.Setenv("GITHUB_OUTPUT", filepath.Join(dir, "output"))
	for kind := range benchForms() {
		args = append(args, "-o", kind+"="+filepath.Join(dir, kind))
	}
	var out, errs bytes.Buffer
	code := Main(t.Context(), append([]string{"bench"}, args...), Stdio{In: strings.NewReader(""), Out: &out, Err: &errs})
	rep := &bench.Report{}
	if err := json.Unmarshal(contents(t, dir, "json"), rep); err != nil {
		t.Fatalf("exit code %d: %v\n%s", code, err, errs.String())
	}
	return dir, rep, code
}

func contents(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each output is read by a parser that is not ours.
func TestBenchOutputs(t *testing.T) {
	dir, rep, code := measureOnce(t, "--clients", "30", "--rate", "900", "--duration", "1200ms", "--warmup", "0",
		"--threshold", "e2e.p99 < 1us", "--threshold", "e2e.p99.9 < 10s")
	if rep.Delivered.N == 0 || len(rep.Seconds) == 0 || len(rep.Thresholds) < 3 {
		t.Fatalf("%+v", rep)
	}
	t.Run("json", func(t *testing.T) { checkJSON(t, contents(t, dir, "json")) })
	t.Run("junit", func(t *testing.T) { checkJUnit(t, contents(t, dir, "junit"), rep) })
	t.Run("md", func(t *testing.T) {
		checkMarkdown(t, contents(t, dir, "md"), rep)
		if !bytes.Equal(contents(t, dir, "summary.md"), contents(t, dir, "md")) {
			t.Error("the summary of the job is another")
		}
		if want := fmt.Sprintf("verdict=%s\nexit=%d\n", rep.Verdict, code); string(contents(t, dir, "output")) != want {
			t.Errorf("outputs of the job: %q", contents(t, dir, "output"))
		}
	})
	t.Run("csv", func(t *testing.T) { checkCSV(t, contents(t, dir, "csv"), rep) })
	t.Run("hdr", func(t *testing.T) { checkHDRLog(t, contents(t, dir, "hdr"), rep) })
	t.Run("html", func(t *testing.T) { checkHTML(t, contents(t, dir, "html"), rep) })
	t.Run("report", func(t *testing.T) {
		for kind := range benchForms() {
			again := filepath.Join(dir, "again")
			var out, errs bytes.Buffer
			got := Main(context.Background(), []string{"bench", "report", filepath.Join(dir, "json"), "-o", kind + "=" + again}, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs})
			if got != code || !bytes.Equal(contents(t, dir, "again"), contents(t, dir, kind)) {
				t.Errorf("%s from the saved result: exit code %d, want %d, %s", kind, got, code, errs.String())
			}
		}
	})
}

func checkJSON(t *testing.T, b []byte) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := closedSchema(t, benchReportSchema)
	if err := s.Validate(doc); err != nil {
		t.Error(err)
	}
	doc.(map[string]any)["verdict"] = "splendid"
	if s.Validate(doc) == nil {
		t.Error("the schema takes any verdict")
	}
}

// A comparison in JSON is as its schema says.
func TestBenchComparisonJSON(t *testing.T) {
	dir := t.TempDir()
	rep := bench.Report{Version: bench.ReportVersion, RunID: "a", ConfigHash: "h", Verdict: bench.Pass}
	for i := range 4 {
		rep.Seconds = append(rep.Seconds, bench.Second{At: time.Duration(i+1) * time.Second, Duration: time.Second, Sent: 100, Delivered: 100})
	}
	b, err := json.Marshal(&rep)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []string{"bench", "compare", path, dir, "--json"}, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	doc, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := closedSchema(t, benchComparisonSchema).Validate(doc); err != nil {
		t.Error(err)
	}
}

func checkJUnit(t *testing.T, b []byte, rep *bench.Report) {
	suites, err := junit.Ingest(b)
	if err != nil || len(suites) != 1 {
		t.Fatalf("%d suites, %v", len(suites), err)
	}
	s := suites[0]
	results := make(map[string]junit.Status)
	for _, c := range s.Tests {
		results[c.Classname+" "+c.Name] = c.Status
	}
	if len(results) != s.Totals.Tests {
		t.Errorf("%d cases have %d names", s.Totals.Tests, len(results))
	}
	for _, th := range rep.Thresholds {
		want := junit.StatusPassed
		switch {
		case th.Inconclusive:
			want = junit.StatusError
		case !th.OK:
			want = junit.StatusFailed
		}
		if got := results["mqt.bench.threshold "+th.Rule]; got != want {
			t.Errorf("%s: %s, want %s", th.Rule, got, want)
		}
	}
	for _, q := range rep.Contract.QoS {
		found := false
		for name, status := range results {
			found = found || strings.HasPrefix(name, fmt.Sprintf("mqt.bench.contract QoS %d:", q.QoS)) && (status == junit.StatusPassed) == q.Held
		}
		if !found {
			t.Errorf("no case for QoS %d", q.QoS)
		}
	}
	if results["mqt.bench.run verdict"] == junit.StatusPassed {
		t.Error("the run passed")
	}
}

func checkMarkdown(t *testing.T, b []byte, rep *bench.Report) {
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(b))
	tables, rows := 0, 0
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *east.Table:
			tables++
			for row := n.FirstChild(); row != nil; row = row.NextSibling() {
				rows++
				if row.ChildCount() != n.FirstChild().ChildCount() {
					t.Errorf("a row of %d cells below %d", row.ChildCount(), n.FirstChild().ChildCount())
				}
			}
		case *ast.RawHTML, *ast.HTMLBlock:
			t.Error("there is HTML in it")
		}
		return ast.WalkContinue, nil
	})
	if want := 4 + len(rep.Thresholds) + len(rep.Latency.All()) + len(rep.Contract.QoS) + 1; err != nil || tables != 4 || rows != want {
		t.Errorf("%d tables with %d rows, want %d, %v", tables, rows, want, err)
	}
	if len(b) > 64<<10 {
		t.Errorf("%d bytes", len(b))
	}
}

func checkCSV(t *testing.T, b []byte, rep *bench.Report) {
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) != 1+len(rep.Seconds) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	column := func(name string) int {
		for i, h := range rows[0] {
			if h == name {
				return i
			}
		}
		t.Fatalf("no column %s", name)
		return 0
	}
	var sent int64
	for _, row := range rows[1:] {
		var n int64
		if _, err := fmt.Sscan(row[column("sent")], &n); err != nil {
			t.Error(err)
		}
		sent += n
	}
	if sent != rep.Sent.N {
		t.Errorf("%d sent in all seconds, want %d", sent, rep.Sent.N)
	}
}

func checkHDRLog(t *testing.T, b []byte, rep *bench.Report) {
	r := hdrhistogram.NewHistogramLogReader(bytes.NewReader(b))
	n := make(map[string]int64)
	most := make(map[string]int64)
	for {
		h, err := r.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		n[h.Tag()] += h.TotalCount()
		most[h.Tag()] = max(most[h.Tag()], h.Max())
		if h.StartTimeMs() < rep.Started.UnixMilli() {
			t.Errorf("%s begins at %d, before the run did", h.Tag(), h.StartTimeMs())
		}
	}
	for _, d := range rep.Latency.All() {
		if n[d.Name] != d.N || most[d.Name] != int64(d.Max) {
			t.Errorf("%s: %d samples up to %d ns, want %d up to %d", d.Name, n[d.Name], most[d.Name], d.N, d.Max)
		}
	}
}

func checkHTML(t *testing.T, b []byte, rep *bench.Report) {
	root, err := html.Parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	var all strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			all.WriteString(n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if a.Key == "src" || a.Key == "href" && a.Val != "data:," || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	if count["script"] != 0 || count["svg"] < 4 || count["table"] < 5 {
		t.Errorf("elements: %v", count)
	}
	for _, want := range append([]string{strings.ToUpper(string(rep.Verdict)), rep.Target.URL, rep.RunID}, rep.Reasons...) {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if strings.Contains(string(b), "url(") || strings.Contains(string(b), "@import") || strings.Contains(string(b), "ZgotmplZ") {
		t.Error("it asks for something, or the template refused a value")
	}
}
