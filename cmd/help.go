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

func printAppHelp(w io.Writer, app *cli.App) {
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
	_, _ = io.WriteString(w, b.String())
}

func printCommandHelp(w io.Writer, c *cli.Command) {
	var b strings.Builder
	fmt.Fprintf(&b, "mqt %s: %s\n\n", c.Name, c.Usage)
	for i, line := range strings.Split(c.UsageText, "\n") {
		b.WriteString([...]string{"Usage: ", "       "}[min(i, 1)] + line + "\n")
	}
	heading := ""
	for _, f := range c.Flags {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		if g, ok := f.(cli.CategorizableFlag); ok && g.GetCategory() != heading {
			heading = g.GetCategory()
			fmt.Fprintf(&b, "\n%s:\n", heading)
		}
		helpLine(&b, "  "+synopsis(f), helpColumn, strings.ReplaceAll(d.GetUsage(), "`", ""))
	}
	if c.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Trim(c.Description, "\n"))
	}
	b.WriteString("\nExit codes:\n")
	for _, row := range exitTable() {
		if row.only == "" || row.only == c.Name {
			helpLine(&b, "  "+row.codes, 11, row.text)
		}
	}
	if len(c.Flags) > 0 {
		fmt.Fprintf(&b, "\nEvery flag can come from the environment, as --%s from %s.\n",
			namesOf(c.Flags[0])[0], envName(namesOf(c.Flags[0])[0]))
	}
	_, _ = io.WriteString(w, b.String())
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
	if at+2 > column {
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
