package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// option is a flag that reads itself into a field. The library knows it by its
// first name only: parseWords has turned the others into that.
type option struct {
	*cli.GenericFlag
	names  []string // without dashes, the first is the field's
	env    []string // more variables than MQT_NAME
	apart  string   // the variable in the place of MQT_NAME, which means something else to other commands
	alone  bool     // its other names are other flags of other commands, and no variables
	bare   bool     // takes no value
	terse  bool     // the help has its name alone
	filled bool     // the value cannot be empty: without it something would silently not be done
	// words is how many words the value has; nil: one. rest are the words behind the flag.
	words   func(rest []string) int
	choices []string // for completion: what the value can be

	repeats bool // it may be given more than once
	shared  bool // it is one of every client's: a profile can have it

	origin origin
	typed  string   // as it was written: "-q", "--qos", "MQT_QOS"
	values []string // what was read so far
	fault  error
	faulty string // the value that it is about
}

// origin is where a flag came from; the later beats the earlier.
type origin byte

const (
	unset origin = iota
	fromFile
	fromEnv
	fromArgs
)

// given tells that the flag was set, by whatever.
func (o *option) given() bool { return o.origin != unset }

// reader makes a function a value of the library.
type reader func(string) error

func (r reader) Set(s string) error { return r(s) }
func (reader) String() string       { return "" }

// TakesValue tells the library's help, and ours.
func (o *option) TakesValue() bool { return !o.bare }

// group is a heading of the help; its methods add flags below it. names are
// words parted by spaces, the long one first; a word in backquotes in usage
// names the value.
type group string

func (g group) value(names, usage string, read func(string) error) *option {
	o := &option{names: strings.Fields(names)}
	o.GenericFlag = &cli.GenericFlag{Name: o.names[0], Usage: usage, Category: string(g), Value: reader(func(s string) error {
		o.values = append(o.values, s)
		// Reported once all words are read: see words.fault.
		err := read(s)
		if s == "" && o.filled {
			err = errors.New("it is empty; is a variable not set?")
		}
		if err != nil && o.fault == nil {
			o.fault, o.faulty = err, s
		}
		return nil
	})}
	return o
}

func (g group) text(names, usage string, dst *string) *option {
	return g.value(names, usage, func(s string) error { *dst = s; return nil })
}

// list may be given more than once.
func (g group) list(names, usage string, dst *[]string) *option {
	o := g.value(names, usage, func(s string) error { *dst = append(*dst, s); return nil })
	o.repeats = true
	return o
}

func (g group) toggle(names, usage string, dst *bool) *option {
	o := g.value(names, usage, func(s string) error {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("it is true or false")
		}
		*dst = v
		return nil
	})
	o.bare = true
	return o
}

func (g group) duration(names, usage string, dst *time.Duration) *option {
	return g.value(names, usage, func(s string) (err error) { *dst, err = parseDuration(s); return err })
}

// number reads a decimal number from low to high.
func number[T ~uint8 | ~uint16 | ~uint32 | ~int](g group, names, usage string, dst *T, low, high uint64) *option {
	return g.value(names, usage, func(s string) error {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n < low || n > high {
			return fmt.Errorf("it is a number from %d to %d", low, high)
		}
		*dst = T(n)
		return nil
	})
}

// from names environment variables beside MQT_NAME, which come after it.
func (o *option) from(names ...string) *option {
	o.env = names
	return o
}

// fromOnly names the environment variable in the place of MQT_NAME.
func (o *option) fromOnly(name string) *option {
	o.apart = name
	return o
}

// fromFirst leaves the variables of all names but the first to other commands, where they are other flags.
func (o *option) fromFirst() *option {
	o.alone = true
	return o
}

// variables are those that the flag can come from, the first that is set first: those of its long names, and those of from.
func (o *option) variables() []string {
	if o.apart != "" {
		return append([]string{o.apart}, o.env...)
	}
	var all []string
	for i, name := range o.names {
		v := envName(name)
		if i == 0 || len(name) > 1 && !o.alone && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return append(all, o.env...)
}

// parseDuration reads seconds, with a fraction if need be, or a number with a
// unit: 2.5, 500ms, 1m30s.
func parseDuration(s string) (time.Duration, error) {
	const most = 10 * 365 * 24 * time.Hour
	d, err := time.ParseDuration(s)
	if seconds, e := strconv.ParseFloat(s, 64); e == nil && seconds <= most.Seconds() {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d < 0 || d > most {
		return 0, errors.New("it is seconds, or a time such as 2.5s, 500ms or 1m30s")
	}
	return d, nil
}

func flags(lists ...[]*option) []cli.Flag {
	var all []cli.Flag
	for _, l := range lists {
		for _, o := range l {
			all = append(all, o)
		}
	}
	return all
}

// namesOf are all names of a flag.
func namesOf(f cli.Flag) []string {
	if o, ok := f.(*option); ok {
		return o.names
	}
	return f.Names()
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// dashed is how a name is written.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// envName is the variable that every flag can come from.
func envName(flag string) string {
	return "MQT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// oneOf names the values that there are, for completion.
func (o *option) oneOf(choices ...string) *option {
	o.choices = choices
	return o
}

// noValue marks a flag that stands alone.
func (o *option) noValue() *option {
	o.bare = true
	return o
}

// repeated marks a flag that may be given more than once.
func (o *option) repeated() *option {
	o.repeats = true
	return o
}

// notEmpty marks a flag whose value cannot be "".
func (o *option) notEmpty() *option {
	o.filled = true
	return o
}
