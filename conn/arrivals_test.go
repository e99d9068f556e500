package conn

import (
	"encoding/json"
	"fmt"
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

func TestAnEventStreamThatIsTurnedAwayIsToldWhenToComeBack(t *testing.T) {
	f := open(t, Config{ConnectBurst: 1, ReconnectAfter: time.Minute})
	f.srv.doors.doors.SetLimit(0)
	const path, accept = "/v1/streams/a/events", "Accept: text/event-stream"
	in := f.open("GET", path, "", accept)
	defer in.Body.Close()
	equal(t, "the first", in.StatusCode, 200)
	equal(t, "history is no connection", f.request("GET", path, "").status, 200)
	seen := map[string]bool{}
	for range 20 {
		r := f.request("GET", path, "", accept)
		var after int
		if _, err := fmt.Sscan(r.header.Get("Retry-After"), &after); err != nil || r.status != 503 || r.code(t) != "overloaded" || after < 1 || after > 64 {
			t.Fatalf("%d %v %s", r.status, r.header, r.body)
		}
		seen[r.header.Get("Retry-After")] = true
	}
	if len(seen) < 2 {
		t.Errorf("all come back after %v s", seen)
	}
	source := f.request("GET", path+"?token="+f.token("u1", "subscribe:>"), "", accept, "Authorization: ", "Origin: "+page) // as an EventSource
	var after int
	if _, err := fmt.Sscanf(source.body, "retry: %d\n\n", &after); err != nil || source.status != 200 || after < 1 || after > 64_000 ||
		source.header.Get("Content-Type") != "text/event-stream" || source.header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("%d %v %q", source.status, source.header, source.body)
	}
}
