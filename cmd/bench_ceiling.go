package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"mqt/mqtt/bench"
)

// calibration is what bench calibrate keeps for later runs on this machine.
type calibration struct {
	Tool  string         `json:"tool"`
	Host  string         `json:"host"`
	Cores int            `json:"cores"`
	Made  time.Time      `json:"made"`
	Rates bench.Ceilings `json:"rates"` // messages a second, by QoS
}

// thisMachine is a calibration without its result.
func thisMachine() calibration {
	host, _ := os.Hostname() // "" is an answer
	return calibration{Tool: "mqt " + version(), Host: host, Cores: runtime.GOMAXPROCS(0)}
}

func ceilingsPath() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "mqt", "bench-calibration.json"), err
}

// keepCeilings writes what this machine can do, and returns where.
func keepCeilings(rates bench.Ceilings) (string, error) {
	path, err := ceilingsPath()
	if err != nil {
		return "", err
	}
	c := thisMachine()
	c.Made, c.Rates = time.Now().Round(0), rates
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // it is no secret
		return "", err
	}
	return path, os.WriteFile(path, append(b, '\n'), 0o644) //nolint:gosec // it is no secret
}

// knownCeilings are those that were kept by this program on this machine.
func knownCeilings() bench.Ceilings {
	path, err := ceilingsPath()
	if err != nil {
		return bench.Ceilings{}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return bench.Ceilings{} // never calibrated
	}
	var c calibration
	if err := json.Unmarshal(b, &c); err != nil {
		return bench.Ceilings{} // as if it were not there: calibrate writes it anew
	}
	if here := thisMachine(); c.Tool != here.Tool || c.Host != here.Host || c.Cores != here.Cores {
		return bench.Ceilings{} // of another machine or program
	}
	return c.Rates
}
