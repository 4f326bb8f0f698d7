package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mqt/mqtt/broker"
	"mqt/mqtt/store"
)

// brokerData is where the broker keeps what must outlive it.
type brokerData struct {
	dir         string // "": nowhere
	check, json bool
}

func (d *brokerData) valid() error {
	switch {
	case d.check && d.dir == "":
		return &usageError{text: "--check needs --data-dir"}
	case d.json && !d.check:
		return &usageError{text: "--json is for --check"}
	}
	return nil
}

// dataLockTimeout is how long a broker that is just going may take.
const dataLockTimeout = 5 * time.Second

// open gives the broker its store, if it is to have one. done closes it, after the broker.
func (d *brokerData) open(o *broker.Options) (done func() error, err error) {
	if d.dir == "" {
		return func() error { return nil }, nil
	}
	s, err := store.OpenDisk(d.dir, store.Options{LockTimeout: dataLockTimeout})
	if err != nil {
		return nil, fmt.Errorf("--data-dir %s: %w", d.dir, err)
	}
	o.Store = s
	return s.Close, nil
}

// report is --check: what is in the directory, and what is wrong with it.
func (d *brokerData) report(w io.Writer) error {
	s, err := store.Check(d.dir)
	if err != nil {
		return fmt.Errorf("--data-dir %s: %w", d.dir, err)
	}
	if d.json {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(newDataReport(s))
	} else {
		err = printData(w, s)
	}
	if (err == nil || pipeClosed(err)) && len(s.Problems) > 0 {
		err = &exitError{code: exitFailed, err: errors.New("the store is damaged: restore the data directory from a backup, or move it away to start empty")}
	}
	return err
}

// dataReport is --check --json.
type dataReport struct {
	Path          string   `json:"path"`
	OK            bool     `json:"ok"`
	Problems      []string `json:"problems"`
	Notes         []string `json:"notes,omitempty"`
	FileBytes     int64    `json:"file_bytes"`
	FreeBytes     int64    `json:"free_bytes"`
	Sessions      int      `json:"sessions"`
	Subscriptions int      `json:"subscriptions"`
	Queued        int      `json:"queued"`
	QueuedBytes   int64    `json:"queued_bytes"`
	Released      int      `json:"released"`
	Received      int      `json:"received"`
	Wills         int      `json:"wills"`
	Retained      int      `json:"retained"`
	RetainedBytes int64    `json:"retained_bytes"`
	Messages      int      `json:"messages"`
	MessageBytes  int64    `json:"message_bytes"`
	Leftover      int      `json:"leftover"`
}

func newDataReport(s *store.Summary) dataReport {
	return dataReport{
		Path: s.Path, OK: len(s.Problems) == 0, Problems: append([]string{}, s.Problems...), Notes: s.Notes,
		FileBytes: s.FileBytes, FreeBytes: s.FreeBytes, Sessions: s.Sessions, Subscriptions: s.Subscriptions,
		Queued: s.Queued, QueuedBytes: s.QueuedBytes, Released: s.Released, Received: s.Received, Wills: s.Wills,
		Retained: s.Retained, RetainedBytes: s.RetainedBytes, Messages: s.Messages, MessageBytes: s.MessageBytes, Leftover: s.Leftover,
	}
}

func printData(w io.Writer, s *store.Summary) error {
	verdict := "sound"
	if len(s.Problems) > 0 {
		verdict = "damaged"
	}
	_, err := fmt.Fprintf(w, `%s: %s
file           %d bytes, %d of them free
sessions       %d
subscriptions  %d
queued         %d messages, %d bytes
in flight      %d wait for PUBCOMP, %d for PUBREL
wills          %d
retained       %d messages, %d bytes
messages       %d, %d bytes on disk
left over      %d records
`, s.Path, verdict, s.FileBytes, s.FreeBytes, s.Sessions, s.Subscriptions, s.Queued, s.QueuedBytes, s.Released, s.Received,
		s.Wills, s.Retained, s.RetainedBytes, s.Messages, s.MessageBytes, s.Leftover)
	for _, p := range s.Notes {
		if err == nil {
			_, err = fmt.Fprintf(w, "note: %s\n", p)
		}
	}
	for _, p := range s.Problems {
		if err == nil {
			_, err = fmt.Fprintf(w, "problem: %q\n", p)
		}
	}
	return err
}
