package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/crash"
)

// TestEveryPromiseHoldsUnderKills starts, pauses, resumes, sends to, and publishes, while the hub and its
// bridges are killed at random moments and at named points, and drained. Then it lets everything end, and
// checks:
//
//   - what was acknowledged is there: each start once, by its key, and it succeeds;
//   - no execution was run by two at once (a lock file, seen from inside the function);
//   - each step's effect happened at least once, and never again after a confirmed checkpoint behind it;
//   - events that were acknowledged were heard;
//   - the events of each execution have the offsets 1, 2, 3, …, and a reader who goes on from its position
//     over all the kills has each of them once;
//   - a schedule started each of its times once.
//
// LIVEFN_TORTURE is how long it goes on (15s), LIVEFN_SEED replays the decisions of a run; how they meet
// the hub's own timing differs.
func TestEveryPromiseHoldsUnderKills(t *testing.T) {
	length := 15 * time.Second
	if s := os.Getenv("LIVEFN_TORTURE"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if s := os.Getenv("LIVEFN_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LIVEFN_SEED=%d", seed)
	home := t.TempDir()
	program := filepath.Join(home, "livefn")
	build := exec.Command("go", "build", "-tags", "crashpoints", "-buildvcs=false", "-o", program, "../..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	torment(t, program, home, seed, length)
}

// victim is one execution and what was acknowledged about it.
type victim struct {
	name  string
	plan  []string
	id    string
	notes []int // sent, and acknowledged
}

type torturer struct {
	t    *testing.T
	h    *hub
	key  string
	dir  string // of the journals
	seed uint64

	readers sync.WaitGroup
	wrongs  int // broken promises; of check alone

	mu      sync.Mutex // guards all below
	victims []*victim
	kills   map[string]int
}

func torment(t *testing.T, program, home string, seed uint64, length time.Duration) {
	crashes := rand.New(rand.NewPCG(seed, 1))
	calm := false
	var mu sync.Mutex // guards calm and crashes
	h, err := newHub(program, home, func() string {
		mu.Lock()
		defer mu.Unlock()
		if calm || crashes.IntN(2) == 0 {
			return ""
		}
		return fmt.Sprintf("%s:%d", crash.Points[crashes.IntN(len(crash.Points))], 1+crashes.IntN(200))
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.run() }()
	x := &torturer{t: t, h: h, seed: seed, dir: filepath.Join(home, "journals"), kills: map[string]int{}}
	if err := os.Mkdir(x.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length+3*time.Minute)
	defer cancel()
	x.prepare(ctx)

	rough, stop := context.WithTimeout(ctx, length)
	var workers sync.WaitGroup
	workers.Go(func() { x.kill(rough) })
	workers.Go(func() { x.publish(rough) })
	for i := range 6 {
		workers.Go(func() { x.work(rough, ctx, i) })
	}
	<-rough.Done()
	stop()
	mu.Lock()
	calm = true
	mu.Unlock()
	workers.Wait()
	x.finish(ctx)
	x.readers.Wait()
	x.check(ctx)
	h.stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, end := range h.badExit {
		t.Errorf("the hub ended with %s", end)
	}
	t.Logf("%d executions over %d starts of the hub; %v", len(x.victims), h.starts, x.kills)
	if t.Failed() {
		b, _ := os.ReadFile(filepath.Join(home, "hub.log"))
		t.Logf("the hub said:\n%s", b[max(0, len(b)-6000):])
	}
}

// prepare makes the tenant and the functions.
func (x *torturer) prepare(ctx context.Context) {
	var made struct{ Key string }
	for n := 0; made.Key == ""; n++ { // an answer that a kill swallowed leaves a tenant whose key nobody knows
		a, err := x.h.insist(ctx, adminKey, "POST", "/v1/admin/tenants", map[string]string{"name": fmt.Sprintf("torture%d", n)})
		if err != nil {
			x.t.Fatal(err)
		}
		_ = json.Unmarshal(a.body, &made) // a conflict has no key
	}
	x.key = made.Key
	x.put(ctx, "/v1/functions/double", map[string]any{"source": "module.exports = n => n * 2"})
	x.put(ctx, "/v1/functions/job", x.job(0))
	x.put(ctx, "/v1/triggers/tick", map[string]any{"function": "double", "schedule": "* * * * * *", "args": []int{1}, "catchUp": "all", "maxCatchUp": 1000})
}

func (x *torturer) job(n int) map[string]any {
	b, err := os.ReadFile("functions/job.js")
	if err != nil {
		x.t.Fatal(err)
	}
	return map[string]any{"source": fmt.Sprintf("%s\n// %d\n", b, n), "settings": map[string]any{"retries": map[string]any{"attempts": 10, "backoff": "10ms"}}}
}

func (x *torturer) put(ctx context.Context, path string, body any) {
	a, err := x.h.insist(ctx, x.key, "PUT", path, body)
	if err != nil || a.status >= 300 {
		x.t.Errorf("PUT %s: %d %s, %v", path, a.status, a.body, err)
	}
}

// follow reads an execution's events as they come, over all the kills, from the position that it has.
func (x *torturer) follow(ctx context.Context, id string) {
	want, since := uint64(1), ""
	for ctx.Err() == nil {
		a, err := x.h.insist(ctx, x.key, "GET", "/v1/executions/"+id+"/events?limit=3&since="+since, nil)
		var page struct {
			Epoch  string
			Events []struct {
				Offset uint64
				Type   string
			}
		}
		if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &page) != nil {
			x.t.Errorf("follow %s: %d %s, %v", id, a.status, a.body, err)
			return
		}
		for _, ev := range page.Events {
			if ev.Offset != want {
				x.t.Errorf("%s: a reader got event %d for %d", id, ev.Offset, want)
				return
			}
			want++
			since = fmt.Sprintf("%s:%d", page.Epoch, ev.Offset)
			if ev.Type == "execution.succeeded" {
				return
			}
		}
		if len(page.Events) == 0 {
			pause(ctx, 20*time.Millisecond)
		}
	}
}

// kill kills, until ctx ends.
func (x *torturer) kill(ctx context.Context) {
	random := rand.New(rand.NewPCG(x.seed, 2))
	for {
		pause(ctx, 150*time.Millisecond+time.Duration(random.IntN(700))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		what := []string{"hub", "bridge", "bridge", "drain"}[random.IntN(4)]
		switch what {
		case "hub":
			x.h.signal(syscall.SIGKILL)
		case "drain":
			_, _ = x.h.insist(ctx, x.key, "GET", "/healthz", nil) // what has not begun yet has nothing to drain
			x.h.signal(syscall.SIGTERM)
		case "bridge":
			for _, pid := range x.h.bridges() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
		x.mu.Lock()
		x.kills[what]++
		x.mu.Unlock()
	}
}

// publish makes new versions meanwhile.
func (x *torturer) publish(ctx context.Context) {
	for n := 1; ; n++ {
		pause(ctx, 900*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		_, _ = x.h.ask(ctx, x.key, "PUT", "/v1/functions/job", x.job(n)) // a kill may swallow it
	}
}

// work starts executions and handles them, until rough ends.
func (x *torturer) work(rough, ctx context.Context, worker int) {
	random := rand.New(rand.NewPCG(x.seed, uint64(10+worker)))
	for n := 0; rough.Err() == nil; n++ {
		v := &victim{name: fmt.Sprintf("w%d-%d", worker, n)}
		for range 3 + random.IntN(6) {
			v.plan = append(v.plan, []string{"work", "checkpoint", "sleep", "wait", "call", "fail", "checkpoint", "sleep"}[random.IntN(8)])
		}
		if random.IntN(2) == 0 {
			v.plan = append(v.plan, "wait")
		}
		var out struct{ Execution string }
		for range 1 + random.IntN(2) { // the same key gives the same execution
			a, err := x.h.insist(ctx, x.key, "POST", "/v1/invoke/job?async=1", []any{x.dir, v.name, v.plan}, "Idempotency-Key", v.name)
			if err != nil || a.status != http.StatusAccepted || json.Unmarshal(a.body, &out) != nil {
				x.t.Errorf("start %s: %d %s, %v", v.name, a.status, a.body, err)
				return
			}
			if v.id != "" && v.id != out.Execution {
				x.t.Errorf("the key %s gave %s and %s", v.name, v.id, out.Execution)
			}
			v.id = out.Execution
		}
		x.mu.Lock()
		x.victims = append(x.victims, v)
		x.mu.Unlock()
		if n%8 == 0 {
			x.readers.Go(func() { x.follow(ctx, v.id) })
		}
		// One that waits at its end hears all notes before; it must not be let go while they are sent.
		notes := v.plan[len(v.plan)-1] == "wait" && random.IntN(2) == 0
		for range random.IntN(6) {
			pause(rough, time.Duration(random.IntN(40))*time.Millisecond)
			switch random.IntN(4) {
			case 0:
				_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/pause", nil)
			case 1:
				if notes { // what waits for an event is let go by a resume, too
					if s := x.get(ctx, v.id); s.State != "paused" || s.Pause == nil || s.Pause.Reason != "request" {
						continue
					}
				}
				_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/resume", nil)
			case 2:
				if notes {
					continue
				}
				_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/events", map[string]any{"type": "go", "data": n})
			case 3:
				if !notes {
					continue
				}
				number := len(v.notes)*1000 + n%1000
				a, err := x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/events", map[string]any{"type": "note", "data": number})
				if err == nil && a.status == http.StatusOK {
					v.notes = append(v.notes, number)
				}
			}
		}
	}
}

// state is what the hub shows of an execution.
type state struct {
	State   string
	Attempt int
	Pause   *struct{ Reason string }
	Error   *struct{ Code, Message string }
}

func (x *torturer) get(ctx context.Context, id string) (s state) {
	a, err := x.h.insist(ctx, x.key, "GET", "/v1/executions/"+id, nil)
	if err != nil || a.status != http.StatusOK || json.Unmarshal(a.body, &s) != nil {
		x.t.Errorf("%s: %d %s, %v", id, a.status, a.body, err)
	}
	return s
}

// finish lets every execution end.
func (x *torturer) finish(ctx context.Context) {
	var all sync.WaitGroup
	places := make(chan struct{}, 16)
	for _, v := range x.victims {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			x.end(ctx, v)
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		x.t.Fatal("not everything ended in time")
	}
}

// end resumes an execution, and sends it what it waits for, until it has ended.
func (x *torturer) end(ctx context.Context, v *victim) {
	for ctx.Err() == nil {
		s := x.get(ctx, v.id)
		switch {
		case s.State == "succeeded":
			return
		case s.State == "failed" && s.Error != nil && s.Error.Code == "bridge_lost": // killed six times in a row
			_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/retry", nil)
		case s.State == "failed" || s.State == "cancelled" || s.State == "":
			x.t.Errorf("%s (%s) %v is %s: %v", v.name, v.id, v.plan, s.State, s.Error)
			return
		case s.State == "paused" && s.Pause != nil && s.Pause.Reason == "event":
			_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/events", map[string]any{"type": "go", "data": "at last"})
		case s.State == "paused" && s.Pause != nil && (s.Pause.Reason == "request" || s.Pause.Reason == "function"):
			_, _ = x.h.ask(ctx, x.key, "POST", "/v1/executions/"+v.id+"/resume", nil)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// check holds what is on disk and what the hub shows to the promises.
func (x *torturer) check(ctx context.Context) {
	if len(x.victims) < 10 {
		x.t.Errorf("only %d executions were started", len(x.victims))
	}
	for _, v := range x.victims {
		notes, err := lines(filepath.Join(x.dir, v.name+".log"))
		if err != nil {
			x.t.Error(err)
			continue
		}
		before := x.wrongs
		x.checkJournal(v, notes)
		x.checkEvents(ctx, v)
		if x.wrongs > before {
			x.explain(ctx, v)
		}
	}
	x.checkSchedule(ctx)
}

func (x *torturer) wrong(format string, args ...any) {
	x.wrongs++
	x.t.Errorf(format, args...)
}

// explain prints what an execution did, as its function and as its events have it.
func (x *torturer) explain(ctx context.Context, v *victim) {
	b, _ := os.ReadFile(filepath.Join(x.dir, v.name+".log"))
	x.t.Logf("what %s did:\n%s", v.name, b)
	if a, err := x.h.insist(ctx, x.key, "GET", "/v1/executions/"+v.id+"/events?limit=1000", nil); err == nil {
		x.t.Logf("its events:\n%s", bytes.ReplaceAll(a.body, []byte("{\"stream\""), []byte("\n{\"stream\"")))
	}
}

func (x *torturer) checkJournal(v *victim, notes []note) {
	wrong := func(format string, args ...any) {
		x.wrong("%s (%s) %v: %s", v.name, v.id, v.plan, fmt.Sprintf(format, args...))
	}
	attempt, confirmed, effects, heard, ends := 0, -1, map[int]int{}, map[int]bool{}, 0
	for _, n := range notes {
		if n.Attempt < attempt {
			wrong("attempt %d did something after attempt %d", n.Attempt, attempt)
		}
		attempt = n.Attempt
		switch {
		case n.Overlaps != nil:
			wrong("attempt %d began while process %d had it", n.Attempt, *n.Overlaps)
		case n.Effect != nil:
			if *n.Effect <= confirmed {
				wrong("step %d ran again after the checkpoint behind %d was confirmed", *n.Effect, confirmed)
			}
			effects[*n.Effect]++
		case n.Confirmed != nil:
			confirmed = max(confirmed, *n.Confirmed)
		case n.Note != nil:
			heard[*n.Note] = true
		case n.Ends:
			ends++
		}
	}
	for step := range v.plan {
		if effects[step] == 0 {
			wrong("step %d never ran", step)
		}
	}
	if ends == 0 {
		wrong("it never came to its end")
	}
	for _, n := range v.notes {
		if !heard[n] {
			wrong("it never heard the acknowledged event %d", n)
		}
	}
}

func (x *torturer) checkEvents(ctx context.Context, v *victim) {
	want, types := uint64(1), []string{}
	for since := ""; ; {
		a, err := x.h.insist(ctx, x.key, "GET", "/v1/executions/"+v.id+"/events?limit=1000&since="+since, nil)
		var page struct {
			Events []struct {
				Offset uint64
				Type   string
			}
			Next string
		}
		if err != nil || json.Unmarshal(a.body, &page) != nil || a.status != http.StatusOK {
			x.wrong("events of %s: %d %s, %v", v.id, a.status, a.body, err)
			return
		}
		for _, ev := range page.Events {
			if ev.Offset != want {
				x.wrong("%s: event %d follows event %d", v.id, ev.Offset, want-1)
			}
			want = ev.Offset + 1
			types = append(types, ev.Type)
		}
		if since = page.Next; since == "" {
			break
		}
	}
	if n := len(types); n < 3 || types[0] != "execution.queued" || types[n-1] != "execution.succeeded" || slices.Contains(types[:n-1], "execution.succeeded") {
		x.wrong("%s has the events %v", v.id, types)
	}
}

// checkSchedule wants each due time once, from the first to the last.
func (x *torturer) checkSchedule(ctx context.Context) {
	due := map[string]int{}
	var first, last time.Time
	for cursor := ""; ; {
		a, err := x.h.insist(ctx, x.key, "GET", "/v1/executions?trigger=tick&limit=1000&cursor="+cursor, nil)
		var page struct {
			Items []struct{ Key string }
			Next  string
		}
		if err != nil || json.Unmarshal(a.body, &page) != nil {
			x.t.Errorf("executions of the schedule: %s, %v", a.body, err)
			return
		}
		for _, e := range page.Items {
			at, err := time.Parse(time.RFC3339, e.Key[len(e.Key)-len("2026-01-02T03:04:05Z"):])
			if err != nil {
				x.t.Errorf("a run has the key %q", e.Key)
				continue
			}
			due[e.Key]++
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for key, n := range due {
		if n != 1 {
			x.t.Errorf("%q ran %d times", key, n)
		}
	}
	if want := int(last.Sub(first).Seconds()) + 1; len(due) != want || want < 3 {
		x.t.Errorf("the schedule ran %d times from %s to %s, want %d", len(due), first, last, want)
	}
}
