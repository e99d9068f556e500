package tenants

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// npm never forgets what it fetched: without a bound one tenant's publishes fill the disk of all.
func TestACacheThatIsFullGoesWhenNoInstallUsesIt(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := openRegistry(t, t.TempDir(), Config{InstallCache: 5000, Npm: program(t,
		"echo $npm_config_cache; head -c 2000 /dev/zero > $npm_config_cache/$$; if grep -q slow package.json; then cat "+gate+"; fi; ls $npm_config_cache | wc -l")})
	shared := r.cacheDir("acme")
	install := func(name string) (cache, entries string) {
		t.Helper()
		var log strings.Builder
		if _, _, err := r.Publish(bg, acme(t, r), name, Publication{Source: name, Dependencies: map[string]string{name: "1"}}, &log); err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(log.String())
		return words[0], words[1]
	}
	acme(t, r)
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		said := writerFunc(func(p []byte) (int, error) {
			select {
			case <-started:
			default:
				close(started)
			}
			return len(p), nil
		})
		_, _, err := r.Publish(bg, acme(t, r), "slow", Publication{Source: "1", Dependencies: map[string]string{"slow": "1"}}, said)
		done <- err
	}()
	<-started
	for i, name := range []string{"a", "b"} { // now it has 6,000 bytes
		if cache, entries := install(name); cache != shared || entries != []string{"2", "3"}[i] {
			t.Errorf("%s installs from %s with %s entries", name, cache, entries)
		}
	}
	if cache, entries := install("c"); cache == shared || entries != "1" || fileExists(cache) {
		t.Errorf("while the full one is in use another installs from %s with %s entries", cache, entries)
	}
	if left, err := os.ReadDir(shared); err != nil || len(left) != 3 {
		t.Errorf("%v, %v: taken away under an install", left, err)
	}
	if err := os.WriteFile(gate, []byte("go on\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if fileExists(shared) {
		t.Error("it is there after its last user")
	}
	if cache, entries := install("d"); cache != shared || entries != "1" {
		t.Errorf("then one installs from %s with %s entries", cache, entries)
	}
	if left, err := os.ReadDir(r.buildDir()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
