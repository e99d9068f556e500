package hub

import (
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/nodebridge"
)

// eventually waits until f holds, for what tells nobody, as the store's watch of the disk. t may be rapid's.
func eventually(t interface {
	Helper()
	Fatal(...any)
}, what string, f func() bool,
) {
	t.Helper()
	tick, end := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(what)
		}
	}
}

// A full disk stops durable work and nothing else; what was decided meanwhile is neither lost nor denied.
func TestAFullDiskRefusesDurableWorkAndLosesNothing(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{StoreWait: 50 * time.Millisecond})
	done, doneRun := w.start(`[1]`)
	ends, endsRun := w.start(`[2]`)
	waits := newReplies()
	if _, err := w.hub.Await(w.owner, done.ID(), waits); err != nil {
		t.Fatal(err)
	}
	parked, parkedRun := w.start(`[3]`)
	parkedRun.paused(`[4]`)
	w.await(parked.ID())
	w.full.Store(true)
	eventually(t, "no outage", func() bool { return w.hub.CanWrite() != nil })

	call := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, call); err != nil {
		t.Fatalf("a call: %v", err)
	}
	w.bridges.wait(t).result(`"served"`)
	if a := call.wait(t); string(a.Result) != `"served"` {
		t.Errorf("a call was answered %+v", a)
	}
	_, err := w.hub.Start(bg, w.owner, &Request{Function: "f"})
	wantCode(t, err, fault.StorageUnavailable)
	_, err = w.hub.Invoke(w.owner, &Request{Function: "f", Key: "k"}, newReplies())
	wantCode(t, err, fault.StorageUnavailable)
	_, err = w.hub.Pause(bg, w.owner, ends.ID())
	wantCode(t, err, fault.StorageUnavailable)
	_, err = w.hub.Resume(bg, w.owner, parked.ID(), nil, 0)
	wantCode(t, err, fault.StorageUnavailable)
	wantCode(t, w.hub.Send(bg, w.owner, parked.ID(), "e", nil), fault.StorageUnavailable)

	doneRun.result(`"decided"`)
	if a := waits.wait(t); a.Failure == nil || a.Failure.Code != fault.StorageUnavailable {
		t.Errorf("who waits for what the disk does not take is told %+v", a)
	}
	_, err = w.hub.Cancel(bg, w.owner, ends.ID()) // a running function can be stopped
	wantCode(t, err, fault.StorageUnavailable)
	endsRun.result(`"late"`)
	if v := w.view(done.ID()); v["state"] != "running" {
		t.Errorf("shown before it is on disk: %v", v)
	}

	w.full.Store(false)
	eventually(t, "the outage goes on", func() bool { return w.hub.CanWrite() == nil })
	if a := w.await(done.ID()); string(a.Result) != `"decided"` {
		t.Errorf("after the outage: %+v", a)
	}
	if a := w.await(ends.ID()); a.State != Cancelled {
		t.Errorf("after the outage: %+v", a)
	}
	again, run := w.start(`[5]`)
	run.result(`6`)
	w.await(again.ID())
	w = w.restart()
	for id, state := range map[string]State{done.ID(): Succeeded, ends.ID(): Cancelled, parked.ID(): Paused, again.ID(): Succeeded} {
		if a := w.await(id); a.State != state {
			t.Errorf("after a restart %s is %s, want %s", id, a.State, state)
		}
	}
}

// What waits in the queue would run again after a crash, if its start could not be written.
func TestTheQueueWaitsWhileTheDiskIsFull(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{MaxDurable: 1, RetryOverload: 5 * time.Millisecond, StoreWait: 50 * time.Millisecond})
	_, first := w.start(`[1]`)
	second, err := w.hub.Start(bg, w.owner, &Request{Function: "f", Args: []byte(`[2]`)})
	if err != nil {
		t.Fatal(err)
	}
	w.full.Store(true)
	eventually(t, "no outage", func() bool { return w.hub.CanWrite() != nil })
	first.result(`1`)
	for range 20 {
		<-time.After(time.Millisecond)
		if len(w.bridges.calls) > 0 {
			t.Fatal("the second runs")
		}
	}
	w.full.Store(false)
	w.bridges.wait(t).result(`2`)
	if a := w.await(second.ID()); string(a.Result) != `2` {
		t.Errorf("%+v", a)
	}
}

// A confirmed checkpoint is what the function builds on: it must not hear of one that a crash could take back.
func TestACheckpointIsAnsweredOnceItIsOnDisk(t *testing.T) {
	w := newWorld(t, t.TempDir(), Config{StoreWait: 50 * time.Millisecond})
	_, r := w.start(`[1]`)
	w.full.Store(true)
	eventually(t, "no outage", func() bool { return w.hub.CanWrite() != nil })
	r.checkpoint(1, ``, `[2]`)
	other := newReplies()
	if _, err := w.hub.Invoke(w.owner, &Request{Function: "f"}, other); err != nil { // takes longer than an answer would
		t.Fatal(err)
	}
	w.bridges.wait(t).result(`1`)
	other.wait(t)
	if len(r.in) > 0 {
		t.Errorf("the function was told %+v", <-r.in)
	}
	w.full.Store(false)
	if got := r.told(nodebridge.Response); got != "\x01\x00\x00\x00\x00\x02" {
		t.Errorf("told %q", got)
	}
}
