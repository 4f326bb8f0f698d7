package format

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// grouped writes a whole number with a space between thousands: 1 234 567.
func grouped[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	b.WriteString(s[:len(s)-len(digits)])
	for i, c := range []byte(digits) {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// perSecond writes a rate: one decimal below a thousand, none above.
func perSecond(rate float64) string {
	if rate < 1000 {
		return strconv.FormatFloat(rate, 'f', 1, 64) + "/s"
	}
	return grouped(int64(math.Round(rate))) + "/s"
}

// milliseconds writes a duration as a number of them, with the digits that
// mean something: 0.042, 4.20, 12.5, 180.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms == 0:
		return "0"
	case ms < 1:
		return strconv.FormatFloat(ms, 'f', 3, 64)
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 2, 64)
	case ms < 100:
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return grouped(int64(math.Round(ms)))
}

// byteSize writes bytes in the binary unit that leaves one to four digits.
func byteSize(n float64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	i := -1
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " " + units[i:i+1] + "iB"
}

// percent writes a share of 1.
func percent(share float64) string {
	return strconv.FormatFloat(100*share, 'f', 1, 64) + " %"
}

// bars draws values as a line of blocks, the largest full. More values than
// width share a block, which shows the largest of them.
func bars(values []float64, width int) string {
	const blocks = "▁▂▃▄▅▆▇█"
	levels := []rune(blocks)
	if width > 0 && len(values) > width {
		merged := make([]float64, 0, width)
		for i := range width {
			merged = append(merged, slices.Max(values[i*len(values)/width:(i+1)*len(values)/width]))
		}
		values = merged
	}
	if len(values) == 0 {
		return ""
	}
	top := slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		level := 0
		if top > 0 && v > 0 {
			level = min(int(v/top*float64(len(levels))), len(levels)-1)
		}
		b.WriteRune(levels[level])
	}
	return b.String()
}
