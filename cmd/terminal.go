package cmd

import (
	"errors"
	"io"
	"os"

	"github.com/mattn/go-isatty"

	"mqt/format"
)

// isTerminal tells that a person looks at the stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// colorMode is --color.
type colorMode string

// flag is the one that every command with colours has.
func (m *colorMode) flag(g group) *option {
	return g.value("color", "`WHEN` to colour: auto, always or never (default: auto; NO_COLOR is heeded)", func(s string) error {
		switch s {
		case "auto", "always", "never":
			*m = colorMode(s)
			return nil
		}
		return errors.New("it is auto, always or never")
	}).oneOf("auto", "always", "never")
}

// style decides on colour for a stream. NO_COLOR is that of no-color.org.
func (m colorMode) style(stream io.Writer) format.Style {
	switch m {
	case "always":
		return format.Style{Color: true}
	case "never":
		return format.Style{}
	}
	return format.Style{Color: isTerminal(stream) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}
