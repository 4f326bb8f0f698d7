package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

// shard keeps what is this shard's of a plan that is the same in all of them:
// of each group client i belongs to shard i modulo their number, and brings its
// part of the rate along. What all shards do together is the plan.
func (p *Plan) shard() error {
	s := p.Shard
	if s == nil || s.Count == 1 {
		return nil
	}
	if s.Count < 1 || s.Index < 0 || s.Index >= s.Count {
		return fmt.Errorf("bench: shard %d of %d: they count from 0", s.Index, s.Count)
	}
	if err := p.apart(s.Count); err != nil {
		return err
	}
	for i := range p.Groups {
		if err := p.Groups[i].shard(s, p.RunID); err != nil {
			return err
		}
	}
	p.ConnectRate /= float64(s.Count)
	p.Steps = append([]Step(nil), p.Steps...) // the caller's stay as they are
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Count > 0 {
			own := st.Count / int64(s.Count)
			if int64(s.Index) < st.Count%int64(s.Count) {
				own++
			}
			st.Count = max(1, own)
		}
		var actions []Action
		for _, a := range st.Actions {
			if a.Kind != Exec || s.Index == 0 { // once is enough
				actions = append(actions, a)
			}
		}
		st.Actions = actions
	}
	return nil
}

// shard leaves the clients of s in the group.
func (g *Group) shard(s *Shard, run string) error {
	all := g.Clients
	g.Clients = (all - s.Index + s.Count - 1) / s.Count
	if all < s.Count {
		return fmt.Errorf("bench: group %q: %d clients cannot be divided into %d shards", g.Name, all, s.Count)
	}
	g.Rate *= float64(g.Clients) / float64(all)
	number := func(i int) int { return i*s.Count + s.Index }
	id, name := g.ClientID, g.Name
	g.ClientID = func(i int) string {
		if id == nil {
			return "bench" + run + name + strconv.Itoa(number(i))
		}
		return id(number(i))
	}
	if t := g.Topic; t != nil {
		g.Topic = func(i int) string { return t(number(i)) }
	}
	if setup := g.Setup; setup != nil {
		g.Setup = func(i int, o *client.Options) error { return setup(number(i), o) }
	}
	if payload := g.Payload; payload != nil {
		g.Payload = func(dst []byte, i int, n uint64) []byte { return payload(dst, number(i), n) }
	}
	qos := make([]mqtt.QoS, len(g.QoS))
	for i := range qos {
		qos[i] = g.QoS[number(i)%len(qos)]
	}
	g.QoS = qos
	return nil
}

// apart checks that nothing goes from one shard to another: its account would
// be in neither.
func (p *Plan) apart(shards int) error {
	if p.NoTracking {
		return nil
	}
	m := &matcher{names: make(map[string][]int32), known: make(map[string]sources)}
	var owners []int
	for i := range p.Groups {
		g := &p.Groups[i]
		if g.Role != RolePub {
			continue
		}
		for k := range g.Clients {
			name := g.Topic(k)
			m.names[name] = append(m.names[name], int32(len(owners)))
			owners = append(owners, k%shards)
		}
	}
	seen := make(map[string]int) // filters with wildcards, by shard
	for i := range p.Groups {
		g := &p.Groups[i]
		if g.Role != RoleSub {
			continue
		}
		for k := range g.Clients {
			filter := g.Topic(k)
			if owner, ok := seen[filter]; ok && owner == k%shards {
				continue
			}
			seen[filter] = k % shards
			_, inner, _, err := topic.SplitShare(filter)
			if err != nil {
				return fmt.Errorf("bench: group %q: %w", g.Name, err)
			}
			from := m.of(inner)
			for j := range from.n {
				if owners[from.at(j)] != k%shards {
					return fmt.Errorf("bench: group %q: client %d of shard %d gets messages of shard %d, whose delivery neither could check: "+
						"put the shard into topics and filters, as ${shard}, or turn tracking off", g.Name, k, k%shards, owners[from.at(j)])
				}
			}
		}
	}
	return nil
}

// salted is the seed of this shard: arrivals shall not be at the same times in
// all of them. Seeds have 53 bits.
func (p *Plan) salted() uint64 {
	if p.Shard == nil {
		return p.Seed
	}
	return p.Seed ^ uint64(p.Shard.Index)<<53
}

// startTogether waits for the time at which all shards begin with the load.
func (r *runner) startTogether(ctx context.Context, s *Step) error {
	if r.s.StartAt.IsZero() || s.Do != DoLoad && s.Do != DoHold || r.started {
		return nil
	}
	r.started = true
	wait := time.Until(r.s.StartAt)
	if wait < 0 {
		return fmt.Errorf("bench: %w: it was %v ago when the clients were ready", ErrLate, (-wait).Round(time.Millisecond))
	}
	sleep(ctx, wait)
	return nil
}

// ErrLate says that a shard was not ready at [Plan.StartAt].
var ErrLate = errors.New("the time to start has passed")
