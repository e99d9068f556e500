package tenants

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// onVersions is a Use that says what the test says.
type onVersions struct {
	mu      sync.Mutex // guards all below
	busy    map[int]bool
	needed  map[int]bool
	look    func() // in the middle of a look
	drained chan struct{}
}

func (u *onVersions) set(busy ...int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy = map[int]bool{}
	for _, n := range busy {
		u.busy[n] = true
	}
}

func (u *onVersions) On(_ *Function, vs []*Version) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.look != nil {
		u.look()
	}
	for _, v := range vs {
		if u.busy[v.Number] {
			return fault.New(fault.Conflict, "%d is in use", v.Number)
		}
	}
	return nil
}

func (u *onVersions) Drained(ctx context.Context, fn *Function, vs []*Version) error {
	for {
		select {
		case <-u.drained:
		case <-ctx.Done():
			return u.On(fn, vs)
		}
		if err := u.On(fn, vs); err == nil {
			return nil
		}
	}
}

func (u *onVersions) Needed(*Function) (map[int]bool, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.look != nil {
		u.look()
	}
	needed := maps.Clone(u.busy)
	maps.Copy(needed, u.needed)
	return needed, nil
}

// numbers gives the numbers of f's versions, after a look at their folders.
func numbers(t testing.TB, tn *Tenant) (ns []int) {
	t.Helper()
	fn, err := tn.Function("f")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range fn.Versions() {
		if !fileExists(v.Dir) {
			t.Errorf("version %d has no folder", v.Number)
		}
		ns = append(ns, v.Number)
	}
	entries, err := os.ReadDir(fn.Versions()[0].registry.tenantDir("acme"))
	if err != nil || len(entries) != len(ns) {
		t.Errorf("there are %d folders of %v, %v", len(entries), ns, err)
	}
	return ns
}

func TestAVersionIsDeletedOnlyIfNothingIsOnIt(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	use := &onVersions{}
	r.SetUse(use)
	tn := acme(t, r)
	publishN(t, r, tn, 4)
	if _, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{1, 1}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{2, 1}}); err != nil {
		t.Fatal(err)
	}
	use.set(4)
	wantFault(t, r.DeleteVersion(bg, tn, "f", 4, false), fault.Conflict, "4 is in use")
	wantFault(t, r.DeleteVersion(bg, tn, "f", 2, false), fault.Conflict, `"prod"`)
	wantFault(t, r.DeleteVersion(bg, tn, "f", 5, false), fault.NotFound)
	wantFault(t, r.DeleteFunction(bg, tn, "f", false), fault.Conflict, "4 is in use")
	if got := numbers(t, tn); !slices.Equal(got, []int{1, 2, 3, 4}) || numberOf(t, tn, "f") != 4 {
		t.Errorf("versions %v, latest %d", got, numberOf(t, tn, "f"))
	}
	use.set()
	for _, n := range []int{4, 1} { // the latest, and the one to which prod could go back
		if err := r.DeleteVersion(bg, tn, "f", n, false); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Rollback(bg, tn, "f", "prod")
	wantFault(t, err, fault.Conflict)
	check := func() {
		t.Helper()
		if got := numbers(t, tn); !slices.Equal(got, []int{2, 3}) || numberOf(t, tn, "f") != 3 || numberOf(t, tn, "f@prod") != 2 {
			t.Errorf("versions %v, latest %d", got, numberOf(t, tn, "f"))
		}
		_, err := tn.Resolve("f@4")
		wantFault(t, err, fault.NotFound)
	}
	check()
	stop()
	r, _ = openRegistry(t, dir, Config{})
	tn = acme(t, r)
	check()
	if err := r.DeleteAlias(bg, tn, "f", "prod"); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteVersion(bg, tn, "f", 2, false); err != nil {
		t.Fatal(err)
	}
	wantFault(t, r.DeleteVersion(bg, tn, "f", 3, false), fault.Conflict, "only one")
	if v, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = 9"}, io.Discard); err != nil || v.Number != 5 {
		t.Errorf("the next version is %+v, %v", v, err)
	}
}

// An execution that comes while a deletion looks must win or be refused, never lose its files.
func TestWhoComesDuringADeletionStaysOrIsRefused(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	use := &onVersions{drained: make(chan struct{})}
	r.SetUse(use)
	tn := acme(t, r)
	publishN(t, r, tn, 2)
	v, err := tn.Resolve("f@1")
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	use.look = func() {
		if looks++; looks == 2 && !v.Enter(false) { // the one under a closing gate
			t.Error("refused though nothing is decided")
		}
	}
	wantFault(t, r.DeleteVersion(bg, tn, "f", 1, false), fault.Conflict, "just come")
	use.look = nil

	use.set(1)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(bg)
	go func() { done <- r.DeleteVersion(ctx, tn, "f", 1, true) }()
	use.drained <- struct{}{} // it looked, found something, and waits; it is still there
	use.drained <- struct{}{}
	if v.Enter(false) || !v.Enter(true) {
		t.Error("a version that drains takes new executions, or no children of those that run")
	}
	_, _, err = r.SetAlias(bg, tn, "f", "prod", []Target{{1, 1}})
	wantFault(t, err, fault.Conflict, "being deleted")
	cancel()
	wantFault(t, <-done, fault.Conflict, "1 is in use")
	if !v.Enter(false) {
		t.Error("it does not take executions after the drain failed")
	}
	use.set()
	if err := r.DeleteVersion(bg, tn, "f", 1, true); err != nil {
		t.Fatal(err)
	}
	if v.Enter(false) || v.Enter(true) {
		t.Error("a version that is gone takes executions")
	}
}

func TestAFunctionThatIsDeletedGoesWithItsFolders(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 2)
	v, _ := tn.Resolve("f")
	if err := r.DeleteFunction(bg, tn, "f", false); err != nil {
		t.Fatal(err)
	}
	if v.Enter(false) {
		t.Error("it takes executions")
	}
	if entries, err := os.ReadDir(r.tenantDir("acme")); err != nil || len(entries) != 0 {
		t.Errorf("left are %v, %v", entries, err)
	}
	again, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = 1"}, io.Discard)
	if err != nil || again.Number != 3 || !again.Enter(false) {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestOldVersionsGoButNeverWhatIsNeeded(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{KeepVersions: 3})
	use := &onVersions{needed: map[int]bool{2: true}}
	use.set()
	r.SetUse(use)
	tn := acme(t, r)
	publishN(t, r, tn, 4)
	for _, n := range []int{3, 4} { // 3 is where prod can go back to
		if _, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{n, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		if _, _, err := r.Publish(bg, tn, "f", Publication{Source: fmt.Sprint("module.exports = 'x", i, "'")}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	retire := func(want ...int) {
		t.Helper()
		fn, err := tn.Function("f")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Retire(bg, tn, fn); err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, tn); !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
	}
	five, err := tn.Resolve("f@5")
	if err != nil {
		t.Fatal(err)
	}
	looks := 0
	use.look = func() {
		if looks++; looks == 2 { // with the gates closing: an execution fails on 1, and one comes onto 5
			use.needed[1] = true
			five.Enter(false)
		}
	}
	retire(1, 2, 3, 4, 5, 6, 7, 8)
	use.look = nil
	if looks != 2 {
		t.Errorf("it looked %d times", looks)
	}
	use.set(5)
	delete(use.needed, 1)
	retire(2, 3, 4, 5, 6, 7, 8)
	two, err := tn.Resolve("f@2")
	if err != nil || !two.Surplus() {
		t.Errorf("%+v, %v", two, err)
	}
	use.set()
	use.needed = nil
	retire(3, 4, 6, 7, 8)
	own := Settings{KeepVersions: 1}
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = 9", Settings: &own}, io.Discard); err != nil {
		t.Fatal(err)
	}
	retire(3, 4, 9)
}

// A deletion that could not be written has not happened.
func TestADeletionThatFailsLeavesTheFunctionAsItWas(t *testing.T) {
	r, stop := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 2)
	stop() // the store takes nothing any more
	if err := r.DeleteVersion(bg, tn, "f", 2, false); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	v, err := tn.Resolve("f@2")
	if err != nil || !v.Enter(false) || !fileExists(v.Dir) {
		t.Errorf("%+v, %v", v, err)
	}
}

// A backup has the records of the moment when it began, so it must find their files.
func TestFoldersOfDeletedVersionsStayForABackup(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 3)
	one, _ := tn.Resolve("f@1")
	two, _ := tn.Resolve("f@2")
	first, second := r.KeepFolders(), r.KeepFolders()
	if err := r.DeleteVersion(bg, tn, "f", 1, false); err != nil {
		t.Fatal(err)
	}
	first()
	first()
	if !fileExists(one.Dir) {
		t.Error("it is gone though a backup is under way")
	}
	second()
	if err := r.DeleteVersion(bg, tn, "f", 2, false); err != nil {
		t.Fatal(err)
	}
	if fileExists(one.Dir) || fileExists(two.Dir) {
		t.Error("folders are left")
	}
}

// A deleted tenant's versions are in a backup that began before.
func TestFoldersOfADeletedTenantStayForABackup(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	publishN(t, r, acme(t, r), 1)
	v, err := acme(t, r).Resolve("f")
	if err != nil {
		t.Fatal(err)
	}
	release := r.KeepFolders()
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	if !fileExists(v.Dir) {
		t.Error("it is gone though a backup is under way")
	}
	_, _, err = r.CreateTenant(bg, "acme") // its first version could lie in the same place
	wantFault(t, err, fault.Conflict, "backup")
	release()
	if fileExists(r.tenantDir("acme")) {
		t.Error("folders are left")
	}
	publishN(t, r, acme(t, r), 1)
}

// An install of a deleted tenant must not go on, nor leave anything for the next of the same name.
func TestADeletedTenantsInstallsEndFirst(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, "echo started; exec sleep 1000")})
	tn := acme(t, r)
	started, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, _, err := r.Publish(bg, tn, "f", withDependency, writerFunc(func(p []byte) (int, error) {
			close(started)
			return len(p), nil
		}))
		done <- err
	}()
	<-started
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(r.buildDir()); err != nil || len(left) != 0 {
		t.Errorf("deleted while it builds %v, %v", left, err)
	}
	wantFault(t, <-done, fault.NotFound, "no tenant")
	for _, dir := range []string{r.tenantDir("acme"), r.cacheDir("acme"), r.filesDir("acme")} {
		if fileExists(dir) {
			t.Errorf("left %s", dir)
		}
	}
	_, _, err := r.Publish(bg, tn, "f", withDependency, nil)
	wantFault(t, err, fault.NotFound, "no tenant")
}
