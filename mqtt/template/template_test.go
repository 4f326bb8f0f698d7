package template

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func parser() *Parser {
	return &Parser{
		Env:     func(name string) (string, bool) { return "of " + name, name != "NONE" },
		Columns: []string{"name", "3", "x y"},
		Names:   []string{"client"},
	}
}

func values() *Values {
	return &Values{
		I: 7, Time: time.Date(2026, 1, 2, 3, 4, 5, 6_007_008, time.FixedZone("", 3600)),
		Row: []string{"lamp", "b", "c"}, More: []string{"c1"}, Rand: rand.New(rand.NewPCG(1, 2)),
	}
}

func TestExact(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{"plain $ {i} $i $$ }", "plain $ {i} $i $$ }"},
		{"${i}", "7"},
		{"a/${i}/${i:100}/b", "a/7/107/b"},
		{"$${i}", "${i}"},
		{"$$${i}", "$${i}"},
		{"$${${i}}", "${7}"},
		{"x$", "x$"},
		{"${ts}", "2026-01-02T02:04:05Z"},
		{"${ts:rfc3339}", "2026-01-02T02:04:05Z"},
		{"${ts:rfc3339ms}", "2026-01-02T02:04:05.006Z"},
		{"${ts:rfc3339ns}", "2026-01-02T02:04:05.006007008Z"},
		{"${ts:unix} ${ts:unixms}", "1767319445 1767319445006"},
		{"${ts:unixus} ${ts:unixns}", "1767319445006007 1767319445006007008"},
		{"${env:X}", "of X"},
		{"${env:}", "of "},
		{"${csv:name} ${csv:3} ${csv:x y} ${csv:1}", "lamp b c lamp"},
		{"${client}", "c1"},
		{"${rand:5-5} ${rand:-3--3} ${rand:0.50-0.50} ${rand:-0.5--0.5} ${rand:2-2.00}", "5 -3 0.50 -0.5 2.00"},
		{"\xff\x00${i}\xfe", "\xff\x007\xfe"},
	}
	for _, test := range tests {
		tpl, err := parser().Parse(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if got := tpl.String(values()); got != test.want {
			t.Errorf("%q: %q, want %q", test.text, got, test.want)
		}
		if tpl.Constant() != (tpl.String(values()) == tpl.String(&Values{I: 8, Row: []string{"", "", ""}, More: []string{""}}) &&
			!strings.Contains(strings.ReplaceAll(test.text, "$${", ""), "${")) {
			t.Errorf("%q: Constant is %v", test.text, tpl.Constant())
		}
	}
}

func TestFaults(t *testing.T) {
	tests := []struct{ text, want string }{
		{"${", "no }"}, {"${i", "no }"}, {"a ${nope} b", "not known; there are ${i} ${uuid} ${rand:1-100} ${ts:rfc3339} ${env:NAME} ${csv:COLUMN} ${client}"},
		{"${}", "not known"}, {"${I}", "not known"}, {"${uuid:4}", "not known"}, {"${client:1}", "not known"},
		{"${i:x}", "begin with 100"}, {"${i:-1}", "begin with 100"},
		{"${rand}", "LOW-HIGH"}, {"${rand:5}", "LOW-HIGH"}, {"${rand:1-}", "LOW-HIGH"}, {"${rand:-5}", "LOW-HIGH"}, {"${rand:a-b}", "LOW-HIGH"},
		{"${rand:1.-2}", "LOW-HIGH"}, {"${rand:1-2-3}", "LOW-HIGH"}, {"${rand:0-99999999999999999}", "LOW-HIGH"}, {"${rand:+1-2}", "LOW-HIGH"},
		{"${rand:1e1-1e2}", "LOW-HIGH"}, {"${rand:1.0000000000000000-2}", "LOW-HIGH"}, {"${rand:2-1}", "larger"},
		{"${ts:iso}", "one of rfc3339"}, {"${env:NONE}", "no such variable"}, {"${csv:4}", "no such column; there are name 3 x y"},
		{"${csv:0}", "no such column"}, {"${csv:}", "no such column"},
		{"${" + strings.Repeat("é", 1000) + "}", "…"},
	}
	for _, test := range tests {
		_, err := parser().Parse(test.text)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
	for _, text := range []string{"${csv:name}", "${env:X}", "${client}"} {
		if _, err := new(Parser).Parse(text); err == nil {
			t.Errorf("%s: no error without it", text)
		}
	}
}

func TestRandom(t *testing.T) {
	tpl, err := parser().Parse("${rand:-2-2} ${uuid} ${rand:0.0-1.0}")
	if err != nil {
		t.Fatal(err)
	}
	shape := regexp.MustCompile(`^(-?[0-2]) [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12} (0\.\d|1\.0)$`)
	v, w := values(), values()
	seen := map[string]bool{}
	for range 2000 {
		got := tpl.String(v)
		m := shape.FindStringSubmatch(got)
		if m == nil {
			t.Fatal(got)
		}
		if again := tpl.String(w); again != got {
			t.Fatalf("the same seed: %q and %q", got, again)
		}
		seen[m[1]], seen[m[2]] = true, true
	}
	if len(seen) != 5+11 {
		t.Fatalf("%d values, want all 16: %v", len(seen), seen)
	}
	if a, b := tpl.String(&Values{}), tpl.String(&Values{}); a == b {
		t.Fatalf("twice %q without a seed", a)
	}
}

// The largest range there is stays within its bounds.
func TestRandomWide(t *testing.T) {
	tpl, err := parser().Parse("${rand:-4503599627370496-4503599627370496}")
	if err != nil {
		t.Fatal(err)
	}
	v := values()
	for range 1000 {
		n, err := strconv.ParseInt(tpl.String(v), 10, 64)
		if err != nil || n < -1<<52 || n > 1<<52 {
			t.Fatal(n, err)
		}
	}
}

func TestTimeIsOneForAMessage(t *testing.T) {
	tpl, err := parser().Parse("${ts:unixns} ${ts:unixns}")
	if err != nil {
		t.Fatal(err)
	}
	a, b, _ := strings.Cut(tpl.String(&Values{}), " ")
	if a != b || a == "" {
		t.Fatal(a, b)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	tpl, err := parser().Parse("a/${i}/${rand:1-100}/${ts:unix}/${csv:name}")
	if err != nil {
		t.Fatal(err)
	}
	v, buf := values(), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { buf = tpl.Append(buf[:0], v) }); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}

// Whatever text comes, it is an *Error or a template; and with its ${ escaped,
// it is itself.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"${i}", "$${", "${rand:-1.5-2}", "${ts:unix}", "${csv:1}$", "${", "}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := parser().Parse(text)
		if err == nil {
			tpl.String(values())
		} else if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatal(err)
		}
		escaped := strings.ReplaceAll(text, "${", "$${")
		tpl, err = parser().Parse(escaped)
		if err != nil || !tpl.Constant() || tpl.String(values()) != text {
			t.Fatalf("%q: %v", escaped, err)
		}
	})
}
