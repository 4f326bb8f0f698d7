package cmd

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/urfave/cli/v2"

	"mqt/mqtt/bench"
)

// The tables of the README are what the code has, both ways.

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readmeTable are the rows below the heading row, each by its cells.
func readmeTable(t *testing.T, heading string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(readme(t), "\n| "+heading+" |")
	if !ok {
		t.Fatalf("the README has no table headed %s", heading)
	}
	var rows [][]string
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 {
			continue // the rest of the heading, and the rule
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

func codeSpans(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func sameSet(t *testing.T, what string, readme, code []string) {
	t.Helper()
	for _, name := range readme {
		if !slices.Contains(code, name) {
			t.Errorf("%s: the README has %s, the program has not", what, name)
		}
	}
	for _, name := range code {
		if !slices.Contains(readme, name) {
			t.Errorf("%s: the README lacks %s", what, name)
		}
	}
}

func allCommands() []*cli.Command { return newApp(&Stdio{}, "").Commands }

func TestReadmeCommands(t *testing.T) {
	var shown, have []string
	for _, row := range readmeTable(t, "command") {
		for _, span := range codeSpans(row[0]) {
			shown = append(shown, strings.TrimPrefix(span, "mqt "))
		}
	}
	for _, c := range allCommands() {
		have = append(have, c.Name)
	}
	sameSet(t, "commands", shown, have)
}

// TestExitTable holds the README to the one table, to the word.
func TestExitTable(t *testing.T) {
	var shown, have []string
	for _, row := range readmeTable(t, "code") {
		shown = append(shown, row[0]+" "+strings.ReplaceAll(row[1], "`", ""))
	}
	for _, row := range exitTable() {
		text := row.text
		if row.only != "" {
			text = row.only + ": " + text
		}
		have = append(have, row.codes+" "+text)
	}
	sameSet(t, "exit codes", shown, have)
}

// TestReadmeFlags: a flag that the README names is there, or is another program's.
func TestReadmeFlags(t *testing.T) {
	foreign := map[string]string{
		"--path": "MQTTX", "--no-clean": "MQTTX", "--output-mode": "MQTTX", "--file-save": "MQTTX", "--psk": "mosquitto_pub",
		"--base64": "HiveMQ", "--snapshot": "goreleaser",
	}
	have := make(map[string]bool)
	for _, c := range allCommands() {
		for _, f := range c.Flags {
			for _, name := range namesOf(f) {
				have[dashed(name)] = true
			}
		}
	}
	used := make(map[string]bool)
	text := readme(t)
	for _, flag := range regexp.MustCompile("(?:[`( \\[|])(--[a-z][a-z0-9-]*)").FindAllStringSubmatch(text, -1) {
		if used[flag[1]] = true; !have[flag[1]] && foreign[flag[1]] == "" && flag[1] != "--help" && flag[1] != "--version" {
			t.Errorf("the README has %s, and no command has", flag[1])
		}
	}
	for flag := range foreign {
		if have[flag] || !used[flag] {
			t.Errorf("%s is called another program's; ours: %v, in the README: %v", flag, have[flag], used[flag])
		}
	}
}

// TestHelpFlags: every name of every flag is in the help of its command and on its page.
func TestHelpFlags(t *testing.T) {
	app := newApp(&Stdio{}, "")
	for _, c := range app.Commands {
		var help bytes.Buffer
		if err := printCommandHelp(&help, c); err != nil {
			t.Fatal(err)
		}
		words := func(text string) map[string]bool {
			all := make(map[string]bool)
			for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,\n", r) }) {
				all[word] = true
			}
			return all
		}
		inHelp, onPage := words(help.String()), words(strings.ReplaceAll(manOfCommand(app, c), `\-`, "-"))
		for _, f := range c.Flags {
			for _, name := range namesOf(f) {
				if !inHelp[dashed(name)] || !onPage[dashed(name)] {
					t.Errorf("mqt %s: %s is not in its help, or not on its page", c.Name, dashed(name))
				}
			}
		}
	}
}

// notInLimits are settings of the group that are told elsewhere: they are no limit on what a peer can make grow.
func notInLimits() []string {
	return []string{"max-keep-alive", "max-session-expiry", "max-qos", "max-inflight"}
}

// TestReadmeLimits: the limits have their flags, their defaults, and the star of those that a reload changes.
func TestReadmeLimits(t *testing.T) {
	o := &brokerOptions{}
	flags := make(map[string]*option)
	for _, f := range limitFlags(&o.limits) {
		flags[f.names[0]] = f
	}
	var shown []string
	right := make(map[string]bool)
	plainNumber := strings.NewReplacer(",", "", " ", "")
	for _, row := range readmeTable(t, "limit") {
		for _, span := range codeSpans(row[1]) {
			name := strings.TrimPrefix(span, "--")
			shown = append(shown, name)
			f := flags[name]
			if f == nil {
				t.Errorf("the README limits %s by %s, which is none", row[0], span)
				continue
			}
			// A flag may bound more than one thing: one row has its default, and the star that belongs to it.
			m := regexp.MustCompile(`\(default: (?:half of )?([^)]+)\)`).FindStringSubmatch(strings.ReplaceAll(f.Usage, "`", ""))
			if m != nil && strings.Contains(plainNumber.Replace(row[2]), plainNumber.Replace(m[1])) && strings.Contains(row[0], "*") == live(f) {
				right[name] = true
			}
		}
	}
	for name, f := range flags {
		if slices.Contains(shown, name) && !right[name] {
			t.Errorf("--%s: the help says %s (may change: %v), and no row of the README says that", name, f.Usage, live(f))
		}
	}
	for name := range flags {
		if !slices.Contains(shown, name) && !slices.Contains(notInLimits(), name) {
			t.Errorf("--%s is not in the README's table of limits", name)
		}
	}
}

// TestReadmeThresholds: the metrics of the README's table can be in a threshold. mqtt/bench holds that all are there.
func TestReadmeThresholds(t *testing.T) {
	n := 0
	for _, row := range readmeTable(t, "metric") {
		for _, name := range codeSpans(row[0]) {
			n++
			fits := func(rest string) bool { _, err := bench.ParseRule(name + rest); return err == nil }
			if !fits(" >= 0") && !fits(" >= 0s") && !fits(".p99 < 1s") {
				t.Errorf("no threshold can be of %s", name)
			}
		}
	}
	for _, span := range codeSpans(readme(t)) {
		if regexp.MustCompile(`^[a-z0-9_.: ]+ (<|<=|>|>=|==) \S`).MatchString(span) {
			n++
			if _, err := bench.ParseRule(span); err != nil {
				t.Error(err)
			}
		}
	}
	if n < 36 {
		t.Errorf("%d metrics", n)
	}
}

// TestReadmeMetrics scrapes a real broker, and asks the collector of bench.
func TestReadmeMetrics(t *testing.T) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(scrape(t))
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for name, f := range families {
		if strings.HasPrefix(name, "mqt_") {
			have = append(have, metricRow(name, strings.ToLower(f.GetType().String()), f.GetHelp()))
		}
	}
	sameSet(t, "metrics of the broker", metricRows(t, "metric of `mqt broker --metrics`"), have)
	_, values, _ := strings.Cut(readme(t), "`reason` is ")
	values, _, _ = strings.Cut(values, "\n\n")
	values = strings.Join(strings.Fields(values), " ")
	for _, name := range []string{"mqt_messages_dropped_total", "mqt_limit_exceeded_total"} {
		for _, m := range families[name].GetMetric() {
			if value := m.GetLabel()[0].GetValue(); !regexp.MustCompile(`[ ,]` + value + `[;,. ]|^` + value + `,`).MatchString(values) {
				t.Errorf("%s: the README does not tell of %s", name, value)
			}
		}
	}

	have = nil
	descs := make(chan *prometheus.Desc, 100)
	newBenchMetrics().Describe(descs)
	close(descs)
	for d := range descs {
		m := regexp.MustCompile(`fqName: "([^"]*)", help: "([^"]*)"`).FindStringSubmatch(d.String())
		kind := "gauge"
		switch {
		case strings.HasSuffix(m[1], "_total"):
			kind = "counter"
		case strings.HasSuffix(m[1], "_seconds"):
			kind = "histogram"
		}
		have = append(have, metricRow(m[1], kind, m[2]))
	}
	sameSet(t, "metrics of bench", metricRows(t, "metric of `mqt bench --metrics`"), have)
	for _, name := range benchLatencies() {
		if _, values, _ := strings.Cut(readme(t), "`metric` is "); !strings.Contains(strings.SplitN(values, "\n\n", 2)[0], name) {
			t.Errorf("the README does not tell of metric=%q", name)
		}
	}
}

func metricRow(name, kind, help string) string { return name + " " + kind + ": " + help }

func metricRows(t *testing.T, heading string) []string {
	t.Helper()
	var all []string
	for _, row := range readmeTable(t, heading) {
		name, _, _ := strings.Cut(codeSpans(row[0])[0], "{")
		all = append(all, metricRow(name, row[1], row[2]))
	}
	return all
}

// scrape is what Prometheus reads of a broker with a store.
func scrape(t *testing.T) io.Reader {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var errs lockedBuffer
	go func() {
		ended <- Main(ctx, []string{"broker", "-p", "0", "--data-dir", filepath.Join(t.TempDir(), "data"), "--metrics", "127.0.0.1:0"},
			Stdio{In: strings.NewReader(""), Out: io.Discard, Err: &errs})
	}()
	defer func() {
		stop()
		<-ended
	}()
	var url string
	for deadline := time.Now().Add(2 * time.Minute); url == ""; time.Sleep(5 * time.Millisecond) {
		url = regexp.MustCompile(`http://\S+/metrics\b`).FindString(errs.String())
		if time.Now().After(deadline) || len(ended) > 0 {
			t.Fatalf("no metrics: %s", errs.String())
		}
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(text)
}
