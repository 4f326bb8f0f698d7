package format

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table := Table{Header: []string{"topic", "Count", ""}, Right: []int{1}, Rows: [][]string{
		{"stra\u00dfe/\u4e16\u754c", "12 000", "x"}, {"a\x1b[2J\n", "7", ""}, {"", "", "note with  spaces "}}}
	want := "topic         Count\n" +
		"stra\u00dfe/\u4e16\u754c  12 000  x\n" +
		"a\\x1b[2J\\n        7\n" +
		"                     note with  spaces\n"
	got, err := table.Append([]byte("> \n"), Style{})
	if err != nil || string(got) != "> \n"+want {
		t.Errorf("got (%v)\n%s\nwant\n%s", err, got, want)
	}
	table.Indent = "  "
	table.Paint = func(row, column int) Paint {
		if row == 0 && column == 1 {
			return Bad
		}
		return Plain
	}
	got, err = table.Append(nil, Style{Color: true})
	want = strings.ReplaceAll("  "+strings.TrimSuffix(strings.ReplaceAll(want, "\n", "\n  "), "  "), "12 000", "\x1b[31;1m12 000\x1b[0;22m")
	if err != nil || string(got) != want {
		t.Errorf("got (%v)\n%q\nwant\n%q", err, got, want)
	}
	empty := Table{Header: []string{"a", "b"}}
	if got, err := empty.Append(nil, Style{}); err != nil || string(got) != "a  b\n" {
		t.Errorf("%q %v", got, err)
	}
	wide := Table{Header: []string{"topic", "n"}, Right: []int{1}, Rows: [][]string{{strings.Repeat("0123456789", 12), "1"}, {"b", "2"}}}
	got, err = wide.Append(nil, Style{Width: 40})
	for line := range strings.Lines(string(got)) {
		if len([]rune(line)) > 41 {
			t.Errorf("wider than 40 columns (%v): %s", err, line)
		}
	}
	if lines := strings.Count(string(got), "\n"); lines != 3 {
		t.Errorf("%d lines:\n%s", lines, got)
	}
}
