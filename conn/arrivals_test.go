package conn

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// A storm must neither stop the hub nor come again as a storm: who is turned away is spread over the time that
// it takes to let all of them in.
func TestAStormIsLetInAtTheRateAndComesBackSpreadOut(t *testing.T) {
	const rate, burst, clients = 1000, 100, 5000
	a := newArrivals(rate, burst, 10*time.Second)
	start := time.Now()
	due := make([]time.Duration, clients) // they come all at once
	in, tries := 0, 0
	var last time.Duration
	for len(due) > 0 {
		var again []time.Duration
		for _, at := range due {
			tries++
			after, away := a.turnedAway(start.Add(at))
			if away {
				again = append(again, at+after)
			} else {
				in, last = in+1, at
			}
		}
		slices.Sort(again)
		due = again
	}
	if fastest := time.Duration(clients-burst) * time.Second / rate; in != clients || last < fastest || last > 2*fastest {
		t.Errorf("%d came in, the last after %s, at best it is %s", in, last, fastest)
	}
	if tries > 3*clients {
		t.Errorf("%d tries of %d clients", tries, clients)
	}
}

func TestAFloodIsSpreadOverTheLongestPause(t *testing.T) {
	a := newArrivals(1, 1, time.Second)
	now := time.Now()
	var first, last time.Duration = time.Hour, 0
	for range 1000 {
		if after, away := a.turnedAway(now); away {
			first, last = min(first, after), max(last, after)
		}
	}
	if first > 100*time.Millisecond || last < 900*time.Millisecond || last > 1050*time.Millisecond {
		t.Errorf("they come back after %s to %s", first, last)
	}
}

// Browsers show a page no status of a handshake: who is turned away is let in as far as is needed to say so.
func TestASocketThatIsTurnedAwayIsToldWhenToComeBack(t *testing.T) {
	f := open(t, Config{ConnectBurst: 1, ReconnectAfter: time.Minute})
	f.srv.doors.doors.SetLimit(0) // one comes in, whatever the time
	in, away := f.socket(), f.socket()
	var m struct {
		Method string
		Params struct {
			Reason    string
			Reconnect struct{ After *int }
		}
	}
	if got := away.hear(); json.Unmarshal([]byte(got), &m) != nil || m.Method != "closing" || m.Params.Reason != "busy" ||
		m.Params.Reconnect.After == nil || *m.Params.Reconnect.After > 60_000 {
		t.Fatal(got)
	}
	equal(t, "turned away", away.closed(), CloseBusy)
	same(t, "who is in", in.ask(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), `{"jsonrpc":"2.0","id":1,"result":"pong"}`)
}
