package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

func TestIdleConnectionsAreMeasured(t *testing.T) {
	cmd := exec.Command(program, "load", "idle", "--connections", "60", "--settle", "100ms", "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		Connections, Hubs int
		PerSecond         float64
	}
	if err := json.Unmarshal(out, &got); err != nil || got.Connections != 60 || got.Hubs != 1 || got.PerSecond <= 0 {
		t.Fatalf("%v: %s", err, out)
	}
}

// The load test keeps account of each client's offsets: dropped at once, all come back, and nobody misses an event
// or has one twice.
func TestClientsThatAreDroppedAtOnceComeBackWhole(t *testing.T) {
	cmd := exec.Command(program, "load", "storm", "--clients", "400", "--streams", "10", "--calm", "500ms", "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	type account struct{ Clients, Back, Missed, Repeated, Unrecovered int }
	var got struct {
		account
		Published, Delivered int
		PerSecond            float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if want := (account{Clients: 400, Back: 400}); got.account != want || got.Published == 0 || got.Delivered != got.Published*40 || got.PerSecond <= 0 {
		t.Errorf("%s", out)
	}
}
