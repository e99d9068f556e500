package loadtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// Marks that a read cuts in two would make every rate too low, or a measurement hang.
func TestTheAudienceCountsMarksThatAreCutInTwo(t *testing.T) {
	text := "{" + mark + "}" + mark + mark[:4] + "x" + mark[:8] + mark
	for cut := 1; cut < len(text); cut++ {
		ours, theirs := net.Pipe()
		a := &audience{}
		a.await(1 << 40)
		a.group.Go(func() error { return a.count(ours) })
		for _, part := range []string{text[:cut], text[cut:]} {
			if _, err := theirs.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		_ = theirs.Close()
		if err := a.group.Wait(); err != io.EOF {
			t.Fatal(err)
		}
		if n := a.marks.Load(); n != 3 {
			t.Fatalf("cut at %d: %d marks, want 3", cut, n)
		}
	}
}

// The loop is the measure of the others: it must deliver everything, to everybody.
func TestTheLoopReachesEverySubscriber(t *testing.T) {
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) { reachesEverySubscriber(t, shards) })
	}
}

func reachesEverySubscriber(t *testing.T, shards int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ready := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		out := &firstLine{ready: ready}
		_, _ = io.Copy(out, r) // ends with w
	}()
	go func() {
		done <- Loop(ctx, w, shards)
		_ = w.Close()
	}()
	p := &peer{name: peerLoop, url: <-ready, key: "x"}
	f := FanOut{Subscribers: 20, Duration: 20 * time.Millisecond}
	for _, batch := range []int{1, 8} {
		got, err := f.measure(ctx, p, batch)
		if err != nil || got.Calls < int64(20*batch) || got.Calls%int64(20*batch) != 0 || got.PerSecond <= 0 {
			t.Errorf("%d at a time: %+v, %v", batch, got, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
