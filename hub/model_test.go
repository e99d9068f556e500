package hub

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// The moves that the contract allows, written down a second time: by event type.
var legal = map[string]map[string]string{
	"queued":  {"dispatch": "running", "pause": "paused", "cancel": "cancelled"},
	"running": {"pause": "pausing", "park": "paused", "succeed": "succeeded", "fail": "failed", "cancel": "cancelled", "lose": "queued"},
	"pausing": {"park": "paused", "goOn": "running", "succeed": "succeeded", "fail": "failed", "cancel": "cancelled", "lose": "paused"},
	"paused":  {"resume": "queued", "cancel": "cancelled"},

	"failed":    {"retry": "queued"},
	"cancelled": {"retry": "queued"},
}

func TestTheTransitionTableIsTheContracts(t *testing.T) {
	names := map[step]string{stepDispatch: "dispatch", stepPause: "pause", stepPark: "park", stepGoOn: "goOn",
		stepResume: "resume", stepSucceed: "succeed", stepFail: "fail", stepCancel: "cancel", stepLose: "lose", stepRetry: "retry"}
	got := map[string]map[string]string{}
	for from, moves := range transitions {
		got[from.String()] = map[string]string{}
		for st, to := range moves {
			if from == Queued && st == stepFail {
				continue // its version is gone: no bridge ever takes it
			}
			got[from.String()][names[st]] = to.String()
		}
	}
	if !reflect.DeepEqual(got, legal) {
		t.Errorf("the table is %v, want %v", got, legal)
	}
	for s := Queued; s <= Cancelled; s++ {
		for st := range names {
			to, err := s.next(st)
			if _, ok := transitions[s][st]; ok != (err == nil) || err != nil && (to != s || !fault.Is(err, fault.Conflict)) {
				t.Errorf("%v by %s: %v, %v", s, names[st], to, err)
			}
		}
	}
}

// TestExecutionsBehaveAsTheirModel drives one durable execution after the other with random commands,
// frames (also of older attempts), lost bridges and restarts of the hub, and holds state, arguments,
// attempts and history to a model.
func TestExecutionsBehaveAsTheirModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		w := newWorld(t, dir, Config{MaxLost: 1 << 20})
		m := &modelled{rt: rt, w: w}
		m.begin()
		rt.Repeat(map[string]func(*rapid.T){
			"begin":   func(*rapid.T) { m.begin() },
			"pause":   func(*rapid.T) { m.pause() },
			"resume":  func(*rapid.T) { m.resume() },
			"cancel":  func(*rapid.T) { m.cancel() },
			"park":    func(*rapid.T) { m.park(`{`) },
			"sleep":   func(*rapid.T) { m.park(`{"sleep":3600000,`) },
			"wait":    func(*rapid.T) { m.park(`{"event":"go","timeout":3600000,`) },
			"wake":    func(*rapid.T) { m.wake() },
			"check":   func(*rapid.T) { m.checkpoint() },
			"send":    func(*rapid.T) { m.send("n") },
			"send go": func(*rapid.T) { m.send("go") },
			"retry":   func(*rapid.T) { m.retry() },
			"succeed": func(*rapid.T) { m.frame("succeed", func(r *run, n string) { r.result(n) }) },
			"fail":    func(*rapid.T) { m.frame("fail", func(r *run, n string) { r.fail(n) }) },
			"lose":    func(*rapid.T) { m.frame("lose", func(r *run, _ string) { r.lost() }) },
			"emit":    func(*rapid.T) { m.emit() },
			"late":    func(*rapid.T) { m.late() },
			"restart": func(*rapid.T) { m.restart() },
			"":        func(*rapid.T) { m.check() },
		})
		m.w.stop()
	})
}

// modelled is one execution and what it ought to be.
type modelled struct {
	rt      *rapid.T
	w       *world
	id      string
	state   string
	args    string // of the next attempt
	attempt int
	history []string
	now     *run // the function's side of the current attempt
	older   []*run
	n       int

	waits string // while paused: "sleep", "go", or "" if it waits for a person
	sent  uint64 // messages that were kept, so far
	inbox []sentMessage
}

// sentMessage is what the function has not accounted for.
type sentMessage struct {
	number     uint64
	typ, value string
}

func (m sentMessage) frame() string {
	return number(m.number) + string(rune(len(m.typ))) + m.typ + m.value
}

func (m *modelled) ended() bool {
	return m.state == "succeeded" || m.state == "failed" || m.state == "cancelled"
}

func (m *modelled) begin() {
	if m.state != "" && !m.ended() {
		return
	}
	if m.now != nil {
		m.older = append(m.older, m.now)
	}
	v, r := m.w.start(`[0]`)
	m.id, m.state, m.args, m.attempt, m.now = v.ID(), "running", `[0]`, 1, r
	m.waits, m.sent, m.inbox = "", 0, nil
	m.history = []string{EventQueued, EventStarted}
	m.sync()
}

// sync waits until all that was decided is on disk, by way of a write that comes after it. Whoever
// handed the last call to the bridges still has the execution's lock until its write is enqueued.
func (m *modelled) sync() {
	if x, ok := m.w.hub.tenant(m.w.owner).live.Load(m.id); ok {
		x.mu.Lock()
		x.mu.Unlock() //nolint:staticcheck // waits for the one who has it
	}
	if err := m.w.store.Commit(bg); err != nil {
		m.rt.Fatal(err)
	}
}

func (m *modelled) want(err error, move string) bool {
	to, ok := legal[m.state][move]
	if !ok {
		if !fault.Is(err, fault.Conflict) {
			m.rt.Fatalf("%s while %s: %v, want a conflict", move, m.state, err)
		}
		return false
	}
	if err != nil {
		m.rt.Fatalf("%s while %s: %v", move, m.state, err)
	}
	m.state = to
	return true
}

func (m *modelled) pause() {
	v, err := m.w.hub.Pause(bg, m.w.owner, m.id)
	if m.state == "pausing" || m.state == "paused" {
		if err != nil || v.State().String() != m.state {
			m.rt.Fatalf("pause while %s: %v, %v", m.state, v.State(), err)
		}
		return
	}
	if m.want(err, "pause") {
		m.history = append(m.history, EventPausing)
	}
}

func (m *modelled) resume() {
	var args json.RawMessage
	if rapid.Bool().Draw(m.rt, "other arguments") {
		m.n++
		args = fmt.Appendf(nil, "[%d]", m.n)
	}
	_, err := m.w.hub.Resume(bg, m.w.owner, m.id, args, 0)
	if !m.want(err, "resume") {
		return
	}
	if args != nil {
		m.args = string(args)
	}
	m.history = append(m.history, EventResumed)
	m.dispatched()
}

// heard draws what the function says of the messages that it was sent: the last it took, and those
// that nothing has listened to. The others are gone.
func (m *modelled) heard() string {
	seen, kept, left := uint64(0), []uint64{}, []sentMessage{}
	all := rapid.Bool().Draw(m.rt, "took all")
	for i, msg := range m.inbox {
		if !all && i == len(m.inbox)-1 {
			left = append(left, msg) // still on its way to the process
			continue
		}
		seen = msg.number
		if rapid.Bool().Draw(m.rt, "unheard") {
			kept = append(kept, msg.number)
			left = append(left, msg)
		}
	}
	m.inbox = left
	b, err := json.Marshal(map[string]any{"seen": seen, "kept": kept})
	if err != nil {
		m.rt.Fatal(err)
	}
	return string(b[1:])
}

// park pauses by itself, or sleeps, or waits for an event, as meta begins.
func (m *modelled) park(meta string) {
	if _, ok := legal[m.state]["park"]; !ok || m.now == nil {
		return
	}
	meta += m.heard()
	m.frame("park", func(r *run, n string) { r.parked(meta, "["+n+"]") })
	switch {
	case strings.Contains(meta, "sleep"):
		m.waits = "sleep"
	case strings.Contains(meta, "event"):
		m.waits = "go"
		for i, msg := range m.inbox {
			if msg.typ == "go" {
				m.inbox = append(m.inbox[:i:i], m.inbox[i+1:]...)
				m.resumedWith(msg.value)
				break
			}
		}
	}
}

// resumedWith resumes one that waits with what it waited for.
func (m *modelled) resumedWith(value string) {
	m.args = m.args[:len(m.args)-1] + "," + value + "]"
	m.history = append(m.history, EventResumed)
	m.dispatched()
}

// wake lets the time of a timer come.
func (m *modelled) wake() {
	if m.state != "paused" || m.waits == "" {
		return
	}
	v, err := m.w.hub.Execution(m.w.owner, m.id)
	if err != nil || v.r.Timer == 0 {
		m.rt.Fatalf("it has no timer: %v", err)
	}
	if err := m.w.hub.fire(bg, []dueTimer{{v.r.Timer, "acme", m.id}}); err != nil {
		m.rt.Fatal(err)
	}
	m.history = append(m.history, EventResumed)
	m.dispatched()
}

func (m *modelled) checkpoint() {
	if m.state != "running" && m.state != "pausing" {
		return
	}
	m.n++
	m.args = fmt.Sprintf("[%d]", m.n)
	m.now.checkpoint(1, "{"+m.heard(), m.args)
	m.history = append(m.history, EventCheckpoint)
	m.sync()
}

func (m *modelled) send(eventType string) {
	m.n++
	value := fmt.Sprint(m.n)
	err := m.w.hub.Send(bg, m.w.owner, m.id, eventType, json.RawMessage(value))
	switch {
	case m.ended():
		if !fault.Is(err, fault.Conflict) {
			m.rt.Fatalf("send while %s: %v", m.state, err)
		}
		return
	case err != nil:
		m.rt.Fatalf("send while %s: %v", m.state, err)
	case m.state == "paused" && m.waits == eventType:
		m.resumedWith(value)
		return
	}
	m.sent++
	msg := sentMessage{m.sent, eventType, value}
	m.inbox = append(m.inbox, msg)
	if m.now != nil {
		m.told(msg)
	}
}

// told takes messages that the function must have been sent.
func (m *modelled) told(want ...sentMessage) {
	var got, frames []string
	for len(m.now.in) > 0 {
		if f := <-m.now.in; f.kind == nodebridge.Send {
			got = append(got, f.payload)
		}
	}
	for _, msg := range want {
		frames = append(frames, msg.frame())
	}
	if !slices.Equal(got, frames) {
		m.rt.Fatalf("the function was sent %q, want %q", got, frames)
	}
}

func (m *modelled) retry() {
	_, err := m.w.hub.Retry(bg, m.w.owner, m.id)
	if m.want(err, "retry") {
		m.history = append(m.history, EventRetrying)
		m.dispatched()
	}
}

// dispatched takes the attempt that must follow.
func (m *modelled) dispatched() {
	r := m.w.bridges.wait(m.w.t)
	m.attempt++
	if r.args != m.args {
		m.rt.Fatalf("attempt %d got %s, want %s", m.attempt, r.args, m.args)
	}
	m.now, m.state, m.waits = r, "running", ""
	m.history = append(m.history, EventStarted)
	m.sync()
	m.told(m.inbox...)
}

func (m *modelled) cancel() {
	_, err := m.w.hub.Cancel(bg, m.w.owner, m.id)
	if m.want(err, "cancel") {
		m.history = append(m.history, EventCancelled)
		if m.now != nil {
			m.now.result(`"too late"`) // until it has left, no other attempt begins
			m.older, m.now = append(m.older, m.now), nil
		}
	}
}

// frame plays what the current attempt's function does.
func (m *modelled) frame(move string, play func(r *run, n string)) {
	to, ok := legal[m.state][move]
	if !ok || m.now == nil {
		return
	}
	m.n++
	play(m.now, fmt.Sprint(m.n))
	m.older = append(m.older, m.now)
	m.now, m.state = nil, to
	switch {
	case move == "park":
		m.args = fmt.Sprintf("[%d]", m.n)
		m.history = append(m.history, EventPaused)
	case move == "lose" && to == "paused":
		m.history = append(m.history, EventPaused)
	case move == "lose":
		m.history = append(m.history, EventRetrying)
		m.dispatched()
	default:
		m.history = append(m.history, "execution."+to)
		if to == "succeeded" { // else a retry gets it
			m.inbox = nil
		}
	}
	m.sync()
}

func (m *modelled) emit() {
	if m.now != nil && (m.state == "running" || m.state == "pausing") {
		m.now.emit("progress", "1")
		m.history = append(m.history, "progress")
		m.sync()
	}
}

// late plays frames of attempts that are over: none may change anything.
func (m *modelled) late() {
	for _, r := range m.older {
		r.emit("late", "1")
		r.paused(`["late"]`)
		r.receive(nodebridge.Refused, `{}`)
		r.result(`"late"`)
	}
	m.older = nil
	m.sync()
}

func (m *modelled) restart() {
	m.w = m.w.restart()
	m.older, m.now = nil, nil
	switch m.state {
	case "running":
		m.state = "queued"
		m.history = append(m.history, EventRetrying)
		m.dispatched()
	case "pausing":
		m.state = "paused"
		m.history = append(m.history, EventPaused)
	}
	m.sync()
}

func (m *modelled) check() {
	if m.id == "" {
		return
	}
	v := m.w.view(m.id)
	if v["state"] != m.state || v["attempt"] != float64(m.attempt) {
		m.rt.Fatalf("it is %v in attempt %v, want %s in %d", v["state"], v["attempt"], m.state, m.attempt)
	}
	if m.state == "paused" {
		b, err := json.Marshal(v["pause"].(map[string]any)["args"])
		if err != nil || string(b) != m.args {
			m.rt.Fatalf("paused with %s, want %s", b, m.args)
		}
	}
	var types []string
	for since := ""; ; {
		page, err := m.w.hub.History(m.w.owner, "execution."+m.id, since, 0)
		if err != nil {
			m.rt.Fatal(err)
		}
		for _, ev := range page.Events {
			types = append(types, ev.Type)
			if ev.Offset != uint64(len(types)) {
				m.rt.Fatalf("event %d has offset %d", len(types), ev.Offset)
			}
		}
		if since = page.Next; since == "" {
			break
		}
	}
	if !slices.Equal(types, m.history) {
		m.rt.Fatalf("history %v, want %v", types, m.history)
	}
}
