// Package torture runs the real program under kills and holds it to its promises: see torture_test.go.
package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const adminKey = "torture-admin-key-0123456789"

// hub is the program under torture. It is started again whenever it ends, on the same data and address.
type hub struct {
	program, home, addr string
	crashes             func() string // LIVEFN_CRASH of the next start
	log                 *os.File

	mu      sync.Mutex // guards all below
	cmd     *exec.Cmd
	over    bool
	starts  int
	terms   int      // SIGTERMs that the present process was sent
	badExit []string // ends that were neither a kill nor well
}

func newHub(program, home string, crashes func() string) (*hub, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(home, "hub.log"))
	if err != nil {
		return nil, err
	}
	return &hub{program: program, home: home, addr: addr, crashes: crashes, log: log}, nil
}

// run keeps the hub running until stop.
func (h *hub) run() error {
	defer func() { _ = h.log.Close() }()
	for {
		h.mu.Lock()
		if h.over {
			h.mu.Unlock()
			return nil
		}
		cmd := exec.Command(h.program, "serve", "--listen", h.addr, "--data", filepath.Join(h.home, "data"), "--drain-timeout", "2s",
			"--isolation", "none") // its functions write their journals where no hub keeps anything
		cmd.Env = append(os.Environ(), "LIVEFN_ADMIN_KEY="+adminKey, "LIVEFN_CRASH="+h.crashes(), "TMPDIR="+h.home)
		cmd.Stdout, cmd.Stderr = h.log, h.log
		if err := cmd.Start(); err != nil {
			h.mu.Unlock()
			return err
		}
		h.cmd, h.terms = cmd, 0
		h.starts++
		h.mu.Unlock()
		err := cmd.Wait()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		h.mu.Lock()
		twice := h.terms > 1 && status.Signaled() && status.Signal() == syscall.SIGTERM // the second one ends it at once
		if err != nil && !twice && (!status.Signaled() || status.Signal() != syscall.SIGKILL) {
			h.badExit = append(h.badExit, err.Error())
		}
		h.mu.Unlock()
	}
}

// signal sends a signal to the hub, if it runs.
func (h *hub) signal(s syscall.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cmd != nil && h.cmd.Process != nil {
		if s == syscall.SIGTERM {
			h.terms++
		}
		_ = h.cmd.Process.Signal(s) // it may have ended
	}
}

// stop ends the hub for good.
func (h *hub) stop() {
	h.mu.Lock()
	h.over = true
	h.mu.Unlock()
	h.signal(syscall.SIGTERM)
}

// bridges gives the processes that work in the hub's folder.
func (h *hub) bridges() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		if cwd, err := os.Readlink("/proc/" + e.Name() + "/cwd"); err == nil && strings.HasPrefix(cwd, filepath.Join(h.home, "data")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// answer is what the hub answered.
type answer struct {
	status int
	body   []byte
}

var client = &http.Client{Timeout: 15 * time.Second}

// ask makes one request; an error means that it is not known whether it was done.
func (h *hub) ask(ctx context.Context, key, method, path string, body any, header ...string) (answer, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+h.addr+path, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, b}, err
}

// insist repeats a request until it is answered with something other than "not now".
func (h *hub) insist(ctx context.Context, key, method, path string, body any, header ...string) (answer, error) {
	for {
		a, err := h.ask(ctx, key, method, path, body, header...)
		if err == nil && a.status != http.StatusServiceUnavailable && a.status != http.StatusTooManyRequests {
			return a, nil
		}
		if ctx.Err() != nil {
			return a, errors.Join(err, context.Cause(ctx))
		}
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lines reads a job's notes.
func lines(path string) (notes []note, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var n note
		if err := json.Unmarshal(sc.Bytes(), &n); err != nil {
			if len(notes) > 0 && !bytes.HasSuffix(sc.Bytes(), []byte("}")) {
				continue // the process was killed while it wrote this line
			}
			return nil, fmt.Errorf("%s: %q: %w", path, sc.Bytes(), err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// note is a line that a job wrote.
type note struct {
	Attempt   int
	PID       int
	Begins    *int
	Effect    *int
	Confirmed *int
	Overlaps  *int
	Note      *int
	Answer    json.RawMessage
	Ends      bool
	Leaves    bool
}
