package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A program that follows an execution with the SDK does not notice that the hub was killed and started
// again, but for its status: the events go on after the last one, without a gap or a repetition.
func TestTheSDKFollowsAnExecutionOverAKilledHub(t *testing.T) {
	h := startHub(t)
	h.publishFiles("report", sample(t, "report").Files)
	var want any
	h.http().json("POST", "/v1/invoke/report", []any{}, http.StatusOK, &want)
	id := h.startExecution("report", map[string]any{"rowsPerSecond": 5_000})
	at := "/v1/executions/" + id

	f := h.follow(id)
	f.until("progress", func(l line) bool { return l.Type == "progress" })
	h.http().json("POST", at+"/pause", nil, http.StatusOK, nil)
	f.until("execution.paused", func(l line) bool { return l.Type == "execution.paused" })

	h.kill()
	f.until("the connection to be lost", func(l line) bool { return l.Status == "reconnecting" })
	h.startAgainAtTheSameAddress()
	f.until("the connection to be back", func(l line) bool { return l.Status == "open" })
	h.http().json("POST", at+"/resume", nil, http.StatusOK, nil)
	h.http().json("POST", at+"/events", map[string]any{"type": "speed", "data": 0}, http.StatusOK, nil)
	last := f.until("the result", func(l line) bool { return l.Result != nil })

	var got any
	if err := json.Unmarshal(last.Result, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the result is\n%s\nwant\n%s", last.Result, show(want))
	}
	lifecycle := []string{"execution.queued", "execution.started", "execution.pausing", "execution.paused", "execution.resumed", "execution.started", "execution.succeeded"}
	if !slices.Equal(f.lifecycle, lifecycle) {
		t.Errorf("it saw %q, want %q", f.lifecycle, lifecycle)
	}
}

func (h *hub) startExecution(function string, args ...any) string {
	h.t.Helper()
	var out struct{ Execution string }
	h.http().json("POST", "/v1/invoke/"+function+"?async=1", args, http.StatusAccepted, &out)
	return out.Execution
}

// startAgainAtTheSameAddress is for clients that come back by themselves.
func (h *hub) startAgainAtTheSameAddress() {
	h.t.Helper()
	h.args[slices.Index(h.args, "--listen")+1] = h.last
	h.start()
}

// follower runs follow.mjs.
type follower struct {
	t         *testing.T
	lines     chan line
	last      uint64 // offset
	lifecycle []string
}

type line struct {
	Status    string
	Type      string
	Offset    uint64
	Recovered *bool
	Result    json.RawMessage
}

func (h *hub) follow(id string) *follower {
	h.t.Helper()
	cmd := exec.Command("node", "follow.mjs")
	cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_KEY="+h.key, "LIVEFN_EXECUTION="+id)
	stderr := &output{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	f := &follower{t: h.t, lines: make(chan line, 100_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(f.lines)
		for in := bufio.NewReader(stdout); ; {
			text, err := in.ReadString('\n')
			if err != nil {
				return
			}
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				h.t.Errorf("follow.mjs printed %q", text)
			}
			f.lines <- l
		}
	}()
	h.t.Cleanup(func() {
		if h.t.Failed() {
			_ = cmd.Process.Kill()
		}
		<-read
		if err := cmd.Wait(); err != nil && !h.t.Failed() {
			h.t.Errorf("follow.mjs ended with %v", err)
		}
		if h.t.Failed() {
			h.t.Logf("follow.mjs said:\n%s", stderr.tail())
		}
	})
	return f
}

func (f *follower) until(what string, accept func(line) bool) line {
	f.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case l, ok := <-f.lines:
			if !ok {
				f.t.Fatalf("waiting for %s: follow.mjs has ended", what)
			}
			if l.Type != "" {
				if l.Offset != f.last+1 || l.Recovered != nil {
					f.t.Errorf("after offset %d came %+v", f.last, l)
				}
				f.last = l.Offset
				if strings.HasPrefix(l.Type, "execution.") {
					f.lifecycle = append(f.lifecycle, l.Type)
				}
			}
			if accept(l) {
				return l
			}
		case <-timeout:
			f.t.Fatalf("waiting for %s: it did not come", what)
		}
	}
}
