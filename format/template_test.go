package format

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

func TestParseTemplateErrors(t *testing.T) {
	tests := []struct {
		format string
		offset int
		text   string
	}{
		{"%", 0, "the conversion has no letter"},
		{"a%5", 1, "the conversion has no letter"},
		{"%t %Q", 3, `unknown letter "Q"`},
		{"%5é", 0, `unknown letter "é"`},
		{"%\xff", 0, `unknown letter "\xff"`},
		{"%.2:t", 0, `separator ':' stands only before x or X`},
		{"%.2:", 0, "the conversion has no letter"},
		{"%65536p", 0, "width is above 65535"},
		{"%99999999999999999999p", 0, "width is above 65535"},
		{"%.65536f", 0, "precision is above 65535"},
		{"ab@", 2, "an at sign at the end"},
		{"@q", 0, `unknown time letter "q"`},
		{"@é", 0, `unknown time letter "é"`},
		{`\`, 0, "a backslash at the end"},
		{`a\x`, 1, "unknown escape"},
	}
	for _, tt := range tests {
		p, err := ParseTemplate(tt.format, TemplateOptions{})
		e, ok := errors.AsType[*TemplateError](err)
		if !ok || p != nil || e.Offset != tt.offset || !strings.Contains(e.Text, tt.text) {
			t.Errorf("%q: %v, want %q at %d", tt.format, err, tt.text, tt.offset)
		}
	}
}

func TestTemplateFloat(t *testing.T) {
	double := func(v float64) string { return string(binary.NativeEndian.AppendUint64(nil, math.Float64bits(v))) }
	// As C's printf writes them.
	tests := []struct {
		format, payload, want string
	}{
		{"%d", double(1.5), "1.500000"},
		{"%.3d", double(-0.0005), "-0.001"},
		{"%012.3d", double(-2.5), "-0000002.500"},
		{"%-10.1d|", double(2.25), "2.2       |"},
		{"%.0d", double(1e21), "1000000000000000000000"},
		{"%08d", double(math.Inf(1)), "     inf"},
		{"%-8d|", double(math.Inf(-1)), "-inf    |"},
		{"%d", double(math.NaN()), "nan"},
		{"%d", double(math.Copysign(0, -1)), "-0.000000"},
		{"%f", double(1), ""},
		{"%d", "1234", ""},
	}
	for _, tt := range tests {
		p, err := ParseTemplate(tt.format, TemplateOptions{NoEOL: true})
		if err != nil {
			t.Fatal(err)
		}
		m := message("a/\x1b", tt.payload, 0)
		if got := string(p.Append(nil, m)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.format, got, tt.want)
		}
		_, wrong := errors.AsType[*FloatError](p.Check(m))
		if wrong != (tt.want == "") {
			t.Errorf("%s: Check says %v", tt.format, p.Check(m))
		}
	}
	p, _ := ParseTemplate("%t", TemplateOptions{})
	if err := p.Check(message("t", "x", 0)); err != nil {
		t.Error(err)
	}
}

func TestTemplateOptions(t *testing.T) {
	m := message("t", "x", 0)
	m.SubscriptionIdentifiers, m.TopicAlias = []uint32{268435455, 1}, 65535
	p, err := ParseTemplate("%S %A %j", TemplateOptions{NoEOL: true, Pretty: true})
	if err != nil {
		t.Fatal(err)
	}
	got := string(p.Append(nil, m))
	if !strings.HasPrefix(got, "268435455 65535 {\n  \"tst\"") || !strings.HasSuffix(got, "\n}") {
		t.Errorf("%q", got)
	}
}

// TestTemplateTime has what one recorded moment cannot show: one-digit days and
// hours, noon and midnight, the turn of the year. As glibc writes them.
func TestTemplateTime(t *testing.T) {
	const format = "@I@l@k@e@p@P|@U@W@V@G@g@u@w@j|@C@y|@N"
	tests := []struct {
		at   time.Time
		want string
	}{
		{time.Date(2027, 1, 3, 0, 0, 0, 1, time.UTC), "1212 0 3AMam|010053202626" + "70003|2027|000000001"},
		{time.Date(2024, 12, 30, 12, 0, 0, 0, time.UTC), "121212" + "30PMpm|525301202525" + "11365|2024|000000000"},
		{time.Date(2026, 2, 9, 9, 5, 0, 999999999, time.UTC), "09 9 9 9AMam|060607202626" + "11040|2026|999999999"},
	}
	p, err := ParseTemplate(format, TemplateOptions{NoEOL: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		m := message("t", "", 0)
		m.At = tt.at
		if got := string(p.Append(nil, m)); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.at, got, tt.want)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"%t %p", "%-010.4:x", "%05.3f%012d", "@Y-@m-@d@@@N", `\\\0\a\e\n\r\t\v`, "%%", "%", "@", `\`, "%.9.x", "%j%J", "%é"} {
		f.Add(s, []byte("12345678"))
	}
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		p, err := ParseTemplate(format, TemplateOptions{NoEOL: true})
		if err != nil {
			e, ok := errors.AsType[*TemplateError](err)
			if !ok || e.Offset < 0 || e.Offset >= len(format) || !strings.ContainsRune(`%@\`, rune(format[e.Offset])) {
				t.Fatalf("%q: %#v", format, err)
			}
			return
		}
		m := sent()["full"]
		m.Payload = payload
		once := p.Append(nil, m)
		again := p.Append([]byte("x"), m)
		if string(again) != "x"+string(once) {
			t.Errorf("%q: %q, then %q", format, once, again)
		}
		if !strings.ContainsAny(format, `%@\`) && string(once) != format {
			t.Errorf("literal %q became %q", format, once)
		}
	})
}

func printers(t testing.TB) map[string]Printer {
	t.Helper()
	all := map[string]Printer{"plain": &Text{}, "verbose": &Text{Topic: true}, "json": &JSON{}}
	for _, f := range []string{"%t %p", "%I %t %q %r %m %l %p", "%U %x", "@Y-@m-@dT@H:@M:@S.@N@z %t %p", "%C %D %E %F %R %P %S %A", "%30t%-30p%010l%.2:x", "%j"} {
		p, err := ParseTemplate(f, TemplateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all[f] = p
	}
	return all
}

// TestNoAllocation: a line of a busy subscription costs no garbage.
func TestNoAllocation(t *testing.T) {
	for name, p := range printers(t) {
		for _, m := range []*Received{sent()["full"], sent()["quotes"], sent()["binary"]} {
			buf := make([]byte, 0, 4096)
			if n := testing.AllocsPerRun(20, func() { buf = p.Append(buf[:0], m) }); n != 0 {
				t.Errorf("%s: %v allocations for %s", name, n, m.Topic)
			}
		}
	}
}

func BenchmarkPrinter(b *testing.B) {
	m := message("house/kitchen/temperature", strings.Repeat("0123456\n", 8), 1)
	full := message("house/kitchen/temperature", strings.Repeat("0123456\n", 8), 1, mqtt.Str(mqtt.ContentType, "text/plain"), mqtt.User("unit", "C"))
	bench := func(name string, p Printer, m *Received) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 4096)
			for b.Loop() {
				buf = p.Append(buf[:0], m)
			}
		})
	}
	for name, p := range printers(b) {
		bench(name, p, m)
	}
	bench("json with properties", &JSON{}, full)
	bench("json pretty", &JSON{Pretty: true}, m)
	b.Run("decode json", func(b *testing.B) {
		b.ReportAllocs()
		line := (&JSON{}).Append(nil, full)
		for b.Loop() {
			if _, err := DecodeJSON(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}
