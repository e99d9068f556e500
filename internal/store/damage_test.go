package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The environment of a child process that makes a store or opens one: a damaged one may end it.
const (
	makeEnv = "LIVEFN_TEST_MAKE"
	openEnv = "LIVEFN_TEST_OPEN"
	pageEnv = "LIVEFN_TEST_LOST_PAGE"
)

var damageOptions = Options{MemTableSize: 1 << 20, ValueLogFileSize: 1 << 20, MinFree: -1, Log: quiet}

const damageRecords = 4000

func damageValue(i int) string {
	if i%4 == 0 {
		return strings.Repeat(fmt.Sprintf("%05d", i), 400)
	}
	return fmt.Sprint(i)
}

// makeStore writes records into dir and ends, without closing the store if how says so.
func makeStore(dir, how string) error {
	s, err := Open(dir, damageOptions)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var ops []Op
	for i := range damageRecords {
		if ops = append(ops, put(fmt.Sprintf("%s/%05d", strings.Repeat("k", 500), i), damageValue(i))); len(ops) == 10 {
			if err := s.Commit(bg, ops...); err != nil {
				return err
			}
			ops = nil
		}
	}
	if how == "killed" {
		os.Exit(0)
	}
	cancel()
	if err := <-done; err != nil {
		return err
	}
	return s.Close()
}

// openStore opens a store, reads all, and prints what it found.
func openStore(dir string) {
	s, err := Open(dir, damageOptions)
	if err != nil {
		fmt.Printf("refused: %v\n", err)
		return
	}
	n, wrong := 0, 0
	err = s.Scan(Range{}, func(k, v []byte) (bool, error) {
		var i int
		if _, err := fmt.Sscanf(string(k[501:]), "%d", &i); err != nil || string(v) != damageValue(i) {
			wrong++
		}
		n++
		return true, nil
	})
	switch {
	case err != nil:
		fmt.Printf("unreadable: %v\n", err)
	case n == damageRecords && wrong == 0:
		fmt.Println("whole")
	default:
		fmt.Printf("lost: %d of %d are there, %d are wrong\n", n, damageRecords, wrong)
	}
	if err := s.Close(); err != nil {
		fmt.Println(err)
	}
}

// inChild runs this test's binary and gives what it printed.
func inChild(t *testing.T, env ...string) string {
	t.Helper()
	child := exec.Command(os.Args[0]) //nolint:gosec // this test's own binary
	child.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	out, err := child.Output()
	if err != nil {
		return fmt.Sprintf("ended with %v: %s", err, out)
	}
	return string(out)
}

// Badger takes many kinds of damage for what a crash leaves, and goes on without what it lost. Ours must
// never start as if nothing was: it refuses, or it can read everything, or reading says what it cannot.
func TestADamagedStoreIsRefusedOrWhole(t *testing.T) {
	for _, how := range []string{"closed", "killed"} {
		base := filepath.Join(t.TempDir(), "store")
		if out := inChild(t, makeEnv+"="+base, "LIVEFN_TEST_HOW="+how); out != "" {
			t.Fatal(out)
		}
		names, err := filepath.Glob(filepath.Join(base, "*"))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]int{}
		for _, path := range names {
			name := filepath.Base(path)
			kind := strings.TrimLeft(name, "0123456789")
			found[kind]++
			isLast := !slices.ContainsFunc(names, func(other string) bool {
				return other > path && strings.TrimLeft(filepath.Base(other), "0123456789") == kind
			})
			if found[kind] > 1 && !isLast {
				continue // the first of a kind and the last
			}
			for _, what := range []string{"flipped", "cut", "emptied", "gone"} {
				dir := filepath.Join(t.TempDir(), "store")
				copyStore(t, base, dir)
				if !hurt(t, filepath.Join(dir, name), what) {
					continue
				}
				got := inChild(t, openEnv+"="+dir)
				switch {
				case strings.HasPrefix(got, "whole"), strings.HasPrefix(got, "unreadable: storage_unavailable"),
					strings.HasPrefix(got, "refused: ") && strings.Contains(got, dir):
				case how == "killed" && name != "MANIFEST" && kind != ".sst" && knownLoss(kind, what):
					t.Logf("%s, %s %s, is not known: %s", how, name, what, strings.TrimSpace(got))
				default:
					t.Errorf("%s, %s %s: %.1000s", how, name, what, got)
				}
			}
		}
		if found[".sst"] == 0 || found[".vlog"] < 2 || (found[".mem"] > 0) != (how == "killed") {
			t.Errorf("%s: the store has the files %v", how, names)
		}
	}
}

// knownLoss is what cannot be known after a crash: a whole log that is gone or cut looks as if nothing had
// been in it.
func knownLoss(kind, what string) bool {
	return kind == ".mem" && what != "flipped"
}

// copyStore copies a folder, leaving holes.
func copyStore(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-r", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copy: %v\n%s", err, out)
	}
}

// hurt damages a file in the middle of what is in it; false: it can't.
func hurt(t *testing.T, path, what string) bool {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	middle := int64(len(strings.TrimRight(string(content), "\x00")) / 2)
	switch what {
	case "flipped":
		if middle == 0 {
			return false
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt([]byte{content[middle] ^ 0x55}, middle)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	case "cut":
		err = os.Truncate(path, middle)
	case "emptied":
		err = os.Truncate(path, 0)
	case "gone":
		err = os.Remove(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

// A page that the disk does not give is a fault of the processor: of the reader's request, not of the hub.
func TestAPageThatCannotBeReadFailsTheReaderAlone(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	if err := s.Commit(bg, put("a", strings.Repeat("x", 100_000)), put("b", "1")); err != nil {
		t.Fatal(err)
	}
	stop()
	want := "a: storage_unavailable: The hub could not read its store: the disk did not give what was written there.\n" +
		"b: 1 <nil>\nclose the store: its disk fails; what was not acknowledged is lost\n"
	if got := inChild(t, pageEnv+"="+dir); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// readLostPage takes the end of a file from below an open store.
func readLostPage(dir string) error {
	s, err := Open(dir, Options{Log: quiet})
	if err != nil {
		return err
	}
	if err := os.Truncate(filepath.Join(dir, "000001.vlog"), 4096); err != nil {
		return err
	}
	_, err = s.Get([]byte("a"))
	fmt.Printf("a: %v\n", err)
	v, err := s.Get([]byte("b"))
	fmt.Printf("b: %s %v\n", v, err)
	return s.Close()
}

// FuzzLog reads whatever stands in a log.
func FuzzLog(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(make([]byte, logHeader), 0x40, 0, 1, 1, 0, 'k', 'v', 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := walk(b, func(e *entry) {
			if len(e.key) == 0 {
				t.Error("no key")
			}
		})
		if end > len(b) || later(b, end) > len(b) {
			t.Errorf("%d", end)
		}
	})
}

func init() { // before TestMain: these children run no tests
	switch {
	case os.Getenv(makeEnv) != "":
		if err := makeStore(os.Getenv(makeEnv), os.Getenv("LIVEFN_TEST_HOW")); err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	case os.Getenv(openEnv) != "":
		openStore(os.Getenv(openEnv))
		os.Exit(0)
	case os.Getenv(pageEnv) != "":
		fmt.Println(readLostPage(os.Getenv(pageEnv)))
		os.Exit(0)
	}
}
