//go:build packages

package packages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const adminKey = "packages-admin-key-0123456789"

// hub is a real one, with two tenants: acme, and built, whose packages' scripts run.
type hub struct {
	t    *testing.T
	url  string
	keys map[string]string
}

func startHub(t *testing.T) *hub {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "livefn")
	if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	cmd := exec.Command(program, "serve", "--listen", addr, "--data", filepath.Join(dir, "data"))
	cmd.Env = append(os.Environ(), "LIVEFN_ADMIN_KEY="+adminKey)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the hub: %v", err)
		}
	})
	h := &hub{t: t, url: "http://" + addr, keys: map[string]string{}}
	for end := time.Now().Add(time.Minute); ; {
		if r, err := http.Get(h.url + "/readyz"); err == nil {
			_ = r.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("the hub does not answer")
		}
	}
	for _, name := range []string{"acme", "built"} {
		var made struct{ Key string }
		h.ask(adminKey, "POST", "/v1/admin/tenants", map[string]string{"name": name}, &made)
		h.keys[name] = made.Key
	}
	h.ask(h.keys["built"], "PUT", "/v1/packages", map[string]string{"scripts": "all"}, nil)
	return h
}

func (h *hub) ask(key, method, path string, in, out any) {
	h.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequest(method, h.url+path, bytes.NewReader(b))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if res.StatusCode >= 300 {
		h.t.Errorf("%s %s: %d %s", method, path, res.StatusCode, got)
		return
	}
	if out == nil {
		return
	}
	if raw, ok := out.(*string); ok {
		*raw = string(got)
		return
	}
	if err := json.Unmarshal(got, out); err != nil {
		h.t.Errorf("%s %s: %v", method, path, err)
	}
}

// run publishes a function and calls it.
func (h *hub) run(tenant, name string, deps map[string]string, body string) (answer string, ms int64) {
	h.t.Helper()
	source := "const use = require\nmodule.exports = async () => { " + body + " }\n"
	var v struct {
		State string
		MS    int64
	}
	h.ask(h.keys[tenant], "PUT", "/v1/functions/"+name, map[string]any{"source": source, "dependencies": deps, "settings": map[string]any{"tail": false}}, &v)
	if v.State == "ready" {
		h.ask(h.keys[tenant], "POST", "/v1/invoke/"+name, []any{}, &answer)
	}
	return answer, v.MS
}

// Any package is worth what it does once it is called.
func TestRealPackagesWork(t *testing.T) {
	h := startHub(t)
	var sum, names = int64(0), map[string]bool{}
	var mu sync.Mutex // guards the two
	var work sync.WaitGroup
	places := make(chan struct{}, 3)
	for i, c := range table {
		work.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			tenant := "acme"
			if c.scripts {
				tenant = "built"
			}
			got, ms := h.run(tenant, fmt.Sprintf("f%d", i), c.deps, c.body)
			if got != c.want {
				t.Errorf("%s, %v: %s, not %s", c.kind, c.deps, got, c.want)
			}
			mu.Lock()
			defer mu.Unlock()
			sum += ms
			for name := range c.deps {
				names[name] = true
			}
		})
	}
	work.Wait()
	t.Logf("%d functions with %d packages, %d ms to publish one", len(table), len(names), sum/int64(len(table)))
}

// Two majors at the same time in the same process.
func TestTwoMajorsOfRealPackagesLiveSideBySide(t *testing.T) {
	h := startHub(t)
	for _, p := range pairs {
		older, _ := h.run("acme", p.name+"-older", map[string]string{p.name: p.older}, "return [process.pid, (() => { "+p.body+" })()].join(' ')")
		newer, _ := h.run("acme", p.name+"-newer", map[string]string{p.name: p.newer}, "return [process.pid, (() => { "+p.body+" })()].join(' ')")
		var again string
		h.ask(h.keys["acme"], "POST", "/v1/invoke/"+p.name+"-older", []any{}, &again)
		pid := func(answer string) string { pid, _, _ := strings.Cut(answer, " "); return pid }
		if older == "" || older == newer || older != again || pid(older) != pid(newer) {
			t.Errorf("%s: %s, %s, and again %s", p.name, older, newer, again)
		}
	}
}
