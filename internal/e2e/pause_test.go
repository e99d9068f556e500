package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Told "paused" means on disk. A thousand executions pause at once, and the hub is killed while it is
// telling: whoever was told finds the execution paused, with its arguments, and every single one can
// still be brought to its end.
func TestEveryAcknowledgedPauseOutlivesAKill(t *testing.T) {
	for _, killAt := range []int{1, 100, 700} {
		t.Run(fmt.Sprintf("after %d acknowledgements", killAt), func(t *testing.T) { pauseAndKill(t, 1_000, killAt) })
	}
}

func pauseAndKill(t *testing.T, all, killAt int) {
	h := startHub(t)
	h.publish("hold", `
		module.exports = async function hold (n, from, hub) {
			if (from) return { n, from }
			await new Promise(resolve => hub.events.once('pause', resolve))
			return hub.pause(n, n * 2)
		}`)
	s := h.socket()
	s.call("subscribe", map[string]any{"stream": "function.hold", "since": "new"}, nil)

	numbers := map[string]int{} // by execution
	answers := make([]<-chan answer, all)
	for n := range all {
		answers[n] = s.send("start", map[string]any{"function": "hold", "args": []any{n + 1}})
	}
	for n, c := range answers {
		numbers[started(t, s.await("start", c))] = n + 1
	}
	running := map[string]bool{}
	s.next("all to run", func(ev event) bool {
		if ev.Type == "execution.started" {
			running[executionOf(t, ev)] = true
		}
		return len(running) == all
	})

	for id := range numbers {
		s.send("pause", map[string]any{"execution": id})
	}
	told := map[string]bool{}
	s.next("some pauses", func(ev event) bool {
		if ev.Type == "execution.paused" {
			told[executionOf(t, ev)] = true
		}
		return len(told) == killAt
	})
	h.kill()
	<-s.closed
	for ev := range s.events { // what had been told when the connection broke
		if ev.Type == "execution.paused" {
			told[executionOf(t, ev)] = true
		}
	}
	t.Logf("%d of %d pauses were acknowledged", len(told), all)

	h.start()
	s = h.socket()
	s.call("subscribe", map[string]any{"stream": "function.hold", "since": "new"}, nil)
	for id := range told {
		x, n := s.get(id), numbers[id]
		if x.State != "paused" || x.Pause == nil || string(x.Pause.Args) != fmt.Sprintf("[%d,%d]", n, n*2) {
			t.Errorf("execution %d was acknowledged as paused, and is %s", n, show(x))
		}
	}

	// The rest had not paused yet, as far as anybody knew. None of them is lost.
	ended := map[string]bool{}
	for id := range numbers {
		if told[id] {
			s.call("resume", map[string]any{"execution": id}, nil)
		} else {
			s.send("pause", map[string]any{"execution": id})
		}
	}
	// A parked one answers the pause with its state and emits nothing, so ask.
	for id, n := range numbers {
		if told[id] {
			continue
		}
		if x := s.get(id); x.State == "paused" {
			s.call("resume", map[string]any{"execution": id, "args": []any{n, n * 2}}, nil)
			told[id] = true
		}
	}
	s.next("all to end", func(ev event) bool {
		id := executionOf(t, ev)
		switch ev.Type {
		case "execution.paused":
			if !told[id] {
				told[id] = true
				s.send("resume", map[string]any{"execution": id, "args": []any{numbers[id], numbers[id] * 2}})
			}
		case "execution.succeeded", "execution.failed", "execution.cancelled":
			ended[id] = true
		}
		return len(ended) == all
	})
	for id, n := range numbers {
		if x := s.get(id); x.State != "succeeded" || string(x.Result) != fmt.Sprintf(`{"n":%d,"from":%d}`, n, n*2) {
			t.Errorf("execution %d ended as %s", n, show(x))
		}
	}
}

func started(t *testing.T, a answer) string {
	t.Helper()
	var out struct{ Execution string }
	if a.Error != nil {
		t.Fatalf("start: %v", a.Error)
	}
	if err := json.Unmarshal(a.Result, &out); err != nil || out.Execution == "" {
		t.Fatalf("start gave %s", a.Result)
	}
	return out.Execution
}

// executionOf gives the execution that a lifecycle event is about.
func executionOf(t *testing.T, ev event) string {
	t.Helper()
	var data struct{ Execution string }
	if err := json.Unmarshal(ev.Data, &data); err != nil || data.Execution == "" {
		t.Fatalf("%s of %s has the data %s", ev.Type, ev.Stream, ev.Data)
	}
	return data.Execution
}
