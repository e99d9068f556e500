package hub

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted stands in for Node: a test plays the function of each call.
type scripted struct {
	calls chan *run // accepted calls, in order

	mu   sync.Mutex // guards next, runs and full
	next uint32
	runs map[uint32]*run
	full bool // answer overloaded

	limits   []nodebridge.Limits // that were told
	notify   func(nodebridge.Notice)
	measured chan string // of which tenants measurements were asked for
}

// run is one call as its function sees it.
type run struct {
	t    testing.TB
	call *nodebridge.Call
	args string
	meta string
	in   chan frameIn
}

type frameIn struct {
	kind    nodebridge.Kind
	payload string
}

func newScripted() *scripted {
	return &scripted{calls: make(chan *run, 4096), runs: map[uint32]*run{}, measured: make(chan string, 1000)}
}

func (s *scripted) Call(_ string, c *nodebridge.Call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return fault.New(fault.Overloaded, "full")
	}
	s.next++
	r := &run{call: c, args: string(c.Args), meta: string(c.Meta), in: make(chan frameIn, 64)}
	s.runs[s.next] = r
	c.Accept(s, s.next)
	s.calls <- r
	return nil
}

func (s *scripted) Load(context.Context, string, *nodebridge.Module) (nodebridge.Info, error) {
	return nodebridge.Info{}, nil
}

func (s *scripted) Unload(string, *nodebridge.Module) {}
func (s *scripted) Remove(string)                     {}

func (s *scripted) Limit(tenant string, l nodebridge.Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = append(s.limits, l)
}

func (s *scripted) Carry(kind nodebridge.Kind, id uint32, payload []byte) {
	s.mu.Lock()
	r := s.runs[id]
	s.mu.Unlock()
	r.in <- frameIn{kind, string(payload)}
}

// wait gives the next call that the hub makes.
func (s *scripted) wait(t testing.TB) *run {
	t.Helper()
	select {
	case r := <-s.calls:
		r.t = t
		return r
	case <-time.After(10 * time.Second):
		t.Fatal("no call came")
		return nil
	}
}

func (r *run) receive(kind nodebridge.Kind, payload string) {
	var b nodebridge.Batch
	r.call.Receiver.Receive(nodebridge.Frame{Kind: kind, Payload: []byte(payload)}, &b)
	b.Flush()
}

func (r *run) result(js string)      { r.receive(nodebridge.Result, "\x00"+js) }
func (r *run) emit(typ, data string) { r.receive(nodebridge.Event, string(rune(len(typ)))+typ+data) }
func (r *run) paused(args string)    { r.parked("", args) }
func (r *run) checkpoint(number uint32, meta, args string) {
	b := append(binary.LittleEndian.AppendUint32(nil, number), byte(nodebridge.OpCheckpoint), byte(len(meta)), byte(len(meta)>>8))
	r.receive(nodebridge.Request, string(b)+meta+args)
}
func (r *run) parked(meta, args string) {
	r.receive(nodebridge.Paused, string([]byte{byte(len(meta)), byte(len(meta) >> 8)})+meta+args)
}
func (r *run) fail(message string) {
	r.receive(nodebridge.Error, `{"code":"function_error","name":"Error","message":"`+message+`","stack":"Error"}`)
}

// number is how a Send frame writes an event's number.
func number(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

func (r *run) lost() { r.receive(nodebridge.Lost, "") }
func (r *run) told(k nodebridge.Kind) string {
	r.t.Helper()
	select {
	case f := <-r.in:
		if f.kind != k {
			r.t.Fatalf("the function was told %#x %s, want %#x", f.kind, f.payload, k)
		}
		return f.payload
	case <-time.After(10 * time.Second):
		r.t.Fatalf("the function was not told %#x", k)
		return ""
	}
}

// world is a hub on a real store, with bridges that the test plays.
type world struct {
	t       testing.TB
	dir     string
	hub     *Hub
	store   *store.Store
	owner   *tenants.Tenant
	bridges *scripted
	full    atomic.Bool // the disk has no room left for the store
	stop    func()
}

func (w *world) free() (int64, error) {
	if w.full.Load() {
		return 200 << 20, nil
	}
	return 1 << 40, nil
}

const testFunction = "module.exports = () => 1"

// newWorld starts a hub in dir with tenant acme and function f; its end is checked in Cleanup.
func newWorld(t testing.TB, dir string, cfg Config) *world {
	t.Helper()
	return newWorldOf(t, dir, cfg, tenants.Config{})
}

// newWorldOf is newWorld with tenants that are set up otherwise.
func newWorldOf(t testing.TB, dir string, cfg Config, owned tenants.Config) *world {
	t.Helper()
	owned.Dir = dir + "/functions"
	w := &world{t: t, dir: dir, bridges: newScripted()}
	st, err := store.Open(dir+"/store", store.Options{Free: w.free, WatchEvery: 10 * time.Millisecond, RetryMax: 20 * time.Millisecond, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.store = st
	registry, err := tenants.Open(owned, st)
	if err != nil {
		t.Fatal(err)
	}
	w.hub = New(cfg, st, registry, w.bridges, slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	storeCtx, cancelStore := context.WithCancel(context.Background())
	hubDone, storeDone := make(chan error, 1), make(chan error, 1)
	go func() { storeDone <- st.Run(storeCtx) }()
	if w.owner, err = registry.Tenant("acme"); err != nil {
		if w.owner, _, err = registry.CreateTenant(ctx, "acme"); err != nil {
			t.Fatal(err)
		}
		if _, _, err = registry.Publish(ctx, w.owner, "f", tenants.Publication{Source: testFunction}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	go func() { hubDone <- w.hub.Run(ctx) }()
	select {
	case <-w.hub.Ready():
	case err := <-hubDone:
		t.Fatalf("the hub ended: %v", err)
	}
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-hubDone; err != nil {
				t.Errorf("hub.Run: %v", err)
			}
			cancelStore()
			if err := <-storeDone; err != nil {
				t.Errorf("store.Run: %v", err)
			}
			if err := st.Close(); err != nil {
				t.Errorf("store.Close: %v", err)
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

// restart stops the hub and starts another on the same data.
func (w *world) restart() *world {
	w.t.Helper()
	w.stop()
	return newWorld(w.t, w.dir, w.hub.cfg)
}

// start begins a durable execution of f and gives it with the function's side of it.
func (w *world) start(args string) (View, *run) {
	w.t.Helper()
	v, err := w.hub.Start(context.Background(), w.owner, &Request{Function: "f", Args: []byte(args)})
	if err != nil {
		w.t.Fatal(err)
	}
	return v, w.bridges.wait(w.t)
}

// keys gives the store's keys in which an execution's id stands.
func (w *world) keys(id string) (keys []string) {
	w.t.Helper()
	err := w.store.Scan(store.Range{Prefix: []byte("h/"), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		if strings.Contains(string(k), id) {
			keys = append(keys, string(k))
		}
		return true, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return keys
}

func (w *world) view(id string) map[string]any {
	w.t.Helper()
	v, err := w.hub.Execution(w.owner, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return toMap(w.t, v)
}

func toMap(t testing.TB, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"createdAt", "startedAt", "endedAt", "id"} {
		delete(m, k)
	}
	if p, ok := m["pause"].(map[string]any); ok {
		delete(p, "at")
	}
	return m
}

// replies is a Replier that remembers.
type replies struct {
	got  chan Answer
	stay bool // go on waiting after a pause
}

func newReplies() *replies { return &replies{got: make(chan Answer, 16)} }

func (r *replies) Reply(a *Answer, _ *nodebridge.Batch) bool {
	c := *a
	c.Result = append([]byte(nil), a.Result...)
	r.got <- c
	return !r.stay
}

func (r *replies) wait(t testing.TB) Answer {
	t.Helper()
	select {
	case a := <-r.got:
		return a
	case <-time.After(10 * time.Second):
		t.Fatal("no answer came")
		return Answer{}
	}
}

// await gives the execution's end or pause.
func (w *world) await(id string) Answer {
	w.t.Helper()
	to := newReplies()
	if _, err := w.hub.Await(w.owner, id, to); err != nil {
		w.t.Fatal(err)
	}
	return to.wait(w.t)
}

// watcher is a Subscriber that remembers.
type watcher struct {
	got   chan *Event
	ended chan struct{}
}

func newWatcher() *watcher {
	return &watcher{got: make(chan *Event, 10_000), ended: make(chan struct{}, 1)}
}

func (w *watcher) Deliver(_ *Subscription, evs []*Event, _ *nodebridge.Batch) {
	for _, ev := range evs {
		w.got <- ev
	}
}
func (w *watcher) Room(ctx context.Context) error             { return ctx.Err() }
func (w *watcher) Ended(_ *Subscription, _ *nodebridge.Batch) { w.ended <- struct{}{} }

// until gives the types of the events up to and with the first of a type.
func (w *watcher) until(t testing.TB, typ string) (types []string) {
	t.Helper()
	for {
		select {
		case ev := <-w.got:
			types = append(types, ev.Type)
			if ev.Type == typ {
				return types
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no event %s came after %v", typ, types)
		}
	}
}

func (s *scripted) Bridges(string) []nodebridge.BridgeInfo { return []nodebridge.BridgeInfo{} }
func (s *scripted) Ended(string) []nodebridge.EndedBridge  { return []nodebridge.EndedBridge{} }
func (s *scripted) Pools() []nodebridge.PoolInfo           { return nil }

func (s *scripted) Notify(to func(nodebridge.Notice)) { s.notify = to }

func (s *scripted) Measure(tenant string) {
	select {
	case s.measured <- tenant:
	default: // nobody has a use for so many
	}
	s.notify(nodebridge.Notice{Tenant: tenant, Moment: nodebridge.BridgeMeasured, At: time.Now(), Bridge: nodebridge.BridgeInfo{PID: 7}})
}
