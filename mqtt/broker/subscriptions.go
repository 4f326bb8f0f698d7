package broker

import "slices"

// fewSubscriptions is how many a session keeps in a list. Most clients have one
// or two, for which a map costs more than everything else of the session.
const fewSubscriptions = 8

// subscriptions are those of one session by Topic Filter. Guarded by
// session.mu.
type subscriptions struct {
	one  *subscription
	more *moreSubscriptions // instead of one, once there was more
}

type moreSubscriptions struct {
	few  []*subscription
	many map[string]*subscription // instead of few, once there are more
}

func (ss *subscriptions) len() int {
	switch {
	case ss.more != nil:
		return len(ss.more.few) + len(ss.more.many)
	case ss.one != nil:
		return 1
	}
	return 0
}

func (ss *subscriptions) get(filter string) (*subscription, bool) {
	if ss.more != nil {
		return ss.more.get(filter)
	}
	if ss.one != nil && ss.one.filter == filter {
		return ss.one, true
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
	return slices.IndexFunc(m.few, func(sub *subscription) bool { return sub.filter == filter })
}

// set adds sub, or puts it in the place of one with the same filter.
func (ss *subscriptions) set(sub *subscription) {
	switch {
	case ss.more != nil:
		ss.more.set(sub)
	case ss.one == nil || ss.one.filter == sub.filter:
		ss.one = sub
	default:
		ss.one, ss.more = nil, &moreSubscriptions{few: []*subscription{ss.one, sub}}
	}
}

func (m *moreSubscriptions) set(sub *subscription) {
	if m.many != nil {
		m.many[sub.filter] = sub
		return
	}
	if i := m.find(sub.filter); i >= 0 {
		m.few[i] = sub
		return
	}
	m.few = append(m.few, sub)
	if len(m.few) > fewSubscriptions {
		m.many = make(map[string]*subscription, 2*fewSubscriptions)
		for _, sub := range m.few {
			m.many[sub.filter] = sub
		}
		m.few = nil
	}
}

func (ss *subscriptions) delete(filter string) {
	switch m := ss.more; {
	case m == nil:
		if ss.one != nil && ss.one.filter == filter {
			ss.one = nil
		}
	case m.many != nil:
		delete(m.many, filter)
	default:
		if i := m.find(filter); i >= 0 {
			m.few = slices.Delete(m.few, i, i+1)
		}
	}
	if ss.more != nil && ss.len() == 0 {
		ss.more = nil
	}
}

// all yields them in no order. They may not be changed meanwhile.
func (ss *subscriptions) all(yield func(*subscription) bool) {
	if ss.one != nil {
		yield(ss.one)
	}
	if ss.more == nil {
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
