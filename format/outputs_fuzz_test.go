package format

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"mqt/mqtt/bench"
)

// A saved result can be anything: it is refused or written, in every form,
// without a control character.
func FuzzSavedReport(f *testing.F) {
	for _, r := range []*bench.Report{passing(), failing(), scenario(), spoilt(), {}} {
		r.Version = bench.ReportVersion
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"contract":{"checked":true,"qos":[{"qos":-7}]},"seconds":[{"at_ns":-9223372036854775808},{"at_ns":9223372036854775807,"duration_ns":1}]}`))
	f.Add([]byte(`{"version":1,"latency":{"e2e":{"n":5,"hdr":"HISTF"}},"sweep":{"points":[{"rate":1e300},{"rate":-1}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := bench.ReadReport(b)
		if err != nil {
			return
		}
		var all [][]byte
		keep := func(b []byte, err error) {
			if err == nil {
				all = append(all, b)
			}
		}
		keep(AppendReport(nil, r, 1, Style{}))
		keep(AppendJUnit(nil, r, 1))
		keep(AppendCSV(nil, r))
		keep(AppendHDRLog(nil, r))
		keep(AppendHTML(nil, r, 1))
		keep(AppendMarkdown(nil, r, 1), nil)
		for _, out := range all {
			if i := strings.IndexFunc(string(out), func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }); i >= 0 {
				t.Errorf("%q", out[i:min(len(out), i+20)])
			}
		}
		if r.Shard == nil {
			r.Shard = &bench.Shard{Count: 1}
		}
		_, _ = bench.MergeReports([]*bench.Report{r}, false)
		_, _ = bench.Compare([]*bench.Report{r}, []*bench.Report{r}, bench.CompareOptions{})
	})
}
