package cmd

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt/template"
)

// filler is --template: it fills ${name} in topics and payloads.
type filler struct {
	parser template.Parser
	values template.Values
	rows   [][]string
	n      uint64
	// What was parsed last: mostly it comes again.
	topic, payload lastText
}

type lastText struct {
	text string
	t    *template.Template
}

// filler reads the CSV file, and returns nil without --template.
func (o *pubOptions) filler() (*filler, error) {
	if !o.template {
		return nil, nil
	}
	f := &filler{parser: template.Parser{Env: os.LookupEnv}}
	if o.flag("seed").given() {
		f.values.Rand = rand.New(rand.NewPCG(o.seed, 0)) //nolint:gosec // no secret
	}
	if o.from != nil {
		f.parser.Names, f.values.More = []string{"topic"}, []string{""}
	}
	if o.csv != "" {
		if err := f.readCSV(o.flag("csv").typed, o.csv); err != nil {
			return nil, err
		}
	}
	// Faults of the command line are told before anything is connected.
	for _, text := range []string{o.topic, o.message} {
		if _, err := f.parser.Parse(text); err != nil {
			return nil, &usageError{text: plain(err)}
		}
	}
	return f, nil
}

// readCSV reads a file with a line of names first. Tabs part the columns of a
// file whose name ends with .tsv.
func (f *filler) readCSV(flag, path string) error {
	b, err := readFile(flag, path)
	if err != nil {
		return err
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	if strings.HasSuffix(path, ".tsv") {
		r.Comma = '\t'
	}
	all, err := r.ReadAll()
	if err != nil {
		return fmt.Errorf("%s %s: %w", flag, path, err)
	}
	if len(all) < 2 {
		return fmt.Errorf("%s %s: there must be a line with the names of the columns and one with values", flag, path)
	}
	f.parser.Columns, f.rows = all[0], all[1:]
	return nil
}

// next goes on to the values of the next message, whose topic --topic-from
// found.
func (f *filler) next(topic string) {
	f.values.I = f.n
	f.n++
	f.values.Time = time.Time{}
	if f.rows != nil {
		f.values.Row = f.rows[f.values.I%uint64(len(f.rows))]
	}
	if f.values.More != nil {
		f.values.More[0] = topic
	}
}

// fill returns text with everything filled in. It is text itself if there is
// nothing to fill in.
func (f *filler) fill(p *lastText, text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte("${")) {
		return text, nil
	}
	if p.t == nil || p.text != string(text) {
		t, err := f.parser.Parse(string(text))
		if err != nil {
			return nil, err
		}
		*p = lastText{string(text), t}
	}
	return p.t.Append(nil, &f.values), nil
}

func (o *pubOptions) readSeed(s string) (err error) {
	if o.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
		return fmt.Errorf("it is a number from 0 to %d", uint64(1<<64-1))
	}
	return nil
}
