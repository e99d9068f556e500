package hub

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

func TestASubscriptionHasHistoryThenLiveWithoutASeam(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, r := w.start(``)
	const early = 3*durableRingEvents + historyPage // more than the ring and a page of history
	for i := range early {
		r.emit("n", fmt.Sprint(i))
	}
	watch := newWatcher()
	sub, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Start: true}, watch)
	if err != nil {
		t.Fatal(err)
	}
	if !sub.Recovered() || sub.Position().Offset != 0 {
		t.Errorf("begins at %+v, recovered %v", sub.Position(), sub.Recovered())
	}
	for i := range 500 {
		r.emit("n", fmt.Sprint(early+i))
	}
	r.result(`1`)
	next, n := uint64(1), 0
	for {
		ev := <-watch.got
		if ev.Offset != next {
			t.Fatalf("event %d came, want %d", ev.Offset, next)
		}
		next++
		if ev.Type == "n" {
			if string(ev.Data) != fmt.Sprint(n) {
				t.Fatalf("event %d has %s", n, ev.Data)
			}
			n++
		}
		if ev.Type == EventSucceeded {
			break
		}
	}
	<-watch.ended
	if n != early+500 {
		t.Errorf("%d events, want %d", n, early+500)
	}

	// From a position, also after the end: everything after it, once.
	watch = newWatcher()
	sub, err = w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Position: &Position{sub.Position().Epoch, next - 3}}, watch)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.ended
	if first, second := <-watch.got, <-watch.got; !sub.Recovered() || first.Offset != next-2 || second.Type != EventSucceeded || len(watch.got) != 0 {
		t.Errorf("recovered %v, %+v, %+v, %d more", sub.Recovered(), first, second, len(watch.got))
	}
}

func TestAPositionOfAnotherEpochIsNotTrusted(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, _ := w.start(``)
	for _, p := range []Position{{"other", 1}, {v.Position().Epoch, 999}} {
		watch := newWatcher()
		sub, err := w.hub.Subscribe(w.owner, "execution."+v.ID(), Since{Position: &p}, watch)
		if err != nil {
			t.Fatal(err)
		}
		if sub.Recovered() || sub.Position() != (Position{v.Position().Epoch, 0}) {
			t.Errorf("since %+v: recovered %v at %+v", p, sub.Recovered(), sub.Position())
		}
		if got := watch.until(t, EventStarted); !reflect.DeepEqual(got, []string{EventQueued, EventStarted}) {
			t.Errorf("since %+v: %v", p, got)
		}
		sub.Close()
	}
}

func TestEventsOfACallAreSeenFromItsStart(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	early := newWatcher()
	x, err := w.hub.Invoke(w.owner, &Request{Function: "f", Events: early}, newReplies())
	if err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	r.emit("a", `1`)
	r.receive(nodebridge.Log, `{"level":"info","message":"hi"}`)
	late := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "execution."+x.ID(), Since{Start: true}, late); err != nil {
		t.Fatal(err)
	}
	fresh := newWatcher()
	if _, err := w.hub.Subscribe(w.owner, "execution."+x.ID(), Since{}, fresh); err != nil {
		t.Fatal(err)
	}
	r.result(`1`)
	all := []string{EventStarted, "a", EventLog, EventSucceeded}
	for name, c := range map[string]struct {
		w    *watcher
		want []string
	}{"from the first on": {early, all}, "later, from the start": {late, all}, "only new": {fresh, all[3:]}} {
		if got := c.w.until(t, EventSucceeded); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		<-c.w.ended
	}
	_, err = w.hub.Subscribe(w.owner, "execution."+x.ID(), Since{}, newWatcher())
	wantCode(t, err, fault.NotFound)
}

func TestAFunctionsStreamTellsOfItsExecutionsWhileSomebodyLooks(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	call := func() {
		t.Helper()
		if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, newReplies()); err != nil {
			t.Fatal(err)
		}
		w.bridges.wait(t).result(`1`)
	}
	call() // nobody looks
	exact, wild := newWatcher(), newWatcher()
	sub, err := w.hub.Subscribe(w.owner, "function.f", Since{Start: true}, exact)
	if err != nil {
		t.Fatal(err)
	}
	wildSub, err := w.hub.Subscribe(w.owner, "function.>", Since{}, wild)
	if err != nil {
		t.Fatal(err)
	}
	call()
	for _, w := range []*watcher{exact, wild} {
		ev := <-w.got
		var data map[string]any
		if err := json.Unmarshal(ev.Data, &data); err != nil {
			t.Fatal(err)
		}
		delete(data, "execution")
		want := map[string]any{"function": "f", "version": 1.0, "state": "running", "attempt": 1.0}
		if ev.Offset != 1 || ev.Stream != "function.f" || ev.Type != EventStarted || !reflect.DeepEqual(data, want) {
			t.Errorf("%d %s %s %v", ev.Offset, ev.Stream, ev.Type, data)
		}
		if ev := <-w.got; ev.Type != EventSucceeded || ev.Offset != 2 {
			t.Errorf("%d %s", ev.Offset, ev.Type)
		}
	}
	epoch := sub.Position().Epoch
	sub.Close()
	wildSub.Close()
	call() // nobody looks: it is missed, and the epoch says so
	sub, err = w.hub.Subscribe(w.owner, "function.f", Since{Position: &Position{epoch, 2}}, newWatcher())
	if err != nil {
		t.Fatal(err)
	}
	if sub.Recovered() || sub.Position().Epoch == epoch {
		t.Errorf("recovered %v in epoch %s after %s", sub.Recovered(), sub.Position().Epoch, epoch)
	}
	sub.Close()
	if tn := w.hub.tenant(w.owner); tn.lifecycle.Load() != 0 || tn.wildRuns.Load() != 0 || len(tn.functions) != 0 {
		t.Errorf("left behind: %d, %d, %v", tn.lifecycle.Load(), tn.wildRuns.Load(), tn.functions)
	}
}

func TestTooLargeAnEventIsReplacedByWordOfIt(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxEvent: 8})
	watch := newWatcher()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f", Events: watch}, newReplies()); err != nil {
		t.Fatal(err)
	}
	r := w.bridges.wait(t)
	r.emit("big", `"123456789"`)
	r.result(`1`)
	watch.until(t, EventStarted)
	ev := <-watch.got
	if want := `{"level":"error","message":"an event of 11 bytes was dropped: the limit is 8","event":"big"}`; ev.Type != EventLog || string(ev.Data) != want {
		t.Errorf("%s %s", ev.Type, ev.Data)
	}
}

func TestIDsAreULIDsThatSortByTheirMaking(t *testing.T) {
	g := newIDs()
	last := ""
	for i := range 10_000 {
		ms := int64(1_767_323_045_678 + i/100)
		id := g.next(ms, new([26]byte))
		parsed, err := ulid.ParseStrict(id)
		if err != nil || parsed.Time() != uint64(ms) || id <= last {
			t.Fatalf("%s after %s: %v", id, last, err)
		}
		last = id
	}
	if a, b := newIDs().next(0, new([26]byte)), newIDs().next(0, new([26]byte)); a == b {
		t.Errorf("two processes made %s", a)
	}
}

func TestTheRingForgetsTheOldest(t *testing.T) {
	s := newStream(&tenant{}, "execution.x", "e", 0)
	var b nodebridge.Batch
	for i := range ringEvents + 10 {
		s.publish(&Event{Type: "n", Data: fmt.Append(nil, i)}, &b)
	}
	if n, first := len(s.ring), s.ring[0].Offset; n != ringEvents || first != 11 {
		t.Errorf("%d events from %d", n, first)
	}
	for i, c := range []struct {
		since     Since
		offset    uint64
		recovered bool
	}{
		{Since{Start: true}, 10, true},
		{Since{}, ringEvents + 10, true},
		{Since{Position: &Position{"e", 10}}, 10, true},
		{Since{Position: &Position{"e", 9}}, 10, false},
		{Since{Position: &Position{"x", 10}}, 10, false},
		{Since{Position: &Position{"e", ringEvents + 11}}, 10, false},
	} {
		if offset, recovered := s.startLocked(c.since); offset != c.offset || recovered != c.recovered {
			t.Errorf("%d: begins at %d, recovered %v", i, offset, recovered)
		}
	}
	s.publish(&Event{Type: "n", Data: make([]byte, ringBytes)}, &b)
	if n := len(s.ring); n != 1 {
		t.Errorf("%d events stay beside one that fills the ring", n)
	}
}

// The store has an event a moment before it is published. A replay that took it from there would have it
// delivered twice.
func TestAReplayLeavesWhatIsNotPublishedYetToTheLiveEvents(t *testing.T) {
	s := newStream(&tenant{}, "execution.x", "e", 2)
	s.first = 1
	s.older = func(after uint64) (evs []*Event, err error) {
		for offset := after + 1; offset <= 4; offset++ {
			evs = append(evs, &Event{Offset: offset})
		}
		return evs, nil
	}
	evs, err := s.readOlder(0)
	if err != nil || len(evs) != 2 || evs[1].Offset != 2 {
		t.Errorf("%d events, %v", len(evs), err)
	}
}

// A durable stream whose store refused some events has gaps; readers must neither stumble nor miss more.
func TestARingWithGapsGivesWhatThereIs(t *testing.T) {
	s := newStream(&tenant{}, "execution.x", "e", 0)
	var b nodebridge.Batch
	for _, offset := range []uint64{3, 4, 9, 12} {
		s.publish(&Event{Type: "n", Offset: offset}, &b)
	}
	for after, want := range map[uint64][]uint64{2: {3, 4, 9, 12}, 3: {4, 9, 12}, 4: {9, 12}, 8: {9, 12}, 9: {12}, 11: {12}, 12: nil} {
		evs, ok := s.ringAfterLocked(after)
		var got []uint64
		for _, ev := range evs {
			got = append(got, ev.Offset)
		}
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("after %d: %v, %v", after, got, ok)
		}
	}
}

func TestPatternsMatchAsNATSSubjectsDo(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.b", "a.b", true}, {"a.b", "a.c", false}, {"a.b", "a.b.c", false}, {"a.b.c", "a.b", false},
		{"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false}, {"*.b", "a.b", true}, {"*", "a", true}, {"*", "a.b", false},
		{"a.>", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {">", "a.b.c", true}, {"*.*.c", "a.b.c", true}, {"*.>", "a.b", true},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%s over %s: %v", c.pattern, c.name, got)
		}
	}
	for p, ok := range map[string]bool{
		"a": true, "a.b-c.D_9": true, "*": true, ">": true, "a.*.>": true,
		"": false, ".": false, "a.": false, ".a": false, "a..b": false, "a.>.b": false, "a.b>": false, "a*": false, "ä": false, "a b": false,
		strings.Repeat("a", maxStreamName): true, strings.Repeat("a", maxStreamName+1): false,
	} {
		if _, err := checkPattern(p); (err == nil) != ok {
			t.Errorf("checkPattern(%q) = %v", p, err)
		}
	}
}

// FuzzPattern checks that any accepted pattern without wildcards matches itself alone.
func FuzzPattern(f *testing.F) {
	for _, s := range []string{"a.b", "a.*", ">", "a.>", "execution.01HZ", "..", "*.*"} {
		f.Add(s, "a.b")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		wild, err := checkPattern(pattern)
		nameWild, nameErr := checkPattern(name)
		if err != nil || nameErr != nil || nameWild {
			return
		}
		got := matches(pattern, name)
		if !wild && got != (pattern == name) {
			t.Errorf("%q over %q: %v", pattern, name, got)
		}
		if pattern == ">" && !got {
			t.Errorf("> does not match %q", name)
		}
	})
}

// FuzzEventMembers checks that an event is valid JSON and says what it holds.
func FuzzEventMembers(f *testing.F) {
	f.Add("progress", `{"a":1}`, int64(1767323045678))
	f.Add("\"\\\x00ü\xff", ``, int64(0))
	f.Fuzz(func(t *testing.T, typ, data string, ms int64) {
		if !json.Valid([]byte(data)) {
			data = ""
		}
		ms %= 1e14 // the year 5138
		b, err := json.Marshal(&Event{Stream: "execution.x", Offset: 7, Type: typ, Time: ms, Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Stream, Type, Time string
			Offset             uint64
			Data               json.RawMessage
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if got.Stream != "execution.x" || got.Offset != 7 || got.Type != strings.ToValidUTF8(typ, "\ufffd") && got.Type != typ && json.Valid([]byte(typ)) {
			t.Errorf("%s", b)
		}
	})
}
