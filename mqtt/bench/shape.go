package bench

import (
	"strconv"

	"mqt/mqtt"
)

// Publishers and subscribers have numbers from 0. A stream is what one
// subscriber gets of one publisher.

// topic is the Topic Name of publisher i.
func (s *Scenario) topic(i int) string {
	if s.Shape == FanIn {
		return s.TopicPrefix + "/" + strconv.Itoa(i%s.Subscribers) + "/" + strconv.Itoa(i)
	}
	return s.TopicPrefix + "/" + strconv.Itoa(i)
}

// filter is the Topic Filter of subscriber j.
func (s *Scenario) filter(j int) string {
	switch s.Shape {
	case FanIn:
		return s.TopicPrefix + "/" + strconv.Itoa(j) + "/+"
	case FanOut:
		j %= s.Publishers
	}
	return s.TopicPrefix + "/" + strconv.Itoa(j)
}

// streams is how many publishers subscriber j reads.
func (s *Scenario) streams(j int) int {
	if s.Shape == FanIn {
		return (s.Publishers - j + s.Subscribers - 1) / s.Subscribers
	}
	return 1
}

// source is the publisher of stream k of subscriber j.
func (s *Scenario) source(j, k int) int {
	switch s.Shape {
	case FanIn:
		return k*s.Subscribers + j
	case FanOut:
		return j % s.Publishers
	}
	return j
}

// stream is the number of publisher i among those of subscriber j, false if it
// is none of them.
func (s *Scenario) stream(j, i int) (int, bool) {
	if s.Shape == FanIn {
		return i / s.Subscribers, i%s.Subscribers == j
	}
	return 0, i == s.source(j, 0)
}

func (s *Scenario) publishQoS(i int) mqtt.QoS { return s.QoS[i%len(s.QoS)] }

func (s *Scenario) subscribeQoS(j int) mqtt.QoS {
	if len(s.SubscriberQoS) > 0 {
		return s.SubscriberQoS[j%len(s.SubscriberQoS)]
	}
	var q mqtt.QoS
	for k := range min(s.streams(j), len(s.QoS)) {
		q = max(q, s.publishQoS(s.source(j, k)))
	}
	return q
}
