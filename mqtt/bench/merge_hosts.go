package bench

import (
	"fmt"
	"maps"
	"slices"
)

// host is a machine on which shards were run, which share its cores.
type host struct {
	shards, cores int
	used          float64 // of the cores, by all shards
	ceiling, rate float64
}

// host adds shard s to its machine.
func (m *merging) host(all map[string]*host, s *Report) {
	name := s.Environment.Host
	if name == "" {
		name = fmt.Sprintf("that of shard %d", s.Shard.Index)
	}
	h := all[name]
	if h == nil {
		h = &host{}
		all[name] = h
	}
	h.shards++
	h.cores = max(h.cores, s.Generator.Cores)
	h.used += s.Generator.CPUShare * float64(s.Generator.Cores)
	h.ceiling = max(h.ceiling, s.Generator.Ceiling)
	h.rate += s.Sent.Rate
}

// hosts adds up the machines. What none of the shards has seen of itself, all
// those of one machine together may have come to.
func (m *merging) hosts(all map[string]*host) {
	g := &m.rep.Generator
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := all[name]
		g.Cores += h.cores
		g.Ceiling += h.ceiling
		if h.cores == 0 {
			continue
		}
		share := h.used / float64(h.cores)
		g.CPUShare = max(g.CPUShare, share)
		if h.shards == 1 {
			continue
		}
		if share > cpuFault {
			g.Faults = append(g.Faults, fmt.Sprintf("%d shards together used %.0f %% of the cores of host %s: lower the rate, or use more machines", h.shards, 100*share, name))
		}
		if h.ceiling > 0 && h.rate > ceilingFault*h.ceiling {
			g.Faults = append(g.Faults, fmt.Sprintf("%d shards together sent %.0f %% of the %.6g messages a second that host %s can send: use more machines",
				h.shards, 100*h.rate/h.ceiling, h.ceiling, name))
		}
	}
	g.Valid = g.Valid && len(g.Faults) == 0
}
