package bench

import (
	"slices"
	"strings"

	"mqt/mqtt/topic"
)

// sources are the publishers that a subscription matches, by number. Most are
// an arithmetic progression and need no list.
type sources struct {
	first, stride, n int
	list             []int32
}

// newSources takes numbers in ascending order.
func newSources(list []int32) sources {
	s := sources{n: len(list), stride: 1}
	if len(list) == 0 {
		return s
	}
	s.first = int(list[0])
	if len(list) == 1 {
		return s
	}
	s.stride = int(list[1] - list[0])
	for k, i := range list {
		if s.first+k*s.stride != int(i) {
			s.list = list
			return s
		}
	}
	return s
}

// at is publisher k of them.
func (s *sources) at(k int) int {
	if s.list != nil {
		return int(s.list[k])
	}
	return s.first + k*s.stride
}

// find is the place of publisher i, false if it is none of them.
func (s *sources) find(i int) (int, bool) {
	if s.list != nil {
		return slices.BinarySearch(s.list, int32(i))
	}
	d := i - s.first
	if d < 0 || d%s.stride != 0 || d/s.stride >= s.n {
		return 0, false
	}
	return d / s.stride, true
}

// matcher finds the publishers of filters.
type matcher struct {
	names map[string][]int32
	tree  *topic.NameTree[[]int32] // of names, once there is a wildcard
	known map[string]sources
}

func newMatcher(pubs []*publisher) *matcher {
	m := &matcher{names: make(map[string][]int32, len(pubs)), known: make(map[string]sources)}
	for _, p := range pubs {
		m.names[p.topic] = append(m.names[p.topic], int32(p.id))
	}
	return m
}

// of are the publishers of filter, which is not one of a shared subscription.
func (m *matcher) of(filter string) sources {
	if !strings.ContainsAny(filter, "+#") {
		return newSources(m.names[filter])
	}
	if s, ok := m.known[filter]; ok {
		return s
	}
	if m.tree == nil {
		m.tree = new(topic.NameTree[[]int32])
		for name, pubs := range m.names {
			m.tree.Set(name, pubs)
		}
	}
	var list []int32
	m.tree.Match(filter, func(_ string, pubs []int32) bool {
		list = append(list, pubs...)
		return true
	})
	slices.Sort(list)
	s := newSources(list)
	m.known[filter] = s
	return s
}
