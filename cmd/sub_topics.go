package cmd

import (
	"errors"
	"hash/maphash"
)

// maxTopics bounds the memory of --each-topic-once, to some 40 MB.
const maxTopics = 1 << 20

// topicSet are topics that have been there. It keeps 128 bits of each: seeds
// that nobody knows make two of them equal by no one's intent.
type topicSet struct {
	seeds [2]maphash.Seed
	seen  map[[2]uint64]struct{}
	most  int
}

func newTopicSet() *topicSet {
	return &topicSet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, seen: make(map[[2]uint64]struct{}), most: maxTopics}
}

// add reports whether the topic is new.
func (s *topicSet) add(topic string) (bool, error) {
	key := [2]uint64{maphash.String(s.seeds[0], topic), maphash.String(s.seeds[1], topic)}
	if _, ok := s.seen[key]; ok {
		return false, nil
	}
	if len(s.seen) == s.most {
		return false, errors.New("more topics than --each-topic-once can remember: narrow -t, or give -C")
	}
	s.seen[key] = struct{}{}
	return true, nil
}
