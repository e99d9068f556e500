package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for anything: far longer than anything takes, on a machine that
// has other things to do.
const patience = 90 * time.Second

const adminKey = "e2e-admin-key-0123456789"

// hub is a livefn process, which can be killed and started again on the same data.
type hub struct {
	t    *testing.T
	args []string
	home string // its data, and its temporary files

	url    string
	last   string   // the address it listened on
	key    string   // of the tenant
	banner []string // what it printed up to being ready
	cmd    *exec.Cmd
	output *output
	exited chan struct{} // closed when the process was waited for
	err    error         // what Wait gave
}

// startHub starts a hub with a tenant "e2e" on an empty data folder.
func startHub(t *testing.T) *hub {
	t.Helper()
	h := newHub(t)
	h.start()
	var created struct{ Name, Key string }
	h.as(adminKey).json("POST", "/v1/admin/tenants", map[string]string{"name": "e2e"}, http.StatusCreated, &created)
	h.key = created.Key
	return h
}

// startDevHub starts one as `make run` does.
func startDevHub(t *testing.T) *hub {
	t.Helper()
	h := newHub(t, "--dev")
	h.start()
	return h
}

func newHub(t *testing.T, args ...string) *hub {
	t.Helper()
	h := &hub{t: t, home: t.TempDir()}
	h.args = append([]string{"serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(h.home, "data")}, args...)
	t.Cleanup(func() {
		if h.cmd == nil {
			return
		}
		h.stop()
		if t.Failed() {
			t.Logf("what the hub said:\n%s", h.output.tail())
		}
	})
	return h
}

func (h *hub) start() {
	h.t.Helper()
	temporary := filepath.Join(h.home, "tmp")
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		h.t.Fatal(err)
	}
	if h.output == nil {
		h.output = &output{}
	}
	h.cmd = exec.Command(program, h.args...)
	h.cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "LIVEFN_ADMIN_KEY="+adminKey, "LIVEFN_DRAIN_TIMEOUT=3s",
		"npm_config_registry="+registry.server.URL, "npm_config_cache="+filepath.Join(h.home, "npm"))
	h.cmd.Stderr = h.output
	// With a pipe of our own, Wait would wait for all who inherited it, and close it under our reads.
	r, w, err := os.Pipe()
	if err != nil {
		h.t.Fatal(err)
	}
	h.cmd.Stdout = w
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	_ = w.Close()
	h.exited = make(chan struct{})
	go func() {
		h.err = h.cmd.Wait()
		close(h.exited)
	}()
	ready := make(chan error, 1)
	go h.read(r, ready)
	select {
	case err := <-ready:
		if err != nil {
			h.t.Fatalf("the hub did not become ready: %v\n%s", err, h.output.tail())
		}
	case <-time.After(patience):
		h.t.Fatalf("the hub did not become ready in time\n%s", h.output.tail())
	}
}

// read takes what the hub prints, and says when it is ready: without --dev that is a line with its
// address, with --dev the empty line after the curl lines.
func (h *hub) read(r *os.File, ready chan<- error) {
	defer func() { _ = r.Close() }()
	h.banner = nil
	dev := strings.Contains(strings.Join(h.args, " "), "--dev")
	told, curls := false, 0
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		_, _ = fmt.Fprintln(h.output, line)
		if told {
			continue
		}
		h.banner = append(h.banner, line)
		word, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		switch word {
		case "listening":
			h.url = strings.TrimPrefix(rest, "on ")
		case "dashboard":
			h.url, _, _ = strings.Cut(rest, "/#")
		case "key":
			h.key = rest
		case "curl":
			curls++
		}
		if h.url != "" && (!dev || curls > 0 && line == "") {
			told = true
			ready <- nil
		}
	}
	if !told {
		ready <- io.ErrUnexpectedEOF
	}
}

// kill ends the hub as a power cut would, and waits until its bridges are gone too.
func (h *hub) kill() {
	h.t.Helper()
	_ = h.cmd.Process.Kill()
	h.gone()
}

// stop has the hub end by itself, which it must do well.
func (h *hub) stop() {
	h.t.Helper()
	select {
	case <-h.exited:
		return
	default:
	}
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	h.gone()
	if h.err != nil {
		h.t.Errorf("the hub ended with %v\n%s", h.err, h.output.tail())
	}
}

func (h *hub) gone() {
	h.t.Helper()
	select {
	case <-h.exited:
	case <-time.After(patience):
		_ = h.cmd.Process.Signal(syscall.SIGQUIT) // for the stacks
		<-h.exited
		h.t.Errorf("the hub did not end\n%s", h.output.tail())
	}
	h.last, h.url = strings.TrimPrefix(h.url, "http://"), ""
	for _, pid := range h.processes() {
		h.awaitEnd(pid)
	}
}

// processes gives those that work in the hub's temporary folder: its bridges, and their children.
func (h *hub) processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink("/proc/" + e.Name() + "/cwd"); err == nil && strings.HasPrefix(cwd, h.home) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (h *hub) awaitEnd(pid int) {
	h.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // it has ended
	}
	defer func() { _ = unix.Close(fd) }()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience.Milliseconds()))
	}
	if n == 0 || err != nil {
		h.t.Errorf("process %d outlived its hub (%v)", pid, err)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// output keeps the end of what a process said.
type output struct {
	mu sync.Mutex // guards b
	b  []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	const most = 64 << 10
	o.b = append(o.b, p...)
	if len(o.b) > 2*most {
		o.b = append(o.b[:0], o.b[len(o.b)-most:]...)
	}
	return len(p), nil
}

func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.b)
}

// web is an HTTP client of a hub with a key.
type web struct {
	h   *hub
	key string
}

func (h *hub) as(key string) web { return web{h, key} }

// http is a client with the tenant's key.
func (h *hub) http() web { return web{h, h.key} }

// response is what came back, whole.
type response struct {
	status int
	header http.Header
	body   []byte
}

// raw sends a request as it is.
func (w web) raw(method, path string, body io.Reader, header ...string) response {
	w.h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.h.url+path, body)
	if err != nil {
		w.h.t.Fatal(err)
	}
	if w.key != "" {
		req.Header.Set("Authorization", "Bearer "+w.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return response{res.StatusCode, res.Header, b}
}

// json sends body as JSON, wants a status, and reads the answer into out.
func (w web) json(method, path string, body any, status int, out any) {
	w.h.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			w.h.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	res := w.raw(method, path, r)
	if res.status != status {
		w.h.t.Fatalf("%s %s: status %d, want %d: %s", method, path, res.status, status, res.body)
	}
	if out != nil {
		if err := json.Unmarshal(res.body, out); err != nil {
			w.h.t.Fatalf("%s %s: %v in %s", method, path, err, res.body)
		}
	}
}

// publish publishes a function of one file, or fails the test.
func (h *hub) publish(name, source string) {
	h.t.Helper()
	h.http().json("PUT", "/v1/functions/"+name, map[string]any{"source": source}, http.StatusCreated, nil)
}

// publishFiles publishes a whole project.
func (h *hub) publishFiles(name string, files map[string][]byte) (installed map[string]string) {
	h.t.Helper()
	text := map[string]string{}
	for file, content := range files {
		text[file] = string(content)
	}
	var out struct {
		State     string
		Installed map[string]string
	}
	h.http().json("PUT", "/v1/functions/"+name, map[string]any{"files": text}, http.StatusCreated, &out)
	if out.State != "ready" {
		h.t.Fatalf("%s is %s", name, out.State)
	}
	return out.Installed
}
