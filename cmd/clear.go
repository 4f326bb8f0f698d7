package cmd

import (
	"context"
	"errors"
	"sync"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// clearer clears retained messages beside the reception of others. It never
// waits in add: the answers come over the same connection.
type clearer struct {
	c     *client.Client
	queue []*mqtt.Message
	back  map[string]bool // topics whose clearing has not come back as a message
	under sync.WaitGroup
	mu    sync.Mutex
	err   error // the first
}

func (q *clearer) add(topic string) {
	if q.back == nil {
		q.back = make(map[string]bool)
	}
	q.back[topic] = true
	q.queue = append(q.queue, &mqtt.Message{Topic: topic, QoS: mqtt.QoS1, Retain: true})
	q.start()
}

// echo tells that d is what add has published.
func (q *clearer) echo(d *client.Delivery) bool {
	if len(d.Payload) > 0 || !q.back[d.Topic] {
		return false
	}
	delete(q.back, d.Topic)
	return true
}

// done tells that all came back. A server sends what was retained before what
// comes later, so that there is nothing left then.
func (q *clearer) done() bool { return len(q.back) == 0 }

// start publishes as far as there is room.
func (q *clearer) start() {
	for len(q.queue) > 0 {
		q.under.Add(1)
		err := q.c.PublishAsync(q.queue[0], func(_ mqtt.ReasonCode, err error) {
			q.note(err)
			q.under.Done()
		})
		if err != nil {
			q.under.Done()
			if errors.Is(err, client.ErrWindowFull) || errors.Is(err, client.ErrNotConnected) {
				return
			}
			q.note(err)
		}
		q.queue = q.queue[1:]
	}
}

func (q *clearer) note(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
}

// finish waits for the rest, in bounded time.
func (q *clearer) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	go func() { // what still comes must be read for the acknowledgements to be read
		for {
			if _, err := q.c.Receive(ctx); err != nil {
				return
			}
		}
	}()
	for len(q.queue) > 0 {
		if err := q.c.WaitWindow(ctx); err != nil {
			return err
		}
		q.start()
	}
	ended := make(chan struct{})
	go func() {
		q.under.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return errors.New("the server did not acknowledge the clearing of retained messages")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}
