package tenants

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// A publish that ends after its tenant was deleted must leave nothing that a later tenant of the same
// name would find, now or after a restart.
func TestAPublishUnderWayDoesNotOutliveItsTenant(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	old := acme(t, r)
	checking := make(chan struct{})
	r.SetCheck(func(ctx context.Context, _ *Version) error { close(checking); <-ctx.Done(); return nil })
	published := make(chan error)
	go func() {
		_, _, err := r.Publish(bg, old, "f", Publication{Source: "of the old tenant"}, io.Discard)
		published <- err
	}()
	<-checking
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	tn := acme(t, r)
	wantFault(t, <-published, fault.NotFound, "no tenant")
	wantFault(t, r.DeleteFunction(bg, old, "f", false), fault.NotFound)
	for range 2 {
		if fns := tn.Functions(); len(fns) != 0 {
			t.Errorf("the new tenant has %v", fns)
		}
		if left, err := filepath.Glob(filepath.Join(r.tenantDir("acme"), "*")); err != nil || len(left) > 0 {
			t.Errorf("folders %v, %v", left, err)
		}
		stop()
		r, stop = openRegistry(t, dir, Config{})
		tn = acme(t, r)
	}
}

// Deleting a tenant may fail in the middle: what then matters is that nobody comes in, and that it can
// be repeated.
func TestADeletionThatFailedHalfWayIsRepeated(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn, secret, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r.OnDelete(func(context.Context, string) error { return errors.New("the disk is full") })
	if err := r.DeleteTenant(bg, "acme"); err == nil {
		t.Fatal("it did not fail")
	}
	_, err = r.Authenticate(secret)
	wantFault(t, err, fault.Unauthorized)
	_, err = tn.Resolve("f")
	wantFault(t, err, fault.NotFound)
	_, _, err = r.CreateKey(bg, "acme")
	wantFault(t, err, fault.NotFound)
	_, _, err = r.Publish(bg, tn, "f", Publication{Source: "2"}, io.Discard)
	wantFault(t, err, fault.NotFound)
	r.OnDelete(func(context.Context, string) error { return nil })
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	if fileExists(v.Dir) {
		t.Error("its files are still there")
	}
	left := 0
	if err := r.store.Scan(store.Range{Prefix: []byte("t/"), KeysOnly: true}, func(k, _ []byte) (bool, error) {
		t.Logf("left: %s", k)
		left++
		return true, nil
	}); err != nil || left > 0 {
		t.Errorf("%d records are left, %v", left, err)
	}
}

// DeleteFunction marks the function first; what a crash kept it from tidying must not come back.
func TestAHalfDeletedFunctionStaysDeleted(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Commit(bg, putRecord(functionKey("acme", "f"), functionRecord{Next: 2, Deleted: true})); err != nil {
		t.Fatal(err)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{})
	if fns := acme(t, r).Functions(); len(fns) != 0 || fileExists(v.Dir) {
		t.Errorf("%v; files are there: %v", fns, fileExists(v.Dir))
	}
	if err := r.store.Commit(bg, store.Op{Key: []byte("t/x"), Value: []byte{1}}); err != nil { // after what Open enqueued
		t.Fatal(err)
	}
	if _, err := r.store.Get(versionKey("acme", "f", 1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its record: %v", err)
	}
}

// Somebody may have restored the store without the files. That is to be known at once, and cured by
// publishing.
func TestAVersionWithoutFilesIsBrokenUntilItIsPublishedAgain(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	var dirs []string
	for _, source := range []string{"1", "2"} {
		v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: source}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, v.Dir)
	}
	stop()
	if err := os.RemoveAll(dirs[1]); err != nil {
		t.Fatal(err)
	}
	r, _ = openRegistry(t, dir, Config{})
	tn := acme(t, r)
	if v, err := tn.Resolve("f"); err != nil || v.Number != 1 {
		t.Errorf("latest is %+v, %v", v, err)
	}
	_, err := tn.Resolve("f@2")
	wantFault(t, err, fault.VersionBroken, "files are gone")
	if v, created, err := r.Publish(bg, tn, "f", Publication{Source: "2"}, io.Discard); err != nil || !created || v.Number != 3 {
		t.Errorf("%+v, %v, %v", v, created, err)
	}
}

func TestReopeningGivesTheSame(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn := acme(t, r)
	settings := Settings{Concurrency: 3, Timeout: 5e9, Retries: &Retries{Attempts: 2, Backoff: 1e9}, Env: Env{"A": "b"}, Public: true, Tail: new(bool)}
	for i, name := range []string{"f", "f", "g"} {
		if _, _, err := r.Publish(bg, tn, name, Publication{Source: string(rune('a' + i)), Settings: &settings}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	r.SetCheck(func(context.Context, *Version) error { return fault.New(fault.VersionBroken, "no export") })
	_, _, err := r.Publish(bg, tn, "g", Publication{Source: "broken"}, io.Discard)
	wantFault(t, err, fault.VersionBroken)
	view := func(r *Registry) (shown string) {
		keys, err := r.Keys("acme")
		if err != nil {
			t.Fatal(err)
		}
		shown = encode(t, keys)
		for _, fn := range acme(t, r).Functions() {
			shown += encode(t, fn) + encode(t, fn.Versions())
			for _, v := range fn.Versions() {
				shown += v.Dir + encode(t, storedSettings(v.Settings))
			}
		}
		return shown
	}
	before := view(r)
	stop()
	r, _ = openRegistry(t, dir, Config{})
	if after := view(r); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestACancelledPublishLeavesNothing(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	ctx, cancel := context.WithCancelCause(bg)
	gone := errors.New("the caller has gone")
	checking := make(chan struct{})
	r.SetCheck(func(ctx context.Context, _ *Version) error { close(checking); <-ctx.Done(); return ctx.Err() })
	results := make(chan error, 2)
	publish := func(ctx context.Context) {
		_, _, err := r.Publish(ctx, tn, "f", Publication{Source: "1"}, nil)
		results <- err
	}
	go publish(ctx)
	<-checking
	go publish(ctx) // waits for its turn, and need not
	cancel(gone)
	for range 2 {
		if err := <-results; !errors.Is(err, gone) {
			t.Errorf("%v", err)
		}
	}
	if fns := tn.Functions(); len(fns) != 0 {
		t.Errorf("functions %v", fns)
	}
	for _, dir := range []string{r.tenantDir("acme"), r.buildDir()} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
}

// Publishes, deletions and calls of one tenant at once: each sees a whole function or none.
func TestPublishesDeletionsAndCallsAtOnce(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	var working, looking sync.WaitGroup
	stop := make(chan struct{})
	looking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, fn := range tn.Functions() {
				if v := fn.Version(fn.Latest); v == nil || v.State != Ready || !fileExists(filepath.Join(v.Dir, entryFile)) && stillThere(tn, v) {
					t.Errorf("%s is visible as %+v", fn.Name, v)
				}
			}
		}
	})
	for _, name := range []string{"a", "b", "c", "d"} {
		working.Go(func() {
			for i := range 10 {
				if _, _, err := r.Publish(bg, tn, name, Publication{Source: string(rune('a' + i))}, io.Discard); err != nil {
					t.Error(err)
				}
				if i == 5 {
					if err := r.DeleteFunction(bg, tn, name, false); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	working.Wait()
	close(stop)
	looking.Wait()
	for _, fn := range tn.Functions() {
		if fn.Latest != 10 || len(fn.Versions()) != 4 {
			t.Errorf("%s: %s", fn.Name, encode(t, fn.Versions()))
		}
	}
}

func stillThere(tn *Tenant, v *Version) bool {
	fn, err := tn.Function(v.Function)
	return err == nil && fn.Version(v.Number) != nil
}

// Authenticate and Resolve are on the way of every call.
func TestTheHotPathDoesNotAllocate(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn, secret, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "1"}, io.Discard); err != nil {
		t.Fatal(err)
	}
	for ref, f := range map[string]func(){
		"the key": func() { _, _ = r.Authenticate(secret) },
		"f":       func() { _, _ = tn.Resolve("f") },
		"f@1":     func() { _, _ = tn.Resolve("f@1") },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s takes %v allocations", ref, n)
		}
	}
}

func TestTenantsAreListedByName(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	for _, name := range []string{"zeta", "acme", "Mid_1-x"} {
		if _, _, err := r.CreateTenant(bg, name); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, tn := range r.Tenants() {
		if tn.CreatedAt().IsZero() {
			t.Errorf("%s was never made", tn.Name())
		}
		names = append(names, tn.Name())
	}
	if !slices.Equal(names, []string{"Mid_1-x", "acme", "zeta"}) {
		t.Errorf("%v", names)
	}
	wantFault(t, r.DeleteTenant(bg, "nobody"), fault.NotFound)
	_, _, err := r.CreateKey(bg, "nobody")
	wantFault(t, err, fault.NotFound)
	_, err = r.Keys("nobody")
	wantFault(t, err, fault.NotFound)
}

// A function may have nothing but broken versions, also after a restart.
func TestAFunctionWithoutAReadyVersionSaysWhy(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	r.SetCheck(func(context.Context, *Version) error {
		return fault.New(fault.VersionBroken, "index.js exports nothing")
	})
	_, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "1"}, nil)
	wantFault(t, err, fault.VersionBroken)
	for range 2 {
		tn := acme(t, r)
		_, err := tn.Resolve("f")
		wantFault(t, err, fault.VersionBroken, "No version", "exports nothing")
		fn, err := tn.Function("f")
		if err != nil || fn.Latest != 0 {
			t.Errorf("%+v, %v", fn, err)
		}
		stop()
		r, stop = openRegistry(t, dir, Config{})
	}
}

// A shrinkwrap is a lock file too, and goes before the other.
func TestAShrinkwrapIsTheLockFile(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{"npm-shrinkwrap.json": []byte(`{"lockfileVersion":3}`)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lock, err := v.Lock(); err != nil || string(lock) != `{"lockfileVersion":3}` {
		t.Errorf("%s, %v", lock, err)
	}
}
