package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestHostileLog logs what a client may call itself: a line is one line, and nothing in it is obeyed by the terminal that
// it is read on.
func TestHostileLog(t *testing.T) {
	const name = "id\x1b]0;x\a\r\n\u009b31m\u202e\u2028\x7f\"é"
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		o := &brokerOptions{logJSON: asJSON}
		log, _ := o.logger(&Stdio{Err: &out})
		log.Error("closed\u009b", "client", name, "err", errString(name))
		line, ok := strings.CutSuffix(out.String(), "\n")
		if !ok || strings.ContainsAny(line, "\x1b\a\r\n\u009b\u202e\u2028\x7f") || !strings.Contains(line, "é") {
			t.Errorf("json %t: %q", asJSON, line)
		}
		if !asJSON {
			continue
		}
		var got struct{ Client, Err string }
		if err := json.Unmarshal([]byte(line), &got); err != nil || got.Client != name || got.Err != name {
			t.Errorf("%s is read as %+q, %v", line, got, err)
		}
	}
}

type errString string

func (e errString) Error() string { return string(e) }
