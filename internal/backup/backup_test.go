package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/livefn/livefn/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	bg    = context.Background()
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// opened gives a running store of a data folder.
func opened(t *testing.T, data string) *store.Store {
	t.Helper()
	st, err := store.Open(filepath.Join(data, storeDir), store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	done := make(chan error, 1)
	go func() { done <- st.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Error(err)
		}
	})
	return st
}

func put(t *testing.T, st *store.Store, kvs ...string) {
	t.Helper()
	var ops []store.Op
	for i := 0; i < len(kvs); i += 2 {
		ops = append(ops, store.Op{Key: []byte(kvs[i]), Value: []byte(kvs[i+1])})
	}
	if err := st.Commit(bg, ops...); err != nil {
		t.Fatal(err)
	}
}

func records(t *testing.T, st *store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := st.Scan(store.Range{}, func(k, v []byte) (bool, error) {
		all[string(k)] = string(v)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// files describes what is below a folder, but the store.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case rel == ".":
		case rel == storeDir:
			return fs.SkipDir
		case d.IsDir():
			all[rel] = info.Mode().String()
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all[rel] = "-> " + target
			return err
		default:
			b, err := os.ReadFile(path)
			all[rel] = fmt.Sprintf("%s %x", info.Mode(), sha256.Sum256(b))
			return err
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// tree makes a data folder's files.
func tree(t *testing.T, dir string) {
	t.Helper()
	for path, content := range map[string]string{
		"dev.key":                       "secret",
		"functions/tenants/a/f@1/i.js":  "module.exports = 1",
		"functions/tenants/a/f@1/empty": "",
		"functions/tenants/a/f@1/big":   strings.Repeat("0123456789", 50_000),
		"functions/building/half":       "no",
		"bridges/1/sock":                "no",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o640)); err != nil {
			t.Fatal(err)
		}
	}
	in := filepath.Join(dir, "functions/tenants/a/f@1")
	if err := errors.Join(os.Symlink("../x", filepath.Join(in, "link")), os.Chmod(filepath.Join(in, "i.js"), 0o755), os.Chmod(in, 0o555)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(in, 0o755) }) // else others than root can't clean up
}

func source(st *store.Store, dir string) Source {
	return Source{Store: st, Dir: dir, Skip: []string{"bridges", filepath.Join("functions", "building")}, Program: "v1"}
}

// written gives a backup file.
func written(t *testing.T, src Source) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(bg, &b, src); err != nil {
		t.Fatal(err)
	}
	return saved(t, b.Bytes())
}

func saved(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsRestoredIsWhatWas(t *testing.T) {
	dir, again := t.TempDir(), filepath.Join(t.TempDir(), "new", "data")
	tree(t, dir)
	st := opened(t, dir)
	want := map[string]string{}
	for i := range 1000 {
		k, v := fmt.Sprintf("k/%04d", i), strings.Repeat("v", i*5)
		want[k] = v
		put(t, st, k, v)
	}
	want["large"] = strings.Repeat("x", 8<<20)
	put(t, st, "large", want["large"])
	if err := st.Commit(bg, store.Op{Key: []byte("soon gone"), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	want["soon gone"] = ""
	file := written(t, source(st, dir))
	r, err := Restore(bg, file, again)
	if err != nil {
		t.Fatal(err)
	}
	if r.Records != 1002 || r.Program != "v1" || time.Since(r.CreatedAt) > time.Hour {
		t.Errorf("%+v", r)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(again, "functions/tenants/a/f@1"), 0o755) })
	restored := opened(t, again)
	if noted, err := restored.Restored(); err != nil || !noted {
		t.Errorf("it does not say that it was restored: %v", err)
	}
	if err := restored.Commit(bg, store.NoteRestored()); err != nil {
		t.Fatal(err)
	}
	if got := records(t, restored); !maps.Equal(got, want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	if err := restored.Snapshot(bg, func(r store.Record) error {
		if temporary := string(r.Key) == "soon gone"; temporary == r.Expires.IsZero() || temporary && time.Until(r.Expires) > time.Hour+time.Minute {
			t.Errorf("%s expires at %s", r.Key, r.Expires)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	wantFiles := files(t, dir)
	maps.DeleteFunc(wantFiles, func(path, _ string) bool {
		return strings.HasPrefix(path, "bridges") || strings.HasPrefix(path, filepath.Join("functions", "building"))
	})
	if got := files(t, again); !reflect.DeepEqual(got, wantFiles) {
		t.Errorf("files %v\nwant %v", got, wantFiles)
	}
}

// Pairs are written together, and in order: a backup has a beginning of each writer's, none by half, and
// all that was acknowledged before it began.
func TestABackupUnderLoadIsOneMoment(t *testing.T) {
	dir := t.TempDir()
	st := opened(t, dir)
	const writers = 8
	var mu sync.Mutex // guards acknowledged
	var acknowledged [writers]int
	end := make(chan struct{})
	started := make(chan struct{}, writers*1000)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				put(t, st, fmt.Sprintf("a/%d/%06d", w, i), "1", fmt.Sprintf("b/%d/%06d", w, i), "1", fmt.Sprintf("z/%d", w), fmt.Sprint(i))
				mu.Lock()
				acknowledged[w] = i
				mu.Unlock()
				if i <= 200 {
					started <- struct{}{}
				}
			}
		})
	}
	for range writers * 200 {
		<-started
	}
	mu.Lock()
	before := acknowledged
	mu.Unlock()
	file := written(t, source(st, dir))
	close(end)
	wg.Wait()
	again := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(bg, file, again); err != nil {
		t.Fatal(err)
	}
	got := records(t, opened(t, again))
	for w := range writers {
		var last int
		if _, err := fmt.Sscan(got[fmt.Sprintf("z/%d", w)], &last); err != nil || last < before[w] {
			t.Errorf("writer %d: the last is %d, %v; %d were acknowledged before", w, last, err, before[w])
		}
		for i := 1; i <= last+1; i++ {
			_, a := got[fmt.Sprintf("a/%d/%06d", w, i)]
			_, b := got[fmt.Sprintf("b/%d/%06d", w, i)]
			if want := i <= last; a != want || b != want {
				t.Fatalf("writer %d of %d: number %d is there: %v, %v", w, last, i, a, b)
			}
		}
	}
}

// refused sees that a file is refused with words, and that nothing is to be seen of it.
func refused(t *testing.T, file, words string) {
	t.Helper()
	parent := t.TempDir()
	_, err := Restore(bg, file, filepath.Join(parent, "data"))
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %q", err, words)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestADamagedBackupIsRefusedBeforeAnythingIsVisible(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir)
	st := opened(t, dir)
	put(t, st, "k", "v")
	whole, err := os.ReadFile(written(t, source(st, dir)))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 5, 14, 16, 40, 60, len(whole) / 2, len(whole) - 32, len(whole) - 1} {
		words := "ends too early or is damaged"
		if n < 16 {
			words = "no backup of livefn"
		}
		refused(t, saved(t, whole[:n]), words)
	}
	for i := 16; i < len(whole); i += 1 + len(whole)/50 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		refused(t, saved(t, damaged), "its checksum is wrong")
	}
	refused(t, saved(t, bytes.Replace(whole, []byte("backup 1\n"), []byte("backup 2\n"), 1)), "it with the one that wrote it, or a later one")
}

// forged gives a backup file with content of the test's making and the right checksum.
func forged(t *testing.T, parts func(e *encoder)) string {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", magic, format)
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	e := &encoder{w: z}
	e.bytes([]byte(`{}`))
	parts(e)
	if err := errors.Join(e.err, z.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return saved(t, append(b.Bytes(), sum[:]...))
}

// A checksum says that a file is whole, not that it is honest.
func TestNothingIsWrittenOutsideTheRestoredFolder(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	for _, path := range []string{victim, "../victim", "link/victim"} {
		refused(t, forged(t, func(e *encoder) {
			e.raw([]byte{kindLink})
			e.bytes([]byte("link"))
			e.bytes([]byte(filepath.Dir(victim)))
			e.raw([]byte{kindFile})
			e.bytes([]byte(path))
			e.number(0o644)
			e.number(0)
			e.raw([]byte{kindEnd})
			e.number(0)
			e.number(2)
		}), "escapes")
	}
	refused(t, forged(t, func(e *encoder) {
		e.raw([]byte{kindFolder})
		e.bytes([]byte("store/x"))
		e.number(0o755)
	}), "within the store")
	refused(t, forged(t, func(e *encoder) { e.raw([]byte{kindEnd, 1, 0}) }), "of 1 records and 0 files it has 0 and 0")
	refused(t, forged(t, func(*encoder) {}), "ends too early")
	refused(t, forged(t, func(e *encoder) { e.raw([]byte{kindRecord, 0}); e.number(1 << 40) }), "a part of 1099511627776 bytes")
	refused(t, forged(t, func(e *encoder) { e.raw([]byte{'?'}) }), "unknown kind")
	if _, err := os.Stat(victim); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the victim: %v", err)
	}
}

func TestAFolderWithContentIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	st := opened(t, dir)
	put(t, st, "k", "v")
	file := written(t, source(st, dir))
	there := t.TempDir()
	if err := os.WriteFile(filepath.Join(there, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(bg, file, there); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("%v", err)
	}
	if got := slices.Collect(maps.Keys(files(t, there))); !slices.Equal(got, []string{"x"}) {
		t.Errorf("it has %v", got)
	}
	empty := t.TempDir()
	if _, err := Restore(bg, file, empty); err != nil {
		t.Error(err)
	}
}
