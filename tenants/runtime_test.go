package tenants

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/fault"
)

// nodePackage is a Node as the registry has it. It notes in ran what it is run with.
func nodePackage(t *testing.T, version, ran string) pkg {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho %s \"$@\" >> %s\n[ \"$1\" = --version ] && echo v%s && exit\nexec %s \"$@\"\n", version, ran, version, node)
	return pkg{name: runtimePackage(), version: version, files: map[string]string{"bin/node": script, "include/node/node.h": ""}}
}

// nodeRegistry serves packages, and counts how often a Node is downloaded.
func nodeRegistry(t *testing.T, pkgs ...pkg) (downloads *atomic.Int32, closeIt func()) {
	t.Helper()
	downloads = new(atomic.Int32)
	url, closeIt := registryServer(t, func(req *http.Request) bool {
		if strings.Contains(req.URL.Path, runtimePackage()+"/-/") {
			downloads.Add(1)
		}
		return true
	}, pkgs...)
	t.Setenv("npm_config_registry", url)
	t.Setenv("npm_config_fetch_retries", "0")
	return downloads, closeIt
}

// pretending is a Node that says it is of another version.
func pretending(t *testing.T, version string) string {
	t.Helper()
	return program(t, nodePackage(t, version, "/dev/null").files["bin/node"])
}

func wanting(node string) Publication {
	return Publication{Files: map[string][]byte{"index.js": []byte("module.exports = () => 1"), "package.json": fmt.Appendf(nil, `{"engines":{"node":%q}}`, node)}}
}

func wantRuntimes(t *testing.T, r *Registry, want ...string) {
	t.Helper()
	found, err := os.ReadDir(r.cfg.Runtimes)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	if fmt.Sprint(names) != fmt.Sprint(want) {
		t.Errorf("runtimes %v, want %v", names, want)
	}
	if left, _ := filepath.Glob(filepath.Join(r.buildDir(), "*")); len(left) > 0 { // no error: the pattern is right
		t.Errorf("left: %v", left)
	}
}

// The hub's own Node where it will do, then one that is there, then the newest that there is.
func TestARangeHasTheNodeThatItAsksFor(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	downloads, _ := nodeRegistry(t, nodePackage(t, "18.20.0", ran), nodePackage(t, "98.0.0", ran), nodePackage(t, "98.1.0", ran), nodePackage(t, "99.0.0", ran), nodePackage(t, "99.1.0-rc.1", ran),
		pkg{name: "left", version: "1.0.0"})
	r, _ := openRegistry(t, t.TempDir(), Config{NodeRuntimes: 3})
	var checked string
	r.SetCheck(func(_ context.Context, v *Version) error { checked = v.Program(); return nil })
	for i, c := range []struct {
		engines, node string // "": the hub's own
		downloads     int32
	}{{">=20", "", 0}, {"98.x", "98.1.0", 1}, {">=90", "98.1.0", 1}, {">98", "99.0.0", 2}, {"98.0.0", "98.0.0", 3}} {
		v := publish(t, r, fmt.Sprintf("f%d", i), wanting(c.engines))
		program := ""
		if c.node != "" {
			program = filepath.Join(r.cfg.Runtimes, c.node, "bin", "node")
		}
		if v.Program() != program || checked != program || downloads.Load() != c.downloads || c.node != "" && !strings.Contains(encode(t, v), `"node":"`+c.node+`"`) {
			t.Errorf("%s: %s, checked with %s, %d downloads, %s", c.engines, v.Program(), checked, downloads.Load(), encode(t, v))
		}
	}
	wantRuntimes(t, r, "98.0.0", "98.1.0", "99.0.0")
	for range 2 { // the second from what is known
		for engines, say := range map[string]string{"^97": "wants Node ^97, which can't be had", "^18": "20 or newer, of each major version up to: 98.1.0, 99.0.0"} {
			v, _, err := r.Publish(bg, acme(t, r), "none", wanting(engines), nil)
			if wantFault(t, err, fault.InvalidRequest, "package.json: engines.node", say); v != nil {
				t.Errorf("%s made a version", engines)
			}
		}
	}
	if err := os.Remove(ran); err != nil {
		t.Fatal(err)
	}
	publish(t, r, "deps", Publication{Files: map[string][]byte{"package.json": []byte(`{"engines":{"node":"99"},"dependencies":{"left":"1"}}`), "index.js": []byte("1")}})
	if b, err := os.ReadFile(ran); err != nil || !strings.HasPrefix(string(b), "99.0.0 ") || !strings.Contains(string(b), "install") {
		t.Errorf("its packages were installed with %q, %v", b, err)
	}
}

// What is built for one Node may not run on another.
func TestPackagesOfOneNodeAreNotTakenOverForAnother(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	nodeRegistry(t, nodePackage(t, "98.0.0", ran), nodePackage(t, "99.0.0", ran), pkg{name: "left", version: "1.0.0"})
	r, _ := openRegistry(t, t.TempDir(), Config{NodeRuntimes: 2})
	deps := Publication{Files: map[string][]byte{"package.json": []byte(`{"engines":{"node":">90"},"dependencies":{"left":"1"}}`), "index.js": []byte("1")}}
	publish(t, r, "old", wanting("98"))
	a, b := publish(t, r, "a", deps), publish(t, r, "b", deps)
	publish(t, r, "new", wanting("99"))
	c := publish(t, r, "c", deps)
	if a.NodeVersion() != "98.0.0" || c.NodeVersion() != "99.0.0" || a.packages == "" || a.packages != b.packages || a.packages == c.packages {
		t.Errorf("%s %s, %s %s, %s %s", a.NodeVersion(), a.packages, b.NodeVersion(), b.packages, c.NodeVersion(), c.packages)
	}
}

// What is not what the registry says it is never comes to its place.
func TestANodeThatIsNotWhatItIsSaidToBeIsNotInstalled(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	forged := nodePackage(t, "97.0.0", ran)
	forged.integrity = "sha512-" + strings.Repeat("A", 86) + "=="
	liar := nodePackage(t, "98.0.0", ran)
	liar.files["bin/node"] = "#!/bin/sh\necho v12.0.0\n"
	empty := pkg{name: runtimePackage(), version: "99.0.0"}
	_, closeIt := nodeRegistry(t, forged, liar, empty)
	r, _ := openRegistry(t, t.TempDir(), Config{NodeRuntimes: 8})
	for engines, say := range map[string]string{"97": "EINTEGRITY", "98": `it says "v12.0.0"`, "99": "no program bin/node"} {
		v, _, err := r.Publish(bg, acme(t, r), "f", wanting(engines), nil)
		if wantFault(t, err, fault.InstallFailed, "Node "+engines+".0.0 could not be installed", say); v != nil {
			t.Errorf("%s made a version", engines)
		}
		wantRuntimes(t, r)
	}
	if fileExists(ran) {
		t.Error("the forged one ran")
	}
	closeIt()
	r, _ = openRegistry(t, t.TempDir(), Config{NodeRuntimes: 8})
	_, _, err := r.Publish(bg, acme(t, r), "f", wanting("98"), nil)
	wantFault(t, err, fault.InstallFailed, "could not look up which versions of Node", "ECONNREFUSED")
}

func TestANodeThatManyWantAtOnceIsInstalledOnce(t *testing.T) {
	downloads, _ := nodeRegistry(t, nodePackage(t, "99.0.0", filepath.Join(t.TempDir(), "ran")))
	r, _ := openRegistry(t, t.TempDir(), Config{NodeRuntimes: 8})
	tn := acme(t, r)
	var all errgroup.Group
	for i := range 4 {
		all.Go(func() error {
			_, _, err := r.Publish(bg, tn, fmt.Sprintf("f%d", i), wanting("99"), nil)
			return err
		})
	}
	if err := all.Wait(); err != nil || downloads.Load() != 1 {
		t.Errorf("%v, %d downloads", err, downloads.Load())
	}
	wantRuntimes(t, r, "99.0.0")
}

// A start keeps what is needed and whole, has what is missing installed again, and removes the rest.
func TestAStartHasTheNodesThatAreNeeded(t *testing.T) {
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	downloads, _ := nodeRegistry(t, nodePackage(t, "98.0.0", ran), nodePackage(t, "99.0.0", ran))
	cfg := Config{NodeRuntimes: 8, RuntimeRetry: time.Millisecond}
	r, stop := openRegistry(t, dir, cfg)
	publish(t, r, "f", wanting("99"))
	publish(t, r, "g", wanting("98"))
	if err := r.DeleteFunction(bg, acme(t, r), "g", false); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.cfg.Runtimes, "97.0.0"), 0o750); err != nil {
		t.Fatal(err)
	}
	stop()
	r, stop = openRegistry(t, dir, cfg)
	wantRuntimes(t, r, "99.0.0")
	v, err := acme(t, r).Resolve("f")
	if err != nil || v.Program() != filepath.Join(r.cfg.Runtimes, "99.0.0", "bin", "node") || downloads.Load() != 2 {
		t.Fatalf("%+v, %v, %d downloads", v, err, downloads.Load())
	}
	stop()
	if err := os.Remove(v.Program()); err != nil {
		t.Fatal(err)
	}
	r, stop = openRegistry(t, dir, Config{})
	for _, ref := range []string{"f", "f@1"} {
		_, err = acme(t, r).Resolve(ref)
		wantFault(t, err, fault.VersionBroken, "runs on Node 99.0.0, which is missing, and the hub installs none")
	}
	stop()
	r, _ = openRegistry(t, dir, cfg)
	_, err = acme(t, r).Resolve("f")
	wantFault(t, err, fault.Overloaded, "runs on Node 99.0.0, which is missing: the hub is installing it")
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error)
	real, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal(err)
	}
	once := filepath.Join(t.TempDir(), "once") // the first attempt fails
	r.cfg.Npm = program(t, "[ -e "+once+" ] || { touch "+once+"; exit 1; }\nexec "+real+" \"$@\"\n")
	go func() { done <- r.Run(ctx) }()
	for end := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if _, err = acme(t, r).Resolve("f"); err == nil || time.Now().After(end) {
			break
		}
	}
	cancel()
	if ended := <-done; err != nil || ended != nil || downloads.Load() != 3 {
		t.Errorf("%v, %v, %d downloads", err, ended, downloads.Load())
	}
	wantRuntimes(t, r, "99.0.0")
}

func TestRuntimesHaveABound(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	nodeRegistry(t, nodePackage(t, "98.0.0", ran), nodePackage(t, "99.0.0", ran))
	r, _ := openRegistry(t, t.TempDir(), Config{NodeRuntimes: 1})
	publish(t, r, "f", wanting("98"))
	_, _, err := r.Publish(bg, acme(t, r), "g", wanting("99"), nil)
	wantFault(t, err, fault.InvalidRequest, "at most 1 versions of Node beside its own (--node-runtimes)", "each of them: 98.0.0")
	if err := r.DeleteFunction(bg, acme(t, r), "f", false); err != nil {
		t.Fatal(err)
	}
	publish(t, r, "g", wanting("99"))
	wantRuntimes(t, r, "99.0.0")
}

// The hub may have another Node than at the publish.
func TestTheSameContentIsPublishedAnewForAnotherNodeOfTheHub(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{Node: pretending(t, "20.19.4")})
	publish(t, r, "f", wanting("20"))
	stop()
	nodeRegistry(t, nodePackage(t, "20.1.0", filepath.Join(t.TempDir(), "ran")))
	r, _ = openRegistry(t, dir, Config{Node: pretending(t, "22.0.0"), NodeRuntimes: 8})
	if v := publish(t, r, "f", wanting("20")); v.Number != 2 || v.NodeVersion() != "20.1.0" {
		t.Errorf("version %d on %s", v.Number, v.NodeVersion())
	}
	if v := publish(t, r, "f", wanting("20")); v.Number != 2 {
		t.Errorf("version %d", v.Number)
	}
}
