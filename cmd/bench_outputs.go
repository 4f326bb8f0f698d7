package cmd

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"mqt/format"
	"mqt/mqtt/bench"
)

// benchForm is a report for programs and where it goes.
type benchForm struct {
	w    io.Writer
	form func(*bench.Report, int) ([]byte, error)
}

// benchForms are the kinds of -o beside text.
func benchForms() map[string]func(*bench.Report, int) ([]byte, error) {
	return map[string]func(*bench.Report, int) ([]byte, error){
		"json": func(r *bench.Report, _ int) ([]byte, error) {
			b, err := json.MarshalIndent(r, "", "  ")
			return append(b, '\n'), err
		},
		"junit": func(r *bench.Report, code int) ([]byte, error) { return format.AppendJUnit(nil, r, code) },
		"md":    func(r *bench.Report, code int) ([]byte, error) { return format.AppendMarkdown(nil, r, code), nil }, //nolint:unparam // as the others
		"html":  func(r *bench.Report, code int) ([]byte, error) { return format.AppendHTML(nil, r, code) },
		"csv":   func(r *bench.Report, _ int) ([]byte, error) { return format.AppendCSV(nil, r) },
		"hdr":   func(r *bench.Report, _ int) ([]byte, error) { return format.AppendHDRLog(nil, r) },
	}
}

// benchKinds are all kinds of -o.
func benchKinds() []string {
	return append(slices.Sorted(maps.Keys(benchForms())), "text")
}

// tellCI says the result where GitHub's runners look for it: the summary of the
// job, its outputs, and the annotations of its log. Others take the same
// variables.
func tellCI(log io.Writer, rep *bench.Report, code int) error {
	err := errors.Join(
		appendTo("GITHUB_STEP_SUMMARY", format.AppendMarkdown(nil, rep, code)),
		appendTo("GITHUB_OUTPUT", fmt.Appendf(nil, "verdict=%s\nexit=%d\n", rep.Verdict, code)),
	)
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		return err
	}
	// One line each; % would begin an escape.
	line := func(kind, text string) {
		fmt.Fprintf(log, "::%s title=mqt bench::%s\n", kind, strings.ReplaceAll(string(format.AppendEscaped(nil, text)), "%", "%25"))
	}
	for _, why := range rep.Reasons {
		line("error", why)
	}
	line("notice", fmt.Sprintf("%s (exit %d)", rep.Verdict, code))
	return err
}

// appendTo writes to the end of the file that a variable names.
func appendTo(variable string, b []byte) error {
	path := os.Getenv(variable)
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // as the runner makes it
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// readReport reads a saved JSON report.
func readReport(path string) (*bench.Report, error) {
	b, err := readFile("mqt bench", path)
	if err != nil {
		return nil, err
	}
	rep, err := bench.ReadReport(b)
	if err != nil {
		return nil, &usageError{text: path + ": " + plain(err), hint: "it should be what mqt bench -o json=FILE wrote"}
	}
	return rep, nil
}

// showReport is bench report: a saved result in any form. The exit code is that
// of the run.
func (o *benchOptions) showReport(s *Stdio, rest []string) error {
	if o.schema {
		_, err := s.Out.Write(benchReportSchema)
		return err
	}
	if len(rest) != 1 {
		return &usageError{text: "mqt bench report needs one file", hint: "as in mqt bench report result.json -o html=result.html"}
	}
	rep, err := readReport(rest[0])
	if err != nil {
		return err
	}
	return o.conclude(s, rep)
}

// conclude writes a report that no run of this process has made.
func (o *benchOptions) conclude(s *Stdio, rep *bench.Report) error {
	out, err := o.openOutputs(s)
	if err != nil {
		return err
	}
	defer out.close()
	code := verdictCode(rep.Verdict)
	if err := out.report(rep, code); err != nil {
		return err
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// benchReportSchema is the JSON Schema of a report.
//
//go:embed bench_report_schema.json
var benchReportSchema []byte
