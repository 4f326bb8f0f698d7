package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ReadReport reads a Report in its JSON form. Members that it does not know are
// those of a later program and are left out.
func ReadReport(b []byte) (*Report, error) {
	rep := &Report{}
	if err := json.Unmarshal(bytes.TrimSpace(b), rep); err != nil {
		return nil, fmt.Errorf("bench: report: %w", err)
	}
	switch rep.Version {
	case ReportVersion:
	case 0:
		return nil, errors.New("bench: report: it has no version")
	default:
		return nil, fmt.Errorf("bench: report: version %d, this program reads version %d", rep.Version, ReportVersion)
	}
	return rep, nil
}
