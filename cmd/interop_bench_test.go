//go:build interop

package cmd_test

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestInteropBenchCommand has bench start other people's brokers, and say what they cost: aedes (of npm) has 3.1.1 only.
func TestInteropBenchCommand(t *testing.T) {
	aedes, err := filepath.Abs(checkScript("aedes_broker.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, broker := range map[string]string{"mosquitto": "mosquitto -p {port}", "aedes": "node " + aedes + " {port}"} {
		for _, qos := range []string{"0", "1", "2"} {
			t.Run(name+"/"+qos, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), checkTimeout)
				defer cancel()
				c := exec.CommandContext(ctx, mqtProgram(t), "bench", "--broker-cmd", broker, "-V", "3.1.1", "--qos", qos,
					"--clients", "20", "--rate", "400", "--warmup", "500ms", "--duration", "2s", "--json")
				out, err := c.Output()
				exit, ended := errors.AsType[*exec.ExitError](err)
				// 13 and 14 say that this machine was too busy to measure, which is not what is asked here.
				if err != nil && !(ended && slices.Contains([]int{13, 14}, exit.ExitCode())) {
					if ended {
						t.Logf("%s", exit.Stderr)
					}
					t.Fatal(err)
				}
				var report struct {
					Delivered struct{ N uint64 }
					Broker    struct {
						CPU    int64 `json:"cpu_ns"`
						Memory int64 `json:"peak_memory"`
					}
				}
				if err := json.Unmarshal(out, &report); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if report.Delivered.N == 0 || report.Broker.CPU <= 0 || report.Broker.Memory <= 0 {
					t.Errorf("delivered, CPU and memory: %+v", report)
				}
			})
		}
	}
}
