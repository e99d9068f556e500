package e2e

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// Nobody asked this one to pause: the hub dies under it, and it runs again, from its start.
func TestADurableExecutionRunsAgainAfterAKill(t *testing.T) {
	h := startHub(t)
	h.publishFiles("report", sample(t, "report").Files)
	var want any
	h.http().json("POST", "/v1/invoke/report", []any{}, http.StatusOK, &want)

	s := h.socket()
	id := started(t, s.await("start", s.send("start", map[string]any{"function": "report", "args": []any{map[string]any{"rowsPerSecond": 1_000}}})))
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	s.nextOf("progress")
	h.kill()
	<-s.closed
	h.start()

	s = h.socket()
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	retrying := s.nextOf("execution.retrying")
	s.next("progress of the second attempt", func(ev event) bool { return ev.Type == "progress" && ev.Offset > retrying.Offset })
	s.call("send", map[string]any{"execution": id, "type": "speed", "data": 0}, nil)
	s.nextOf("execution.succeeded")
	x := s.get(id)
	var got any
	if err := json.Unmarshal(x.Result, &got); err != nil || !reflect.DeepEqual(got, want) || x.Attempt != 2 {
		t.Errorf("it ended as %s, want the result %s", show(x), show(want))
	}
}

// Who waits for a call that is paused over HTTP is told where it is; who waits on a WebSocket goes on
// waiting, and gets the answer when it comes.
func TestAPausedCallAnswersItsCallers(t *testing.T) {
	h := startHub(t)
	h.publish("add", "module.exports = (a, b) => a + b")
	h.publish("hold", `
		module.exports = async function hold (word, hub) {
			if (word.startsWith('again')) return word
			await new Promise(resolve => hub.events.once('pause', resolve))
			return hub.pause('again ' + word)
		}`)
	s := h.socket()
	s.call("subscribe", map[string]any{"stream": "function.hold", "since": "new"}, nil)

	over := make(chan response, 1)
	go func() { over <- h.http().raw("POST", "/v1/invoke/hold", strings.NewReader(`["http"]`)) }()
	id := executionOf(t, s.nextOf("execution.started"))
	s.call("pause", map[string]any{"execution": id}, nil)
	res := <-over
	var told struct{ Execution string }
	if err := json.Unmarshal(res.body, &told); err != nil || res.status != http.StatusAccepted || told.Execution != id ||
		res.header.Get("Location") != "/v1/executions/"+id || res.header.Get("Livefn-Execution") != id {
		t.Fatalf("the caller over HTTP is answered %d %v %s", res.status, res.header, res.body)
	}
	s.call("resume", map[string]any{"execution": id}, nil)
	s.next("its end", func(ev event) bool { return ev.Type == "execution.succeeded" && executionOf(t, ev) == id })
	if x := s.get(id); string(x.Result) != `"again http"` {
		t.Errorf("it ended as %s", show(x))
	}

	waiting := s.send("invoke", map[string]any{"function": "hold", "args": []string{"socket"}})
	id = executionOf(t, s.nextOf("execution.started"))
	s.call("pause", map[string]any{"execution": id}, nil)
	s.nextOf("execution.paused")
	select {
	case a := <-waiting:
		t.Fatalf("the caller on the WebSocket was answered while it was paused: %s %v", a.Result, a.Error)
	default:
	}
	s.call("resume", map[string]any{"execution": id, "args": []string{"again and again"}}, nil)
	if a := s.await("invoke", waiting); a.Error != nil || string(a.Result) != `"again and again"` {
		t.Errorf("the caller on the WebSocket gets %s %v", a.Result, a.Error)
	}
	h.neighbour()
}

// A call with an idempotency key runs once, whoever repeats it, and whatever happens to the hub.
func TestACallWithAKeyRunsOnceEvenIfTheHubIsKilled(t *testing.T) {
	h := startHub(t)
	h.publish("dice", "module.exports = () => Math.random()")
	roll := func() response {
		return h.http().raw("POST", "/v1/invoke/dice", strings.NewReader("[]"), "Idempotency-Key", "roll-1")
	}
	first := roll()
	second := roll()
	h.kill()
	h.start()
	third := roll()
	for _, again := range []response{second, third} {
		if first.status != 200 || again.status != 200 || string(again.body) != string(first.body) ||
			again.header.Get("Livefn-Execution") != first.header.Get("Livefn-Execution") {
			t.Errorf("first %d %s (%s), again %d %s (%s)", first.status, first.body, first.header.Get("Livefn-Execution"),
				again.status, again.body, again.header.Get("Livefn-Execution"))
		}
	}
}

// SIGTERM is no crash: the hub ends by itself, and well, with executions under way and somebody
// watching, and goes on with them when it is started again.
func TestAStoppedHubGoesOnWithWhatRan(t *testing.T) {
	h := startHub(t)
	h.publish("wait", `
		module.exports = async function wait (hub) {
			const word = await new Promise(resolve => hub.events.once('word', resolve))
			return word
		}`)
	s := h.socket()
	id := started(t, s.await("start", s.send("start", map[string]any{"function": "wait", "args": []any{}})))
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	s.nextOf("execution.started")
	h.stop() // fails the test if it does not end with 0
	<-s.closed
	h.start()
	s = h.socket()
	s.call("send", map[string]any{"execution": id, "type": "word", "data": "livefn"}, nil)
	s.call("subscribe", map[string]any{"stream": "execution." + id, "since": "start"}, nil)
	s.nextOf("execution.succeeded")
	if x := s.get(id); x.State != "succeeded" || string(x.Result) != `"livefn"` {
		t.Errorf("it ended as %s", show(x))
	}
}
