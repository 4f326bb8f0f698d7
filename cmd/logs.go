package cmd

import (
	"io"
	"log/slog"

	"mqt/format"
)

// logger is where the broker logs to, and the level that a reload may change.
func (o *brokerOptions) logger(s *Stdio) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(o.logLevel())
	h := slog.HandlerOptions{Level: level}
	if o.logJSON {
		return slog.New(slog.NewJSONHandler(jsonLines{s.Err}, &h)), level
	}
	return slog.New(slog.NewTextHandler(s.Err, &h)), level // which quotes what does not print
}

// jsonLines escapes what JSON allows in a string and a terminal obeys: clients
// choose their names. slog writes a line at once.
type jsonLines struct{ w io.Writer }

func (l jsonLines) Write(line []byte) (int, error) {
	if _, err := l.w.Write(append(format.AppendCompact(nil, line), '\n')); err != nil {
		return 0, err
	}
	return len(line), nil
}
