package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// cli runs the program as the operator.
func (h *hub) cli(arg ...string) (string, error) {
	cmd := exec.Command(program, arg...)
	cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_ADMIN_KEY="+adminKey)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A backup is taken while executions start and pause as fast as they can. The hub that is made of it knows
// all that was acknowledged before, runs the functions with their packages, and of every execution state
// and events tell the same.
func TestABackupUnderLoadMakesAConsistentHub(t *testing.T) {
	h := startHub(t)
	h.publishFiles("report", sample(t, "report").Files)
	h.publish("hold", `
		module.exports = async function hold (n, from, hub) {
			if (from) return { n, from }
			if (!hub.pausing) await new Promise(resolve => hub.events.once('pause', resolve))
			return hub.pause(n, n * 2)
		}`)
	var mu sync.Mutex // guards the next two
	var started []string
	paused := map[string]bool{}
	end, enough := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for w := range 8 {
		s := h.socket()
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				var x struct{ Execution string }
				s.call("start", map[string]any{"function": "hold", "args": []any{w*1_000_000 + n}}, &x)
				mu.Lock()
				if started = append(started, x.Execution); len(started) == 400 {
					close(enough)
				}
				mu.Unlock()
				if n%2 == 0 {
					s.call("subscribe", map[string]any{"stream": "execution." + x.Execution, "since": "start"}, nil)
					s.call("pause", map[string]any{"execution": x.Execution}, nil)
					s.next("its pause", func(ev event) bool {
						return ev.Type == "execution.paused" && ev.Stream == "execution."+x.Execution
					})
					mu.Lock()
					paused[x.Execution] = true
					mu.Unlock()
				}
			}
		})
	}
	<-enough
	mu.Lock()
	before, pausedBefore := slices.Clone(started), make([]string, 0, len(paused))
	for id := range paused {
		pausedBefore = append(pausedBefore, id)
	}
	mu.Unlock()
	file := filepath.Join(t.TempDir(), "hub.backup")
	if out, err := h.cli("backup", "-o", file); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	close(end)
	wg.Wait()
	t.Logf("%d executions had started and %d were paused when the backup began; %d when it had ended", len(before), len(pausedBefore), len(started))

	again := newHub(t)
	data := again.args[slices.Index(again.args, "--data")+1]
	if out, err := h.cli("restore", file, "--data", data); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := h.cli("restore", file, "--data", data); err == nil || !strings.Contains(out, "is not empty") {
		t.Errorf("restored into a folder with content: %v\n%s", err, out)
	}
	again.key = h.key
	again.start()
	s := again.socket()
	for _, id := range pausedBefore {
		if x := s.get(id); x.State != "paused" || x.Pause == nil {
			t.Errorf("it was acknowledged as paused before the backup, and is %s", show(x))
		}
	}
	for _, id := range before {
		agree(t, again, s, id)
	}
	s.call("resume", map[string]any{"execution": pausedBefore[0]}, nil)
	var report any
	again.http().json("POST", "/v1/invoke/report", []any{}, http.StatusOK, &report) // with its packages
}

// agree sees that an execution's events have no gap and that the last of its lifecycle is its state's.
func agree(t *testing.T, h *hub, s *socket, id string) {
	t.Helper()
	states := map[string]string{"execution.queued": "queued", "execution.retrying": "queued", "execution.resumed": "queued",
		"execution.started": "running", "execution.pausing": "pausing", "execution.paused": "paused"}
	deadline := time.Now().Add(patience)
	for {
		var page struct{ Events []event }
		h.http().json("GET", "/v1/executions/"+id+"/events", nil, http.StatusOK, &page)
		x := s.get(id)
		last, gap := "", ""
		for i, ev := range page.Events {
			if int(ev.Offset) != i+1 {
				gap = fmt.Sprintf("event %d has the offset %d", i+1, ev.Offset)
			}
			if state, ok := states[ev.Type]; ok {
				last = state
			}
		}
		if gap == "" && last == x.State {
			return
		}
		if gap != "" || time.Now().After(deadline) { // between two questions it may have gone on
			b, _ := json.Marshal(page)
			t.Fatalf("%s; it is %s\nits events are %s", gap, show(x), b)
		}
	}
}

// A hub that finds its disk full starts all the same: it says so, and serves what needs no disk.
func TestAHubOnAFullDiskServesCalls(t *testing.T) {
	h := startHub(t)
	h.publish("add", "module.exports = (a, b) => a + b")
	h.stop()
	args := h.args
	h.args = append(slices.Clone(args), "--min-free", "1000000GiB")
	h.start()
	res := h.http().raw("GET", "/readyz", nil)
	if res.status != http.StatusServiceUnavailable || !strings.Contains(string(res.body), "the disk is full") {
		t.Errorf("readiness: %d %s", res.status, res.body)
	}
	if res := h.http().raw("GET", "/healthz", nil); res.status != http.StatusOK {
		t.Errorf("health: %d", res.status)
	}
	var sum int
	h.http().json("POST", "/v1/invoke/add", []int{1, 2}, http.StatusOK, &sum)
	if sum != 3 {
		t.Errorf("1 + 2 is %d", sum)
	}
	var problem struct{ Code string }
	h.http().json("POST", "/v1/invoke/add?async=1", []int{1, 2}, http.StatusServiceUnavailable, &problem)
	if problem.Code != "storage_unavailable" {
		t.Errorf("a start is refused with %s", problem.Code)
	}
	var refused struct{ Code, Detail string }
	h.http().json("PUT", "/v1/functions/sub", map[string]any{"source": "module.exports = (a, b) => a - b"}, http.StatusServiceUnavailable, &refused)
	if refused.Code != "storage_unavailable" || !strings.Contains(refused.Detail, "the disk is full") {
		t.Errorf("a publish is refused with %+v", refused)
	}
	h.stop()
	h.args = args
	h.start()
	h.http().json("POST", "/v1/invoke/add?async=1", []int{1, 2}, http.StatusAccepted, nil)
	h.publish("sub", "module.exports = (a, b) => a - b")
}

// Badger would take a cut manifest as it is, and delete what it does not name.
func TestADamagedDataFolderIsRefused(t *testing.T) {
	h := startHub(t)
	h.publish("add", "module.exports = (a, b) => a + b")
	h.stop()
	store := filepath.Join(h.args[slices.Index(h.args, "--data")+1], "store")
	manifest := filepath.Join(store, "MANIFEST")
	content, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, content[:len(content)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := h.cli(h.args...)
	if err == nil || !strings.Contains(out, "the store in "+store+" is damaged: the file MANIFEST has") || !strings.Contains(out, "livefn restore") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(manifest, content, 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	var sum int
	h.http().json("POST", "/v1/invoke/add", []int{1, 2}, http.StatusOK, &sum)
}
