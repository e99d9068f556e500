package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/livefn/livefn/nodebridge"
)

// TestStreamsBehaveAsTheirModel publishes, drops, resumes, restarts, trims and deletes at random. What each
// subscriber gets is held to a model that knows every event and what history still has: everything after
// its position, in order, once; and recovered is false exactly if something of that is gone, or, after a
// restart, if a stream in memory may have had something.
func TestStreamsBehaveAsTheirModel(t *testing.T) {
	enough := time.Now().Add(8 * time.Second) // most of it are restarts and fsyncs
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(enough) {
			return
		}
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		m := &journalModel{rt: rt, w: newWorld(t, dir, Config{}), streams: map[string]*modelStream{}}
		m.define("d.a", Retention{Durable: true, MaxEvents: 100})
		m.define("d.b.c", Retention{Durable: true})
		m.define("m.a", Retention{MaxEvents: 5})
		m.define("m.b", Retention{})
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(*rapid.T) { m.publish() },
			"connect": func(*rapid.T) { m.connect() },
			"drop":    func(*rapid.T) { m.drop() },
			"resume":  func(*rapid.T) { m.resume() },
			"trim":    func(*rapid.T) { m.trim() },
			"delete":  func(*rapid.T) { m.delete() },
			"restart": func(*rapid.T) { m.restart() },
			"":        func(*rapid.T) { m.check() },
		})
		m.w.stop()
	})
}

type modelStream struct {
	Retention
	had  []int // numbers of the events of history
	last int   // number of the last one that it lost
	proc int   // the newest process in which it had events
	life int   // how often it was deleted

	lostIn int // the newest process that ended with events that it had in memory; -1: none
}

type journalModel struct {
	rt      *rapid.T
	w       *world
	streams map[string]*modelStream
	names   []string // of streams, by event's number
	proc    int      // restarts so far
	subs    []*modelSub
}

// modelSub is one subscriber, over all its connections.
type modelSub struct {
	pattern string
	wild    bool
	sub     *Subscription // nil: offline
	pos     Position
	at      int // the number of the newest event that it has, or need not have
	proc    int // the process that pos is of
	life    int // the life of its stream that pos is of
	mu      sync.Mutex
	got     []int
	want    []int
	places  []Position
	more    chan struct{}
	ended   bool
}

func (s *modelSub) Deliver(sub *Subscription, evs []*Event, _ *nodebridge.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range evs {
		n, _ := strconv.Atoi(string(ev.Data))
		p, _ := sub.PositionOf(ev)
		s.got, s.places = append(s.got, n), append(s.places, p)
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}
func (s *modelSub) Room(ctx context.Context) error { return ctx.Err() }
func (s *modelSub) Ended(*Subscription, *nodebridge.Batch) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
}

func (m *journalModel) define(name string, r Retention) {
	info, err := m.w.hub.SetStream(context.Background(), m.w.owner, name, r)
	if err != nil {
		m.rt.Fatal(err)
	}
	s := m.streams[name]
	if s == nil {
		s = &modelStream{last: -1, proc: -1, lostIn: -1}
		m.streams[name] = s
	}
	s.Retention = info.Retention
}

func (m *journalModel) pick() string {
	return rapid.SampledFrom([]string{"d.a", "d.b.c", "m.a", "m.b"}).Draw(m.rt, "stream")
}

func (m *journalModel) publish() {
	name := m.pick()
	pubs := make([]Publication, rapid.IntRange(1, 90).Draw(m.rt, "events"))
	s := m.streams[name]
	for i := range pubs {
		n := len(m.names)
		pubs[i] = Publication{Type: "n", Data: json.RawMessage(fmt.Sprint(n))}
		m.names = append(m.names, name)
		s.had = append(s.had, n)
		for _, sub := range m.subs {
			if sub.sub != nil && matches(sub.pattern, name) {
				sub.want = append(sub.want, n)
			}
		}
	}
	s.proc = m.proc
	if !s.Durable {
		s.cut(s.MaxEvents)
	}
	if _, err := m.w.hub.PublishAll(context.Background(), m.w.owner, name, pubs); err != nil {
		m.rt.Fatal(err)
	}
}

// cut leaves the newest events in history.
func (s *modelStream) cut(keep int) {
	if n := len(s.had) - keep; n > 0 {
		s.last, s.had = s.had[n-1], s.had[n:]
	}
}

func (m *journalModel) connect() {
	pattern := rapid.SampledFrom([]string{"d.a", "m.a", "m.b", "d.>", "*.a", "m.*", "d.b.c"}).Draw(m.rt, "pattern")
	wild, _ := checkPattern(pattern)
	sub := &modelSub{pattern: pattern, wild: wild, more: make(chan struct{}, 1), at: len(m.names) - 1}
	since := Since{Start: rapid.Bool().Draw(m.rt, "start")}
	if since.Start {
		sub.at = -1
	}
	m.subs = append(m.subs, sub)
	if recovered, _ := m.begin(sub, since); !recovered {
		m.rt.Fatalf("%s from the start or new: not recovered", pattern)
	}
}

// begin subscribes and notes what has to come.
func (m *journalModel) begin(sub *modelSub, since Since) (recovered, lost bool) {
	oldest := len(m.names)
	sub.want, sub.got, sub.places, sub.ended = nil, nil, nil, false
	for name, s := range m.streams {
		if !matches(sub.pattern, name) {
			continue
		}
		lost = lost || s.last > sub.at
		for _, n := range s.had {
			oldest = min(oldest, n)
			if n > sub.at {
				sub.want = append(sub.want, n)
			}
		}
	}
	slices.Sort(sub.want)
	got, err := m.w.hub.Subscribe(m.w.owner, sub.pattern, since, sub)
	if err != nil {
		m.rt.Fatal(err)
	}
	sub.sub, sub.pos, sub.at = got, got.Position(), max(sub.at, oldest-1)
	sub.proc, sub.life = m.proc, m.lives(sub)
	return got.Recovered(), lost
}

func (m *journalModel) lives(sub *modelSub) int {
	if s := m.streams[sub.pattern]; s != nil {
		return s.life
	}
	return 0
}

func (m *journalModel) some(online bool) *modelSub {
	var of []*modelSub
	for _, s := range m.subs {
		if (s.sub != nil) == online {
			of = append(of, s)
		}
	}
	if len(of) == 0 {
		return nil
	}
	return rapid.SampledFrom(of).Draw(m.rt, "subscriber")
}

func (m *journalModel) drop() {
	if s := m.some(true); s != nil {
		m.leave(s)
	}
}

func (m *journalModel) leave(s *modelSub) {
	s.sub.Close()
	s.sub = nil
	if n := len(s.got); n > 0 {
		s.at, s.pos, s.proc = s.got[n-1], s.places[n-1], m.proc
	}
}

func (m *journalModel) resume() {
	s := m.some(false)
	if s == nil {
		return
	}
	_, unknown := patternScope(s.pattern) // what the hub's own streams had
	for name, st := range m.streams {
		if matches(s.pattern, name) && !st.Durable && s.proc < m.proc {
			unknown = unknown || !s.wild || st.lostIn >= s.proc
		}
	}
	if !s.wild && s.life != m.lives(s) {
		unknown = true
	}
	was := s.pos
	if recovered, lost := m.begin(s, Since{Position: &was}); recovered == (lost || unknown) {
		m.rt.Fatalf("%s from %v: recovered %v, but lost %v, unknown %v", s.pattern, was, recovered, lost, unknown)
	}
}

func (m *journalModel) trim() {
	j := m.w.hub.tenant(m.w.owner).journal
	if err := j.open(); err != nil {
		m.rt.Fatal(err)
	}
	j.sweep(context.Background(), now())
	for _, s := range m.streams {
		if s.Durable {
			s.cut(s.MaxEvents)
		}
	}
}

func (m *journalModel) delete() {
	name := m.pick()
	s := m.streams[name]
	if err := m.w.hub.DeleteStream(context.Background(), m.w.owner, name); err != nil {
		m.rt.Fatal(err)
	}
	for _, sub := range m.subs {
		if sub.sub != nil && sub.pattern == name {
			if !sub.ended {
				m.rt.Fatalf("%s was deleted, and its subscriber not told", name)
			}
			m.leave(sub)
		}
	}
	s.cut(0)
	s.life, s.proc = s.life+1, -1 // what it lost is known
	m.define(name, s.Retention)
}

func (m *journalModel) restart() {
	for _, s := range m.subs {
		if s.sub != nil {
			m.leave(s)
		}
	}
	m.w = m.w.restart()
	for _, s := range m.streams {
		if !s.Durable {
			if s.proc == m.proc {
				s.lostIn = m.proc
			}
			s.cut(0)
		}
	}
	m.proc++
}

// check waits until each subscriber has what it ought to, and nothing else.
func (m *journalModel) check() {
	for _, s := range m.subs {
		if s.sub == nil {
			continue
		}
		j := m.w.hub.tenant(m.w.owner).journal
		eventually(m.rt, s.pattern+" does not join", func() bool { // before that, what memory drops would be a loss
			j.mu.Lock()
			defer j.mu.Unlock()
			return s.sub.joined
		})
		for {
			s.mu.Lock()
			got, ended := slices.Clone(s.got), s.ended
			s.mu.Unlock()
			if slices.Equal(got, s.want) && !ended {
				break
			}
			if n := len(got); n > len(s.want) || !slices.Equal(got, s.want[:n]) || ended {
				m.rt.Fatalf("%s got %v, ended %v, want %v", s.pattern, got, ended, s.want)
			}
			select {
			case <-s.more:
			case <-time.After(10 * time.Second):
				m.rt.Fatalf("%s got %v and no more, want %v", s.pattern, got, s.want)
			}
		}
	}
}

// follower is a subscriber that leaves and comes back while events are published, and holds what it gets
// to what it was told: offsets of each stream rise by one, but where a resume was not recovered.
type follower struct {
	t       *testing.T
	w       *world
	pattern string

	mu    sync.Mutex
	next  map[string]uint64 // offset that has to come, by stream
	pos   Position
	n     int
	over  chan struct{} // the subscription has ended, or has had enough
	left  int           // events until it has
	total int           // events until all is there
}

func (f *follower) Deliver(sub *Subscription, evs []*Event, _ *nodebridge.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ev := range evs {
		if want := f.next[ev.Stream]; ev.Offset < want || want > 0 && ev.Offset > want {
			f.t.Errorf("%s: %s has %d, want %d", f.pattern, ev.Stream, ev.Offset, want)
		}
		p, _ := sub.PositionOf(ev)
		f.next[ev.Stream], f.pos = ev.Offset+1, p
		f.n++
		if f.left--; f.left == 0 || f.n == f.total {
			f.endLocked()
		}
	}
}
func (f *follower) Room(ctx context.Context) error { return ctx.Err() }
func (f *follower) Ended(sub *Subscription, _ *nodebridge.Batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !sub.Behind() {
		f.t.Errorf("%s ended", f.pattern)
	}
	f.endLocked()
}

func (f *follower) endLocked() {
	select {
	case <-f.over:
	default:
		close(f.over)
	}
}

// follow subscribes again and again until it has all events.
func (f *follower) follow() {
	since := Since{Start: true}
	for round := 1; ; round++ {
		f.mu.Lock()
		f.over, f.left = make(chan struct{}), 1+(round*37)%300
		over := f.over
		f.mu.Unlock()
		sub, err := f.w.hub.Subscribe(f.w.owner, f.pattern, since, f)
		if err != nil {
			f.t.Error(err)
			return
		}
		if !sub.Recovered() {
			f.t.Errorf("%s was not recovered from %v", f.pattern, since.Position)
		}
		select {
		case <-over:
		case <-time.After(30 * time.Second):
			f.t.Errorf("%s got no further event", f.pattern)
		}
		sub.Close()
		f.mu.Lock()
		pos, n := f.pos, f.n
		f.mu.Unlock()
		if n >= f.total || f.t.Failed() {
			return
		}
		since = Since{Position: &pos}
	}
}

// The seam between history and live must hold while others publish, to durable streams and in memory.
func TestFollowersThatComeAndGoMissNothing(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	const each = 1500
	r := Retention{MaxEvents: each}
	for _, name := range []string{"m.a", "m.b"} {
		if _, err := w.hub.SetStream(context.Background(), w.owner, name, r); err != nil {
			t.Fatal(err)
		}
	}
	w.durable("d.a", r)
	w.durable("d.b", r)
	var publishers, followers sync.WaitGroup
	for pattern, streams := range map[string]int{"m.*": 2, "d.>": 2, "d.a": 1, "m.b": 1} {
		f := &follower{t: t, w: w, pattern: pattern, next: map[string]uint64{}, total: streams * each}
		followers.Go(f.follow)
	}
	for _, name := range []string{"m.a", "m.b", "d.a", "d.b"} {
		publishers.Go(func() {
			for n := 0; n < each; n += 10 {
				pubs := make([]Publication, 10)
				for i := range pubs {
					pubs[i] = Publication{Type: "n", Data: json.RawMessage(fmt.Sprint(n + i))}
				}
				if _, err := w.hub.PublishAll(context.Background(), w.owner, name, pubs); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	followers.Wait()
}
