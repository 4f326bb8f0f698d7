package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mqt/format"
	"mqt/mqtt/bench"
)

// benchOutputs are where progress and result of a run go.
type benchOutputs struct {
	text  []benchOutput
	last  benchOutput // of text: what a person looks at
	made  []benchForm
	files []*os.File
	err   io.Writer // for what CI systems read

	metrics *benchMetrics // nil: none

	live     io.Writer
	style    format.Style
	terminal bool // live is one: the line is written over
	written  bool // there is a line to end
}

// benchOutput is a report for people.
type benchOutput struct {
	w     io.Writer
	style format.Style
}

// openOutputs opens the files before the run: afterwards it would be too late
// to say that one cannot be written.
func (o *benchOptions) openOutputs(s *Stdio) (*benchOutputs, error) {
	out := &benchOutputs{live: s.Err, err: s.Err, style: o.color.style(s.Err), terminal: isTerminal(s.Err)}
	stdout := false // is taken
	wanted := o.outputs
	if o.json {
		wanted = append([]string{"json=-"}, wanted...)
	}
	for _, word := range wanted { // all of them, before a file is emptied
		kind, path, ok := strings.Cut(word, "=")
		if !ok || path == "" || benchForms()[kind] == nil && kind != "text" {
			return nil, &usageError{text: "-o " + shown(word), hint: "write -o KIND=FILE, as in -o json=FILE; the kinds are " + strings.Join(benchKinds(), ", ")}
		}
	}
	for _, word := range wanted {
		kind, path, _ := strings.Cut(word, "=")
		form := benchForms()[kind]
		w := s.Out
		style := o.color.style(s.Out)
		if path == "-" {
			stdout = true
		} else {
			f, err := os.Create(path)
			if err != nil {
				out.close()
				return nil, err
			}
			out.files = append(out.files, f)
			w, style = f, format.Style{}
		}
		if form == nil {
			out.text = append(out.text, benchOutput{w, style})
		} else {
			out.made = append(out.made, benchForm{w, form})
		}
	}
	out.last = benchOutput{s.Out, o.color.style(s.Out)}
	if stdout {
		out.last = benchOutput{s.Err, o.color.style(s.Err)}
	}
	out.text = append(out.text, out.last)
	return out, nil
}

func (out *benchOutputs) close() {
	for _, f := range out.files {
		_ = f.Close() // report has seen the errors that matter
	}
}

// progress shows how it goes: one line that is written over, or where that
// cannot be seen, a line for each second.
func (out *benchOutputs) progress(p bench.Snapshot) {
	if out.metrics != nil {
		out.metrics.observe(p)
	}
	if out.terminal {
		line := append([]byte("\r"), format.AppendProgress(nil, p, out.style)...)
		_, _ = out.live.Write(append(line, "\x1b[K"...)) // stderr: no one to tell
		out.written = true
		return
	}
	if p.Elapsed > 0 {
		_, _ = out.live.Write(append(format.AppendProgress(nil, p, out.style), '\n'))
	}
}

// endProgress clears the line.
func (out *benchOutputs) endProgress() {
	if out.written {
		fmt.Fprint(out.live, "\r\x1b[K")
	}
}

func (out *benchOutputs) report(rep *bench.Report, code int) error {
	var errs []error
	for _, m := range out.made {
		b, err := m.form(rep, code)
		if err == nil {
			_, err = m.w.Write(b)
		}
		errs = append(errs, err)
	}
	for _, t := range out.text {
		b, err := format.AppendReport(nil, rep, code, t.style)
		if err == nil {
			_, err = t.w.Write(b)
		}
		errs = append(errs, err)
	}
	for _, f := range out.files {
		errs = append(errs, f.Close())
	}
	out.files = nil
	errs = append(errs, tellCI(out.err, rep, code))
	return errors.Join(errs...)
}
