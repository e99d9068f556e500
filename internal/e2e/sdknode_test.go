package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The SDK under Node against the real hub: its tests are JavaScript (sdk/*.test.mjs).
func TestTheSDKWorksUnderNode(t *testing.T) {
	h := startHub(t)
	for _, name := range []string{"add", "report"} {
		h.publishFiles(name, sample(t, name).Files)
	}
	h.publish("wait", `module.exports = (name, hub) => new Promise(resolve => hub.events.once('go', () => resolve({ waited: name })))`)
	tests, err := filepath.Glob("sdk/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, tests...)...)
	cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_KEY="+h.key)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
