package format

import "github.com/fatih/color"

// Style is what the caller found out about the stream: the zero value is for
// pipes and files.
type Style struct {
	// Color: the stream is a terminal and nobody asked for no colour.
	Color bool
	// Width of the terminal in columns; 0 is unknown and wraps nothing.
	Width int
}

// Paint is the part that a piece of text plays; Style gives it its colour.
type Paint byte

// The parts.
const (
	Plain Paint = iota
	Title       // headings
	Name        // topics, hosts
	Good        // passed, valid
	Warn        // suspicious
	Bad         // failed
	Faint       // beside the point
)

// Paint returns text in its colour, or as it is. The text must already be safe
// for a terminal.
func (s Style) Paint(p Paint, text string) string {
	if !s.Color || p == Plain || text == "" {
		return text
	}
	c := color.New(p.attributes()...)
	// Whether to colour is the caller's decision, not the library's.
	c.EnableColor()
	return c.Sprint(text)
}

func (p Paint) attributes() []color.Attribute {
	switch p {
	case Title:
		return []color.Attribute{color.Bold}
	case Name:
		return []color.Attribute{color.FgCyan}
	case Good:
		return []color.Attribute{color.FgGreen}
	case Warn:
		return []color.Attribute{color.FgYellow}
	case Bad:
		return []color.Attribute{color.FgRed, color.Bold}
	}
	return []color.Attribute{color.Faint}
}
