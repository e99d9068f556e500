package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func echoMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := Echo(ctx, os.Stdout); err != nil {
		return 1
	}
	return 0
}

// hubStub answers calls over both transports as a hub does; each call passes through before.
type hubStub struct {
	*httptest.Server
	calls  atomic.Int64
	before func(n int64)
}

func newHubStub(t *testing.T, before func(n int64)) *hubStub {
	t.Helper()
	h := &hubStub{before: before}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/invoke/add", func(w http.ResponseWriter, r *http.Request) {
		var args []int
		if err := json.NewDecoder(r.Body).Decode(&args); err != nil || len(args) != 2 {
			t.Errorf("request body: %v %v", args, err)
			return
		}
		h.call()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(args[0] + args[1])
	})
	mux.HandleFunc("GET /v1/ws", h.socket)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":"not_found","detail":"There is no function `+r.URL.Path+`."}`)
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *hubStub) call() {
	if n := h.calls.Add(1); h.before != nil {
		h.before(n)
	}
}

func (h *hubStub) socket(w http.ResponseWriter, r *http.Request) {
	c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	for {
		var q struct {
			ID     int
			Params struct{ Args []int }
		}
		if c.ReadJSON(&q) != nil {
			return
		}
		h.call()
		if c.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": q.Params.Args[0] + q.Params.Args[1]}) != nil {
			return
		}
	}
}

func scenarioFor(url string, transport Transport) Scenario {
	return Scenario{URL: url, Function: "add", Args: json.RawMessage("[1,2]"), Expect: json.RawMessage("3"),
		Transport: transport, Connections: 4, Duration: 150 * time.Millisecond, Timeout: 5 * time.Second}
}

// The figures are worth nothing if the generator counts what the server did not do. What the server
// saw beyond the count was in flight at the end, or was the first call.
func TestTheClosedLoopCountsWhatTheServerDid(t *testing.T) {
	for _, transport := range []Transport{HTTP, WebSocket} {
		h := newHubStub(t, nil)
		s := scenarioFor(h.URL, transport)
		r, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.fill()
		extra := h.calls.Load() - r.Calls
		if r.Calls == 0 || r.Failed() != 0 || extra < 0 || extra > int64(s.Connections*s.InFlight+s.InFlight) {
			t.Errorf("%s: counted %d, the server did %d, errors %v", transport, r.Calls, h.calls.Load(), r.Errors)
		}
	}
}

// Every call that was due is accounted for: at this low rate, as an answer.
func TestTheOpenLoopSendsAtItsRate(t *testing.T) {
	for _, transport := range []Transport{HTTP, WebSocket} {
		h := newHubStub(t, nil)
		s := scenarioFor(h.URL, transport)
		s.Rate = 1000
		r, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls+r.Unsent != 150 || r.Failed() != 0 {
			t.Errorf("%s: %d calls and %d unsent of 150, errors %v", transport, r.Calls, r.Unsent, r.Errors)
		}
	}
}

// Coordinated omission: while a server stalls, a closed loop with one connection records one slow
// call. The open loop must record all that were due meanwhile, each with what it waited.
func TestAStallShowsInEveryCallThatWasDueMeanwhile(t *testing.T) {
	const stall = 100 * time.Millisecond
	h := newHubStub(t, func(n int64) {
		if n == 10 {
			<-time.After(stall)
		}
	})
	s := scenarioFor(h.URL, HTTP)
	s.Connections, s.Rate, s.Duration = 1, 500, 400*time.Millisecond
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// 50 of 200 calls were due in the stall, and waited from 0 to 100 ms: the 90th percentile is 60 ms.
	// None of that is the generator's doing.
	if r.Latency.P90 < 30 || r.Late > r.Latency.P90/2 || r.Calls+r.Unsent != 200 {
		t.Errorf("p90 is %.1f ms (generator %.1f) with %d calls, %d unsent", r.Latency.P90, r.Late, r.Calls, r.Unsent)
	}
}

// A hub that is slower than the rate must not look healthy because what it never got is not counted.
func TestWhatCouldNotBeSentIsCountedWithWhatItWaited(t *testing.T) {
	stop := make(chan struct{})
	h := newHubStub(t, func(n int64) {
		if n == 3 {
			select {
			case <-stop:
			case <-time.After(400 * time.Millisecond):
			}
		}
	})
	defer close(stop)
	s := scenarioFor(h.URL, HTTP)
	s.Connections, s.Rate, s.Duration = 1, 500, 200*time.Millisecond
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// From its second call on the connection is stuck until after the end: nearly 100 calls wait up to 200 ms.
	if r.Unsent < 90 || r.Calls+r.Unsent != 100 || r.Latency.P50 < 80 {
		t.Errorf("%d calls, %d unsent, p50 %.1f ms", r.Calls, r.Unsent, r.Latency.P50)
	}
}

func TestACallWithoutAnAnswerIsAnErrorAndNotALatency(t *testing.T) {
	release := make(chan struct{})
	h := newHubStub(t, func(n int64) {
		if n > 1 {
			<-release
		}
	})
	t.Cleanup(func() { close(release) }) // before the server closes, which waits for its handlers
	s := scenarioFor(h.URL, HTTP)
	s.Connections, s.Timeout, s.Duration = 1, 100*time.Millisecond, 150*time.Millisecond
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Calls != 0 || r.Errors[codeNoAnswer] == 0 || r.Latency.Max != 0 {
		t.Errorf("%+v", r)
	}
}

// A hub that restarts costs the calls in flight, not the rest of the run.
func TestALostConnectionIsMadeAgain(t *testing.T) {
	for _, rate := range []float64{0, 500} {
		for _, transport := range []Transport{HTTP, WebSocket} {
			h := newHubStub(t, func(n int64) {
				if n == 40 {
					panic(http.ErrAbortHandler)
				}
			})
			s := scenarioFor(h.URL, transport)
			s.Rate, s.Connections, s.Duration = rate, 1, 300*time.Millisecond
			r, err := s.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors[codeLost] == 0 || h.calls.Load() < 60 {
				t.Errorf("%s at %g: errors %v, %d calls", transport, rate, r.Errors, h.calls.Load())
			}
		}
	}
}

func TestTheFirstCallsFaultIsSaidOnce(t *testing.T) {
	h := newHubStub(t, nil)
	for _, transport := range []Transport{HTTP} {
		s := scenarioFor(h.URL, transport)
		s.Function = "nope"
		if _, err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not_found") {
			t.Errorf("%s: %v", transport, err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if _, err := scenarioFor("http://"+ln.Addr().String(), HTTP).Run(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestAnInterruptEndsARun(t *testing.T) {
	for _, rate := range []float64{0, 100} {
		ctx, cancel := context.WithCancel(t.Context())
		h := newHubStub(t, func(n int64) {
			if n == 5 {
				cancel()
			}
		})
		s := scenarioFor(h.URL, HTTP)
		s.Duration, s.Rate = time.Hour, rate
		if _, err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("at %g: %v", rate, err)
		}
		cancel()
	}
}

func TestWrongScenariosAreRefused(t *testing.T) {
	good := scenarioFor("http://127.0.0.1:1", HTTP)
	for name, change := range map[string]func(*Scenario){
		"transport":            func(s *Scenario) { s.Transport = "tcp" },
		"pipelining":           func(s *Scenario) { s.InFlight = 2 },
		"negative connections": func(s *Scenario) { s.Connections = -1 },
		"no function":          func(s *Scenario) { s.Function = "" },
		"arguments no array":   func(s *Scenario) { s.Args = json.RawMessage("1") },
		"arguments no JSON":    func(s *Scenario) { s.Args = json.RawMessage("[") },
		"no URL":               func(s *Scenario) { s.URL = "nope" },
		"other scheme":         func(s *Scenario) { s.URL = "ftp://x" },
	} {
		s := good
		change(&s)
		if _, err := s.Run(t.Context()); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
