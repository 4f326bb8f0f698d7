package cmd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

const manName = "man"

// manCommand prints what --help says as manual pages: one source for both.
func manCommand(s *Stdio) *cli.Command {
	var dir string
	return &cli.Command{
		Name: manName, Usage: "print the manual page of a command",
		UsageText: "mqt man [COMMAND]\nmqt man --dir DIR",
		ArgsUsage: "[COMMAND]",
		Description: `Examples:
  mqt man sub | man -l -
  mqt man --dir ~/.local/share/man/man1     # mqt.1, mqt-pub.1, ...`,
		Flags: flags([]*option{group("Flags").text("dir", "write the pages of all commands into `DIR`", &dir)}),
		Action: func(c *cli.Context) error {
			app := newApp(s, "")
			switch {
			case c.NArg() > 1 || dir != "" && c.NArg() > 0:
				return &usageError{text: "man " + shown(strings.Join(c.Args().Slice(), " ")), hint: "one command, or --dir"}
			case dir != "":
				return writeManPages(dir, app)
			case c.NArg() == 0:
				_, err := io.WriteString(s.Out, manOfApp(app))
				return err
			}
			of := app.Command(c.Args().First())
			if of == nil {
				return unknownCommand(app, c.Args().First())
			}
			_, err := io.WriteString(s.Out, manOfCommand(app, of))
			return err
		},
	}
}

func writeManPages(dir string, app *cli.App) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // pages are for everybody to read
		return err
	}
	write := func(name, page string) error {
		return os.WriteFile(filepath.Join(dir, name+".1"), []byte(page), 0o644) //nolint:gosec // the same
	}
	if err := write(app.Name, manOfApp(app)); err != nil {
		return err
	}
	for _, c := range app.Commands {
		if err := write(app.Name+"-"+c.Name, manOfCommand(app, c)); err != nil {
			return err
		}
	}
	return nil
}

// manPage writes the macros of man(7).
type manPage struct{ strings.Builder }

// roff keeps text from being read as requests: backslashes and dashes
// everywhere, dots and quotes where a line begins.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func newManPage(app *cli.App, name, usage string) *manPage {
	p := &manPage{}
	fmt.Fprintf(p, ".TH %s 1 \"\" \"%s\" \"User Commands\"\n", strings.ToUpper(roff(name)), app.Name)
	p.section("Name")
	fmt.Fprintf(p, "%s \\- %s\n", roff(name), roff(usage))
	return p
}

func (p *manPage) section(title string) { fmt.Fprintf(p, ".SH %s\n", strings.ToUpper(roff(title))) }

// item is a term in bold and what it means, indented.
func (p *manPage) item(term, text string) {
	fmt.Fprintf(p, ".TP\n.B %s\n%s\n", roff(term), roff(text))
}

// verbatim keeps lines as they are: examples, tables.
func (p *manPage) verbatim(text string) {
	fmt.Fprintf(p, ".nf\n%s\n.fi\n", roff(strings.Trim(text, "\n")))
}

// exitCodes has those of a command, or of all if there is none.
func (p *manPage) exitCodes(c *cli.Command) {
	p.section("Exit status")
	for _, row := range exitTable() {
		switch {
		case c == nil && row.only != "":
			p.item(row.codes, row.only+": "+row.text)
		case c == nil || row.endsSo(c):
			p.item(row.codes, row.text)
		}
	}
}

func manOfApp(app *cli.App) string {
	p := newManPage(app, app.Name, app.Usage)
	p.section("Synopsis")
	p.verbatim(app.Name + " COMMAND [FLAGS]")
	p.section("Commands")
	for _, c := range app.Commands {
		p.item(c.Name, c.Usage+"; see "+app.Name+"-"+c.Name+"(1)")
	}
	p.section("Environment")
	fmt.Fprintln(p, roff("Every flag can come from the environment: --content-type from MQT_CONTENT_TYPE, and so on."))
	p.exitCodes(nil)
	return p.String()
}

func manOfCommand(app *cli.App, c *cli.Command) string {
	p := newManPage(app, app.Name+"-"+c.Name, c.Usage)
	p.section("Synopsis")
	p.verbatim(c.UsageText)
	if c.Description != "" {
		text, examples, found := strings.Cut("\n"+strings.Trim(c.Description, "\n"), "\nExamples:\n")
		if text = strings.Trim(text, "\n"); text != "" {
			p.section("Description")
			p.verbatim(text)
		}
		if found {
			p.section("Examples")
			p.verbatim(examples)
		}
	}
	headings, below := flagGroups(c)
	for _, heading := range headings {
		p.section(heading)
		for _, f := range below[heading] {
			if d, ok := f.(cli.DocGenerationFlag); ok {
				p.item(strings.TrimSpace(synopsis(f)), strings.ReplaceAll(d.GetUsage(), "`", ""))
			}
		}
	}
	p.exitCodes(c)
	p.section("See also")
	fmt.Fprintf(p, "%s\n", roff(app.Name+"(1)"))
	return p.String()
}
