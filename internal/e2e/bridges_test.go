package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bridgeEvent is an event of hub.bridges.
type bridgeEvent struct {
	Stream, Type string
	Data         struct {
		Tenant, Node, State, StartedAt, Code, Reason string
		PID                                          int
		Memory                                       int64
	}
}

// What becomes of a Node process is seen by who subscribes, over a WebSocket, over SSE and as history, and by
// nobody of another tenant.
func TestTheEndOfABridgeIsSeenByItsTenantAlone(t *testing.T) {
	h := startHub(t)
	h.publish("one", `module.exports = () => 1`)
	var created struct{ Key string }
	h.as(adminKey).json("POST", "/v1/admin/tenants", map[string]string{"name": "other"}, http.StatusCreated, &created)

	mine, others := h.socket(), h.dial(http.Header{"Authorization": {"Bearer " + created.Key}})
	mine.call("subscribe", map[string]any{"stream": "hub.bridges", "since": "start"}, nil)
	others.call("subscribe", map[string]any{"stream": "hub.bridges", "since": "start"}, nil)
	others.call("subscribe", map[string]any{"stream": ">", "since": "start"}, nil)
	operators := h.dial(http.Header{"Authorization": {"Bearer " + adminKey}, "Livefn-Tenant": {"e2e"}})
	operators.call("subscribe", map[string]any{"stream": "hub.bridges", "since": "start"}, nil)
	sse := h.eventStream("hub.bridges")

	h.http().json("POST", "/v1/invoke/one", []any{}, http.StatusOK, nil)
	read := func(ev event) (b bridgeEvent) {
		if err := json.Unmarshal(ev.Data, &b.Data); err != nil {
			t.Fatal(err)
		}
		b.Type, b.Stream = ev.Type, ev.Stream
		return b
	}
	started, ready := read(mine.nextOf("bridge.started")), read(mine.nextOf("bridge.ready"))
	pid := ready.Data.PID
	if ready.Data.Node == "" || ready.Data.Tenant != "e2e" || started.Data.StartedAt != ready.Data.StartedAt || started.Data.PID != 0 && started.Data.PID != pid {
		t.Errorf("%+v was started, and this is ready: %+v", started, ready)
	}
	measured := mine.next("a measurement", func(ev event) bool { return ev.Type == "bridge.measured" && read(ev).Data.Memory > 0 })
	if b := read(measured); b.Data.PID != pid || b.Data.State != "running" {
		t.Errorf("%+v was measured", b)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wantEnd := func(where string, b bridgeEvent) {
		t.Helper()
		if b.Data.PID != pid || b.Data.Code != "died" || !strings.Contains(b.Data.Reason, "died") || b.Data.Tenant != "e2e" {
			t.Errorf("%s says of the end of %d: %+v", where, pid, b)
		}
	}
	wantEnd("the WebSocket", read(mine.nextOf("bridge.ended")))
	wantEnd("the operator's WebSocket", read(operators.nextOf("bridge.ended")))
	var told bridgeEvent
	for told = range sse {
		if told.Type == "bridge.ended" {
			break
		}
	}
	wantEnd("SSE", told)
	if next := read(mine.nextOf("bridge.ready")); next.Data.PID == pid {
		t.Errorf("%d is ready again", pid)
	}
	var page struct{ Events []bridgeEvent }
	h.http().json("GET", "/v1/streams/hub.bridges/events", nil, http.StatusOK, &page)
	var kept []string
	for _, b := range page.Events {
		kept = append(kept, b.Type)
		if b.Type == "bridge.ended" {
			wantEnd("the history", b)
		}
	}
	if got := strings.Join(kept, " "); got != "bridge.started bridge.ready bridge.ended bridge.started bridge.ready" {
		t.Errorf("the history has %s", got)
	}

	// Another tenant's own bridge is the first thing that its subscribers hear of.
	h2 := *h
	h2.key = created.Key
	h2.publish("one", `module.exports = () => 2`)
	own := read(others.nextOf("bridge.started"))
	if own.Data.Tenant != "other" || own.Data.PID == pid {
		t.Errorf("another tenant was told %+v", own)
	}
}

// A token sees it with its scope alone, and nobody publishes to it.
func TestHubBridgesNeedsItsScope(t *testing.T) {
	h := startHub(t)
	token := func(scope string) string {
		var made struct{ Token string }
		h.http().json("POST", "/v1/tokens", map[string]any{"scopes": []string{scope}}, http.StatusCreated, &made)
		return made.Token
	}
	for scope, allowed := range map[string]bool{"subscribe:hub.bridges": true, "subscribe:hub.>": true, "subscribe:>": true,
		"subscribe:*.bridges": false, "subscribe:orders.>": false, "executions:write": false} {
		s := h.dial(http.Header{"Authorization": {"Bearer " + token(scope)}})
		a := s.await("subscribe", s.send("subscribe", map[string]any{"stream": "hub.bridges"}))
		if allowed != (a.Error == nil) || !allowed && a.Error.Data.Code != "forbidden" {
			t.Errorf("with %s: %s %v", scope, a.Result, a.Error)
		}
		res := h.as(token(scope)).raw("GET", "/v1/streams/hub.bridges/events", nil)
		if want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[allowed]; res.status != want {
			t.Errorf("with %s the history answers %d %s", scope, res.status, res.body)
		}
	}
	if f := h.socket().fault("publish", map[string]any{"stream": "hub.bridges", "type": "bridge.ended"}); f.Data.Code != "invalid_request" {
		t.Errorf("publishing: %v", f)
	}
}

// eventStream reads a stream over SSE until the test ends.
func (h *hub) eventStream(stream string) <-chan bridgeEvent {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+"/v1/streams/"+stream+"/events?since=start", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	late := time.AfterFunc(patience, func() { _ = res.Body.Close() })
	h.t.Cleanup(func() { late.Stop(); _ = res.Body.Close() })
	events := make(chan bridgeEvent, 1000)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var b bridgeEvent
				if json.Unmarshal([]byte(data), &b) == nil {
					events <- b
				}
			}
		}
	}()
	return events
}
