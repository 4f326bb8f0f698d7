package format

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"mqt/mqtt/bench"
)

// hostile is what a stranger may put into names, topics and reasons.
const hostile = "\x1b[31m</td><script>alert(1)</script>&\"'|`]]> ::error::\n\r\x00\u202e"

func spoilt() *bench.Report {
	r := failing()
	s := scenario()
	r.Phases, r.Groups, r.Resume, r.Sweep, r.Broker = s.Phases, s.Groups, s.Resume, s.Sweep, s.Broker
	r.Name, r.RunID, r.Tool, r.Environment.Host = hostile, hostile, hostile, hostile
	r.Target.URL, r.Reasons = hostile, []string{hostile}
	r.Broker.Command, r.Groups[0].Name, r.Phases[1].Name = hostile, hostile, bench.Phase(hostile)
	r.Contract.Violations[0].Topic, r.Contract.Violations[0].Publisher = hostile, hostile
	r.Thresholds[0].Rule, r.Thresholds[0].Value, r.Thresholds[0].Limit = hostile, hostile, hostile
	r.Generator.Faults, r.Generator.Warnings = []string{hostile}, []string{hostile}
	r.Generator.Checks = []bench.Check{{Name: hostile, Value: hostile, State: bench.CheckFault}}
	r.Events = []bench.Event{{At: time.Second, Kind: hostile, Text: hostile}}
	for i := range r.Seconds {
		r.Seconds[i].Phase, r.Seconds[i].Duration = bench.Phase(hostile), time.Second
	}
	return r
}

// Whatever is in a report, each output keeps its form, and a terminal that
// shows it is not written to.
func TestOutputsOfHostileReports(t *testing.T) {
	for name, r := range map[string]*bench.Report{"hostile": spoilt(), "empty": {}, "pass": passing(), "fail": failing(), "scenario": scenario()} {
		junit, err := AppendJUnit(nil, r, 11)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		d := xml.NewDecoder(strings.NewReader(string(junit)))
		for err == nil {
			_, err = d.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: junit: %v", name, err)
		}
		seconds, err := AppendCSV(nil, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if rows, err := csv.NewReader(strings.NewReader(string(seconds))).ReadAll(); err != nil || len(rows) != 1+len(r.Seconds) {
			t.Errorf("%s: %d rows of CSV, %v", name, len(rows), err)
		}
		page, err := AppendHTML(nil, r, 11)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := strings.Count(string(page), "<script"); n > 0 || strings.Contains(string(page), "ZgotmplZ") {
			t.Errorf("%s: %d scripts in the page", name, n)
		}
		log, err := AppendHDRLog(nil, r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		md := AppendMarkdown(nil, r, 11)
		if regexp.MustCompile(`(^|[^\\])<script`).Match(regexp.MustCompile("`[^`\n]*`").ReplaceAll(md, nil)) {
			t.Errorf("%s: a script in the Markdown\n%s", name, md)
		}
		for kind, b := range map[string][]byte{"junit": junit, "csv": seconds, "html": page, "hdr": log, "md": md} {
			if i := strings.IndexFunc(string(b), func(c rune) bool { return unicode.IsControl(c) && c != '\n' || c == '\u202e' }); i >= 0 {
				t.Errorf("%s: %s has %q", name, kind, b[i:min(len(b), i+10)])
			}
		}
	}
}

// A result with more of everything than anyone reads stays short for the page
// of a job.
func TestMarkdownIsBounded(t *testing.T) {
	r := failing()
	for i := range 5000 {
		r.Thresholds = append(r.Thresholds, bench.Threshold{Rule: strings.Repeat("x", 5000), Value: fmt.Sprint(i)})
	}
	if b := AppendMarkdown(nil, r, 10); len(b) > 64<<10 || !strings.Contains(string(b), "and 4902 more") {
		t.Errorf("%d bytes\n%.300s", len(b), b)
	}
}

func TestComparison(t *testing.T) {
	c := &bench.Comparison{
		Base: "main\x1b", New: "new|x", BaseRuns: 3, NewRuns: 1, Verdict: bench.Regression, Reasons: []string{"e2e.p99 is worse by 30.0 %"},
		Changes: []bench.Change{
			{Metric: "e2e.p99", Unit: "s", Base: 0.01, New: 0.013, Ratio: 0.3, Low: 0.25, High: 0.35, N: 30, State: bench.Worse},
			{Metric: "delivered.rate", Unit: "/s", Base: 1000, New: 1001, Ratio: 0.001, Low: -0.01, High: 0.01, N: 30, State: bench.Unchanged},
			{Metric: "broker.peak_memory", Unit: "B", Base: 10 << 20, New: 11 << 20, Ratio: 0.1, N: 1, State: bench.TooFew},
		},
	}
	b, err := AppendComparison(nil, c, 12, Style{})
	want := `base        main\x1b  3 runs
new         new|x  1 run
metric                  base       new   change     95 % of it lies   n
e2e.p99                10 ms     13 ms  +30.0 %  +25.0 % to +35.0 %  30  worse
delivered.rate     1 000.0/s   1 001/s   +0.1 %    -1.0 % to +1.0 %  30  ok
broker.peak_memory  10.0 MiB  11.0 MiB  +10.0 %                       1  too few
because     e2e.p99 is worse by 30.0 %
RESULT      REGRESSION (exit 12)
`
	if want = strings.Replace(want, "1 000.0/s", "  1 000/s", 1); err != nil || string(b) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b, want)
	}
	md := string(AppendComparisonMarkdown(nil, c, 12))
	for _, part := range []string{"### ❌ mqt bench compare: REGRESSION (exit 12)", "| ❌ **worse** |", "`new¦x` (1 run) against `main\\x1b` (3 runs)"} {
		if !strings.Contains(md, part) {
			t.Errorf("no %s in\n%s", part, md)
		}
	}
}
