package broker

import (
	"slices"

	"mqt/mqtt/topic"
)

// fewSubscriptions is how many a session keeps in a list. Most clients have one
// or two, for which a map costs more than everything else of the session.
const fewSubscriptions = 8

// longFilter is the length above which a filter is not the first: nothing counts it
// any more when it has ended.
const longFilter = 128

// subscriptions are those of one session by Topic Filter. Guarded by
// session.mu.
type subscriptions struct {
	more *moreSubscriptions // nil: there was none but first

	// The first that a session makes is part of it, as many never make another, unless
	// it is long. When it has ended it is not used again: others may still look at it.
	first subscription
}

type moreSubscriptions struct {
	few  []*subscription
	many map[string]*subscription // instead of few, once there are more
}

func (ss *subscriptions) len() int {
	switch {
	case ss.more != nil:
		return len(ss.more.few) + len(ss.more.many)
	case ss.first.made():
		return 1
	}
	return 0
}

func (ss *subscriptions) get(filter string) (*subscription, bool) {
	if ss.more != nil {
		return ss.more.get(filter)
	}
	if ss.first.made() && ss.first.filter() == filter {
		return &ss.first, true
	}
	return nil, false
}

func (m *moreSubscriptions) get(filter string) (*subscription, bool) {
	if m.many != nil {
		sub, ok := m.many[filter]
		return sub, ok
	}
	if i := m.find(filter); i >= 0 {
		return m.few[i], true
	}
	return nil, false
}

func (m *moreSubscriptions) find(filter string) int {
	return slices.IndexFunc(m.few, func(sub *subscription) bool { return sub.filter() == filter })
}

// set makes what is wanted a subscription, in the place of one with the same
// filter.
func (ss *subscriptions) set(want *subscription) *subscription {
	sub := &ss.first
	if ss.more != nil || sub.made() || len(want.filter()) > longFilter {
		sub = &subscription{}
	}
	*sub = *want
	sub.entry = topic.NewEntry(want.filter(), want.session(), sub)
	if sub == &ss.first {
		return sub
	}
	if ss.more == nil {
		ss.more = &moreSubscriptions{few: ss.list()}
	}
	ss.more.set(sub)
	return sub
}

func (m *moreSubscriptions) set(sub *subscription) {
	if m.many != nil {
		m.many[sub.filter()] = sub
		return
	}
	if i := m.find(sub.filter()); i >= 0 {
		m.few[i] = sub
		return
	}
	m.few = append(m.few, sub)
	if len(m.few) > fewSubscriptions {
		m.many = make(map[string]*subscription, 2*fewSubscriptions)
		for _, sub := range m.few {
			m.many[sub.filter()] = sub
		}
		m.few = nil
	}
}

func (ss *subscriptions) delete(filter string) {
	switch m := ss.more; {
	case m == nil:
		if _, ok := ss.get(filter); ok {
			ss.clear()
		}
	case m.many != nil:
		delete(m.many, filter)
	default:
		if i := m.find(filter); i >= 0 {
			m.few = slices.Delete(m.few, i, i+1)
		}
	}
	if m := ss.more; m != nil && ss.len() == 0 {
		*m = moreSubscriptions{}
	}
}

// clear forgets all of them.
func (ss *subscriptions) clear() {
	if ss.len() > 0 {
		ss.more = &moreSubscriptions{}
	}
}

// list returns them in no order.
func (ss *subscriptions) list() []*subscription {
	list := make([]*subscription, 0, ss.len())
	for sub := range ss.all {
		list = append(list, sub)
	}
	return list
}

// all yields them in no order. They may not be changed meanwhile.
func (ss *subscriptions) all(yield func(*subscription) bool) {
	if ss.more == nil {
		if ss.first.made() {
			yield(&ss.first)
		}
		return
	}
	for _, sub := range ss.more.few {
		if !yield(sub) {
			return
		}
	}
	for _, sub := range ss.more.many {
		if !yield(sub) {
			return
		}
	}
}
