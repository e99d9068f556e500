package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The dashboard and the SDK where they are used: in Chromium, against the real hub. The tests are
// JavaScript (browser/*.test.mjs), because that is what the browser's driver speaks.
func TestTheDashboardAndTheSDKWorkInABrowser(t *testing.T) {
	h := startHub(t)
	for _, name := range []string{"add", "report"} {
		h.publishFiles(name, sample(t, name).Files)
	}
	tests, err := filepath.Glob("browser/*.test.mjs")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no browser tests: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	picture := filepath.Join(os.TempDir(), "livefn-browser-test.png")
	cmd := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, tests...)...)
	cmd.Env = append(os.Environ(), "LIVEFN_URL="+h.url, "LIVEFN_KEY="+h.key, "LIVEFN_CHROMIUM="+chromium(t), "LIVEFN_SCREENSHOT="+picture,
		"TMPDIR="+t.TempDir()) // for the browser's profiles
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v; if a page was open, its picture is %s\n%s", err, picture, out)
	}
}

// chromium says where Chromium is. Without one the test fails: a check that skips itself is none.
func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LIVEFN_CHROMIUM"); path != "" {
		return path
	}
	cmd := exec.Command(filepath.Join(root, "scripts", "chromium.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("there is no Chromium: %v", err)
	}
	return strings.TrimSpace(string(out))
}
