package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/itchyny/gojq"

	"mqt/format"
)

// The bounds of one message: an expression may never end, or print for ever.
const (
	jqTimeout = 2 * time.Second
	jqOutputs = 10_000
	jqBytes   = 16 << 20
)

var (
	errJQTime    = fmt.Errorf("it took longer than %v", jqTimeout)
	errJQOutputs = fmt.Errorf("it gave more than %d values or %d bytes", jqOutputs, jqBytes)
)

// jqProgram is --jq or --until. What fails for one message is told once and
// counted.
type jqProgram struct {
	flag   string // as it was typed
	code   *gojq.Code
	s      *Stdio
	line   []byte // scratch
	failed int
}

// newJQ compiles an expression. Its mistakes are those of the command line.
func newJQ(flag *option, text string, s *Stdio) (*jqProgram, error) {
	query, err := gojq.Parse(text)
	if err == nil {
		var code *gojq.Code
		if code, err = gojq.Compile(query, gojq.WithEnvironLoader(os.Environ)); err == nil {
			return &jqProgram{flag: flag.typed, code: code, s: s}, nil
		}
	}
	return nil, &usageError{text: flag.typed + " " + shown(text) + ": " + oneLine(err.Error()), hint: "it is an expression of jq, such as '.payload.temp > 30'"}
}

// input is what --json prints, with the payload as a value where it is JSON.
func (p *jqProgram) input(m *format.Received) (any, error) {
	object := format.JSON{Value: true, NoEOL: true}
	p.line = object.Append(p.line[:0], m)
	d := json.NewDecoder(bytes.NewReader(p.line))
	d.UseNumber() // 64-bit numbers stay what they are
	var v any
	err := d.Decode(&v)
	if cap(p.line) > 1<<20 {
		p.line = nil
	}
	return v, err
}

// each calls f with every output until f returns false. The error is the
// expression's.
func (p *jqProgram) each(ctx context.Context, m *format.Received, f func(v any) (bool, error)) error {
	in, err := p.input(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, jqTimeout, errJQTime)
	defer cancel()
	outputs := p.code.RunWithContext(ctx, in)
	for range jqOutputs {
		v, ok := outputs.Next()
		if !ok {
			return nil
		}
		if err, ok := v.(error); ok {
			if halt, ok := errors.AsType[*gojq.HaltError](err); ok && halt.Value() == nil {
				return nil
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		if more, err := f(v); !more || err != nil {
			return err
		}
	}
	if _, ok := outputs.Next(); ok {
		return errJQOutputs
	}
	return nil
}

// fail notes an error; the first is told at once.
func (p *jqProgram) fail(m *format.Received, err error) {
	if p.failed++; p.failed == 1 {
		fmt.Fprintf(p.s.Err, "mqt sub: %s: %s: %s; later failures are only counted\n", p.flag, format.AppendEscaped(nil, m.Topic), shorten(oneLine(err.Error())))
	}
}

// sum tells how many messages failed, if the first one did not say it all.
func (p *jqProgram) sum() {
	if p.failed > 1 {
		fmt.Fprintf(p.s.Err, "mqt sub: %s failed for %d messages\n", p.flag, p.failed)
	}
}

// matches tells that the first output is neither false nor null.
func (p *jqProgram) matches(ctx context.Context, m *format.Received) (match bool) {
	err := p.each(ctx, m, func(v any) (bool, error) {
		match = v != nil && v != false
		return false, nil
	})
	if err != nil && ctx.Err() == nil {
		p.fail(m, err)
	}
	return match
}

// jqPrinter prints the outputs of --jq, a line each; strings without quotes.
type jqPrinter struct {
	program *jqProgram
	pretty  bool
	noEOL   bool
	escape  bool // for a terminal
	any     bool // the last message had an output
}

func newJQPrinter(flag *option, text string, o *subOptions, s *Stdio) (*jqPrinter, error) {
	program, err := newJQ(flag, text, s)
	return &jqPrinter{program: program, pretty: o.pretty, noEOL: o.noEOL, escape: isTerminal(s.Out)}, err
}

// Append writes all outputs, or none if the expression fails.
func (p *jqPrinter) Append(dst []byte, m *format.Received) []byte {
	start := len(dst)
	p.any = false
	err := p.program.each(context.Background(), m, func(v any) (bool, error) {
		p.any = true
		var err error
		dst, err = p.value(dst, v)
		if err == nil && len(dst)-start > jqBytes {
			err = errJQOutputs
		}
		return true, err
	})
	if err != nil {
		p.program.fail(m, err)
		p.any = false
		return dst[:start]
	}
	return dst
}

func (p *jqPrinter) value(dst []byte, v any) ([]byte, error) {
	text, err := []byte(nil), error(nil)
	if s, ok := v.(string); ok {
		text = []byte(s)
	} else if text, err = gojq.Marshal(v); err != nil {
		return dst, err
	}
	if _, raw := v.(string); p.pretty && !raw {
		var b bytes.Buffer
		if json.Indent(&b, text, "", "  ") == nil {
			text = b.Bytes()
		}
	}
	switch {
	case !p.escape:
		dst = append(dst, text...)
	default:
		for i, line := range bytes.Split(text, []byte("\n")) {
			if i > 0 {
				dst = append(dst, '\n')
			}
			dst = format.AppendEscaped(dst, line)
		}
	}
	if !p.noEOL {
		dst = append(dst, '\n')
	}
	return dst, nil
}
