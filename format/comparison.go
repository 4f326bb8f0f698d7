package format

import (
	"fmt"
	"strconv"
	"strings"

	"mqt/mqtt/bench"
)

// AppendComparison writes how two sides compare, for people.
func AppendComparison(dst []byte, c *bench.Comparison, exit int, s Style) ([]byte, error) {
	w := &reportWriter{dst: dst, style: Style{Color: s.Color}}
	w.line("base", w.style.Paint(Name, safe(c.Base)), runCount(c.BaseRuns))
	w.line("new", w.style.Paint(Name, safe(c.New)), runCount(c.NewRuns))
	t := Table{Header: []string{"metric", "base", "new", "change", "95 % of it lies", "n", ""}, Right: []int{1, 2, 3, 4, 5}}
	for i := range c.Changes {
		t.Rows = append(t.Rows, changeColumns(&c.Changes[i]))
	}
	t.Paint = func(row, column int) Paint {
		if row < 0 {
			return Title
		}
		if column != 6 {
			return Plain
		}
		switch c.Changes[row].State {
		case bench.Worse:
			return Bad
		case bench.Unsure, bench.TooFew:
			return Warn
		}
		return Good
	}
	w.table(t)
	w.result(c.Verdict, c.Reasons, exit)
	return w.dst, w.err
}

// AppendComparisonMarkdown is AppendComparison for the page of a CI job.
func AppendComparisonMarkdown(dst []byte, c *bench.Comparison, exit int) []byte {
	w := &markdownWriter{dst: dst}
	w.line("### %s mqt bench compare: %s (exit %d)", verdictMark(c.Verdict), strings.ToUpper(string(c.Verdict)), exit)
	w.line("")
	w.line("%s (%s) against %s (%s)", w.code(c.New), runCount(c.NewRuns), w.code(c.Base), runCount(c.BaseRuns))
	for _, why := range c.Reasons {
		w.line("- %s", mdText(why))
	}
	var rows [][]string
	for i := range c.Changes {
		row := changeColumns(&c.Changes[i])
		if s := c.Changes[i].State; s == bench.Worse {
			row[6] = "❌ **worse**"
		}
		rows = append(rows, row)
	}
	w.table([]string{"metric", "base", "new", "change", "95 % of it lies", "n", ""}, 1, rows)
	return w.dst
}

func runCount(n int) string {
	if n == 1 {
		return "1 run"
	}
	return grouped(n) + " runs"
}

func changeColumns(ch *bench.Change) []string {
	between := signed(ch.Low) + " to " + signed(ch.High)
	if ch.State == bench.TooFew {
		between = ""
	}
	return []string{ch.Metric, quantity(ch.Base, ch.Unit), quantity(ch.New, ch.Unit), signed(ch.Ratio), between, strconv.Itoa(ch.N), string(ch.State)}
}

func signed(share float64) string { return fmt.Sprintf("%+.1f %%", 100*share) }

// quantity writes a number of a comparison.
func quantity(x float64, unit string) string {
	switch unit {
	case "s":
		if x >= 1 {
			return fmt.Sprintf("%.4g s", x)
		}
		return fmt.Sprintf("%.4g ms", x*1e3)
	case "/s":
		return perSecond(x)
	case "B":
		return byteSize(x)
	}
	return fmt.Sprintf("%.4g", x)
}
