package e2e

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/livefn/livefn/loadtest"
)

// What large payloads do to small calls is measured with the program itself.
func TestLargePayloadsAreMeasuredBesideSmallCalls(t *testing.T) {
	out, err := exec.Command(program, "load", "large", "--bytes", "4000000", "--rate", "50", "--rounds", "1", "--duration", "1s", "--json").Output()
	var f loadtest.LargeFigures
	if err != nil || json.Unmarshal(out, &f) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(f.Beside) != 7 || f.Bytes != 4_000_000 || f.Rate != 50 || f.Rounds != 1 || !f.Whole() {
		t.Fatalf("got %s", out)
	}
	for i, b := range f.Beside {
		if b.P50 <= 0 || b.P99 < b.P50 || b.Ratio <= 0 || (b.Moved > 0) != (i > 1) {
			t.Errorf("beside %s: %+v", b.Load, b)
		}
	}
}
