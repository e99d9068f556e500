package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/nodebridge"
)

// say publishes an event of type n with a number as data.
func (w *world) say(stream string, n int) Position {
	w.t.Helper()
	pos, err := w.hub.Publish(context.Background(), w.owner, stream, "n", json.RawMessage(fmt.Sprint(n)))
	if err != nil {
		w.t.Fatal(err)
	}
	return pos
}

func (w *world) durable(stream string, r Retention) {
	w.t.Helper()
	r.Durable = true
	if _, err := w.hub.SetStream(context.Background(), w.owner, stream, r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) watch(pattern string, since Since) (*watcher, *Subscription) {
	w.t.Helper()
	to := newWatcher()
	sub, err := w.hub.Subscribe(w.owner, pattern, since, to)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(sub.Close)
	return to, sub
}

// take gives the next n events as "stream:offset=data".
func (w *watcher) take(t testing.TB, n int) (got []string) {
	t.Helper()
	for range n {
		select {
		case ev := <-w.got:
			got = append(got, fmt.Sprintf("%s:%d=%s", ev.Stream, ev.Offset, ev.Data))
		case <-time.After(10 * time.Second):
			t.Fatalf("no event came after %v", got)
		}
	}
	if len(w.got) > 0 {
		t.Fatalf("another event came after %v: %+v", got, <-w.got)
	}
	return got
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestAStreamIsThereBeforeItsFirstEvent(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	live, sub := w.watch("orders.eu", Since{})
	equal(t, "starts", sub.Position().Offset, uint64(0))
	pattern, wild := w.watch("orders.>", Since{})
	pos := w.say("orders.eu", 1)
	equal(t, "position", pos, Position{sub.Position().Epoch, 1})
	equal(t, "live", live.take(t, 1), []string{"orders.eu:1=1"})
	equal(t, "pattern", pattern.take(t, 1), []string{"orders.eu:1=1"})
	sub.Close()
	wild.Close()
	w.say("orders.eu", 2)
	w.say("orders.us", 3)
	again, sub := w.watch("orders.eu", Since{Position: &pos})
	equal(t, "recovered", sub.Recovered(), true)
	equal(t, "missed", again.take(t, 1), []string{"orders.eu:2=2"})
	start := wild.Position()
	all, wild := w.watch("orders.*", Since{Position: &start})
	equal(t, "recovered", wild.Recovered(), true)
	equal(t, "all", all.take(t, 3), []string{"orders.eu:1=1", "orders.eu:2=2", "orders.us:1=3"})
}

// What a pattern has of streams in memory is gone with the process; of durable ones it is not.
func TestAPatternRecoversDurableStreamsOverARestart(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("orders.eu", Retention{})
	w.durable("orders.us", Retention{})
	live, sub := w.watch("orders.>", Since{})
	w.say("orders.eu", 1)
	w.say("chat.a", 2)
	w.say("orders.us", 3)
	equal(t, "live", live.take(t, 2), []string{"orders.eu:1=1", "orders.us:1=3"})
	start := sub.Position()
	w = w.restart()
	w.say("orders.us", 4)
	w.say("chat.a", 5)
	again, sub := w.watch("orders.>", Since{Position: &start})
	equal(t, "recovered", sub.Recovered(), true)
	equal(t, "all", again.take(t, 3), []string{"orders.eu:1=1", "orders.us:1=3", "orders.us:2=4"})
	first, sub := w.watch(">", Since{Start: true})
	equal(t, "recovered from the start", sub.Recovered(), true)
	equal(t, "everything left", first.take(t, 4), []string{"orders.eu:1=1", "orders.us:1=3", "orders.us:2=4", "chat.a:1=5"})
	_, sub = w.watch("chat.*", Since{Position: &start})
	equal(t, "recovered what memory had", sub.Recovered(), false)
	named, sub := w.watch("orders.us", Since{Start: true})
	equal(t, "one stream", named.take(t, 2), []string{"orders.us:1=3", "orders.us:2=4"})
	equal(t, "its start", sub.Position().Offset, uint64(0))
}

func TestAPatternIsToldWhatATrimTook(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	if _, err := w.hub.SetStream(context.Background(), w.owner, "a.short", Retention{MaxEvents: 2}); err != nil {
		t.Fatal(err)
	}
	_, sub := w.watch("a.*", Since{})
	_, only := w.watch("a.long", Since{})
	start, long := sub.Position(), only.Position()
	for i := range 5 {
		w.say("a.short", i)
		w.say("a.long", i)
	}
	to, sub := w.watch("a.*", Since{Position: &start})
	equal(t, "recovered", sub.Recovered(), false)
	equal(t, "what is left", to.take(t, 7), []string{"a.long:1=0", "a.long:2=1", "a.long:3=2", "a.short:4=3", "a.long:4=3", "a.short:5=4", "a.long:5=4"})
	to, sub = w.watch("a.long", Since{Position: &long})
	equal(t, "recovered one", sub.Recovered(), true)
	to.take(t, 5)
}

func TestAStreamsNameIsChecked(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	for name, stream := range map[string]string{
		"wildcard": "a.*", "the hub's": "execution.x", "functions": "function.f", "hub": "hub.x", "empty": "", "token": "a..b",
	} {
		if _, err := w.hub.Publish(context.Background(), w.owner, stream, "t", nil); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.hub.Publish(context.Background(), w.owner, "a", "t", json.RawMessage(`{`)); !fault.Is(err, fault.InvalidRequest) {
		t.Errorf("data: %v", err)
	}
}

func TestADurableStreamIsTrimmedInTheStore(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	const n = 1000
	w.durable("d", Retention{MaxEvents: 600})
	pubs := make([]Publication, n)
	for i := range pubs {
		pubs[i] = Publication{Type: "n", Data: json.RawMessage(fmt.Sprint(i))}
	}
	if _, err := w.hub.PublishAll(context.Background(), w.owner, "d", pubs); err != nil {
		t.Fatal(err)
	}
	_, sub := w.watch("d", Since{Start: true})
	equal(t, "start", sub.Position().Offset, uint64(0))
	w.hub.tenant(w.owner).journal.sweep(context.Background(), now())
	for round := range 2 {
		info, err := w.hub.Stream(w.owner, "d")
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "first", info.First, uint64(n-600+1))
		equal(t, "offset", info.Offset, uint64(n))
		to, sub := w.watch("d", Since{Start: true})
		equal(t, "start", sub.Position().Offset, uint64(n-600))
		ev := <-to.got
		equal(t, "first event", string(ev.Data), fmt.Sprint(n-600))
		wild, sub := w.watch("*", Since{Start: true})
		equal(t, "start", sub.Position().Offset, (<-wild.got).number-1)
		if round == 0 {
			w = w.restart()
		}
	}
	w.hub.tenant(w.owner).journal.sweep(context.Background(), now()+time.Duration(units.Duration(8*24*time.Hour)).Milliseconds())
	info, _ := w.hub.Stream(w.owner, "d")
	equal(t, "aged out", []uint64{info.First, info.Offset, uint64(info.Bytes)}, []uint64{n + 1, n, 0})
	epoch := info.Epoch
	w = w.restart()
	equal(t, "goes on", w.say("d", 1), Position{epoch, n + 1})
}

func TestADeletedStreamEndsAndBeginsInAnotherEpoch(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("d", Retention{})
	pos := w.say("d", 1)
	to, _ := w.watch("d", Since{})
	if err := w.hub.DeleteStream(context.Background(), w.owner, "d"); err != nil {
		t.Fatal(err)
	}
	<-to.ended
	if _, err := w.hub.Stream(w.owner, "d"); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	w = w.restart()
	next := w.say("d", 2)
	if next.Epoch == pos.Epoch || next.Offset != 1 {
		t.Fatalf("%+v after %+v", next, pos)
	}
	_, sub := w.watch("d", Since{Position: &pos})
	equal(t, "recovered", sub.Recovered(), false)
}

func TestAStreamBecomesDurableWithWhatItHas(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.say("s", 1)
	pos := w.say("s", 2)
	w.durable("s", Retention{})
	w.say("s", 3)
	w = w.restart()
	to, sub := w.watch("s", Since{Position: &pos})
	equal(t, "recovered", sub.Recovered(), true)
	equal(t, "missed", to.take(t, 1), []string{"s:3=3"})
	to, _ = w.watch("s", Since{Start: true})
	equal(t, "all", to.take(t, 3), []string{"s:1=1", "s:2=2", "s:3=3"})
}

func TestAFunctionPublishesInOrder(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, r := w.start(``)
	watch, _ := w.watch("chat.>", Since{})
	for i := range 3 {
		r.ask(uint32(i+1), nodebridge.OpPublish, fmt.Sprintf(`{"stream":"chat.a","type":"n","data":%d}`, i))
	}
	for i := range 3 {
		n, status, _, result := r.answer()
		equal(t, "answer", []any{n, status, member(t, result, "offset")}, []any{uint32(i + 1), nodebridge.StatusOK, float64(i + 1)})
	}
	equal(t, "events", watch.take(t, 3), []string{"chat.a:1=0", "chat.a:2=1", "chat.a:3=2"})
	r.ask(4, nodebridge.OpPublish, `{"stream":"function.f","type":"n"}`)
	r.wantFault(fault.InvalidRequest)
}

func member(t testing.TB, js, name string) any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(js), &m); err != nil {
		t.Fatal(err)
	}
	return m[name]
}

// Streams in memory must not stop with the disk, and what a full disk refused must not come later.
func TestWhileTheDiskTakesNothingStreamsInMemoryGoOn(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("d", Retention{})
	w.say("d", 1)
	w.say("m", 1)
	watch, sub := w.watch(">", Since{})
	start := sub.Position()
	w.full.Store(true)
	eventually(t, "no outage", func() bool { return w.hub.CanWrite() != nil })
	_, err := w.hub.Publish(bg, w.owner, "d", "n", json.RawMessage(`"refused"`))
	wantCode(t, err, fault.StorageUnavailable)
	at := w.say("m", 2)
	equal(t, "goes on", watch.take(t, 1), []string{"m:2=2"})
	_, err = w.hub.Publish(bg, w.owner, "new", "n", nil) // that it had events could not be noted
	wantCode(t, err, fault.StorageUnavailable)
	w.full.Store(false)
	eventually(t, "the outage goes on", func() bool { return w.hub.CanWrite() == nil })
	if _, err = w.hub.Publish(bg, w.owner, "d", "n", json.RawMessage(`"late"`)); err != nil {
		t.Fatal(err)
	}
	equal(t, "after it", string((<-watch.got).Data), `"late"`)
	w = w.restart()
	all, _ := w.watch("d", Since{Start: true})
	equal(t, "first on disk", string((<-all.got).Data), `1`)
	equal(t, "next on disk", string((<-all.got).Data), `"late"`)
	_, sub = w.watch("m", Since{Position: &at})
	equal(t, "recovered what memory had", sub.Recovered(), false)
	_, sub = w.watch("d.>", Since{Position: &start})
	equal(t, "recovered what is on disk", sub.Recovered(), true)
}

// A crowd of subscribers must not hold up the committer, which everybody's writes wait for.
func TestACrowdIsNotFlushedByTheCommitter(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("d", Retention{})
	const crowd = flushInline + 1
	gate, flushed := make(chan struct{}), make(chan struct{}, crowd)
	for range crowd {
		if _, err := w.hub.Subscribe(w.owner, "d", Since{}, &gated{gate, flushed}); err != nil {
			t.Fatal(err)
		}
	}
	w.say("d", 1)
	w.say("other", 1) // its mark goes through the committer
	close(gate)
	for range crowd {
		<-flushed
	}
}

// gated is a Subscriber whose flush waits for a gate.
type gated struct{ gate, flushed chan struct{} }

func (g *gated) Deliver(_ *Subscription, _ []*Event, b *nodebridge.Batch) { b.Add(g) }
func (g *gated) Room(context.Context) error                               { return nil }
func (g *gated) Ended(*Subscription, *nodebridge.Batch)                   {}
func (g *gated) Flush()                                                   { <-g.gate; g.flushed <- struct{}{} }

// reluctant is a Subscriber that has room only when the test says so.
type reluctant struct {
	*watcher
	room chan struct{}
}

func (r *reluctant) Room(ctx context.Context) error {
	select {
	case <-r.room:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Who reads history more slowly than it goes must be told, and not be given what is left as if it were all.
func TestASubscriberWhoseHistoryGoesWhileItReadsIsToldSo(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.durable("x.d", Retention{})
	if _, err := w.hub.SetStream(context.Background(), w.owner, "x.m", Retention{MaxEvents: 5}); err != nil {
		t.Fatal(err)
	}
	w.say("x.m", 0)
	pubs := slices.Repeat([]Publication{{Type: "n", Data: json.RawMessage(`1`)}}, 2*durableRingEvents)
	if _, err := w.hub.PublishAll(context.Background(), w.owner, "x.d", pubs); err != nil {
		t.Fatal(err)
	}
	to := &reluctant{newWatcher(), make(chan struct{})}
	sub, err := w.hub.Subscribe(w.owner, "x.>", Since{Start: true}, to)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		w.say("x.m", 1+i)
	}
	close(to.room)
	<-to.ended
	var last Position
	for n := range 1 + len(pubs) { // what there was when it came is delivered
		ev := <-to.got
		last, _ = sub.PositionOf(ev)
		if n == 0 && ev.Stream != "x.m" {
			t.Errorf("first came %s", ev.Stream)
		}
	}
	equal(t, "behind", []any{sub.Behind(), len(to.got)}, []any{true, 0})
	_, sub = w.watch("x.>", Since{Position: &last})
	equal(t, "recovered", sub.Recovered(), false)
}
