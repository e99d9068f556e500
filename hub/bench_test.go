package hub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/livefn/livefn/nodebridge"
)

// echoing answers every call at once, on the caller's goroutine once it has let go of its lock.
type echoing struct{ calls chan *nodebridge.Call }

func (e *echoing) Call(_ string, c *nodebridge.Call) error { e.calls <- c; return nil }
func (e *echoing) Load(context.Context, string, *nodebridge.Module) (nodebridge.Info, error) {
	return nodebridge.Info{}, nil
}

func (e *echoing) Unload(string, *nodebridge.Module) {}
func (e *echoing) Remove(string)                     {}
func (e *echoing) Limit(string, nodebridge.Limits)   {}

type done chan struct{}

func (d done) Reply(*Answer, *nodebridge.Batch) bool { d <- struct{}{}; return true }

// BenchmarkInvoke is the hub's own share of a call: from Invoke to Reply, without conn and bridge.
func BenchmarkInvoke(b *testing.B) {
	w := newWorld(b, b.TempDir(), Config{})
	e := &echoing{calls: make(chan *nodebridge.Call, 1)}
	w.hub.bridges = e
	to := make(done, 1)
	req := &Request{Function: "f", Args: []byte(`[1,2]`)}
	frame := nodebridge.Frame{Kind: nodebridge.Result, Payload: []byte("\x003")}
	var batch nodebridge.Batch
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.hub.Invoke(w.owner, req, to); err != nil {
			b.Fatal(err)
		}
		(<-e.calls).Receiver.Receive(frame, &batch)
		<-to
	}
}

// counting is a Subscriber that only counts.
type counting struct{ n int }

func (c *counting) Deliver(_ *Subscription, evs []*Event, _ *nodebridge.Batch) { c.n += len(evs) }
func (c *counting) Room(context.Context) error                                 { return nil }
func (c *counting) Ended(*Subscription, *nodebridge.Batch)                     {}

// manyPatterns subscribes to n patterns as dashboards and services have them, none of which matches what
// begins with "quiet".
func manyPatterns(b *testing.B, w *world, n int, to Subscriber) (subs []*Subscription) {
	b.Helper()
	shapes := []string{"orders.%d.>", "orders.*.customer-%d", "devices.%d.temperature", "*.eu.shop-%d", "chat.room-%d.*"}
	for i := range n {
		sub, err := w.hub.Subscribe(w.owner, fmt.Sprintf(shapes[i%len(shapes)], i), Since{}, to)
		if err != nil {
			b.Fatal(err)
		}
		subs = append(subs, sub)
	}
	return subs
}

// BenchmarkMatch finds those who match among others: its cost must be that of the matches. "linear" is what
// it costs to ask each pattern.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		w := newWorld(b, b.TempDir(), Config{})
		to := &counting{}
		subs := manyPatterns(b, w, n, to)
		j := w.hub.tenant(w.owner).journal
		for name, stream := range map[string]string{"nobody": "quiet.eu.17", "one": "orders.5.created"} {
			ev := &Event{Stream: stream, Type: "t"}
			b.Run(fmt.Sprintf("%s/of=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					j.patterns.deliver(ev.Stream, &delivery{one: ev})
				}
			})
		}
		b.Run(fmt.Sprintf("linear/of=%d", n), func(b *testing.B) {
			for b.Loop() {
				for _, sub := range subs {
					if matches(sub.pattern, "quiet.eu.17") {
						b.Fatal("matches")
					}
				}
			}
		})
		for _, sub := range subs {
			sub.Close()
		}
	}
}

// BenchmarkPublish is a publish to a stream in memory, and to a durable one from 64 publishers a core, with
// 100,000 patterns subscribed that do not match.
func BenchmarkPublish(b *testing.B) {
	w := newWorld(b, b.TempDir(), Config{})
	manyPatterns(b, w, 100_000, &counting{})
	if _, err := w.hub.SetStream(context.Background(), w.owner, "quiet.durable", Retention{Durable: true}); err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"id":7,"price":"12.50"}`)
	publish := func(b *testing.B, stream string) {
		if _, err := w.hub.Publish(context.Background(), w.owner, stream, "created", data); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("memory", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			publish(b, "quiet.memory")
		}
	})
	b.Run("durable", func(b *testing.B) {
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				publish(b, "quiet.durable")
			}
		})
	})
}

// BenchmarkPublishBeside is a publish to a stream in memory beside n subscriptions of exact names: of a function's stream,
// which is the hub's, and of as many of the tenant's own. Its cost must be that of the matches alone.
func BenchmarkPublishBeside(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		for kind, name := range map[string]string{"function": "function.f", "names": "shop.orders-#"} {
			w := newWorld(b, b.TempDir(), Config{MaxStreams: 2 * n})
			var subs []*Subscription
			for i := range n {
				sub, err := w.hub.Subscribe(w.owner, strings.ReplaceAll(name, "#", strconv.Itoa(i)), Since{}, &counting{})
				if err != nil {
					b.Fatal(err)
				}
				subs = append(subs, sub)
			}
			matches := map[string]string{"nobody": "quiet.memory"}
			if kind == "names" { // to the other the hub alone publishes
				matches["one"] = strings.ReplaceAll(name, "#", strconv.Itoa(n/2))
			}
			for match, stream := range matches {
				b.Run(fmt.Sprintf("%s/of=%d/%s", kind, n, match), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := w.hub.Publish(context.Background(), w.owner, stream, "created", []byte(`{"id":7,"price":"12.50"}`)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			for _, sub := range subs {
				sub.Close()
			}
		}
	}
}

// BenchmarkFanOut is one event to 10,000 subscriptions of one stream, the hub's share: an op is a delivery.
func BenchmarkFanOut(b *testing.B) {
	const n = 10_000
	w := newWorld(b, b.TempDir(), Config{})
	to := &counting{}
	for range n {
		if _, err := w.hub.Subscribe(w.owner, "ticker", Since{}, to); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; i < b.N; i += n {
		if _, err := w.hub.Publish(context.Background(), w.owner, "ticker", "t", nil); err != nil {
			b.Fatal(err)
		}
	}
}

func (e *echoing) Bridges(string) []nodebridge.BridgeInfo { return []nodebridge.BridgeInfo{} }
func (e *echoing) Ended(string) []nodebridge.EndedBridge  { return []nodebridge.EndedBridge{} }
func (e *echoing) Pools() []nodebridge.PoolInfo           { return nil }

func (e *echoing) Notify(func(nodebridge.Notice)) {}
func (e *echoing) Measure(string)                 {}
