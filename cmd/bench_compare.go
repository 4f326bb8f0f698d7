package cmd

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mqt/format"
	"mqt/mqtt/bench"
	"mqt/mqtt/transport"
)

// maxRounds bounds bench ab.
const maxRounds = 100

// compareFlags are those of bench compare, ab and merge.
func (o *benchOptions) compareFlags() []*option {
	const g = group("bench compare, ab")
	return []*option{
		g.value("tolerance", "`SHARE` by which a metric may be worse (default: 10%)", func(s string) (err error) {
			o.tolerance, err = parseShare(s)
			return err
		}),
		number(g, "rounds", "`NUMBER` of runs of each side, in the order A B B A (default: 4)", &o.rounds, 1, maxRounds),
		g.list("baseline", "JSON `FILE` of a run before, or a folder of them, that this run is held against; may be repeated", &o.baseline),
		g.toggle("force", "compare also different loads and machines", &o.force),
	}
}

// savedRuns reads the reports of one side: files, folders with *.json, and lists
// of them with commas.
func savedRuns(places ...string) ([]*bench.Report, error) {
	var all []*bench.Report
	for _, place := range slices.Collect(splitAll(places)) {
		paths := []string{place}
		if info, err := os.Stat(place); err == nil && info.IsDir() {
			if paths, err = filepath.Glob(filepath.Join(place, "*.json")); err != nil || len(paths) == 0 {
				return nil, &usageError{text: place + " has no *.json in it", hint: "it should have what mqt bench -o json=FILE wrote"}
			}
		}
		for _, path := range paths {
			rep, err := readReport(path)
			if err != nil {
				return nil, err
			}
			all = append(all, rep)
		}
	}
	return all, nil
}

func splitAll(places []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, p := range places {
			for one := range strings.SplitSeq(p, ",") {
				if !yield(one) {
					return
				}
			}
		}
	}
}

// benchComparisonSchema is the JSON Schema of a comparison.
//
//go:embed bench_comparison_schema.json
var benchComparisonSchema []byte

// compare is bench compare.
func (o *benchOptions) compare(s *Stdio, rest []string) error {
	if o.schema {
		_, err := s.Out.Write(benchComparisonSchema)
		return err
	}
	if len(rest) != 2 {
		return &usageError{text: "mqt bench compare needs two results", hint: "as in mqt bench compare base.json new.json"}
	}
	base, err := savedRuns(rest[0])
	if err != nil {
		return err
	}
	next, err := savedRuns(rest[1])
	if err != nil {
		return err
	}
	return o.showComparison(s, base, next, rest[0], rest[1])
}

func (o *benchOptions) compared(base, next []*bench.Report, a, b string) (*bench.Comparison, error) {
	c, err := bench.Compare(base, next, bench.CompareOptions{Base: a, New: b, Tolerance: o.tolerance, Force: o.force})
	if errors.Is(err, bench.ErrIncomparable) {
		return nil, &usageError{text: plain(err), hint: "--force does it anyhow"}
	}
	return c, err
}

func (o *benchOptions) showComparison(s *Stdio, base, next []*bench.Report, a, b string) error {
	c, err := o.compared(base, next, a, b)
	if err != nil {
		return err
	}
	code := verdictCode(c.Verdict)
	err = errors.Join(o.writeComparison(s, c, code), appendTo("GITHUB_STEP_SUMMARY", format.AppendComparisonMarkdown(nil, c, code)))
	if err == nil && code != exitOK {
		return &exitError{code: code}
	}
	return err
}

// writeComparison knows json, md and text.
func (o *benchOptions) writeComparison(s *Stdio, c *bench.Comparison, code int) error {
	wanted := o.outputs
	if o.json {
		wanted = append([]string{"json=-"}, wanted...)
	}
	people, stdout := s.Out, false
	for _, word := range wanted {
		kind, path, _ := strings.Cut(word, "=")
		var b []byte
		var err error
		switch kind {
		case "json":
			b, err = json.MarshalIndent(c, "", "  ")
			b = append(b, '\n')
		case "md":
			b = format.AppendComparisonMarkdown(nil, c, code)
		case "text":
			b, err = format.AppendComparison(nil, c, code, format.Style{})
		default:
			return &usageError{text: "-o " + shown(word), hint: "a comparison is written as json, md or text"}
		}
		switch {
		case err != nil:
		case path == "-" && !stdout:
			stdout = true
			_, err = s.Out.Write(b)
			people = s.Err
		case path == "-":
			_, err = s.Out.Write(b)
		default:
			err = os.WriteFile(path, b, 0o644) //nolint:gosec // a report is for all to read
		}
		if err != nil {
			return err
		}
	}
	b, err := format.AppendComparison(nil, c, code, o.color.style(people))
	if err == nil {
		_, err = people.Write(b)
	}
	return err
}

// againstBaseline compares what has been measured with --baseline, and returns
// the code of both together: that of the run comes first.
func (o *benchOptions) againstBaseline(out *benchOutputs, rep *bench.Report, code int) (int, error) {
	if len(o.baseline) == 0 {
		return code, nil
	}
	c, err := o.compared(o.saved, []*bench.Report{rep}, strings.Join(o.baseline, ","), "run "+rep.RunID)
	if err != nil {
		return code, err
	}
	own := verdictCode(c.Verdict)
	w := out.last
	b, err := format.AppendComparison(nil, c, own, w.style)
	if err == nil {
		_, err = w.w.Write(b)
	}
	if code == exitOK {
		code = own
	}
	return code, errors.Join(err, appendTo("GITHUB_STEP_SUMMARY", format.AppendComparisonMarkdown(nil, c, own)))
}

// merge is bench merge.
func (o *benchOptions) merge(s *Stdio, rest []string) error {
	if len(rest) == 0 {
		return &usageError{text: "mqt bench merge needs the results of all shards", hint: "as in mqt bench merge shard-*.json -o html=all.html"}
	}
	shards, err := savedRuns(rest...)
	if err != nil {
		return err
	}
	rep, err := bench.MergeReports(shards, o.inconclusiveOK)
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	return o.conclude(s, rep)
}

// side is one of the two brokers of bench ab.
type side struct {
	name    string
	command string              // of a broker
	at      *transport.Endpoint // or where it is
	runs    []*bench.Report
}

func readSide(text string) (*side, error) {
	sd := &side{name: text}
	if strings.Contains(text, "{port}") {
		sd.command = text
		return sd, nil
	}
	if text == "self" {
		return sd, nil
	}
	at, err := transport.ParseURL(text)
	if err != nil {
		return nil, &usageError{text: shown(text) + ": " + plain(err), hint: "a side is a URL, a command with {port}, or self for the broker of mqt"}
	}
	sd.at = at
	return sd, nil
}

// ab runs the same load against two brokers by turns, so that what else the
// machine does hits both, and compares.
func (o *benchOptions) ab(ctx context.Context, s *Stdio, rest []string) error {
	if len(rest) != 2 {
		return &usageError{text: "mqt bench ab needs two brokers", hint: "as in mqt bench ab self 'mosquitto -p {port}'"}
	}
	var sides [2]*side
	for i, text := range rest {
		var err error
		if sides[i], err = readSide(text); err != nil {
			return err
		}
	}
	if o.namedHere() || o.brokerCmd != "" {
		return &usageError{text: "mqt bench ab has its brokers behind it, not in flags"}
	}
	o.role = bench.RolePubSub
	rounds := o.rounds
	if rounds == 0 {
		rounds = 4
	}
	for i := range 2 * rounds {
		sd := sides[[4]int{0, 1, 1, 0}[i%4]]
		fmt.Fprintf(s.Err, "round %d of %d: %s\n", len(sd.runs)+1, rounds, shown(sd.name))
		rep, err := o.round(ctx, s, sd)
		if err != nil {
			return err
		}
		sd.runs = append(sd.runs, rep)
		if rep.Interrupted {
			break
		}
	}
	if len(sides[1].runs) == 0 {
		return &exitError{code: exitInconclusive, err: errors.New("interrupted before both sides had a run")}
	}
	return o.showComparison(s, sides[0].runs, sides[1].runs, sides[0].name, sides[1].name)
}

// round is one run against one side.
func (o *benchOptions) round(ctx context.Context, s *Stdio, sd *side) (*bench.Report, error) {
	c, err := o.client(s)
	if err != nil {
		return nil, err
	}
	if sd.at != nil {
		c.Endpoint = sd.at
		if sd.at.TLS() {
			if c.DialOptions.TLS, err = o.connect.tls.config(); err != nil {
				return nil, err
			}
		}
	}
	sc, err := o.scenario(c)
	if err != nil {
		return nil, err
	}
	plan, err := sc.Plan()
	if err != nil {
		return nil, &usageError{text: plain(err)}
	}
	if err := plan.Validate(); err != nil {
		return nil, &usageError{text: plain(err)}
	}
	brokers := &benchOptions{brokerCmd: sd.command}
	stop, err := brokers.startBroker(ctx, &plan, sd.command == "" && sd.at == nil)
	if err != nil {
		return nil, err
	}
	defer stop()
	plan.Target, plan.Ceilings = plan.Client.Endpoint.String(), knownCeilings()
	out := &benchOutputs{live: s.Err, style: o.color.style(s.Err), terminal: isTerminal(s.Err)}
	rep, err := bench.RunPlan(ctx, plan, out.progress)
	out.endProgress()
	if err != nil {
		return nil, benchFailed(plan.Target, err)
	}
	return rep, nil
}
