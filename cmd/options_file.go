package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// files adds what a profile and a file of options have for the flags that are
// neither on the command line nor in the environment. What a person names comes
// before what lies there: a file of -o, a profile, mosquitto's own file.
func (w *words) files(c *cli.Command) error {
	profile, options := lookup(c, "--profile"), lookup(c, "--options")
	if profile == nil || c.Name == profileName {
		return nil
	}
	if file, given := w.value(options); given {
		if err := w.optionsFile(c, file); err != nil {
			return err
		}
	}
	found, err := w.profile(c, profile)
	if err != nil || found || options == nil || w.has(options) {
		return err
	}
	if file := mosquittoFile(c.Name); file != "" {
		if err := w.optionsFile(c, file); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// value is what a flag has so far.
func (w *words) value(f cli.Flag) (string, bool) {
	for _, g := range slices.Backward(w.given) {
		if g.flag == f {
			return g.value, true
		}
	}
	return "", false
}

// mosquittoFile is where mosquitto_pub and mosquitto_sub look for options, so
// that what they are told is told to pub and sub.
func mosquittoFile(command string) string {
	if command != "pub" && command != "sub" {
		return ""
	}
	if runtime.GOOS == "windows" {
		if home := os.Getenv("USERPROFILE"); home != "" {
			return filepath.Join(home, "mosquitto_"+command+".conf")
		}
		return ""
	}
	dir := configHome()
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "mosquitto_"+command)
}

// configHome is that of the XDG Base Directory Specification, "" without a home.
func configHome() string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if runtime.GOOS == "windows" {
		return os.Getenv("APPDATA")
	}
	home := os.Getenv("HOME")
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".config")
}

// optionsFile reads lines of one option each, as mosquitto does: the value is
// the rest of the line, without quotes. Options that may be repeated come beside
// those of the command line, as they do there.
func (w *words) optionsFile(c *cli.Command, path string) error {
	text, err := readFile("-o", path)
	if err != nil {
		return err
	}
	return w.optionLines(c, path, text)
}

// optionLines reads the text of such a file.
func (w *words) optionLines(c *cli.Command, path string, text []byte) error {
	var found []given
	for i, line := range strings.Split(strings.TrimPrefix(string(text), "\ufeff"), "\n") {
		place := fmt.Sprintf("%s:%d", path, i+1)
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		g, err := optionLine(c, place, line)
		if err != nil {
			return err
		}
		if o, ok := g.flag.(*option); !w.has(g.flag) || ok && o.repeats {
			found = append(found, g)
		}
	}
	w.given = append(found, w.given...)
	return nil
}

// optionLine reads one line.
func optionLine(c *cli.Command, place, line string) (given, error) {
	name, value := line, ""
	if at := strings.IndexAny(line, " \t"); at >= 0 {
		name, value = line[:at], line[at+1:]
	}
	f := lookup(c, name)
	if before, after, joined := strings.Cut(line, "="); f == nil && joined && lookup(c, before) != nil {
		name, value, f = before, after, lookup(c, before)
	}
	o, ok := f.(*option)
	switch {
	case name[0] != '-':
		return given{}, &usageError{text: place + ": " + shown(name), hint: "a line begins with an option, such as -h"}
	case !ok:
		fault := &usageError{text: place + ": unknown option " + name}
		if u, ok := errors.AsType[*usageError](unknownFlag(c, name, name)); ok {
			fault.hint = u.hint
		}
		return given{}, fault
	case o.names[0] == "options" || o.names[0] == "profile":
		return given{}, &usageError{text: place + ": " + name + " cannot be in a file"}
	case o.bare && strings.TrimSpace(value) == "":
		value = "true"
	case strings.TrimSpace(value) == "" && !literal(o):
		return given{}, &usageError{text: place + ": " + name + " needs " + wanted(f), hint: exampleOf(f, name)}
	}
	switch {
	case o.words != nil:
		value = splitWords(value, o.words(strings.Fields(value)))
	case !literal(o):
		value = strings.TrimLeft(value, " \t")
	}
	return given{flag: f, typed: place + ": " + name, value: value, origin: fromFile}, nil
}

// literal tells that each blank of a value counts.
func literal(o *option) bool {
	return slices.Contains([]string{"password", "message", "will-payload", "keypass"}, o.names[0])
}

// splitWords parts n words; the last has the rest.
func splitWords(s string, n int) string {
	var words []string
	for s = strings.TrimLeft(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		at := strings.IndexAny(s, " \t")
		if at < 0 || len(words) == n-1 {
			return strings.Join(append(words, s), "\x00")
		}
		words, s = append(words, s[:at]), s[at:]
	}
	return strings.Join(words, "\x00")
}
