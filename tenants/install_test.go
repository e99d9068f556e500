package tenants

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// program writes a shell script that stands in for npm where a real one would not do what is tested.
func program(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "npm")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

var withDependency = Publication{Source: "x", Dependencies: map[string]string{"a": "1"}}

// A dependency like file:../x would otherwise be whatever lies there on the hub: another tenant's code.
func TestADependencyThatLeadsOutOfTheFunctionIsRefused(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	outside := filepath.Join(r.cfg.Dir, "tenants", "zeta", "secret@1")
	if err := os.MkdirAll(outside, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "package.json"), []byte(`{"name":"out","version":"1.0.0"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{"file:" + outside, "file:../../tenants/zeta/secret@1", "file:../nothing-here"} {
		v, _, err := r.Publish(bg, tn, "f", Publication{Source: "1", Dependencies: map[string]string{"out": spec}}, nil)
		wantFault(t, err, fault.InstallFailed, "dependency out leads out of")
		if fileExists(filepath.Join(v.Dir, modulesDir)) {
			t.Errorf("%s: the broken version keeps its packages", spec)
		}
	}
	v, _, err := r.Publish(bg, tn, "g", Publication{Files: map[string][]byte{
		"package.json":     []byte(`{"dependencies":{"own":"file:./own"}}`),
		"own/package.json": []byte(`{"name":"own","version":"1.2.3"}`),
		"own/index.js":     []byte("module.exports = 'mine'"),
		"index.js":         []byte("module.exports = () => require('own')"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("node", "-p", "require('"+v.Dir+"')()").CombinedOutput()
	if err != nil || string(out) != "mine\n" || v.Installed["own"] != "1.2.3" {
		t.Errorf("%s, %v, %v", out, err, v.Installed)
	}
}

// Two functions, two majors, one process: each requires its own.
func TestTwoMajorsOfAPackageLiveSideBySide(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0", source: "module.exports = 'one'"}, pkg{name: "left", version: "2.0.0", source: "module.exports = 'two'"})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	var calls []string
	for _, wanted := range []string{"1", "2"} {
		v, _, err := r.Publish(bg, tn, "f"+wanted, Publication{Source: "module.exports = () => require('left')", Dependencies: map[string]string{"left": wanted}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, "require('"+v.Dir+"')()")
	}
	if out, err := exec.Command("node", "-p", strings.Join(calls, " + ")).CombinedOutput(); err != nil || string(out) != "onetwo\n" {
		t.Errorf("%s, %v", out, err)
	}
}

// Names that livefn allows and npm does not, or that a dependency has too.
func TestAFunctionsNameIsNotItsPackages(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	for _, name := range []string{"left", "_Hidden-", "-", "node_modules"} {
		if _, _, err := r.Publish(bg, acme(t, r), name, Publication{Source: "1", Dependencies: map[string]string{"left": "1"}}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A project's .npmrc is published with it. It must neither run programs on the hub nor be lost.
func TestOfAnNpmrcOnlyTheChoiceOfVersionsIsInEffect(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"}, pkg{name: "plugin", version: "1.0.0", peers: map[string]string{"left": "^9"}})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	const npmrc = "registry=http://127.0.0.1:9/\nlegacy-peer-deps = true\nignore-scripts=false\ngit=/bin/touch\n"
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{
		".npmrc":       []byte(npmrc),
		"package.json": []byte(`{"dependencies":{"left":"1.0.0","plugin":"1.0.0"},"scripts":{"preinstall":"touch ran","postinstall":"touch ran"}}`),
		"index.js":     []byte("1"),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := v.Source()
	if err != nil || string(files[".npmrc"]) != npmrc {
		t.Errorf("%s, %v", files[".npmrc"], err)
	}
	if fileExists(filepath.Join(v.Dir, "ran")) {
		t.Error("a lifecycle script ran")
	}
}

func TestLifecycleScriptsRunIfTheOperatorAllowsThem(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{AllowScripts: true})
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{
		"package.json":     []byte(`{"dependencies":{"own":"file:./own"},"scripts":{"postinstall":"touch ran"}}`),
		"own/package.json": []byte(`{"name":"own","version":"1.0.0"}`),
	}}, nil)
	if err != nil || !fileExists(filepath.Join(v.Dir, "ran")) {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAnUnreachableRegistryAndAWrongNodeAreToldApart(t *testing.T) {
	npmRegistry(t)
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	_, _, err := r.Publish(bg, tn, "f", Publication{Files: map[string][]byte{
		".npmrc": []byte("engine-strict=true\n"), "package.json": []byte(`{"dependencies":{"own":"file:./own"}}`),
		"own/package.json": []byte(`{"name":"own","version":"1.0.0","engines":{"node":">=99"}}`),
	}}, nil)
	wantFault(t, err, fault.InstallFailed, "The package own@1.0.0 needs Node >=99")

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	t.Setenv("npm_config_registry", closed.URL)
	_, _, err = r.Publish(bg, tn, "f", withDependency, nil)
	wantFault(t, err, fault.InstallFailed, "registry could not be reached (ECONNREFUSED)")

	shut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(shut.Close)
	t.Setenv("npm_config_registry", shut.URL)
	_, _, err = r.Publish(bg, tn, "f", withDependency, nil)
	wantFault(t, err, fault.InstallFailed, "did not let the hub in (E401)")

	r.cfg.Npm = filepath.Join(t.TempDir(), "no-such-npm")
	_, _, err = r.Publish(bg, tn, "f", withDependency, nil)
	wantFault(t, err, fault.InstallFailed, "--npm")
}

// Which of the operator's npm settings an install sees, and which not.
func TestAnInstallSeesWherePackagesComeFromAndNoTokens(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("NPM_CONFIG_REGISTRY", "http://registry.test/")
	t.Setenv("npm_config__authToken", "hush")
	t.Setenv("npm_config_cache", "/elsewhere")
	if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte("@acme:registry=http://acme.test/\n//acme.test/:_authToken=operators\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, "env; cat $npm_config_userconfig"), Node: "/opt/node/bin/node"})
	env := func() string {
		var log strings.Builder
		if _, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: log.String() + t.Name(), Dependencies: map[string]string{"a": time.Now().String()}}, &log); err != nil {
			t.Fatal(err)
		}
		return log.String()
	}
	seen := env()
	for _, want := range []string{"npm_config_registry=http://registry.test/", "\n@acme:registry=http://acme.test/\n//acme.test/:_authToken=operators\n", "PATH=/opt/node/bin:", "npm_config_cache=" + r.cacheDir("acme")} {
		if !strings.Contains(seen, want) {
			t.Errorf("no %s in\n%s", want, seen)
		}
	}
	if strings.Contains(seen, "hush") || strings.Contains(seen, "/elsewhere") || strings.Contains(seen, "HOME="+home) {
		t.Errorf("it sees\n%s", seen)
	}
	own := filepath.Join(home, "own-npmrc")
	if err := os.WriteFile(own, []byte("registry=http://own.test/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NPM_CONFIG_USERCONFIG", own)
	if seen = env(); !strings.Contains(seen, "\nregistry=http://own.test/\n") || strings.Contains(seen, "acme.test") {
		t.Errorf("it sees\n%s", seen)
	}
}

// running says whether a process lives; one that was killed and not yet collected does not.
func running(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// An install's children must not stay behind when it is ended.
func TestAnInstallIsEndedWithAllItStarted(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	script := "sleep 1000 & echo $! > " + pids + "; "
	ended := func(t *testing.T) {
		t.Helper()
		pid, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); running(t, string(pid)); {
			if time.Now().After(end) {
				t.Fatal("its child still runs")
			}
		}
	}
	t.Run("at its timeout", func(t *testing.T) {
		r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, script+"sleep 1000"), InstallTimeout: 300 * time.Millisecond})
		_, _, err := r.Publish(bg, acme(t, r), "f", withDependency, nil)
		wantFault(t, err, fault.InstallFailed, "did not end within 300ms")
		ended(t)
	})
	t.Run("when the publish is cancelled", func(t *testing.T) {
		r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, script+"echo started; sleep 1000")})
		ctx, cancel := context.WithCancelCause(bg)
		gone := errors.New("the hub stops")
		log := writerFunc(func(p []byte) (int, error) { cancel(gone); return len(p), nil })
		if _, _, err := r.Publish(ctx, acme(t, r), "f", withDependency, log); !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
		ended(t)
	})
	t.Run("when it ends before them", func(t *testing.T) {
		r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, script)})
		_, _, err := r.Publish(bg, acme(t, r), "f", withDependency, nil)
		wantFault(t, err, fault.InstallFailed, "left a process running")
		ended(t)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Whoever watches an install over the network may go away.
func TestAnInstallGoesOnWithoutItsSpectators(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, "echo one; echo two")})
	v, _, err := r.Publish(bg, acme(t, r), "f", withDependency, writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }))
	if err != nil {
		t.Fatal(err)
	}
	if log, err := v.Log(); err != nil || string(log) != "one\ntwo\n" {
		t.Errorf("log %q, %v", log, err)
	}
}

// The end of a long log says what went wrong.
func TestOfALongLogTheBeginningAndTheEndAreKept(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{MaxLog: 400, Npm: program(t, "echo first; seq 1000 9999; echo 'npm error code EODD'; exit 1")})
	v, _, err := r.Publish(bg, acme(t, r), "f", withDependency, nil)
	wantFault(t, err, fault.InstallFailed, "npm failed: EODD")
	log, err := v.Log()
	if s := string(log); err != nil || !strings.HasPrefix(s, "first\n1000\n") || !strings.Contains(s, "bytes left out") ||
		!strings.HasSuffix(s, "npm error code EODD\nnpm failed: EODD\n") || len(s) > 450 {
		t.Errorf("log %q, %v", s, err)
	}
}

// npm ends well though it could not write all files of a package.
func TestAnInstallOnAFullDiskMakesNoVersion(t *testing.T) {
	for name, script := range map[string]string{
		"npm goes on":    "echo 'npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write'; mkdir -p node_modules/a",
		"npm fails":      "echo 'npm error code ENOSPC'; exit 1",
		"a script fails": "printf 'fatal error: No space left '; printf 'on device'; exit 1",
		"a quota":        "echo 'npm error code EDQUOT'; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, script)})
			tn := acme(t, r)
			v, created, err := r.Publish(bg, tn, "f", withDependency, nil)
			wantFault(t, err, fault.StorageUnavailable, "disk is full")
			if v != nil || created {
				t.Errorf("%+v, %v", v, created)
			}
			if _, err := tn.Function("f"); !fault.Is(err, fault.NotFound) {
				t.Errorf("there is a function: %v", err)
			}
		})
	}
}

func TestAScriptThatEndsWellMaySayAnything(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, "echo 'retried after: no space left on device'")})
	if v, _, err := r.Publish(bg, acme(t, r), "f", withDependency, nil); err != nil || v.State != Ready {
		t.Errorf("%+v, %v", v, err)
	}
}

// The faults of the hub are not the version's.
func TestAFailureOfTheHubMakesNoVersion(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	busy := fault.New(fault.Overloaded, "no room")
	r.SetCheck(func(context.Context, *Version) error { return busy })
	if v, created, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, nil); !errors.Is(err, busy) || v != nil || created {
		t.Errorf("%+v, %v, %v", v, created, err)
	}
	if left, err := os.ReadDir(r.tenantDir("acme")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
