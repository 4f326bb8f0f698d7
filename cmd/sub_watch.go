package cmd

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// screen gives each topic a line that its next message overwrites.
type screen struct {
	rows  map[string]int
	lines int // of the terminal
	more  int // messages of topics that have no line any more
}

// screenLines are taken where the terminal does not tell.
const screenLines = 24

func newScreen(out io.Writer) *screen {
	s := &screen{rows: make(map[string]int), lines: screenLines}
	if f, ok := out.(*os.File); ok {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 1 {
			s.lines = h
		}
	}
	return s
}

// place is text, with its line feed, where it belongs. The first clears the
// screen; the last line counts what has no place.
func (s *screen) place(topic string, text []byte) []byte {
	var b []byte
	if len(s.rows) == 0 {
		b = append(b, "\x1b[2J"...)
	}
	row, ok := s.rows[topic]
	if !ok {
		if len(s.rows) >= s.lines-1 {
			s.more++
			return fmt.Appendf(b, "\x1b[%d;1H\x1b[Kand %d messages of other topics", s.lines, s.more)
		}
		row = len(s.rows) + 1
		s.rows[topic] = row
	}
	if n := len(text); n > 0 && text[n-1] == '\n' {
		text = text[:n-1]
	}
	b = fmt.Appendf(b, "\x1b[%d;1H\x1b[K\x1b[?7l", row) // what is longer than the line is cut
	b = append(append(b, text...), "\x1b[?7h"...)
	// The cursor waits below, where a shell's prompt may come.
	return fmt.Appendf(b, "\x1b[%d;1H", min(len(s.rows)+1, s.lines))
}
