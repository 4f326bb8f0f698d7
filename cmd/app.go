// Package cmd is the command line of mqt: words to options, options to a run,
// a run to streams and an exit code. It holds neither protocol nor layout.
//
//	app.go            Main, the commands
//	args.go           words in mosquitto's order, the environment
//	flags.go          flags that read themselves into fields
//	help.go           --help
//	exit.go           exit codes, one table
//	explain.go        errors in one line, with a hint
//	terminal.go       what a stream is
//	connect_flags.go  the flags of every client; tls_flags.go, tls_key.go
//	properties.go     -D and the long flags of the properties
//	broker.go         the server: broker_flags.go, config.go (broker.yaml), listen.go,
//	                  reload.go (SIGHUP), metrics.go, systemd.go
//	pub.go            payload.go (what comes in), pub_send.go (what becomes of it),
//	                  pub_zero.go, pub_topic.go, pub_template.go, pub_rate.go
//	sub.go bench.go completion.go …
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"
)

// Stdio are the streams of a run.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer

	done <-chan struct{} // closed when the run is to end
}

// context ends with the run, and after timeout if there is one.
func (s *Stdio) context(timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(context.Background(), timeout)
	}
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Main runs mqt with the words behind the program's name and returns the exit
// code. Whatever fails is one line on Err. When ctx ends, so does the run: a
// signal is a normal end for what runs until then.
func Main(ctx context.Context, args []string, s Stdio) int {
	s.done = ctx.Done()
	name, err := run(ctx, args, &s)
	if err == nil || closedOut(err, s.Out) && exitCode(err) == exitFailed {
		return exitOK
	}
	if line := explain(err); line != "" {
		fmt.Fprintf(s.Err, "%s: %s\n", name, line)
	}
	return exitCode(err)
}

// closedOut reports whether the run ended because nobody reads what it prints.
func closedOut(err error, out io.Writer) bool {
	file, ok := out.(*os.File)
	write, failed := errors.AsType[*fs.PathError](err)
	return ok && failed && write.Path == file.Name() && pipeClosed(write)
}

// command is one of those that there are. Its flags cost time, so it is not
// built where another one runs.
type command struct {
	name  string
	build func(*Stdio) *cli.Command
}

// commands are all that there are, in the order of the help.
func commands() []command {
	return []command{
		{"pub", pubCommand},
		{"sub", subCommand},
		{"bench", benchCommand},
		{"broker", brokerCommand},
		{"profile", profileCommand},
		{"passwd", passwdCommand},
		{"completion", completionCommand},
		{"man", manCommand},
	}
}

// newApp builds the command of that name; all, if there is none.
func newApp(s *Stdio, name string) *cli.App {
	all := commands()
	if i := slices.IndexFunc(all, func(c command) bool { return c.name == name }); i >= 0 {
		all = all[i : i+1]
	}
	app := &cli.App{
		Name: "mqt", Usage: "publish, subscribe, load-test and serve MQTT 3.1, 3.1.1 and 5.0",
		HideHelp: true, HideHelpCommand: true, HideVersion: true,
		Reader: s.In, Writer: s.Out, ErrWriter: s.Err,
		DisableSliceFlagSeparator: true, // a comma is a character like any other
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              badUsage,
	}
	for _, build := range all {
		c := build.build(s)
		app.Commands = append(app.Commands, c)
		c.HideHelp, c.HideHelpCommand, c.OnUsageError = true, true, badUsage
	}
	return app
}

// badUsage is for flags that read themselves with the library's parsers.
func badUsage(_ *cli.Context, err error, _ bool) error { return &usageError{text: err.Error()} }

// run returns the name to put in front of an error.
func run(ctx context.Context, args []string, s *Stdio) (string, error) {
	if len(args) > 0 && args[0] == "help" { // mqt help pub
		args = append(args[1:min(2, len(args)):min(2, len(args))], "--help")
	}
	if len(args) == 0 {
		app := newApp(s, "")
		_ = printAppHelp(s.Err, app)
		return app.Name, &exitError{code: exitUsage}
	}
	app := newApp(s, args[0])
	switch args[0] {
	case "--help":
		return app.Name, printAppHelp(s.Out, app)
	case "--version":
		_, err := fmt.Fprintln(s.Out, "mqt", version())
		return app.Name, err
	}
	c := app.Command(args[0])
	if c == nil {
		return app.Name, unknownCommand(app, args[0])
	}
	name := app.Name + " " + c.Name
	words, err := parseWords(c, args[1:])
	if err != nil {
		return name, err
	}
	if words.version {
		_, err := fmt.Fprintln(s.Out, "mqt", version())
		return name, err
	}
	if words.help {
		return name, printCommandHelp(s.Out, c)
	}
	if action := c.Action; action != nil {
		c.Action = func(cc *cli.Context) error {
			if err := words.fault(); err != nil {
				return err
			}
			return action(cc)
		}
	}
	c.Flags = words.flags() // for the library the others only cost time
	return name, app.RunContext(ctx, words.canonical(app.Name, c.Name))
}

func unknownCommand(app *cli.App, word string) error {
	names := make([]string, 0, len(app.Commands))
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	hint := "see mqt --help"
	near := nearest(word, names)
	switch word {
	case "publish":
		near = "pub"
	case "subscribe":
		near = "sub"
	case "conn", "connect", "load":
		near = "bench"
	case "serve", "server", "start":
		near = "broker"
	case "version", "-v", "-V":
		near = "--version"
	case "-h", "-?", "-help":
		near = "--help"
	}
	switch {
	case near != "":
		hint = fmt.Sprintf("did you mean mqt %s?", near)
	case len(word) > 1 && word[0] == '-':
		hint = "the command comes first, as in mqt pub " + word
	}
	return &usageError{text: fmt.Sprintf("no command %q", word), hint: hint}
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "(devel)"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v = s.Value
			}
		}
	}
	return fmt.Sprintf("%s (%s)", v, info.GoVersion)
}
