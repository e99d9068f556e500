package conn

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// sink is one subscription of a session, or the events of one of its invokes. It turns events into
// notifications.
type sink struct {
	s    *Session
	head []byte // the notification up to the event's members

	mu     sync.Mutex        // guards the rest
	opened bool              // the answer to subscribe was sent
	answer *call             // to be answered by open
	name   string            // "" for the events of an invoke
	sub    *hub.Subscription // of the reading goroutine
}

// eventHead begins a notification: name is "subscription" or "call", id the JSON of its value.
func eventHead(name string, id []byte) []byte {
	b := append([]byte(nil), `{"jsonrpc":"2.0","method":"event","params":{"`...)
	b = append(append(append(b, name...), `":`...), id...)
	return append(b, ',')
}

var eventTail = []byte(`}}`)

// Deliver sends a notification for each event.
func (k *sink) Deliver(sub *hub.Subscription, evs []*hub.Event, b *nodebridge.Batch) {
	k.open(sub, b)
	o := &k.s.out
	for i, ok := 0, o.begin() && len(evs) > 0; ok; ok = i < len(evs) && o.fits() { // one lock for all
		members := evs[i].Members()
		if sub != nil {
			members = sub.Members(evs[i])
		}
		o.appendText(k.head, members, eventTail)
		i++
	}
	o.endBatch(b)
}

// Room waits until the client has read enough for more history.
func (k *sink) Room(ctx context.Context) error { return k.s.out.Room(ctx) }

// Ended drops the subscription and says so. One that fell behind may begin again from its last position.
func (k *sink) Ended(sub *hub.Subscription, b *nodebridge.Batch) {
	k.open(sub, b)
	if k.name == "" {
		return
	}
	k.s.forget(k.name)
	reason := endedStream
	if sub.Behind() {
		reason = endedBehind
	}
	k.s.out.text(b, endedHead, strconv.AppendQuote(nil, k.name), reason)
}

// The pieces of the notification that a subscription has ended.
var (
	endedHead   = []byte(`{"jsonrpc":"2.0","method":"ended","params":{"subscription":`)
	endedStream = []byte(`,"reason":"ended"}}`)
	endedBehind = []byte(`,"reason":"behind"}}`)

	endedForbidden = []byte(`,"reason":"forbidden"}}`) // a newer token does not allow it
)

// subscribed is the answer to subscribe.
type subscribed struct {
	Subscription string `json:"subscription"`
	Epoch        string `json:"epoch"`
	Offset       uint64 `json:"offset"`
	Recovered    bool   `json:"recovered"`
}

// open answers the subscribe: before the first event, so that the client knows the subscription that
// the event names.
func (k *sink) open(sub *hub.Subscription, b *nodebridge.Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opened {
		return
	}
	k.opened = true
	pos := sub.Position()
	answer, _ := json.Marshal(subscribed{k.name, pos.Epoch, pos.Offset, sub.Recovered()})
	k.answer.result(answer, b)
	k.answer = nil
}

func (s *Session) subscribe(r *rpcRequest, c *call) {
	p := params{r: r}
	pattern := p.stream()
	since, f := sinceOf(p.raw("since"))
	want := hub.Interest{Pattern: string(pattern), Since: since, Presence: p.bool("presence"), Member: s.member()}
	want.Latest, want.LatestBy = latestOf(&p)
	if f == nil {
		f = p.done()
	}
	if f != nil {
		c.invalid(f)
		return
	}
	k, err := s.addSink(c)
	if err != nil {
		c.fail(err, &s.batch)
		return
	}
	sub, err := s.srv.hub.SubscribeTo(s.caller.Load().Tenant, want, k)
	if err != nil {
		s.forget(k.name)
		c.fail(err, &s.batch)
		return
	}
	k.sub = sub
	k.open(sub, &s.batch)
}

// addSink makes a sink with a name of its own.
func (s *Session) addSink(c *call) (*sink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subs) >= s.srv.cfg.MaxSubs {
		return nil, fault.New(fault.Overloaded, "This connection has %d subscriptions, which is its limit.", len(s.subs))
	}
	if err := s.lease.subscribe(); err != nil {
		return nil, err
	}
	k := &sink{s: s, answer: c}
	if s.subNo < len(firstSubs) {
		k.name, k.head = firstSubs[s.subNo].name, firstSubs[s.subNo].head
	} else {
		k.name, k.head = subName(s.subNo)
	}
	s.subNo++
	s.subs = append(s.subs, k)
	return k, nil
}

// firstSubs are the names of a session's first subscriptions, and their heads: all sessions share them.
var firstSubs = func() (list [8]struct {
	name string
	head []byte
}) {
	for i := range list {
		list[i].name, list[i].head = subName(i)
	}
	return list
}()

func subName(no int) (name string, head []byte) {
	name = "s" + strconv.Itoa(no+1)
	return name, eventHead("subscription", strconv.AppendQuote(nil, name))
}

// forget takes a subscription off the session's list and gives it.
func (s *Session) forget(name string) *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.subs, func(k *sink) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	k := s.subs[i]
	s.subs = slices.Delete(s.subs, i, i+1)
	s.lease.unsubscribe(1)
	return k
}

func (s *Session) unsubscribe(r *rpcRequest, c *call) {
	p := params{r: r}
	name := string(p.need("subscription"))
	if f := p.done(); f != nil {
		c.invalid(f)
		return
	}
	if k := s.forget(name); k != nil {
		k.sub.Close()
	} else if !s.had(name) {
		c.fail(fault.New(fault.NotFound, "This connection has no subscription %q.", name), &s.batch)
		return
	}
	c.result(rpcTrue, &s.batch)
}

// had reports whether there was such a subscription, which has ended.
func (s *Session) had(name string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "s"))
	s.mu.Lock()
	defer s.mu.Unlock()
	return err == nil && 0 < n && n <= s.subNo
}

// sinceOf reads a since: "start", "new" or a position.
func sinceOf(raw []byte) (since hub.Since, f *fault.Fault) {
	switch string(raw) {
	case "", `"new"`:
		return since, nil
	case `"start"`:
		return hub.Since{Start: true}, nil
	}
	var pos hub.Position
	if raw[0] != '{' || strict(raw, &pos) != nil || pos.Epoch == "" {
		return since, fault.New(fault.InvalidRequest, `params.since must be "start", "new" or {epoch, offset}.`)
	}
	return hub.Since{Position: &pos}, nil
}
