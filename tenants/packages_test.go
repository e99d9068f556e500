package tenants

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

// countedNpm is an npm that leaves a line in a file each time it is run.
func countedNpm(t *testing.T) (npm string, runs func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "runs")
	real, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal(err)
	}
	return program(t, "echo run >> "+file+"\nexec "+real+" \"$@\"\n"), func() int {
		b, err := os.ReadFile(file)
		if err != nil {
			return 0
		}
		return strings.Count(string(b), "run")
	}
}

// contents gives the files and links below dir: path → hash of the content, or what the link says.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if !fileExists(dir) {
		return all
	}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			all[rel], err = os.Readlink(p)
			return err
		}
		b, err := os.ReadFile(p)
		sum := sha256.Sum256(b)
		all[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// otherNode is node under another name.
func otherNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "node")
	if err := os.Symlink(node, other); err != nil {
		t.Fatal(err)
	}
	return other
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	ia, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	ib, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(ia, ib)
}

func publish(t *testing.T, r *Registry, name string, p Publication) *Version {
	t.Helper()
	v, _, err := r.Publish(bg, acme(t, r), name, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The same packages again cost no network, no time and no disk, and are separate modules all the same.
func TestPackagesThatAnotherVersionHasAreTakenOver(t *testing.T) {
	npmRegistry(t, pkg{name: "count", version: "1.0.0", source: "let n = 0; module.exports = () => ++n"})
	npm, runs := countedNpm(t)
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: npm})
	deps := map[string]string{"count": "^1"}
	a := publish(t, r, "a", Publication{Source: "module.exports = () => require('count')()", Dependencies: deps})
	var log strings.Builder
	b, _, err := r.Publish(bg, acme(t, r), "b", Publication{Source: "module.exports = () => require('count')() // b", Dependencies: deps}, &log)
	if err != nil || runs() != 1 || log.String() != "The packages are those of version 1 of a.\n" {
		t.Fatalf("%v; npm ran %d times; log %q", err, runs(), log.String())
	}
	const file = "node_modules/count/index.js"
	if !sameFile(t, filepath.Join(a.Dir, file), filepath.Join(b.Dir, file)) || !reflect.DeepEqual(contents(t, a.Dir+"/node_modules"), contents(t, b.Dir+"/node_modules")) {
		t.Error("the trees are not alike")
	}
	if lock, err := b.Lock(); err != nil || !strings.Contains(string(lock), `"node_modules/count"`) || !reflect.DeepEqual(b.Installed, map[string]string{"count": "1.0.0"}) {
		t.Errorf("lock %s, %v; installed %v", lock, err, b.Installed)
	}
	script := fmt.Sprintf("const a = require(%q), b = require(%q); [a(), a(), b()].join()", a.Dir, b.Dir)
	if out, err := exec.Command("node", "-p", script).CombinedOutput(); err != nil || string(out) != "1,2,1\n" {
		t.Errorf("they share their state: %s, %v", out, err)
	}
	publish(t, r, "a", Publication{Source: "module.exports = 2", Dependencies: deps})
	publish(t, r, "a", Publication{Source: "module.exports = 2", Dependencies: map[string]string{"count": "1.0.0"}})
	if runs() != 2 {
		t.Errorf("npm ran %d times", runs())
	}
}

func TestPackagesAreChosenAnewAfterAWhile(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"})
	npm, runs := countedNpm(t)
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: npm, ResolveAgain: 1})
	for _, name := range []string{"a", "b"} {
		publish(t, r, name, Publication{Source: "1", Dependencies: map[string]string{"left": "1"}})
	}
	if runs() != 2 {
		t.Errorf("npm ran %d times", runs())
	}
}

func TestPublishesOfTheSamePackagesAtOnceInstallOnce(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"})
	npm, runs := countedNpm(t)
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: npm})
	tn := acme(t, r)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, _, err := r.Publish(bg, tn, fmt.Sprintf("f%d", i), Publication{Source: "1", Dependencies: map[string]string{"left": "1"}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs() != 1 || len(tn.packages.all) != 0 {
		t.Errorf("npm ran %d times; turns left: %d", runs(), len(tn.packages.all))
	}
}

// What a version came to can be had again, on any hub, whatever was published since.
func TestALockFileGivesTheSameTreeAnywhere(t *testing.T) {
	old := []pkg{{name: "left", version: "1.0.0", source: "'left'"}, {name: "right", version: "1.0.0", peers: map[string]string{"left": "1"}}}
	npmRegistry(t, old...)
	first, _ := openRegistry(t, t.TempDir(), Config{})
	v := publish(t, first, "f", Publication{Source: "1", Dependencies: map[string]string{"left": "^1", "right": "*"}})
	files, err := v.Source()
	if err != nil {
		t.Fatal(err)
	}
	closeIt := npmRegistry(t, append(old, pkg{name: "left", version: "1.5.0"}, pkg{name: "right", version: "2.0.0"})...)
	second, _ := openRegistry(t, t.TempDir(), Config{})
	if w := publish(t, second, "f", Publication{Files: files}); !reflect.DeepEqual(contents(t, v.Dir), contents(t, w.Dir)) {
		t.Errorf("%v, not %v", contents(t, w.Dir), contents(t, v.Dir))
	}
	delete(files, lockFile)
	if w := publish(t, second, "g", Publication{Files: files}); w.Installed["left"] != "1.5.0" || w.Installed["right"] != "2.0.0" {
		t.Errorf("without the lock file: %v", w.Installed)
	}
	publish(t, second, "h", Publication{Files: map[string][]byte{"package.json": []byte(`{"dependencies":{"left":"^1"}}`), "index.js": []byte("1")}})
	closeIt()
	files[lockFile], err = v.Lock()
	if err != nil {
		t.Fatal(err)
	}
	files["more.js"] = []byte("2")
	second.cfg.Node = otherNode(t) // so that the tree of f is not taken over
	if w := publish(t, second, "offline", Publication{Files: files}); !reflect.DeepEqual(contents(t, v.Dir+"/node_modules"), contents(t, w.Dir+"/node_modules")) {
		t.Errorf("without a network: %v", contents(t, w.Dir))
	}
}

// A file of a package is on the disk once. What somebody does to it there is not handed on.
func TestFilesOfPackagesAreSharedAndChecked(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0", source: "module.exports = 'left'"}, pkg{name: "right", version: "1.0.0", source: "module.exports = 'left'"})
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{ResolveAgain: 1})
	const left, right = "node_modules/left/index.js", "node_modules/right/index.js"
	deps := map[string]string{"left": "1", "right": "1"}
	a := publish(t, r, "a", Publication{Source: "1", Dependencies: deps})
	b := publish(t, r, "b", Publication{Source: "1", Dependencies: map[string]string{"left": "1"}})
	if !sameFile(t, filepath.Join(a.Dir, left), filepath.Join(b.Dir, left)) || !sameFile(t, filepath.Join(a.Dir, left), filepath.Join(a.Dir, right)) {
		t.Error("the same content is on the disk twice")
	}
	info, err := os.Stat(filepath.Join(a.Dir, left))
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(a.Dir, left), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.Dir, left), []byte("module.exports = 'evil'"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := publish(t, r, "c", Publication{Source: "1", Dependencies: deps})
	if text, err := os.ReadFile(filepath.Join(c.Dir, left)); err != nil || string(text) != "module.exports = 'left'" {
		t.Errorf("%s, %v", text, err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := r.DeleteFunction(bg, acme(t, r), name, false); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	r, _ = openRegistry(t, dir, Config{})
	if left := contents(t, r.filesDir("acme")); len(left) != 0 {
		t.Errorf("files that nobody has: %v", left)
	}
}

// Files of packages go with the last version that has them, also after a crash between the two, and never those
// that another version has.
func TestFilesOfPackagesGoWithTheirVersions(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0", source: "module.exports = 'one'"}, pkg{name: "left", version: "2.0.0", source: "module.exports = 'two'"})
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{KeepVersions: 1})
	tn := acme(t, r)
	var all []*Version
	for i, deps := range []map[string]string{{"left": "1"}, {"left": "2"}, {"left": "2.0.0"}} {
		all = append(all, publish(t, r, "f", Publication{Source: fmt.Sprint(i), Dependencies: deps}))
	}
	store := func(r *Registry, want int, when string) {
		t.Helper()
		if left := contents(t, r.filesDir("acme")); len(left) != want {
			t.Errorf("%s the store has %v, want %d files", when, left, want)
		}
	}
	store(r, 6, "with all versions") // index.js, package.json of each, and npm's list in node_modules
	release := r.KeepFolders()
	fn, _ := tn.Function("f")
	if err := r.Retire(bg, tn, fn); err != nil {
		t.Fatal(err)
	}
	store(r, 7, "while a backup runs") // and the mark
	release()
	store(r, 3, "after two were retired")
	r.SetCheck(func(context.Context, *Version) error { return errors.New("the hub stops") })
	if _, _, err := r.Publish(bg, tn, "g", Publication{Source: "1", Dependencies: map[string]string{"left": "1"}}, nil); err == nil {
		t.Fatal("published")
	}
	store(r, 3, "after a publish that came to nothing")
	r.markUnswept("acme")
	stop()
	if err := os.RemoveAll(all[2].Dir); err != nil { // as far as a crash let it come
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.buildDir()); err != nil {
		t.Fatal(err)
	}
	r, _ = openRegistry(t, dir, Config{})
	store(r, 0, "after a crash")
}

// What more than the registry decides on is nobody else's.
func TestPackagesFromElsewhereAreNotTakenOver(t *testing.T) {
	r := &Registry{cfg: Config{AllowScripts: true}}
	r.node = r.cfg.nodeVersion
	key := func(manifest string, more ...string) string {
		files := map[string][]byte{"package.json": []byte(manifest)}
		for _, name := range more {
			files[name] = []byte(name)
		}
		return r.packagesKey(newTenant("acme", tenantRecord{}, Limits{}), &tree{files: files})
	}
	plain := key(`{"dependencies":{"a":"^1.2.3 || >=3 <4","b":"npm:@x/y@~1","c":"latest","d":"*","e":""}}`)
	if plain == "" || plain != key(`{"description":"?","livefn":{"timeout":1},"scripts":{"test":"x"},"dependencies":{"e":"","d":"*","c":"latest","a":"^1.2.3 || >=3 <4","b":"npm:@x/y@~1"}}`) {
		t.Error("equal dependencies differ")
	}
	for _, manifest := range []string{
		`{"dependencies":{"a":"file:./own"}}`, `{"optionalDependencies":{"a":"./own"}}`, `{"dependencies":{"a":"acme/repo"}}`, `{"dependencies":{"a":"npm:./own"}}`,
		`{"devDependencies":{"a":"git+https://x.test/a.git"}}`, `{"peerDependencies":{"a":"https://x.test/a.tgz"}}`, `{"workspaces":["own"]}`,
		`{"scripts":{"postinstall":"touch x"}}`,
	} {
		if key(manifest) != "" {
			t.Error(manifest)
		}
	}
	if key(`{}`, "binding.gyp") != "" || key(`{}`) == key(`{}`, lockFile, shrinkwrap) || key(`{"overrides":{"a":"1"}}`) == key(`{"overrides":{"a":"2"}}`) {
		t.Error("what npm looks at does not count")
	}
}

// A version that is being removed may have half of its packages left.
func TestPackagesOfAVersionThatIsGoneAreNotTakenOver(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	v := publish(t, r, "a", Publication{Source: "1", Dependencies: map[string]string{"left": "1"}})
	if err := r.DeleteFunction(bg, acme(t, r), "a", false); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if takeOver(acme(t, r), v, dir) {
		t.Error("taken over")
	}
	if left := contents(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestATurnEndsWithWhoWaitsForIt(t *testing.T) {
	var all turns
	end, err := all.take(bg, "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if _, err := all.take(ctx, "a"); err == nil {
		t.Error("two have the turn")
	}
	end()
	if end, err = all.take(bg, "a"); err != nil {
		t.Fatal(err)
	}
	end()
	if len(all.all) != 0 {
		t.Errorf("left %v", all.all)
	}
}
