package hub

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/nodebridge"
	"github.com/livefn/livefn/tenants"
)

// deleteVersion deletes a version of f and gives the fault's detail, "" if there is none.
func (w *world) deleteVersion(n int, drain time.Duration) string {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if drain > 0 {
		ctx, cancel = context.WithTimeout(ctx, drain)
	}
	defer cancel()
	err := w.hub.registry.DeleteVersion(ctx, w.owner, "f", n, drain > 0)
	if err != nil && !fault.Is(err, fault.Conflict) {
		w.t.Fatal(err)
	}
	if err != nil {
		return fault.From(err).Detail
	}
	return ""
}

func (w *world) says(got string, words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(got, word) {
			w.t.Errorf("%q does not say %q", got, word)
		}
	}
}

// Whatever state an execution is in, and wherever it is kept, its version stays.
func TestAVersionStaysWhileAnExecutionIsOnIt(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDurable: 3})
	ctx := context.Background()
	call := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, call); err != nil {
		t.Fatal(err)
	}
	waited := w.bridges.wait(t)
	_, running := w.start("[1]")
	parked, pausing := w.start("[2]")
	sleeping, sleeper := w.start("[3]")
	queued, err := w.hub.Start(ctx, w.owner, &Request{Function: "f", Args: []byte("[4]")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.hub.Start(ctx, w.owner, &Request{Function: "f", Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.publishNext(2)
	w.says(w.deleteVersion(1, 0), "version 1", "4 running, 2 queued, 0 paused", "drain=true")
	pausing.paused("[22]")
	w.await(parked.ID())
	late := w.bridges.wait(t) // the queued one got its place
	sleeper.parked(`{"sleep":3600000}`, "[33]")
	w.await(sleeping.ID())
	w.says(w.deleteVersion(1, 0), "3 running, 1 queued, 2 paused", "paused ones")
	waited.result("1")
	running.result("1")
	late.result("1")
	w.await(queued.ID())
	w.says(w.deleteVersion(1, 0), "0 running, 1 queued, 2 paused")
	w.says(w.deleteVersion(1, time.Minute), "2 paused") // at once: they don't end by themselves

	w = w.restart()
	w.says(w.deleteVersion(1, 0), "0 running, 1 queued, 2 paused")
	if _, err := w.hub.Resume(ctx, w.owner, parked.ID(), nil, 2); err != nil {
		t.Fatal(err)
	}
	if moved := w.bridges.wait(t); moved.call.Module.Version != 2 || moved.args != "[22]" {
		t.Errorf("it resumed on %d with %s", moved.call.Module.Version, moved.args)
	}
	w.says(w.deleteVersion(1, 0), "0 running, 1 queued, 1 paused")
	w.says(w.deleteVersion(2, 0), "version 2", "1 running")
	if n, err := w.hub.CancelAll(ctx, w.owner, "f"); err != nil || n != 3 {
		t.Fatalf("cancelled %d, %v", n, err)
	}
	if _, _, err := w.hub.SetTrigger(ctx, w.owner, "daily", []byte(`{"function":"f@1","schedule":"@daily"}`)); err != nil {
		t.Fatal(err)
	}
	w.says(w.deleteVersion(1, 0), `trigger "daily"`)
	if err := w.hub.DeleteTrigger(ctx, w.owner, "daily"); err != nil {
		t.Fatal(err)
	}
	if got := w.deleteVersion(1, 0); got != "" {
		t.Errorf("nothing is on it, but: %s", got)
	}
	_, err = w.hub.Retry(ctx, w.owner, sleeping.ID())
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a retry on a version that is gone gave %v", err)
	}
}

// Index entries of the first format do not say the version.
func TestVersionsOfOlderRecordsAreFound(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	v, run := w.start("[1]")
	run.paused("[2]")
	w.await(v.ID())
	w.publishNext(2)
	if err := w.store.Commit(context.Background(), store.Op{Key: functionKey("acme", "f", v.ID())}); err != nil {
		t.Fatal(err)
	}
	w.says(w.deleteVersion(1, 0), "1 paused")
}

// Those of what ended in the first formats say neither the version nor whether it failed: it may be tried again.
func TestVersionsOfOlderFailuresAreNeeded(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{KeepEnded: time.Hour})
	v, run := w.start("[1]")
	run.fail("no")
	w.await(v.ID())
	w.publishNext(2)
	w = w.restart() // nothing of it is in memory
	if err := w.store.Commit(context.Background(), store.Op{Key: functionKey("acme", "f", v.ID()), Value: []byte{indexEnded}}); err != nil {
		t.Fatal(err)
	}
	fn, err := w.owner.Function("f")
	if err != nil {
		t.Fatal(err)
	}
	if needed, err := w.hub.Needed(fn); err != nil || !needed[1] {
		t.Errorf("needed are %v, %v", needed, err)
	}
}

func TestADrainWaitsForWhatRuns(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	_, parent := w.start("[1]")
	w.publishNext(2)
	w.says(w.deleteVersion(1, 30*time.Millisecond), "1 running")
	done := make(chan string, 1)
	go func() { done <- w.deleteVersion(1, time.Minute) }()
	refused := func() bool {
		_, err := w.hub.Invoke(w.owner, &Request{Function: "f@1"}, newReplies())
		if err == nil {
			w.bridges.wait(t).result("1")
		}
		return fault.Is(err, fault.NotFound)
	}
	for !refused() {
		if t.Context().Err() != nil {
			t.Fatal("it takes new executions")
		}
	}
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f@1", Parent: "p"}, newReplies()); err != nil {
		t.Errorf("what runs may call it no longer: %v", err)
	}
	w.bridges.wait(t).result("1")
	select {
	case got := <-done:
		t.Fatalf("it was deleted under an execution: %q", got)
	default:
	}
	parent.result("1")
	if got := <-done; got != "" {
		t.Errorf("after the drain: %s", got)
	}
}

// Calls that found a version just before it was deleted go to the next one: none is lost.
func TestCallsOfTheLatestGoOnWhileItIsDeleted(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	stop, over, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { // plays all functions
		defer close(done)
		for {
			select {
			case r := <-w.bridges.calls:
				r.result("1")
			case <-over:
				return
			}
		}
	}()
	failed := make(chan error, 4)
	for range 4 {
		go func() {
			for {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				to := newReplies()
				if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, to); err != nil {
					failed <- err
					return
				}
				if a := to.wait(t); a.State != Succeeded {
					failed <- fault.New(fault.Internal, "%v %v", a.State, a.Failure)
					return
				}
			}
		}()
	}
	for n := 2; n < 12; n++ {
		w.publishNext(n)
		if n%2 == 0 {
			w.says(w.deleteVersion(n, time.Minute), "")
		} else {
			w.says(w.deleteVersion(n-2, time.Minute), "")
		}
	}
	close(stop)
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	close(over)
	<-done
}

// versions waits until f has just these versions, and their folders are all there are.
func (w *world) versions(want ...int) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		fn, err := w.owner.Function("f")
		if err != nil {
			w.t.Fatal(err)
		}
		var got []int
		for _, v := range fn.Versions() {
			got = append(got, v.Number)
		}
		entries, err := os.ReadDir(w.dir + "/functions/tenants/acme")
		if slices.Equal(got, want) && err == nil && len(entries) == len(want) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("versions %v with %d folders, %v; want %v", got, len(entries), err, want)
		}
	}
}

// Folders of old versions go when the last execution on them has, not only at the next start.
func TestOldVersionsGoWithTheirLastExecution(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{KeepEnded: time.Hour})
	ctx := context.Background()
	keep := tenants.Settings{KeepVersions: 1}
	parked, run := w.start("[1]")
	run.paused("[1]")
	w.await(parked.ID())
	w.publishNext(2, keep)
	call := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, call); err != nil {
		t.Fatal(err)
	}
	waited := w.bridges.wait(t)
	w.publishNext(3, keep)
	failing, failed := w.start("[3]")
	failed.fail("no")
	w.await(failing.ID())
	w.publishNext(4, keep)
	w.publishNext(5, keep)
	w.versions(1, 2, 3, 5)
	waited.result("1")
	w.versions(1, 3, 5)

	w = w.restart()
	w.versions(1, 3, 5)
	if _, err := w.hub.Retry(ctx, w.owner, failing.ID()); err != nil {
		t.Fatal(err)
	}
	again := w.bridges.wait(t)
	if again.call.Module.Version != 3 {
		t.Errorf("it is tried again on %d", again.call.Module.Version)
	}
	again.result("1")
	w.versions(1, 5)
	if _, err := w.hub.Resume(ctx, w.owner, parked.ID(), nil, 0); err != nil {
		t.Fatal(err)
	}
	w.bridges.wait(t).result("1")
	w.versions(5)
}

func TestADeployPausesWhatWantsItAndResumesItOnTheNewVersion(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	pause := tenants.Settings{OnDeploy: tenants.DeployPause}
	w.publishNext(2, pause)
	w.alias("prod", `{"version":2}`)
	start := func(ref string) (View, *run) {
		t.Helper()
		v, err := w.hub.Start(context.Background(), w.owner, &Request{Function: ref, Args: []byte("[0]")})
		if err != nil {
			t.Fatal(err)
		}
		return v, w.bridges.wait(t)
	}
	latest, onLatest := start("f")
	_, onNumber := start("f@2")
	_, onAlias := start("f@prod")
	_, finishing := start("f@1")
	w.publishNext(3, pause)
	w.says(onLatest.told(nodebridge.Pause), `"reason":"deploy"`)
	onLatest.paused("[7]")
	moved := w.bridges.wait(t)
	if moved.call.Module.Version != 3 || moved.args != "[7]" {
		t.Errorf("it went on with %s on %d", moved.args, moved.call.Module.Version)
	}
	w.alias("prod", `{"weights":{"2":1,"3":1}}`) // it may still be there
	w.alias("prod", `{"version":3}`)
	w.says(onAlias.told(nodebridge.Pause), `"reason":"deploy"`)
	onAlias.parked(`{"sleep":3600000}`, "[8]") // sleeps: it stays, and stays asleep
	for _, r := range []*run{onNumber, finishing} {
		if len(r.in) > 0 {
			t.Errorf("version %d was told %v", r.call.Module.Version, <-r.in)
		}
		r.result("1")
	}
	moved.result(`"done"`)
	if a := w.await(latest.ID()); a.State != Succeeded {
		t.Errorf("it ended as %+v", a)
	}
	if got := w.view(latest.ID()); got["version"] != 3.0 || got["attempt"] != 2.0 {
		t.Errorf("got %v", got)
	}
	if len(w.bridges.calls) > 0 {
		t.Error("what sleeps was woken")
	}
}

// A deploy's pause that a crash cut off ends on the new version, too.
func TestWhatADeployPausedGoesOnAfterAStop(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	pause := tenants.Settings{OnDeploy: tenants.DeployPause}
	w.publishNext(2, pause)
	v, run := w.start("[1]")
	w.publishNext(3, pause)
	run.told(nodebridge.Pause)
	w = w.restart() // it was pausing: it is parked, and resumes
	again := w.bridges.wait(t)
	if again.call.Module.Version != 3 || again.args != "[1]" {
		t.Errorf("it went on with %s on %d", again.args, again.call.Module.Version)
	}
	again.result("1")
	w.await(v.ID())
}

// A function that was cancelled or is out of time runs from its version's files until it ends or its process does,
// however long that takes.
func TestFilesStayWhileAnAbandonedFunctionRunsFromThem(t *testing.T) {
	for _, c := range []struct {
		name    string
		durable bool
		end     func(r *run)
	}{
		{"a call whose function ends", false, func(r *run) { r.result("1") }},
		{"a call whose process ends", false, func(r *run) { r.lost() }},
		{"a durable one whose function fails", true, func(r *run) { r.fail("enough") }},
		{"a durable one whose process ends", true, func(r *run) { r.lost() }},
	} {
		for _, late := range []bool{false, true} {
			t.Run(c.name+map[bool]string{false: " after a cancel", true: " after its time"}[late], func(t *testing.T) {
				w := newWorld(t, t.TempDir(), Config{AbandonAfter: time.Millisecond})
				keep := tenants.Settings{KeepVersions: 1}
				w.publishNext(2, keep)
				req := &Request{Function: "f", Args: []byte("[1]")}
				if late {
					req.Timeout = time.Millisecond
				}
				id := ""
				over := newReplies()
				if c.durable {
					v, err := w.hub.Start(context.Background(), w.owner, req)
					if err != nil {
						t.Fatal(err)
					}
					id = v.ID()
					if _, err := w.hub.Await(w.owner, id, over); err != nil {
						t.Fatal(err)
					}
				} else {
					x, err := w.hub.Invoke(w.owner, req, over)
					if err != nil {
						t.Fatal(err)
					}
					id = x.ID()
				}
				r := w.bridges.wait(t)
				if !late {
					if _, err := w.hub.Cancel(context.Background(), w.owner, id); err != nil {
						t.Fatal(err)
					}
				}
				over.wait(t)
				r.told(nodebridge.Cancel)
				w.publishNext(3, keep)
				w.says(w.deleteVersion(2, 0), "version 2", "1 cancelled or timed-out", "hub.signal")
				w.says(w.deleteVersion(2, 30*time.Millisecond), "1 cancelled or timed-out")
				w.versions(2, 3)
				c.end(r)
				if c.durable { // it may be tried again
					w.says(w.deleteVersion(2, time.Minute), "")
				}
				w.versions(3)
			})
		}
	}
}

// One that was cancelled just before it was refused never runs: it must not hold its version for ever.
func TestACallThatNoBridgeWasGivenHoldsNothing(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	tn := w.hub.tenant(w.owner)
	r, via, err := tn.route("f", "")
	if err != nil {
		t.Fatal(err)
	}
	x := tn.newExecution(r, via, &Request{Function: "f"})
	x.first.x = x
	x.first.call = nodebridge.Call{Module: r.module, Receiver: &x.first}
	x.rec.State, x.run = Running, &x.first
	tn.live.Store(x.ID(), x) // as far as Invoke has come when others can see it
	if n, err := w.hub.CancelAll(context.Background(), w.owner, "f"); n != 1 || err != nil {
		t.Fatalf("cancelled %d, %v", n, err)
	}
	w.publishNext(2)
	w.says(w.deleteVersion(1, 0), "1 cancelled or timed-out")
	x.discard()
	if got := w.deleteVersion(1, 0); got != "" {
		t.Error(got)
	}
}

// Of a trigger that is set to call a version by its number and the version's deletion, one is refused.
func TestATriggerAndADeletionOfItsVersionAtOnce(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	set, deleted := 0, 0
	for n := 2; n < 42; n++ {
		w.publishNext(n)
		gone := make(chan bool)
		go func() {
			err := w.hub.registry.DeleteVersion(context.Background(), w.owner, "f", n-1, n%4 < 2)
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Error(err)
			}
			gone <- err == nil
		}()
		_, _, err := w.hub.SetTrigger(context.Background(), w.owner, "daily", []byte(`{"function":"f@`+strconv.Itoa(n-1)+`","schedule":"@daily"}`))
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Conflict) {
			t.Error(err)
		}
		switch was := <-gone; {
		case was && err == nil:
			t.Fatalf("version %d is gone, and a trigger calls it", n-1)
		case was:
			deleted++
		case err == nil:
			set++
		}
		if err == nil {
			if err := w.hub.DeleteTrigger(context.Background(), w.owner, "daily"); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d were set, %d versions deleted", set, deleted)
}

// index makes as many entries of ended executions of f's version 1 in the index, every hundredth of a failed one.
func (w *world) index(entries int) {
	w.t.Helper()
	var id [26]byte
	for entries > 0 {
		var ops []store.Op
		for ; entries > 0 && len(ops) < 500; entries-- {
			r := Record{State: Succeeded, Version: 1}
			if entries%100 == 1 {
				r.State = Failed
			}
			ops = append(ops, store.Op{Key: functionKey("acme", "f", w.hub.ids.next(now(), &id)), Value: indexValue(&r)})
		}
		if err := w.store.Commit(context.Background(), ops...); err != nil {
			w.t.Fatal(err)
		}
	}
}

// rested waits for the looks up to the last one, and sees that after each from the one behind first on nothing was
// looked at for restTimes as long as it took.
func (w *world) rested(first, last int64, ask func()) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	at := func(count int64) (took time.Duration) {
		for w.hub.looks.count.Load() < count {
			ask()
			select {
			case <-tick.C:
			case <-w.t.Context().Done():
				w.t.Fatal("it does not look")
			}
		}
		return time.Duration(w.hub.looks.took.Load())
	}
	before, began := at(first), time.Now()
	took := at(last-1) - before
	at(last)
	if elapsed := time.Since(began); elapsed < restTimes*took {
		w.t.Errorf("there were looks for %v of %v, and for that of the last", took, elapsed)
	}
}

// What is kept of executions must not make retention cost more than a small part of a processor.
func TestRetentionRestsBetweenItsLooks(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.index(10_000)
	w.publishNext(2, tenants.Settings{KeepVersions: 1})
	w.rested(1, 4, func() { w.hub.retiring.add("acme") })
	w.versions(1, 2) // it may be tried again
}

func TestADrainRestsBetweenItsLooks(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{})
	w.index(10_000)
	v, err := w.hub.Start(context.Background(), w.owner, &Request{Function: "f", Delay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w.publishNext(2)
	done := make(chan string, 1)
	go func() { done <- w.deleteVersion(1, time.Minute) }()
	w.rested(2, 5, func() {})
	if _, err := w.hub.Cancel(context.Background(), w.owner, v.ID()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != "" {
		t.Error(got)
	}
}

// BenchmarkLook is one look at what is on the versions of a function of which so many executions are kept.
func BenchmarkLook(b *testing.B) {
	w := newWorld(b, b.TempDir(), Config{})
	w.index(100_000)
	fn, err := w.owner.Function("f")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if needed, err := w.hub.Needed(fn); err != nil || !needed[1] {
			b.Fatal(needed, err)
		}
	}
}
