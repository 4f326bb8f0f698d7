//go:build soak

package cmd_test

import (
	"fmt"
	"sync"

	"mqt/mqtt"
)

// soakStream is the numbers that are published to a topic, one after the other.
type soakStream struct {
	topic string
	qos   mqtt.QoS
	once  bool // its Session lives on, so that nothing comes twice at QoS 2

	mu    sync.Mutex
	sent  int
	doubt map[int]bool // neither acknowledged nor known to be lost
}

// next is the number to publish.
func (s *soakStream) next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	return s.sent - 1
}

// failed notes that nobody can tell what became of the number. It is called before the next is published.
func (s *soakStream) failed(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubt == nil {
		s.doubt = map[int]bool{}
	}
	s.doubt[i] = true
}

func (s *soakStream) doubtful(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubt[i]
}

func (s *soakStream) count() (sent, doubt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, len(s.doubt)
}

// soakReader is what a subscriber, or the members of a Shared Subscription together, have seen.
type soakReader struct {
	name  string
	qos   mqtt.QoS
	group bool // several share it, and only each of them has an order

	mu       sync.Mutex
	seen     map[*soakStream]*soakSeen
	n, again int
	faults   []string
}

// soakSeen is what came of one stream.
type soakSeen struct {
	next    int          // all before it came, or was skipped
	skipped map[int]bool // in doubt, and not come yet
	ahead   map[int]bool // of a group
}

func (r *soakReader) fault(format string, a ...any) {
	if len(r.faults) < 20 {
		r.faults = append(r.faults, r.name+": "+fmt.Sprintf(format, a...))
	}
}

// take writes down a message.
func (r *soakReader) take(s *soakStream, i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[*soakStream]*soakSeen{}
	}
	e := r.seen[s]
	if e == nil {
		e = &soakSeen{skipped: map[int]bool{}, ahead: map[int]bool{}}
		r.seen[s] = e
	}
	r.n++
	switch {
	case i < e.next || e.ahead[i]:
		if e.skipped[i] {
			delete(e.skipped, i)
			return
		}
		r.again++
		if s.qos == mqtt.QoS0 || s.qos == mqtt.QoS2 && s.once && r.qos != mqtt.QoS1 {
			r.fault("%s %d came twice or late, behind %d", s.topic, i, e.next-1)
		}
	case r.group:
		e.ahead[i] = true
		for e.ahead[e.next] || s.doubtful(e.next) {
			e.skipped[e.next] = !e.ahead[e.next]
			if e.ahead[e.next] {
				delete(e.skipped, e.next)
			}
			delete(e.ahead, e.next)
			e.next++
		}
	default:
		for j := e.next; j < i && min(r.qos, s.qos) > 0; j++ {
			if s.doubtful(j) {
				e.skipped[j] = true
			} else {
				r.fault("%s %d is missing, or comes behind %d", s.topic, j, i)
			}
		}
		e.next = i + 1
	}
}

// missing counts what was acknowledged and has not come.
func (r *soakReader) missing(streams []*soakStream) (n int, first string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range streams {
		if min(r.qos, s.qos) == 0 {
			continue
		}
		e := r.seen[s]
		if e == nil {
			e = &soakSeen{}
		}
		sent, _ := s.count()
		for i := e.next; i < sent; i++ {
			if !e.ahead[i] && !s.doubtful(i) {
				if n++; first == "" {
					first = fmt.Sprint(s.topic, " ", i)
				}
			}
		}
	}
	return n, first
}

// soakWills is which Will Messages have to come, and which must not.
type soakWills struct {
	mu         sync.Mutex
	sent       int
	due, never map[int]bool
	came       map[int]int
}

func (w *soakWills) next() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.due == nil {
		w.due, w.never, w.came = map[int]bool{}, map[int]bool{}, map[int]int{}
	}
	w.sent++
	return w.sent - 1
}

// owed notes what has to become of a will.
func (w *soakWills) owed(i int, due bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if due {
		w.due[i] = true
	} else {
		w.never[i] = true
	}
}

func (w *soakWills) take(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came[i]++
}

// verdict is "" when all is well; missing says that waiting may help.
func (w *soakWills) verdict() (text string, missing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.sent {
		switch n := w.came[i]; {
		case n > 1:
			return fmt.Sprintf("will %d came %d times", i, n), false
		case n == 1 && w.never[i]:
			return fmt.Sprintf("will %d came behind a DISCONNECT", i), false
		case n == 0 && w.due[i]:
			return fmt.Sprintf("will %d did not come", i), true
		}
	}
	return "", false
}
