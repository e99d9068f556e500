package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// slow is a Subscriber that is busy until the test lets it be calm.
type slow struct {
	*watcher
	mu   sync.Mutex
	busy bool
	calm chan struct{} // closed when it is calm
}

func (s *slow) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

func (s *slow) Calm(ctx context.Context) error {
	select {
	case <-s.calm:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func TestOfWhatABusySubscriberMissedTheNewestOfEachKeyWaits(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	for by, want := range map[string][]string{
		"":      {"prices:6=", "stocks:1="},
		"/id":   {"prices:5=", "prices:6=", "stocks:1="},
		"/none": {"prices:6=", "stocks:1="},
		"/a/0":  {"prices:3=", "prices:6=", "stocks:1="},
	} {
		for _, s := range []string{"prices", "stocks"} {
			if err := w.hub.DeleteStream(context.Background(), w.owner, s); err != nil && !fault.Is(err, fault.NotFound) {
				t.Fatal(err)
			}
		}
		to := &slow{watcher: newWatcher(), calm: make(chan struct{})}
		sub, err := w.hub.SubscribeTo(w.owner, Interest{Pattern: ">", Latest: true, LatestBy: by}, to)
		if err != nil {
			t.Fatal(err)
		}
		publish := func(stream, data string) {
			t.Helper()
			if _, err := w.hub.Publish(context.Background(), w.owner, stream, "t", json.RawMessage(data)); err != nil {
				t.Fatal(err)
			}
		}
		publish("prices", `{"id":0}`)
		equal(t, "before it is busy", (<-to.got).Offset, uint64(1))
		to.mu.Lock()
		to.busy = true
		to.mu.Unlock()
		for i := range 4 {
			publish("prices", fmt.Sprintf(`{"id":%d,"a":[%d]}`, 1+i%2, i/2))
		}
		publish("prices", `{"id":1,"a":[1]}`)
		publish("stocks", `1`)
		close(to.calm)
		var got []string
		var last uint64
		for range want {
			ev := <-to.got
			p, _ := sub.PositionOf(ev)
			if p.Offset <= last {
				t.Errorf("position %d after %d", p.Offset, last)
			}
			last = p.Offset
			got = append(got, fmt.Sprintf("%s:%d=", ev.Stream, ev.Offset))
		}
		equal(t, "by "+by, got, want)
		sub.Close()
		equal(t, "nothing else", len(to.got), 0)
	}
	if _, err := w.hub.SubscribeTo(w.owner, Interest{Pattern: ">", Latest: true, LatestBy: "id"}, newWatcher()); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("not a pointer: %v", err)
	}
}

// present is a Subscriber that is told who comes and goes.
type present struct {
	*watcher
	changes chan string
}

func (p *present) PresenceChanged(_ *Subscription, c PresenceChange, _ *nodebridge.Batch) {
	p.changes <- fmt.Sprintf("%v %s %d", c.Joined, c.Member.Connection, c.Total)
}

func TestPresenceSaysWhoIsSubscribedAndWhoComesAndGoes(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	join := func(connection string, watch bool) (*Subscription, *present) {
		t.Helper()
		to := &present{newWatcher(), make(chan string, 16)}
		sub, err := w.hub.SubscribeTo(w.owner, Interest{Pattern: "chat.1", Member: &Member{Connection: connection}, Presence: watch}, to)
		if err != nil {
			t.Fatal(err)
		}
		return sub, to
	}
	a, watch := join("a", true)
	b, deaf := join("b", false)
	again, _ := join("b", false)
	got, err := w.hub.Presence(w.owner, "chat.1")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "who", got, Presence{"chat.1", 2, []Member{{Connection: "a"}, {Connection: "b"}}})
	b.Close()
	again.Close()
	again.Close()
	equal(t, "came", <-watch.changes, "true b 2")
	equal(t, "left", <-watch.changes, "false b 1")
	a.Close()
	equal(t, "more", len(watch.changes)+len(deaf.changes), 0)
	got, _ = w.hub.Presence(w.owner, "chat.1")
	equal(t, "nobody", got, Presence{"chat.1", 0, []Member{}})
	_, watch = join("c", true)
	if err := w.hub.DeleteStream(context.Background(), w.owner, "chat.1"); err != nil {
		t.Fatal(err)
	}
	<-watch.ended
	got, _ = w.hub.Presence(w.owner, "chat.1")
	equal(t, "after the end", got.Total, 0)
}

// A crowd is counted, but neither listed whole nor told of each other; when it is small again, it is.
func TestBeyondMaxPresenceOnesComingAndGoingIsNotTold(t *testing.T) {
	const most = 3
	w := newWorld(t, t.TempDir(), Config{MaxPresence: most})
	join := func(connection string) (*Subscription, *present) {
		t.Helper()
		to := &present{newWatcher(), make(chan string, 16)}
		sub, err := w.hub.SubscribeTo(w.owner, Interest{Pattern: "chat.*", Member: &Member{Connection: connection}, Presence: true}, to)
		if err != nil {
			t.Fatal(err)
		}
		return sub, to
	}
	_, a := join("a")
	crowd := map[string]*Subscription{}
	for _, connection := range []string{"b", "c", "d", "e"} {
		crowd[connection], _ = join(connection)
	}
	got, err := w.hub.Presence(w.owner, "chat.*")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "who", got, Presence{"chat.*", 5, []Member{{Connection: "a"}, {Connection: "b"}, {Connection: "c"}}})
	for _, connection := range []string{"b", "e", "d"} {
		crowd[connection].Close()
	}
	var told []string
	for range 4 {
		told = append(told, <-a.changes)
	}
	equal(t, "told", told, []string{"true b 2", "true c 3", "false e 3", "false d 2"})
	equal(t, "more", len(a.changes), 0)
	got, _ = w.hub.Presence(w.owner, "chat.*")
	equal(t, "who is left", got, Presence{"chat.*", 2, []Member{{Connection: "a"}, {Connection: "c"}}})
}

// More keys or bytes than may wait are delivered though the subscriber is busy, in order and none missing: its own
// bound decides then. What comes after waits again.
func TestBeyondMaxLatestAllThatWaitIsDelivered(t *testing.T) {
	for name, cfg := range map[string]Config{
		"keys":  {MaxLatest: 3},
		"bytes": {MaxLatestBytes: 4 << 10}, // three events of a KiB, and one that is too many
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), cfg)
			to := &slow{watcher: newWatcher(), calm: make(chan struct{}), busy: true}
			sub, err := w.hub.SubscribeTo(w.owner, Interest{Pattern: "prices.*", Latest: true, LatestBy: "/id"}, to)
			if err != nil {
				t.Fatal(err)
			}
			publish := func(id int) {
				t.Helper()
				data := fmt.Sprintf(`{"id":%d,"is":%q}`, id, strings.Repeat("x", 1<<10))
				if _, err := w.hub.Publish(context.Background(), w.owner, "prices.eu", "t", json.RawMessage(data)); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []int{1, 2, 3, 1, 3, 1} {
				publish(id)
			}
			equal(t, "while they may wait", len(to.got), 0)
			publish(4)
			var got []uint64
			for len(to.got) > 0 {
				got = append(got, (<-to.got).Offset)
			}
			equal(t, "beyond", got, []uint64{2, 5, 6, 7})
			publish(5)
			publish(5)
			equal(t, "what comes after", len(to.got), 0)
			close(to.calm)
			equal(t, "calm", (<-to.got).Offset, uint64(9))
			sub.Close()
			equal(t, "nothing else", len(to.got), 0)
		})
	}
}
