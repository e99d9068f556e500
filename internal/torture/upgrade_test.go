package torture

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What an older program left must go on under this one: a data folder of each format that there was is
// kept, with work of every kind under way (scripts/make-old-folder.mjs).
func TestFoldersOfEveryFormatGoOn(t *testing.T) {
	folders, err := filepath.Glob("testdata/format-*.tar.gz")
	if err != nil || len(folders) == 0 {
		t.Fatalf("there are no folders: %v", err)
	}
	program := filepath.Join(t.TempDir(), "livefn")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) { goOn(t, program, folder) })
	}
}

func goOn(t *testing.T, program, folder string) {
	home := t.TempDir()
	if err := unpack(folder, filepath.Join(home, "data")); err != nil {
		t.Fatal(err)
	}
	var ids struct{ Key, Succeeded, Failed, Paused, Running, Due, Later string }
	b, err := os.ReadFile(filepath.Join(home, "data", "ids.json"))
	if err != nil || json.Unmarshal(b, &ids) != nil {
		t.Fatal(err)
	}
	h, err := newHub(program, home, func() string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- h.run() }()
	defer func() {
		h.stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if b, _ := os.ReadFile(filepath.Join(home, "hub.log")); t.Failed() {
			t.Logf("the hub said:\n%s", b)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := &torturer{t: t, h: h, key: ids.Key}
	show := func(id string) (s shown) {
		t.Helper()
		a, err := h.insist(ctx, ids.Key, "GET", "/v1/executions/"+id, nil)
		if err != nil || a.status != 200 || json.Unmarshal(a.body, &s) != nil {
			t.Fatalf("%s: %d %s, %v", id, a.status, a.body, err)
		}
		return s
	}
	until := func(id, state string) shown {
		t.Helper()
		for {
			s := show(id)
			if s.State == state {
				return s
			}
			if ctx.Err() != nil {
				t.Fatalf("%s is %s, and not %s", id, s.State, state)
			}
			pause(ctx, 10*time.Millisecond)
		}
	}

	if s := show(ids.Succeeded); s.State != "succeeded" || string(s.Result) != `"`+strings.Repeat("y", 5000)+`"` || len(s.Args) != 1 {
		t.Errorf("what had succeeded is %s with a result of %d bytes", s.State, len(s.Result))
	}
	if s := show(ids.Failed); s.State != "failed" || s.Error == nil || s.Error.Message != "as ever" {
		t.Errorf("what had failed is %+v", s)
	}
	if s := show(ids.Later); s.State != "queued" || s.NotBefore == "" {
		t.Errorf("what is to run in a hundred years is %+v", s)
	}
	if s := until(ids.Due, "succeeded"); string(s.Result) != `"due"` {
		t.Errorf("what was delayed ended as %+v", s)
	}

	until(ids.Running, "running")
	x.send(ctx, ids.Running, "word", "at last")
	if s := until(ids.Running, "succeeded"); string(s.Result) != `"at last"` || s.Attempt != 2 {
		t.Errorf("what ran ended as %+v", s)
	}

	if s := show(ids.Paused); s.State != "paused" || s.Pause == nil || s.Pause.Reason != "request" {
		t.Fatalf("what was paused is %+v", s)
	}
	if a, err := h.insist(ctx, ids.Key, "POST", "/v1/executions/"+ids.Paused+"/resume", nil); err != nil || a.status != 200 {
		t.Fatalf("resume: %d %s, %v", a.status, a.body, err)
	}
	s := until(ids.Paused, "succeeded")
	if want := fmt.Sprintf(`[2,[%q,"first","second"]]`, strings.Repeat("x", 3000)); string(s.Result) != want {
		t.Errorf("what was paused, and had been sent events, ended with %.80s… of %d bytes", s.Result, len(s.Result))
	}
	for _, id := range []string{ids.Succeeded, ids.Failed, ids.Paused, ids.Running, ids.Due} {
		var page struct{ Events []struct{ Offset uint64 } }
		a, err := h.insist(ctx, ids.Key, "GET", "/v1/executions/"+id+"/events?limit=1000", nil)
		if err != nil || json.Unmarshal(a.body, &page) != nil || len(page.Events) == 0 {
			t.Errorf("events of %s: %s, %v", id, a.body, err)
		}
		if !slices.IsSortedFunc(page.Events, func(a, b struct{ Offset uint64 }) int { return int(a.Offset) - int(b.Offset) }) || page.Events[0].Offset != 1 ||
			page.Events[len(page.Events)-1].Offset != uint64(len(page.Events)) {
			t.Errorf("events of %s: %s", id, a.body)
		}
	}
}

// shown is an execution as the hub shows it.
type shown struct {
	State     string
	Attempt   int
	Args      []json.RawMessage
	Result    json.RawMessage
	NotBefore string
	Pause     *struct{ Reason string }
	Error     *struct{ Code, Message string }
}

func (x *torturer) send(ctx context.Context, id, eventType string, data any) {
	x.t.Helper()
	a, err := x.h.insist(ctx, x.key, "POST", "/v1/executions/"+id+"/events", map[string]any{"type": eventType, "data": data})
	if err != nil || a.status != 200 {
		x.t.Fatalf("send: %d %s, %v", a.status, a.body, err)
	}
}

// unpack unpacks one of our own folders.
func unpack(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		head, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(head.Name)) //nolint:gosec // our own
		if head.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			continue
		}
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r) //nolint:gosec // our own
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}
