package format

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"mqt/mqtt/bench"
)

// AppendJUnit writes the result of a bench run as JUnit's XML: one suite, with
// a test case for each threshold, for the contract of each QoS, for the
// generator's check and for the run as a whole.
func AppendJUnit(dst []byte, r *bench.Report, exit int) ([]byte, error) {
	s := junitSuite{
		Name: "mqt bench " + safe(r.Name+string(r.Load.Role)), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Hostname: safe(r.Environment.Host),
		Time: seconds3(r.Measured + r.Drained), Cases: junitCases(r, exit),
		Properties: []junitProperty{
			{"target", safe(r.Target.URL)}, {"run", safe(r.RunID)}, {"verdict", safe(string(r.Verdict))}, {"exit", fmt.Sprint(exit)},
			{"sent", fmt.Sprint(r.Sent.N)}, {"delivered", fmt.Sprint(r.Delivered.N)},
		},
	}
	for _, d := range r.Latency.All() {
		s.Properties = append(s.Properties, junitProperty{d.Name + ".p99.ms", milliseconds(d.P99)})
	}
	for i := range s.Cases {
		c := &s.Cases[i]
		c.Class, c.Time = "mqt.bench."+c.Class, "0"
		s.Tests++
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	all := junitSuites{Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Skipped: s.Skipped, Time: s.Time, Suites: []junitSuite{s}}
	b, err := xml.MarshalIndent(&all, "", "  ")
	if err != nil {
		return dst, fmt.Errorf("format: junit: %w", err)
	}
	return append(append(append(dst, xml.Header...), b...), '\n'), nil
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Hostname   string          `xml:"hostname,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string       `xml:"classname,attr"`
	Name    string       `xml:"name,attr"`
	Time    string       `xml:"time,attr"`
	Skipped *junitResult `xml:"skipped"`
	Error   *junitResult `xml:"error"`
	Failure *junitResult `xml:"failure"`
	Output  string       `xml:"system-out,omitempty"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

func junitCases(r *bench.Report, exit int) []junitCase {
	run := junitCase{Class: "run", Name: "verdict", Output: string(r.Verdict)}
	if r.Verdict != bench.Pass {
		why := safe(strings.Join(r.Reasons, "; "))
		run.Failure = &junitResult{Message: fmt.Sprintf("%s (exit %d)", r.Verdict, exit), Type: string(r.Verdict), Text: why}
	}
	all := append([]junitCase{run}, junitContract(&r.Contract)...)
	for _, t := range r.Thresholds {
		c := junitCase{Class: "threshold", Name: safe(t.Rule), Output: thresholdValue(&t)}
		switch {
		case t.Inconclusive && t.OK:
			c.Skipped = &junitResult{Message: "too few samples: " + fmt.Sprint(t.N)}
		case t.Inconclusive:
			c.Error = &junitResult{Message: "too few samples: " + fmt.Sprint(t.N), Type: string(bench.Inconclusive)}
		case !t.OK:
			c.Failure = &junitResult{Message: thresholdValue(&t), Type: string(bench.ThresholdFailed)}
		}
		all = append(all, c)
	}
	check := junitCase{Class: "generator", Name: "valid", Output: safe(strings.Join(r.Generator.Warnings, "\n"))}
	if !r.Generator.Valid {
		check.Error = &junitResult{Message: "the generator was the bottleneck", Type: string(bench.Invalid), Text: safe(strings.Join(r.Generator.Faults, "; "))}
	}
	return append(all, check)
}

// junitContract has one case for each QoS, and one for what belongs to none.
func junitContract(c *bench.Contract) []junitCase {
	if !c.Checked {
		return []junitCase{{Class: "contract", Name: "delivery", Skipped: &junitResult{Message: "not checked"}}}
	}
	var all []junitCase
	for _, q := range c.QoS {
		one := junitCase{Class: "contract", Name: contractName(q.QoS), Output: contractCounts(&q)}
		if !q.Held {
			one.Failure = &junitResult{Message: contractCounts(&q), Type: string(bench.ContractBroken), Text: violationTexts(c.Violations, q.QoS)}
		}
		all = append(all, one)
	}
	payloads := junitCase{Class: "contract", Name: "payloads arrive unchanged, where they should"}
	if c.Corrupt+c.Unexpected > 0 {
		payloads.Failure = &junitResult{Message: fmt.Sprintf("corrupt %d, unexpected %d", c.Corrupt, c.Unexpected), Type: string(bench.ContractBroken)}
	}
	return append(all, payloads)
}

func contractName(qos int) string {
	return [...]string{"QoS 0: at most once, in order", "QoS 1: at least once, in order", "QoS 2: exactly once, in order"}[min(max(qos, 0), 2)]
}

func contractCounts(q *bench.QoS) string {
	return fmt.Sprintf("expected %d, delivered %d, lost %d, duplicates %d, out of order %d, in doubt %d",
		q.Expected, q.Delivered, q.Lost, q.Duplicates, q.OutOfOrder, q.InDoubt)
}

func violationTexts(all []bench.Violation, qos int) string {
	var lines []string
	for _, v := range all {
		if v.QoS == qos {
			lines = append(lines, violationText(&v))
		}
	}
	return strings.Join(lines, "\n")
}

func violationText(v *bench.Violation) string {
	return fmt.Sprintf("%s: %s to %s, %s, no. %d", safe(v.Kind), safe(v.Publisher), safe(v.Subscriber), safe(v.Topic), v.Seq)
}

// thresholdValue is what a rule was held against, and with how many samples.
func thresholdValue(t *bench.Threshold) string {
	text := "is " + safe(t.Value)
	if t.Limit != "" {
		text += ", limit " + safe(t.Limit)
	}
	if t.N > 0 {
		text += ", n " + grouped(t.N)
	}
	return text
}

// seconds3 are seconds with three decimals.
func seconds3(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
