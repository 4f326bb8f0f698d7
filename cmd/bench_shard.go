package cmd

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt/bench"
)

// maxShards bounds --shard.
const maxShards = 10_000

// shardFlags are those of a run on several machines.
func (o *benchOptions) shardFlags() []*option {
	const g = group("More than one machine")
	return []*option{
		g.value("shard", "`I/N`: do part I, from 0, of N of the load; mqt bench merge makes one result of all", o.readShard),
		g.value("start-at", "`TIME` at which all shards begin with the load: 2026-01-31T12:00:00Z, or Unix seconds", o.readStartAt),
		number(g, "workers", "bench k8s: `NUMBER` of pods (default: 4)", &o.workers, 1, maxShards),
		g.text("image", "bench k8s: `IMAGE` with mqt (default: mqt:latest)", &o.image),
	}
}

func (o *benchOptions) readShard(s string) error {
	i, n, ok := strings.Cut(s, "/")
	index, err := strconv.Atoi(i)
	count, bad := strconv.Atoi(n)
	if !ok || err != nil || bad != nil || index < 0 || count < 1 || index >= count || count > maxShards {
		return errors.New("it is a part and their number, counted from 0: 0/4, 1/4, 2/4, 3/4")
	}
	o.shard = &bench.Shard{Index: index, Count: count}
	return nil
}

func (o *benchOptions) readStartAt(s string) (err error) {
	if sec, bad := strconv.ParseFloat(s, 64); bad == nil && sec > 0 && sec < 1e11 {
		o.startAt = time.UnixMilli(int64(sec * 1e3))
		return nil
	}
	if o.startAt, err = time.Parse(time.RFC3339, s); err != nil {
		return errors.New("it is a time such as 2026-01-31T12:00:00Z, or Unix seconds")
	}
	return nil
}

// namedHere tells that a word of the command line names the server: what the
// environment says is about others.
func (o *benchOptions) namedHere() bool {
	return slices.ContainsFunc([]string{"url", "host", "port", "unix"}, func(name string) bool { return o.connect.flag[name].origin == fromArgs })
}

// checkShard refuses what shards cannot do.
func (o *benchOptions) checkShard() error {
	if o.shard == nil {
		return nil
	}
	switch {
	case o.role == bench.RoleSweep:
		return &usageError{text: "a sweep has no shards", hint: "each would search by itself"}
	case o.runID == "":
		return &usageError{text: "--shard needs --run-id", hint: "the same for all of them, so that their results can be merged"}
	case !o.named():
		return &usageError{text: "--shard needs a server", hint: "name the one that all shards measure, with -h or -L"}
	}
	return nil
}

// shards is the number of them.
func (o *benchOptions) shards() int {
	if o.shard == nil {
		return 1
	}
	return o.shard.Count
}
