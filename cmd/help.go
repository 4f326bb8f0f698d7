package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// helpWidth is where text is wrapped, and helpColumn where it begins.
const (
	helpWidth  = 100
	helpColumn = 34
)

func printAppHelp(w io.Writer, app *cli.App) error {
	var b strings.Builder
	fmt.Fprintf(&b, "mqt: %s\n\nUsage: mqt COMMAND [FLAGS]\n\nCommands:\n", app.Usage)
	for _, c := range app.Commands {
		helpLine(&b, "  "+c.Name, 14, c.Usage)
	}
	b.WriteString("\nmqt COMMAND --help shows the flags. mqt --version shows the version.\n")
	b.WriteString("Every flag can come from the environment: --content-type from MQT_CONTENT_TYPE, and so on.\n")
	b.WriteString("\nExit codes:\n")
	for _, row := range exitTable() {
		text := row.text
		if row.only != "" {
			text = row.only + ": " + text
		}
		helpLine(&b, "  "+row.codes, 11, text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printCommandHelp(w io.Writer, c *cli.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "mqt %s: %s\n\n", c.Name, c.Usage)
	for i, line := range strings.Split(c.UsageText, "\n") {
		b.WriteString([...]string{"Usage: ", "       "}[min(i, 1)] + line + "\n")
	}
	if c.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Trim(c.Description, "\n"))
	}
	helpFlags(&b, c)
	b.WriteString("\nExit codes:\n")
	for _, row := range exitTable() {
		if row.endsSo(c) {
			helpLine(&b, "  "+row.codes, 11, row.text)
		}
	}
	if len(c.Flags) > 0 {
		name := namesOf(c.Flags[0])[0]
		fmt.Fprintf(&b, "\nEvery flag can come from the environment, as --%s from %s.\n", name, envName(name))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// helpFlags writes the flags below their headings.
func helpFlags(b *strings.Builder, c *cli.Command) {
	headings, below := flagGroups(c)
	for _, heading := range headings {
		fmt.Fprintf(b, "\n%s:\n", heading)
		var terse []string
		for _, f := range below[heading] {
			if o, ok := f.(*option); ok && o.terse {
				// Words that belong together are not parted by a line's end.
				terse = append(terse, strings.ReplaceAll(strings.TrimSpace(synopsis(f)), " ", "\x00"))
				continue
			}
			if d, ok := f.(cli.DocGenerationFlag); ok {
				helpLine(b, "  "+synopsis(f), helpColumn, strings.ReplaceAll(d.GetUsage(), "`", ""))
			}
		}
		if terse != nil {
			var p strings.Builder
			helpLine(&p, "", 2, strings.Join(terse, ", "))
			b.WriteString(strings.ReplaceAll(p.String(), "\x00", " "))
		}
	}
}

// flagGroups are the flags by their headings, in the order of the first of each.
func flagGroups(c *cli.Command) (headings []string, below map[string][]cli.Flag) {
	below = make(map[string][]cli.Flag)
	for _, f := range c.Flags {
		heading := "Flags"
		if g, ok := f.(cli.CategorizableFlag); ok && g.GetCategory() != "" {
			heading = g.GetCategory()
		}
		if below[heading] == nil {
			headings = append(headings, heading)
		}
		below[heading] = append(below[heading], f)
	}
	return headings, below
}

// synopsis is "-t, --topic TOPIC".
func synopsis(f cli.Flag) string {
	var short, long []string
	for _, name := range namesOf(f) {
		if len(name) == 1 {
			short = append(short, dashed(name))
		} else {
			long = append(long, dashed(name))
		}
	}
	s := strings.Join(append(short, long...), ", ")
	if len(short) == 0 {
		s = "    " + s
	}
	if p := placeholder(f); p != "" {
		s += " " + p
	}
	return s
}

// placeholder is the name of the value: the word in backquotes.
func placeholder(f cli.Flag) string {
	if !takesValue(f) {
		return ""
	}
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	if parts := strings.SplitN(d.GetUsage(), "`", 3); len(parts) == 3 {
		return parts[1]
	}
	return "VALUE"
}

// helpLine writes name, and text from column on, wrapped.
func helpLine(b *strings.Builder, name string, column int, text string) {
	b.WriteString(name)
	at := len(name)
	if at > 0 && at+2 > column {
		b.WriteByte('\n')
		at = 0
	}
	for _, word := range strings.Fields(text) {
		switch {
		case at < column:
			b.WriteString(strings.Repeat(" ", column-at))
			at = column
		case at+1+len(word) > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteByte('\n')
}
