package hub

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/tenants"
)

// After a restore the Node of a version is missing for a while. That must fail no durable execution, nor hold up
// those of other functions.
func TestADurableExecutionWaitsForItsNode(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	npm, gate := filepath.Join(bin, "npm"), filepath.Join(bin, "gate")
	script := fmt.Sprintf("#!/bin/sh\nif [ $1 = view ]; then echo '\"99.0.0\"'; exit; fi\n[ -e %s ] || exit 1\nfor name; do case $name in node-*@99.0.0) at=node_modules/${name%%@*}/bin; esac; done\n"+
		"mkdir -p $at; printf '#!/bin/sh\\necho v99.0.0\\n' > $at/node\n", gate)
	if err := os.WriteFile(npm, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	owned := tenants.Config{Npm: npm, NodeRuntimes: 1, RuntimeRetry: time.Millisecond}
	w := newWorldOf(t, dir, Config{}, owned)
	files := map[string][]byte{"index.js": []byte(testFunction), "package.json": []byte(`{"engines":{"node":"99"}}`)}
	if _, _, err := w.hub.registry.Publish(bg, w.owner, "g", tenants.Publication{Files: files}, io.Discard); err != nil {
		t.Fatal(err)
	}
	v, err := w.hub.Start(bg, w.owner, &Request{Function: "g", Args: []byte(`[1]`)})
	if err != nil {
		t.Fatal(err)
	}
	if c := w.bridges.wait(t); filepath.Base(c.call.Module.Node) != "node" {
		t.Errorf("it runs on %q", c.call.Module.Node)
	}
	w.stop()
	if os.RemoveAll(filepath.Join(dir, "runtimes")) != nil || os.Remove(gate) != nil {
		t.Fatal("the Node could not be removed")
	}
	w = newWorldOf(t, dir, Config{}, owned)
	_, other := w.start(`[1]`) // its turn comes after that of the first
	other.result(`1`)
	if got := w.view(v.ID())["state"]; got != "queued" {
		t.Fatalf("it is %v", got)
	}
	if _, err := w.hub.Start(bg, w.owner, &Request{Function: "g", Args: []byte(`[1]`)}); !fault.Is(err, fault.Overloaded) {
		t.Errorf("a further one: %v", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error)
	go func() { done <- w.hub.registry.Run(ctx) }()
	w.bridges.wait(t).result(`2`)
	if a := w.await(v.ID()); a.State != Succeeded {
		t.Errorf("answer %+v", a)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
