package cmd

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// rateMeter prints a line each second.
type rateMeter struct {
	out             io.Writer
	json            bool
	messages, bytes atomic.Uint64
	lastMessages    uint64
	lastBytes       uint64
	last            time.Time
	quit            chan struct{}
	printing        sync.WaitGroup
	err             error
}

// startRate begins to measure. A line that cannot be written ends the run.
func startRate(out io.Writer, json bool, end func(error)) *rateMeter {
	r := &rateMeter{out: out, json: json, last: time.Now(), quit: make(chan struct{})}
	r.printing.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				if r.err = r.print(now); r.err != nil {
					end(outputError(r.err))
					return
				}
			case <-r.quit:
				return
			}
		}
	})
	return r
}

func (r *rateMeter) add(bytes int) {
	r.messages.Add(1)
	r.bytes.Add(uint64(bytes))
}

// print writes the rates since the line before.
func (r *rateMeter) print(now time.Time) error {
	messages, bytes := r.messages.Load(), r.bytes.Load()
	seconds := max(now.Sub(r.last), time.Millisecond).Seconds()
	mps, bps := float64(messages-r.lastMessages)/seconds, float64(bytes-r.lastBytes)/seconds
	form := "%.0f msg/s  %.0f B/s  %d total\n"
	if r.json {
		form = `{"messages_per_second":%.0f,"bytes_per_second":%.0f,"messages":%d}` + "\n"
	}
	r.last, r.lastMessages, r.lastBytes = now, messages, bytes
	_, err := fmt.Fprintf(r.out, form, mps, bps, messages)
	return err
}

// stop prints what came since the last line, if something did.
func (r *rateMeter) stop() error {
	close(r.quit)
	r.printing.Wait()
	if r.err == nil && r.messages.Load() > r.lastMessages {
		r.err = r.print(time.Now())
	}
	return r.err
}
