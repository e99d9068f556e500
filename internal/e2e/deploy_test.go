package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Callers on the SDK do not notice that the hub is replaced: it answers what it began, tells them that it
// goes, and what they ask from then on waits for its successor.
func TestNoCallFailsWhenTheHubIsReplaced(t *testing.T) {
	h := startHub(t)
	h.publishFiles("add", sample(t, "add").Files)
	cmd := exec.Command("node", "deploy.mjs")
	cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_KEY="+h.key)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(4*patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	in := bufio.NewScanner(stdout)
	next := func(what string) (l line) {
		t.Helper()
		if !in.Scan() {
			t.Fatalf("waiting for %s: deploy.mjs has ended", what)
		}
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("deploy.mjs printed %q", in.Text())
		}
		return l
	}
	until := func(status string) {
		t.Helper()
		if l := next(status); l.Status != status {
			t.Fatalf("waiting for %s: it says %+v", status, l)
		}
	}
	for range 3 {
		until("open")
		until("busy")
		h.stop()
		until("reconnecting")
		h.startAgainAtTheSameAddress()
	}
	until("open")
	until("busy")
	_ = stdin.Close()
	var seen struct {
		Answered int
		Failed   map[string]int
	}
	if err := json.Unmarshal(next("the result").Result, &seen); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("deploy.mjs ended with %v", err)
	}
	if seen.Answered < 400 || len(seen.Failed) > 0 {
		t.Errorf("%d calls were answered, others failed: %v", seen.Answered, seen.Failed)
	}
}
