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
	under sync.WaitGroup
	mu    sync.Mutex
	err   error // the first
}

func (q *clearer) add(topic string) {
	q.queue = append(q.queue, &mqtt.Message{Topic: topic, QoS: mqtt.QoS1, Retain: true})
	q.start()
}

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
