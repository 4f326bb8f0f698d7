package format

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Table is rows under a heading, without lines: it is read by eyes and by awk.
// Cells may come from strangers; their control characters are escaped.
type Table struct {
	Header []string
	Rows   [][]string
	// Right are the columns that are aligned right: numbers.
	Right []int
	// Indent is put before every line.
	Indent string
	// Paint, if set, colours a cell; row -1 is the heading.
	Paint func(row, column int) Paint
}

// Append writes the table behind dst; one without rows is only its heading.
func (t *Table) Append(dst []byte, s Style) ([]byte, error) {
	var b bytes.Buffer
	w := tablewriter.NewTable(&b,
		tablewriter.WithConfig(t.config(s)),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	w.Header(t.cells(s, -1, t.Header))
	for i, row := range t.Rows {
		if err := w.Append(t.cells(s, i, row)); err != nil {
			return dst, fmt.Errorf("format: table: %w", err)
		}
	}
	if err := w.Render(); err != nil {
		return dst, fmt.Errorf("format: table: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		dst = append(append(dst, trimmed(t.Indent+strings.TrimPrefix(line, " "))...), '\n')
	}
	return dst, nil
}

// trimmed drops the padding of the last column, also where the library has put
// an end of colour behind it.
func trimmed(line string) string {
	const reset = "\x1b[0m"
	line = strings.TrimRight(line, " \n")
	text, colored := strings.CutSuffix(line, reset)
	text = strings.TrimRight(text, " ")
	if colored && !strings.HasSuffix(text, reset) {
		return text + reset
	}
	return text
}

func (t *Table) config(s Style) tablewriter.Config {
	align := make([]tw.Align, len(t.Header))
	for i := range align {
		align[i] = tw.AlignLeft
		if slices.Contains(t.Right, i) {
			align[i] = tw.AlignRight
		}
	}
	cell := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
		Alignment:  tw.CellAlignment{PerColumn: align},
		// Two spaces part the columns: one on either side, for without it the library does not align.
		Padding: tw.CellPadding{Global: tw.PaddingDefault},
	}
	c := tablewriter.Config{Header: cell, Row: cell, Behavior: tw.Behavior{TrimSpace: tw.Off}}
	if s.Width > 0 {
		c.MaxWidth = s.Width - len(t.Indent) + 1
		c.Header.Formatting.AutoWrap, c.Row.Formatting.AutoWrap = tw.WrapTruncate, tw.WrapTruncate
	}
	return c
}

// cells are those of a row, in their colours.
func (t *Table) cells(s Style, row int, texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		p := Plain
		if t.Paint != nil {
			p = t.Paint(row, i)
		} else if row < 0 {
			p = Title
		}
		out[i] = s.Paint(p, string(AppendEscaped(nil, text)))
	}
	return out
}
