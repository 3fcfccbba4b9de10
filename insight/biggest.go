package insight

import (
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// biggest has the largest of what is offered, one for each hash. It grows as it is filled,
// and then allocates nothing.
type biggest struct{ items []big }

type big struct {
	hash   uint64
	bytes  int
	id     command.ID
	key    key
	client client
	at     time.Time
}

// offer takes note of a command, where it is among the largest.
func (b *biggest) offer(o *tenant.Observed, k key, hash uint64, bytes int) {
	item := b.place(hash, bytes)
	if item == nil {
		return
	}
	item.hash, item.bytes, item.id, item.at, item.client = hash, bytes, command.ID(o.Command), o.At, clientOf(o)
	item.key.become(k)
	item.key.db = o.DB
}

// place is where what has hash and so many bytes goes; nil: it is not among the largest.
func (b *biggest) place(hash uint64, bytes int) *big {
	least := 0
	for i := range b.items {
		if b.items[i].hash == hash {
			if bytes <= b.items[i].bytes {
				return nil
			}
			return &b.items[i]
		}
		if b.items[i].bytes < b.items[least].bytes {
			least = i
		}
	}
	n := len(b.items)
	switch {
	case n < cap(b.items):
		b.items = b.items[:n+1]
		return &b.items[n]
	case n < tenant.TopLen:
		grown := make([]big, n+1, max(2, 2*n))
		copy(grown, b.items)
		b.items = grown
		return &b.items[n]
	case bytes <= b.items[least].bytes:
		return nil
	}
	return &b.items[least]
}

func (b *biggest) reset() { b.items = b.items[:0] }

// room is how many slots it takes.
func (b *biggest) room() int { return cap(b.items) }
