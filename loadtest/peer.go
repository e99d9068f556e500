package loadtest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

//go:embed peers/*.mjs peers/centrifuge/*.txt functions/*/index.js
var files embed.FS

// wsPackage is what the WebSocket peer is made of, pinned so that figures mean the same tomorrow.
const wsPackage = "ws@8.23.0"

// killAfter is how long a peer may take to end by itself.
const killAfter = 10 * time.Second

// listening is the line in which a peer, as livefn itself, says where it is.
var listening = regexp.MustCompile(`^listening on (http://\S+)`)

// process is a peer's process.
type process struct {
	name string
	args []string // the program first
	env  []string // beside PATH and HOME: nothing that the shell has set changes a peer
	dir  string

	patience time.Duration // for its end; killAfter
	started  func(pid int) // nil, or told when it runs
}

// Run keeps the process alive until ctx ends, then ends it and waits until its port is free. Once it
// listens, ready gets its URL.
func (p process) Run(ctx context.Context, ready chan<- string) error {
	// The parent-death signal goes with the thread that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...) //nolint:gosec // our own peers
	cmd.Dir = p.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, p.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = max(killAfter, p.patience)
	cmd.SysProcAttr = dieWithParent()
	var complaint tail
	cmd.Stderr = &complaint
	out := &firstLine{ready: ready}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	if p.started != nil {
		p.started(cmd.Process.Pid)
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = errors.New("it ended by itself")
	}
	return fmt.Errorf("%s: %w%s", p.name, err, complaint.last())
}

// firstLine looks for the listening line in what a peer prints and drops the rest.
type firstLine struct {
	ready chan<- string // has room for one
	buf   []byte
	found bool
}

func (l *firstLine) Write(b []byte) (int, error) {
	if l.found {
		return len(b), nil
	}
	l.buf = append(l.buf, b...)
	sc := bufio.NewScanner(strings.NewReader(string(l.buf[:strings.LastIndexByte(string(l.buf), '\n')+1])))
	for sc.Scan() {
		if m := listening.FindStringSubmatch(sc.Text()); m != nil {
			l.found, l.buf = true, nil
			l.ready <- m[1]
			break
		}
	}
	return len(b), nil
}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - 2048; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) last() string {
	if s := strings.TrimSpace(string(t.buf)); s != "" {
		return ":\n" + s
	}
	return ""
}

// writePeer puts a peer's script and the function into dir.
func writePeer(dir, script string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for from, to := range map[string]string{"peers/" + script: script, "functions/add/index.js": "add.cjs"} {
		b, err := files.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, to), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// installWS gives a folder with the ws package, from the cache after its first use.
func installWS(ctx context.Context, npm, cache string, log io.Writer) (string, error) {
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "livefn", "peers")
	}
	dir := filepath.Join(cache, strings.ReplaceAll(wsPackage, "@", "-"))
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws", "package.json")); err == nil {
		return dir, nil
	}
	fmt.Fprintf(log, "installing %s into %s\n", wsPackage, dir)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	// Beside it and renamed, so that an install that was cut off is never taken for one.
	fresh, err := os.MkdirTemp(cache, ".install-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	if err := os.WriteFile(filepath.Join(fresh, "package.json"), []byte(`{"private":true}`), 0o600); err != nil {
		return "", err
	}
	//nolint:gosec // the operator's own npm
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", wsPackage)
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install %s: %w: %s", wsPackage, err, strings.TrimSpace(string(out)))
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Rename(fresh, dir)
}

// buildCentrifuge gives the centrifuge peer's program, from the cache after its first use. It wants the
// Go toolchain.
func buildCentrifuge(ctx context.Context, cache string, log io.Writer) (string, error) {
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "livefn", "peers")
	}
	dir, err := fs.Sub(files, "peers/centrifuge")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	content := map[string][]byte{}
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		if content[name], err = fs.ReadFile(dir, name+".txt"); err != nil {
			return "", err
		}
		_, _ = sum.Write(content[name])
	}
	program := filepath.Join(cache, fmt.Sprintf("centrifuge-%x", sum.Sum(nil)[:6]))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintf(log, "building the centrifuge peer into %s\n", cache)
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(cache, ".build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	for name, b := range content {
		if err := os.WriteFile(filepath.Join(fresh, name), b, 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", "peer", ".")
	cmd.Dir = fresh
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the centrifuge peer: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return program, os.Rename(filepath.Join(fresh, "peer"), program)
}

// Echo is the peer that livefn's HTTP is measured against: a fasthttp server that sends back what it
// gets. It runs in a process of its own, until ctx ends.
func Echo(ctx context.Context, out io.Writer) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		ctx.SetBody(ctx.PostBody())
	}}
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	if _, err := fmt.Fprintf(out, "listening on http://%s\n", ln.Addr()); err != nil {
		return err
	}
	if err := server.Serve(ln); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
