package cmd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// words is a command line after mosquitto's rules: a flag is a whole word, and
// a flag with a value takes the next word whatever that begins with.
type words struct {
	help bool
	// version: --version behind the command, where mosquitto_sub has it.
	version bool
	given   []given
	places  []string // words that are no flags
}

// given is a flag as it came.
type given struct {
	flag   cli.Flag
	typed  string // "-q", "--qos", "MQT_QOS", or the place in a file
	value  string
	origin origin
}

// parseWords reads what stands behind a command's name, and for the flags that
// are not there the environment and the files of options.
func parseWords(c *cli.Command, args []string) (*words, error) {
	w := &words{}
	for i := 0; i < len(args); {
		n, err := w.word(c, args[i:])
		if err != nil {
			return nil, err
		}
		i += n
	}
	if w.help || w.version {
		return w, nil
	}
	w.environment(c)
	if err := w.files(c); err != nil {
		return nil, err
	}
	w.mark()
	return w, nil
}

// word reads one flag with its value, and returns how many words that were.
func (w *words) word(c *cli.Command, args []string) (int, error) {
	typed := args[0]
	switch {
	case typed == "--version" && lookup(c, typed) == nil:
		w.version = true
		return 1, nil
	case typed == "--help":
		w.help = true
		return 1, nil
	case typed == "--" && c.ArgsUsage != "":
		w.places = append(w.places, args[1:]...)
		return len(args), nil
	case len(typed) < 2 || typed[0] != '-':
		if c.ArgsUsage == "" {
			return 0, stray(c, typed)
		}
		w.places = append(w.places, typed)
		return 1, nil
	}
	name, value, joined := strings.Cut(typed, "=")
	f := lookup(c, name)
	if f == nil {
		return 0, unknownFlag(c, name, typed)
	}
	g := given{flag: f, typed: name, value: value, origin: fromArgs}
	n := 1
	switch {
	case joined:
	case !takesValue(f):
		g.value = "true"
	default:
		n = valueWords(f, args)
		if len(args) <= n {
			return 0, &usageError{text: name + " needs " + wanted(f), hint: exampleOf(f, name)}
		}
		g.value = strings.Join(args[1:n+1], "\x00")
		n++
	}
	w.given = append(w.given, g)
	return n, nil
}

// valueWords is how many words the value has: one, but for -D.
func valueWords(f cli.Flag, args []string) int {
	if o, ok := f.(*option); ok && o.words != nil {
		return o.words(args[1:])
	}
	return 1
}

func wanted(f cli.Flag) string {
	if name := placeholder(f); strings.Contains(name, " ") {
		return name
	}
	return "a value"
}

func exampleOf(f cli.Flag, typed string) string {
	hint := "write " + typed + " " + placeholder(f)
	if typed == "-h" {
		hint += ", or --help for help"
	}
	return hint
}

func lookup(c *cli.Command, typed string) cli.Flag {
	for _, f := range c.Flags {
		for _, name := range namesOf(f) {
			if dashed(name) == typed {
				return f
			}
		}
	}
	return nil
}

func stray(c *cli.Command, word string) error {
	hint := "see mqt " + c.Name + " --help"
	switch c.Name {
	case "pub":
		hint = "the topic stands behind -t and the payload behind -m"
	case "sub":
		hint = "the topic stands behind -t"
	}
	return &usageError{text: fmt.Sprintf("stray word %q", word), hint: hint}
}

// unknownFlag says what may have been meant: -p1883, -port, --prot.
func unknownFlag(c *cli.Command, name, typed string) error {
	fault := &usageError{text: "unknown flag " + name, hint: "see mqt " + c.Name + " --help"}
	if hint := elsewhere(c.Name, name); hint != "" {
		fault.hint = hint
		return fault
	}
	if long := "-" + name; lookup(c, long) != nil {
		fault.hint = "did you mean " + long + "?"
		return fault
	}
	if len(typed) > 2 && typed[1] != '-' {
		if f := lookup(c, typed[:2]); f != nil && takesValue(f) {
			fault.hint = fmt.Sprintf("did you mean %s %s?", typed[:2], typed[2:])
			return fault
		}
	}
	names := []string{"--help"}
	for _, f := range c.Flags {
		for _, n := range namesOf(f) {
			names = append(names, dashed(n))
		}
	}
	if near := nearest(name, names); near != "" {
		fault.hint = "did you mean " + near + "?"
	}
	return fault
}

// nearest returns the name that word was probably meant to be, or "".
func nearest(word string, names []string) string {
	best, at := "", 1+len(strings.Trim(word, "-"))/4
	for _, name := range names {
		if d := distance(word, name); d <= at && d < len(strings.Trim(name, "-")) {
			best, at = name, d-1
		}
	}
	return best
}

// distance is the number of letters to change, add, leave out or swap.
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, make([]int, len(b)+1)
	}
	return last[len(b)]
}

// environment adds the flags that are set there and not on the command line.
// An empty variable counts as none.
func (w *words) environment(c *cli.Command) {
	for _, f := range c.Flags {
		if w.has(f) {
			continue
		}
		o, ok := f.(*option)
		names := []string{envName(namesOf(f)[0])}
		if ok {
			names = o.variables()
		}
		for _, name := range names {
			value := os.Getenv(name)
			if value == "" {
				continue
			}
			if ok && o.words != nil {
				value = strings.Join(strings.Fields(value), "\x00")
			}
			w.given = append(w.given, given{flag: f, typed: name, value: value, origin: fromEnv})
			break
		}
	}
}

func (w *words) has(f cli.Flag) bool {
	return slices.ContainsFunc(w.given, func(g given) bool { return g.flag == f })
}

// mark tells the options how they came.
func (w *words) mark() {
	for _, g := range w.given {
		if o, ok := g.flag.(*option); ok {
			o.typed, o.origin = g.typed, g.origin
		}
	}
}

// fault is the first value that its flag could not read.
func (w *words) fault() error {
	for _, g := range w.given {
		o, ok := g.flag.(*option)
		if !ok || o.fault == nil || g.value != o.faulty {
			continue
		}
		sep := " "
		if g.origin == fromEnv {
			sep = "="
		}
		if o.bare && g.value == "true" && o.origin == fromArgs {
			return &usageError{text: g.typed, hint: o.fault.Error()}
		}
		return &usageError{text: g.typed + sep + shown(g.value), hint: o.fault.Error()}
	}
	return nil
}

// shown is a value as it was typed, more or less.
func shown(value string) string {
	value = strings.ReplaceAll(value, "\x00", " ")
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Sprintf("%q", value)
	}
	return value
}

// flags are those that are given, each once.
func (w *words) flags() []cli.Flag {
	var all []cli.Flag
	for _, g := range w.given {
		if !slices.Contains(all, g.flag) {
			all = append(all, g.flag)
		}
	}
	return all
}

// canonical is the command line that the library parses.
func (w *words) canonical(app, command string) []string {
	out := []string{app, command}
	for _, g := range w.given {
		out = append(out, "--"+namesOf(g.flag)[0]+"="+g.value)
	}
	return append(append(out, "--"), w.places...)
}
