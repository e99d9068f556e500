package conn

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// Requests that come one after the other must not set a deadline each; a wait must have one all the same.
func TestADeadlineIsSetBeforeAWaitAndNotForEachRequest(t *testing.T) {
	var d deadline
	var sets []time.Time
	set := func(at time.Time) error { sets = append(sets, at); return nil }
	start := time.Now()
	for range 1000 { // as fasthttp does for each request: idle, wait for the first byte, headers
		if d.ask(time.Now().Add(75*time.Second), set) != nil || d.wait(set) != nil || d.ask(time.Now().Add(10*time.Second), set) != nil {
			t.Fatal("a deadline was refused")
		}
	}
	if len(sets) != 1 || sets[0].Before(start.Add(75*time.Second)) {
		t.Errorf("set %d times: %v", len(sets), sets)
	}
	if err := d.wait(set); err != nil || len(sets) != 2 || time.Until(sets[1]) > 10*time.Second {
		t.Errorf("headers that are not whole wait until %v, %v", sets, err)
	}
	for _, at := range []time.Time{{}, time.Unix(1, 0), time.Now().Add(eagerBelow / 2)} {
		before := len(sets)
		if err := d.ask(at, set); err != nil || len(sets) != before+1 || !sets[before].Equal(at) {
			t.Errorf("%v was not set at once: %v, %v", at, sets, err)
		}
	}
	before := len(sets)
	if d.ask(time.Now().Add(time.Minute), set) != nil || d.wait(set) != nil || len(sets) != before+1 {
		t.Errorf("after one that was set at once, the next wait has %v", sets[before:])
	}
}

func TestADeadlineInThePastEndsAReadThatWaits(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{Listener: ln, open: map[*tracked]struct{}{}}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}()
	if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for { // the read may arm its hour after the past was set
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("it ended with %v", err)
			}
			return
		case <-time.After(time.Millisecond):
			if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
}
