package hub

import (
	"container/list"
	"context"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// Calmer is what a Subscriber has for the sake of conflation: while it is busy, only the newest event of each
// key waits, until it is calm.
type Calmer interface {
	Busy() bool
	Calm(ctx context.Context) error // blocks until it is not busy, or gives the error that ends the subscription
}

// conflater lets the events of a subscription whose subscriber is busy wait, the newest of each key alone. When
// they are more than MaxLatest or MaxLatestBytes, all are delivered, as if there were no conflation.
// What it delivers is in order, so that positions rise. The subscription's lock guards it.
type conflater struct {
	by      []string // tokens of the JSON pointer into an event's data; none: stream and type are the key
	waiting list.List
	byKey   map[string]*list.Element
	size    int  // bytes that wait, with their keys
	pumping bool // a goroutine delivers what waits
}

// waitingEvent is an event that waits.
type waitingEvent struct {
	key string
	ev  *Event
}

// newConflater reads a JSON pointer (RFC 6901); "" is none.
func newConflater(pointer string) (*conflater, error) {
	c := &conflater{byKey: map[string]*list.Element{}}
	if pointer == "" {
		return c, nil
	}
	if pointer[0] != '/' || len(pointer) > maxStreamName {
		return nil, fault.New(fault.InvalidRequest, "latest must be true or a JSON pointer into the events' data, as /id.")
	}
	for _, token := range strings.Split(pointer[1:], "/") {
		c.by = append(c.by, strings.NewReplacer("~1", "/", "~0", "~").Replace(token))
	}
	return c, nil
}

// take lets events wait if others do already, or if the subscriber is busy; else it gives false.
func (c *conflater) take(sub *Subscription, evs []*Event, b *nodebridge.Batch) bool {
	to, ok := sub.to.(Calmer)
	if !ok || !c.pumping && !to.Busy() {
		return false
	}
	for _, ev := range evs {
		key := c.key(ev)
		if e := c.byKey[key]; e != nil {
			c.remove(e)
		}
		c.byKey[key] = c.waiting.PushBack(waitingEvent{key, ev})
		c.size += len(key) + ev.size()
	}
	if cfg := &sub.t.hub.cfg; len(c.byKey) > cfg.MaxLatest || c.size > cfg.MaxLatestBytes {
		sub.to.Deliver(sub, c.next(math.MaxInt), b) // conflation does not help: the subscriber's own bound decides
	} else if !c.pumping {
		c.pumping = true
		sub.t.hub.spawn(func(ctx context.Context) { c.pump(ctx, sub, to) })
	}
	return true
}

// pump delivers what waits whenever the subscriber is calm.
func (c *conflater) pump(ctx context.Context, sub *Subscription, to Calmer) {
	var b nodebridge.Batch
	for more := true; more; {
		if err := to.Calm(ctx); err != nil {
			sub.Close()
			return
		}
		sub.mu.Lock()
		evs := c.next(pageBytes)
		if more = len(evs) > 0 && !sub.closed; more {
			sub.to.Deliver(sub, evs, &b)
		}
		c.pumping = more
		sub.mu.Unlock()
		b.Flush()
	}
}

// next takes events that wait, oldest first.
func (c *conflater) next(size int) (evs []*Event) {
	for e := c.waiting.Front(); e != nil && size > 0; e = c.waiting.Front() {
		w := c.remove(e)
		evs, size = append(evs, w.ev), size-w.ev.size()
	}
	return evs
}

func (c *conflater) remove(e *list.Element) waitingEvent {
	w := c.waiting.Remove(e).(waitingEvent)
	delete(c.byKey, w.key)
	c.size -= len(w.key) + w.ev.size()
	return w
}

// key gives what an event's newer one replaces it by.
func (c *conflater) key(ev *Event) string {
	key := ev.Stream + "\x00" + ev.Type
	if len(c.by) == 0 {
		return key
	}
	at := json.RawMessage(ev.Data)
	for _, token := range c.by {
		var members map[string]json.RawMessage
		var elements []json.RawMessage
		if json.Unmarshal(at, &members) == nil {
			at = members[token]
		} else if i, err := strconv.Atoi(token); err == nil && json.Unmarshal(at, &elements) == nil && 0 <= i && i < len(elements) {
			at = elements[i]
		} else {
			at = nil
		}
	}
	return key + "\x00" + string(at)
}
