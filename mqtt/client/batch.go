package client

import (
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// Batch collects messages, of one Client or of many, so that each Network
// Connection is written to once: [Batch.Publish] as often as there is
// something, then [Batch.Flush]. More than 64 KiB for one connection leave
// before that. The zero value is ready, and a flushed Batch can be used again.
// A Batch is not safe for concurrent use.
type Batch struct {
	out   transport.Batch
	now   time.Time       // of the first message
	frame []byte          // scratch of the encoder
	props mqtt.Properties // scratch of the encoder
}

// maxScratch is the largest frame buffer that a Batch keeps.
const maxScratch = 64 << 10

// batches lends a Batch to calls that bring none; a pool holds no state.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// Flush sends what was published with b. It never blocks.
func (b *Batch) Flush() {
	b.out.Flush()
	b.now = time.Time{}
	clear(b.props)
	if cap(b.frame) > maxScratch {
		b.frame = nil
	}
}

// time is when the Batch was begun. It is a little early for the messages
// behind the first, which makes keep alive pings early, not late.
func (b *Batch) time() time.Time {
	if b.now.IsZero() {
		b.now = time.Now()
	}
	return b.now
}
