package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStoreOfALaterVersionIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s, stop := open(t, dir, Options{})
	if err := s.Commit(bg, put("a", "1")); err != nil {
		t.Fatal(err)
	}
	stop()
	path := filepath.Join(dir, formatFile)
	for content, words := range map[string]string{
		"2\n": "has format 2, and this version of livefn knows those up to 1",
		"?":   "no readable format number",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{Log: quiet}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := os.Remove(path); err != nil { // from before there was one
		t.Fatal(err)
	}
	s, _ = open(t, dir, Options{})
	if v, err := s.Get([]byte("a")); err != nil || string(v) != "1" {
		t.Errorf("%q, %v", v, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "1\n" {
		t.Errorf("%q, %v", b, err)
	}
}
