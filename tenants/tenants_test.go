package tenants

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

func TestKeysAreShownOnceAndKnownByTheirHash(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{AdminKey: "operator"})
	tn, secret, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^lf_acme_[0-9A-Za-z]{32}$`).MatchString(secret) {
		t.Errorf("key %q", secret)
	}
	second, secondSecret, err := r.CreateKey(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, secondSecret} {
		if g, err := r.Authenticate(s); err != nil || g.Tenant != tn || g.Admin {
			t.Errorf("%+v, %v", g, err)
		}
	}
	if g, err := r.Authenticate("operator"); err != nil || !g.Admin || g.Tenant != nil {
		t.Errorf("%+v, %v", g, err)
	}
	for _, s := range []string{"", "lf_acme_x", secret + "x"} {
		_, err := r.Authenticate(s)
		wantFault(t, err, fault.Unauthorized)
	}
	_, _, err = r.CreateTenant(bg, "acme")
	wantFault(t, err, fault.Conflict)
	_, _, err = r.CreateTenant(bg, "a b")
	wantFault(t, err, fault.InvalidRequest)
	stop()
	if found := grep(t, dir, secret); len(found) > 0 {
		t.Errorf("the key stands in %v", found)
	}

	r, _ = openRegistry(t, dir, Config{})
	if _, err := r.Authenticate(secret); err != nil {
		t.Errorf("after reopening: %v", err)
	}
	_, err = r.Authenticate("operator")
	wantFault(t, err, fault.Unauthorized)
	if err := r.DeleteKey(bg, "acme", second.ID); err != nil {
		t.Fatal(err)
	}
	_, err = r.Authenticate(secondSecret)
	wantFault(t, err, fault.Unauthorized)
	wantFault(t, r.DeleteKey(bg, "acme", second.ID), fault.NotFound)
	if keys, err := r.Keys("acme"); err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
}

// Whoever takes a change back publishes what was there before, and wants it to be called.
func TestOlderContentIsPublishedAnew(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	var numbers []int
	for _, source := range []string{"module.exports = 1", "module.exports = 2", "module.exports = 1", "module.exports = 1"} {
		v, _, err := r.Publish(bg, tn, "add", Publication{Source: source}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		latest, err := tn.Resolve("add")
		if err != nil || latest != v {
			t.Errorf("latest is %+v, %v", latest, err)
		}
		numbers = append(numbers, v.Number)
	}
	if want := []int{1, 2, 3, 3}; !slices.Equal(numbers, want) {
		t.Errorf("versions %v, want %v", numbers, want)
	}
}

// grep gives the files below dir that contain s.
func grep(t *testing.T, dir, s string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if strings.Contains(string(b), s) {
			found = append(found, p)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestVersionsAreImmutableAndLatestIsTheNewestReadyOne(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn := acme(t, r)
	changes := 0
	r.OnChange(func(string) { changes++ })
	publish := func(source string) *Version {
		t.Helper()
		v, _, err := r.Publish(bg, tn, "add", Publication{Source: source}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	one, two := publish("module.exports = 1"), publish("module.exports = 2")
	if again, created, err := r.Publish(bg, tn, "add", Publication{Source: "module.exports = 2"}, io.Discard); err != nil || created || again != two {
		t.Errorf("the same content gave %+v, %v, %v", again, created, err)
	}
	r.SetCheck(func(context.Context, *Version) error { return fault.New(fault.VersionBroken, "index.js:1 no") })
	broken, created, err := r.Publish(bg, tn, "add", Publication{Source: "module.exports = ("}, io.Discard)
	wantFault(t, err, fault.VersionBroken, "Version 3 of add", "index.js:1 no")
	if !created || broken.State != Broken || broken.Error != "index.js:1 no" {
		t.Errorf("%+v", broken)
	}
	if changes != 3 {
		t.Errorf("%d changes were told", changes)
	}
	stop()

	r, _ = openRegistry(t, dir, Config{})
	tn = acme(t, r)
	for ref, want := range map[string]*Version{"add": two, "add@latest": two, "add@2": two, "add@1": one} {
		v, err := tn.Resolve(ref)
		if err != nil || v.Number != want.Number || v.Hash != want.Hash || v.Dir != want.Dir {
			t.Errorf("%s is %+v, %v", ref, v, err)
		}
	}
	for _, ref := range []string{"nope", "add@4", "add@0", "add@x", "add@"} {
		_, err := tn.Resolve(ref)
		wantFault(t, err, fault.NotFound)
	}
	_, err = tn.Resolve("add@3")
	wantFault(t, err, fault.VersionBroken, "index.js:1 no")
	v, _ := tn.Resolve("add")
	files, err := v.Source()
	if err != nil || string(files["index.js"]) != "module.exports = 2" {
		t.Errorf("%s, %v", files, err)
	}
	fn, err := tn.Function("add")
	if err != nil {
		t.Fatal(err)
	}
	if log, err := fn.Version(3).Log(); err != nil || string(log) != "index.js:1 no\n" {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestDependenciesAreInstalledPerVersionWithALockFile(t *testing.T) {
	npmRegistry(t,
		pkg{name: "left", version: "1.0.0", source: "module.exports = 1"},
		pkg{name: "left", version: "2.0.0", source: "module.exports = 2"},
		pkg{name: "@acme/right", version: "3.1.0", source: "module.exports = 3"})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	var log strings.Builder
	one, _, err := r.Publish(bg, tn, "one", Publication{Source: "module.exports = () => require('left')",
		Dependencies: map[string]string{"left": "^1", "@acme/right": "3"}}, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	two, _, err := r.Publish(bg, tn, "two", Publication{Files: map[string][]byte{
		"package.json": []byte(`{"dependencies":{"left":"2.x"},"livefn":{"timeout":"5s"}}`), "index.js": []byte("module.exports = () => require('left')")}}, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	if want := map[string]string{"left": "1.0.0", "@acme/right": "3.1.0"}; !reflect.DeepEqual(one.Installed, want) {
		t.Errorf("installed %v", one.Installed)
	}
	if want := map[string]string{"left": "2.0.0"}; !reflect.DeepEqual(two.Installed, want) || time.Duration(two.Settings.Timeout) != 5*time.Second {
		t.Errorf("installed %v, settings %+v", two.Installed, two.Settings)
	}
	for v, want := range map[*Version]string{one: "module.exports = 1", two: "module.exports = 2"} {
		if b, err := os.ReadFile(filepath.Join(v.Dir, "node_modules/left/index.js")); err != nil || string(b) != want {
			t.Errorf("%s has %s, %v", v.Function, b, err)
		}
		if lock, err := v.Lock(); err != nil || !strings.Contains(string(lock), `"lockfileVersion"`) {
			t.Errorf("%s: lock file %s, %v", v.Function, lock, err)
		}
	}
}

func TestAFailedInstallSaysWhatToDoAndLeavesLatest(t *testing.T) {
	npmRegistry(t,
		pkg{name: "left", version: "1.0.0"},
		pkg{name: "plugin", version: "1.0.0", peers: map[string]string{"left": "^9"}})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = 1"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		deps map[string]string
		want string
	}{
		{map[string]string{"no-such-package": "^1"}, "The package no-such-package does not exist"},
		{map[string]string{"left": "^7"}, "No published version matches left@^7"},
		{map[string]string{"left": "1.0.0", "plugin": "1.0.0"}, "The dependencies conflict with each other (peer left@\"^9\" from plugin@1.0.0)"},
		{map[string]string{"left": "not a range !"}, "A name or range in dependencies is not valid"},
	} {
		v, created, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = 2", Dependencies: c.deps}, io.Discard)
		wantFault(t, err, fault.InstallFailed, c.want)
		if !created || v.State != Broken || !strings.HasPrefix(v.Error, c.want) {
			t.Errorf("%+v", v)
		}
		if log, err := v.Log(); err != nil || !strings.Contains(string(log), c.want) || !strings.Contains(string(log), "npm error") {
			t.Errorf("log %s, %v", log, err)
		}
	}
	if v, err := tn.Resolve("f"); err != nil || v.Number != 1 {
		t.Errorf("latest is %+v, %v", v, err)
	}
}

func TestAnInstallIsToldNothingOfTheHubsEnvironment(t *testing.T) {
	t.Setenv("LIVEFN_ADMIN_KEY", "secret-of-the-hub")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-hub")
	dir := t.TempDir()
	npm := filepath.Join(dir, "npm")
	if err := os.WriteFile(npm, []byte("#!/bin/sh\nenv\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	r, _ := openRegistry(t, dir, Config{Npm: npm})
	var log strings.Builder
	if _, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "x", Dependencies: map[string]string{"a": "1"}}, &log); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "secret-of-the-hub") || !strings.Contains(log.String(), "npm_config_cache=") {
		t.Errorf("the install's environment:\n%s", &log)
	}
}

func TestAnInstallEndsAtItsTimeout(t *testing.T) {
	dir := t.TempDir()
	npm := filepath.Join(dir, "npm")
	if err := os.WriteFile(npm, []byte("#!/bin/sh\nsleep 1000 & sleep 1000\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	r, _ := openRegistry(t, dir, Config{Npm: npm, InstallTimeout: 50 * time.Millisecond})
	_, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "x", Dependencies: map[string]string{"a": "1"}}, io.Discard)
	wantFault(t, err, fault.InstallFailed, "did not end within 50ms")
}

func TestPublishesOfTheSameContentAtOnceGiveOneVersion(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	checks := make(chan struct{}, 100)
	r.SetCheck(func(context.Context, *Version) error { checks <- struct{}{}; return nil })
	var wg sync.WaitGroup
	versions := make([]*Version, 16)
	for i := range versions {
		wg.Go(func() {
			var err error
			if versions[i], _, err = r.Publish(bg, tn, "f", Publication{Source: "same"}, io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, v := range versions {
		if v != versions[0] {
			t.Errorf("%+v and %+v", v, versions[0])
		}
	}
	if n := len(checks); n != 1 {
		t.Errorf("it was checked %d times", n)
	}
}

// arriving tells when somebody first waits for its end, too.
type arriving struct {
	context.Context
	arrived func()
}

func (a arriving) Done() <-chan struct{} {
	a.arrived()
	return a.Context.Done()
}

// An install that fails may have taken minutes; whoever waited for it meanwhile need not wait for another.
func TestPublishesOfTheSameBrokenContentAtOnceDoTheWorkOnce(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	checks, goOn := make(chan struct{}, 100), make(chan struct{})
	r.SetCheck(func(context.Context, *Version) error {
		checks <- struct{}{}
		<-goOn
		return fault.New(fault.VersionBroken, "no export")
	})
	var wg, arrived sync.WaitGroup
	publish := func(first bool) {
		var log strings.Builder
		v, created, err := r.Publish(arriving{bg, sync.OnceFunc(arrived.Done)}, tn, "f", Publication{Source: "same"}, &log)
		if !fault.Is(err, fault.VersionBroken) || created != first || v.Number != 1 || !first && log.String() != "no export\n" {
			t.Errorf("%+v, %v, %v with the log %q", v, created, err, log.String())
		}
	}
	arrived.Add(16)
	wg.Go(func() { publish(true) })
	<-checks
	for range 15 {
		wg.Go(func() { publish(false) })
	}
	arrived.Wait()
	close(goOn)
	wg.Wait()
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "same"}, io.Discard); !fault.Is(err, fault.VersionBroken) || len(checks) != 1 {
		t.Errorf("one that came later gave %v after %d more checks", err, len(checks))
	}
}

func TestWhatACrashLeftIsSweptAtTheNextOpen(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn := acme(t, r)
	v, _, err := r.Publish(bg, tn, "f", Publication{Source: "kept"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(r.tenantDir("acme"), "f@2-0123456789ab"), 0o750); err != nil { // placed, never recorded
		t.Fatal(err)
	}
	half := filepath.Join(r.buildDir(), "build-x")
	if err := os.MkdirAll(half, 0o750); err != nil {
		t.Fatal(err)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{})
	got, err := filepath.Glob(filepath.Join(r.cfg.Dir, "tenants/acme/*"))
	if err != nil || !reflect.DeepEqual(got, []string{v.Dir}) {
		t.Errorf("folders %v, %v", got, err)
	}
	if fileExists(half) {
		t.Error("the unfinished build is still there")
	}
	if next, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "lost"}, io.Discard); err != nil || next.Number != 2 {
		t.Errorf("%+v, %v", next, err)
	}
}

func TestADeletedFunctionIsGoneAndItsNumbersAreNotUsedAgain(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn := acme(t, r)
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteFunction(bg, tn, "f", false); err != nil {
		t.Fatal(err)
	}
	wantFault(t, r.DeleteFunction(bg, tn, "f", false), fault.NotFound)
	_, err := tn.Resolve("f")
	wantFault(t, err, fault.NotFound)
	stop()
	r, _ = openRegistry(t, dir, Config{})
	tn = acme(t, r)
	if fns := tn.Functions(); len(fns) != 0 {
		t.Errorf("functions %v", fns)
	}
	if v, _, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, io.Discard); err != nil || v.Number != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestADeletedTenantIsGoneWithAllItHas(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn, secret, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	var told string
	r.OnDelete(func(_ context.Context, name string) error { told = name; return nil })
	if err := r.DeleteTenant(bg, "acme"); err != nil || told != "acme" {
		t.Fatal(err, told)
	}
	for range 2 {
		_, err = r.Authenticate(secret)
		wantFault(t, err, fault.Unauthorized)
		_, err = r.Tenant("acme")
		wantFault(t, err, fault.NotFound)
		stop()
		r, stop = openRegistry(t, dir, Config{})
	}
	if fns := acme(t, r).Functions(); len(fns) != 0 {
		t.Errorf("the new tenant has %v", fns)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	s, err := ParseSettings([]byte(`{"env":{"TOKEN":"hush","A":"hush"},"pauseTimeout":1500,"tail":false}`))
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := r.Publish(bg, tn, "f", Publication{Source: "1", Settings: &s}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if v.Settings.Env["TOKEN"] != "hush" || v.Settings.TailArgument() {
		t.Errorf("the bridge gets %+v", v.Settings.Env)
	}
	fn, err := tn.Function("f")
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{encode(t, v), encode(t, fn), encode(t, v.Settings)} {
		if strings.Contains(shown, "hush") || !strings.Contains(shown, `"env":["A","TOKEN"]`) || !strings.Contains(shown, `"pauseTimeout":"1500ms"`) {
			t.Errorf("shown: %s", shown)
		}
	}
}

func TestWrongPublicationsAreRefusedWithTheFieldThatIsWrong(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{MaxFiles: 2, MaxFileSize: 10, MaxTreeSize: 15})
	tn := acme(t, r)
	files := func(kv ...string) Publication {
		m := map[string][]byte{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = []byte(kv[i+1])
		}
		return Publication{Files: m}
	}
	for name, c := range map[string]struct {
		p    Publication
		code fault.Code
		word string
	}{
		"nothing":            {Publication{}, fault.InvalidRequest, "neither"},
		"both":               {Publication{Source: "x", Files: map[string][]byte{"a": nil}}, fault.InvalidRequest, "not both"},
		"path up":            {files("../x", ""), fault.InvalidRequest, `"../x"`},
		"absolute path":      {files("/x", ""), fault.InvalidRequest, `"/x"`},
		"backslash":          {files(`a\b`, ""), fault.InvalidRequest, "not a file's path"},
		"node_modules":       {files("node_modules/x/index.js", ""), fault.InvalidRequest, "leave it out"},
		"file and folder":    {files("a", "", "a/b", ""), fault.InvalidRequest, "a file and a folder"},
		"too many files":     {files("a", "", "b", "", "c", ""), fault.PayloadTooLarge, "at most 2"},
		"too large a file":   {files("a", "01234567890"), fault.PayloadTooLarge, "at most 10"},
		"too large together": {files("a", "0123456789", "b", "0123456789"), fault.PayloadTooLarge, "at most 15"},
		"broken manifest":    {files("package.json", "{"), fault.InvalidRequest, "package.json is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := r.Publish(bg, tn, "f", c.p, io.Discard)
			wantFault(t, err, c.code, c.word)
		})
	}
	_, _, err := r.Publish(bg, tn, "no name", files("a", ""), io.Discard)
	wantFault(t, err, fault.InvalidRequest, "1 to 64")
	for settings, word := range map[string]string{
		`{"timout":1}`: `settings.timout: it is not known; is timeout meant?`, `{"timeout":"x"}`: `settings.timeout: "x" is not a duration`, `{"pauseTimeout":true}`: "settings.pauseTimeout",
		`{"Timeout":1}`: `is timeout meant?`, `{"retries":{"attempts":"3"}}`: "settings.retries.attempts", `{"retries":{"backoff":"soon"}}`: "settings.retries.backoff",
		`{"retries":{"times":1}}`: `settings.retries.times: it is not known; there are attempts, backoff.`, `{"triggers":[{},1]}`: "settings.triggers[1]", `{"tail":"no"}`: "settings.tail",
		`{"env":[]}`: "settings.env", `{"public":1}`: "settings.public", `{"idempotent":1}`: "settings.idempotent", `{`: "settings: ", `{"env":{"A":["hush"]}}`: "settings.env.A: it is an array, not a string", `{"concurrency":"2"}`: "settings.concurrency",
		`{"concurrency":-1}`: "settings.concurrency", `{"retries":{"attempts":-1}}`: "settings.retries.attempts", `{"env":{"1A":""}}`: "settings.env",
		`{"env":{"A":1}}`: "settings.env.A: it is a number, not a string", `{"idempotnet":1}`: "is idempotent meant?",
		`{"concurrency":1.5}`: "settings.concurrency: it is not a whole number", `{"concurrency":100001}`: "settings.concurrency: it is 0 to 100000.",
		`{"timeout":"366d"}`: "settings.timeout: it is at most 365d.", `{"pauseTimeout":"25h"}`: "settings.pauseTimeout: it is at most 1d.", `{"keepEnded":"4000d"}`: "settings.keepEnded: it is at most 3650d.",
		`{"retries":{"attempts":1001}}`: "settings.retries.attempts: it is 0 to 1000.", `{"retries":{"backoff":"2h"}}`: "settings.retries.backoff: it is at most 1h.", `{"public":"yes"}`: "settings.public: it is a string, not a boolean",
		`[]`: "settings", `{"triggers":{}}`: "settings.triggers",
	} {
		_, err := ParseSettings([]byte(settings))
		wantFault(t, err, fault.InvalidRequest, word)
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"index.js", "../x", "/etc/passwd", "a/./b", "a//b", "a/../../b", "node_modules/x", "a\x00", `..\x`, "ü/ö"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkPath(name) != nil {
			return
		}
		dir := "/base/version"
		if full := filepath.Join(dir, name); !strings.HasPrefix(full, dir+"/") || strings.Contains(name, "node_modules/") {
			t.Errorf("%q leads to %s", name, full)
		}
	})
}
