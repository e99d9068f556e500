package e2e

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/livefn/livefn/loadtest"
)

// Everything at once, for a moment: nothing fails. Whether anything grows takes longer to say: livefn load soak.
func TestEverythingAtOnceFailsNowhere(t *testing.T) {
	out, _ := exec.Command(program, "load", "soak", "--duration", "6s", "--json").Output() // it fails if something grew, which it does at first
	var f loadtest.SoakFigures
	if err := json.Unmarshal(out, &f); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, what := range []string{"calls", "calls over WebSockets", "durable executions", "events", "streamed answers", "subscribers", "new versions"} {
		if f.Done[what] == 0 {
			t.Errorf("no %s: %s", what, out)
		}
	}
	if len(f.Errors) > 0 || len(f.Uses) != 5 {
		t.Errorf("got %s", out)
	}
	for _, u := range f.Uses {
		if u.Early <= 0 || u.Late <= 0 {
			t.Errorf("it does not see %s: %+v", u.Name, u)
		}
	}
}
