package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A schedule, an event and a request from outside each start their function, over a kill of the hub too.
func TestWhatStartsByItself(t *testing.T) {
	h := startHub(t)
	h.publish("add", `module.exports = (a, b) => a + b`)
	h.http().json("PUT", "/v1/functions/order", map[string]any{
		"settings": map[string]any{"triggers": []any{map[string]any{"pattern": "orders.>"}}},
		"source":   `module.exports = async (event, hub) => hub.publish('done', 'ordered', event.data)`}, http.StatusCreated, nil)
	h.publish("tick", `module.exports = async (word, hub) => hub.publish('done', 'ticked', word)`)
	h.http().json("PUT", "/v1/functions/hook", map[string]any{"settings": map[string]any{"public": true},
		"source": `module.exports = async ({ method, body }, hub) => ({ status: 201, headers: { 'x-by': hub.execution.function }, body: { method, got: body.n } })`}, http.StatusCreated, nil)
	h.http().json("PUT", "/v1/streams/orders.eu", map[string]any{"durable": true}, http.StatusOK, nil)
	h.http().json("PUT", "/v1/streams/done", map[string]any{"durable": true}, http.StatusOK, nil)
	h.http().json("PUT", "/v1/triggers/every-second", map[string]any{"function": "tick", "schedule": "* * * * * *", "args": []string{"tick"}}, http.StatusCreated, nil)

	h.http().json("POST", "/v1/streams/orders.eu/events", map[string]any{"type": "created", "data": 1}, http.StatusOK, nil)
	s := h.socket()
	s.call("subscribe", map[string]any{"stream": "done", "since": "start"}, nil)
	s.nextOf("ordered")
	s.nextOf("ticked")
	h.kill()
	h.start()
	h.http().json("POST", "/v1/streams/orders.eu/events", map[string]any{"type": "created", "data": 2}, http.StatusOK, nil)
	s = h.socket()
	s.call("subscribe", map[string]any{"stream": "done", "since": "start"}, nil)
	s.next("the second order", func(ev event) bool { return ev.Type == "ordered" && string(ev.Data) == "2" })
	var list struct {
		Items []struct{ Trigger, Key string }
	}
	h.http().json("GET", "/v1/executions?trigger=every-second&limit=100", nil, http.StatusOK, &list)
	seen := map[string]bool{}
	for _, x := range list.Items {
		if seen[x.Key] {
			t.Errorf("%s ran twice", x.Key)
		}
		seen[x.Key] = true
	}
	res := h.as("").raw("POST", "/t/e2e/hook/x", strings.NewReader(`{"n":5}`), "Content-Type", "application/json")
	var body map[string]any
	if err := json.Unmarshal(res.body, &body); err != nil || res.status != 201 || body["method"] != "POST" || body["got"] != 5.0 || res.header.Get("X-By") != "hook" {
		t.Errorf("the webhook is answered %d %v %s", res.status, res.header, res.body)
	}
	h.neighbour()
}
