package flow

// quota is the send quota of section 4.9, seen from either end: how many QoS 1
// and QoS 2 PUBLISH packets may be on their way without the acknowledgement
// that ends them.
type quota struct {
	max  uint16 // Receive Maximum; 0 stands for 65,535, its default
	used uint16
}

func (q *quota) limit() uint16 {
	if q.max == 0 {
		return maxIDs
	}
	return q.max
}

// left is never negative, even where a reconnect lowered the maximum below
// what is in flight.
func (q *quota) left() int { return max(0, int(q.limit())-int(q.used)) }

func (q *quota) take() bool {
	if q.left() == 0 {
		return false
	}
	q.used++
	return true
}

// give never raises what is left above the maximum: an acknowledgement may end
// a flow that an earlier Network Connection began.
func (q *quota) give() bool {
	if q.used == 0 {
		return false
	}
	q.used--
	return true
}
