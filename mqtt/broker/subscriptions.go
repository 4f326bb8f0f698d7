package broker

import "slices"

// fewSubscriptions is how many a session keeps in a list. Most clients have one
// or two, for which a map costs more than everything else of the session.
const fewSubscriptions = 8

// subscriptions are those of one session by Topic Filter. Guarded by
// session.mu.
type subscriptions struct {
	few  []*subscription
	many map[string]*subscription // instead of few, once there are more
}

func (ss *subscriptions) len() int { return len(ss.few) + len(ss.many) }

func (ss *subscriptions) get(filter string) (*subscription, bool) {
	if ss.many != nil {
		sub, ok := ss.many[filter]
		return sub, ok
	}
	if i := ss.find(filter); i >= 0 {
		return ss.few[i], true
	}
	return nil, false
}

func (ss *subscriptions) find(filter string) int {
	return slices.IndexFunc(ss.few, func(sub *subscription) bool { return sub.filter == filter })
}

// set adds sub, or puts it in the place of one with the same filter.
func (ss *subscriptions) set(sub *subscription) {
	if ss.many != nil {
		ss.many[sub.filter] = sub
		return
	}
	if i := ss.find(sub.filter); i >= 0 {
		ss.few[i] = sub
		return
	}
	ss.few = append(ss.few, sub)
	if len(ss.few) > fewSubscriptions {
		ss.many = make(map[string]*subscription, 2*fewSubscriptions)
		for _, sub := range ss.few {
			ss.many[sub.filter] = sub
		}
		ss.few = nil
	}
}

func (ss *subscriptions) delete(filter string) {
	if ss.many != nil {
		delete(ss.many, filter)
		return
	}
	if i := ss.find(filter); i >= 0 {
		ss.few = slices.Delete(ss.few, i, i+1)
	}
}

// all lists them in no order.
func (ss *subscriptions) all() []*subscription {
	out := slices.Clone(ss.few)
	for _, sub := range ss.many {
		out = append(out, sub)
	}
	return out
}
