package tenants

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// install runs npm in dir. The lock file it writes stays with the version. Lifecycle scripts run only
// if the operator allows it: installs have no walls around them yet.
func (r *Registry) install(ctx context.Context, tenant, dir string, log io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.InstallTimeout,
		fault.New(fault.InstallFailed, "The install did not end within %s.", r.cfg.InstallTimeout))
	defer cancel()
	args := []string{"install", "--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=warn"}
	if !r.cfg.AllowScripts {
		args = append(args, "--ignore-scripts")
	}
	home, err := os.MkdirTemp(r.buildDir(), "home-")
	if err != nil {
		return fmt.Errorf("make a home for the install: %w", err)
	}
	defer os.RemoveAll(home)                              //nolint:errcheck // swept at the next start
	cmd := exec.CommandContext(ctx, r.cfg.Npm, args...)   //nolint:gosec // the operator's own setting
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Dir = dir
	cmd.Env = r.installEnv(tenant, home)
	tail := &tailBuffer{limit: 64 << 10}
	out := &lockedWriter{w: io.MultiWriter(log, tail)}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return fault.Because(err, fault.InstallFailed, "The hub found no npm to install packages with; the operator names one with --npm.")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fault.Because(err, fault.InstallFailed, "%s", explain(tail.b))
}

// installEnv is the environment of an install: nothing of the hub's own but where packages come from.
func (r *Registry) installEnv(tenant, home string) []string {
	env := []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "NODE_ENV=production",
		"npm_config_cache=" + filepath.Join(r.cfg.Dir, "npm-cache", tenant),
	}
	for _, name := range []string{"npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "NODE_EXTRA_CA_CERTS", "npm_config_cafile"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if _, ok := os.LookupEnv("npm_config_userconfig"); !ok {
		if h, err := os.UserHomeDir(); err == nil {
			if rc := filepath.Join(h, ".npmrc"); fileExists(rc) {
				env = append(env, "npm_config_userconfig="+rc)
			}
		}
	}
	return env
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// reasons turn npm's error codes into a first line that says what to do.
var reasons = []struct {
	pattern *regexp.Regexp
	say     string
}{
	{regexp.MustCompile(`code E404[\s\S]*?404\s+(?:Not Found - GET \S+/)?'?((?:@[\w.-]+(?:/|%2[fF]))?[\w.-]+)(?:@[^' ]*)?'?`), "The package %s does not exist in the registry. Check its name in dependencies."},
	{regexp.MustCompile(`No matching version found for (\S+?)\.?\n`), "No published version matches %s. Check the range in dependencies."},
	{regexp.MustCompile(`code ERESOLVE[\s\S]*?(?:Could not resolve dependency|Found|While resolving):\s*(?:npm error\s*)?(.+)`), "The dependencies conflict with each other (%s). Choose versions whose peer dependencies agree."},
	{regexp.MustCompile(`code (EBADENGINE)`), "A package does not support this version of Node (%s). Choose another version of it."},
	{regexp.MustCompile(`code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ERR_SOCKET_TIMEOUT)`), "The package registry could not be reached (%s). Try again, or check the hub's network."},
	{regexp.MustCompile(`code (ENOSPC)`), "The hub's disk is full (%s)."},
	{regexp.MustCompile(`code (EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL)`), "A name or range in dependencies is not valid (%s)."},
	{regexp.MustCompile(`npm (?:error|ERR!) (?:code )?(.+)`), "npm failed: %s"},
}

func explain(output []byte) string {
	for _, r := range reasons {
		if m := r.pattern.FindSubmatch(output); m != nil {
			return fmt.Sprintf(r.say, bytes.TrimSpace(m[1]))
		}
	}
	return "npm failed without saying why; see the log."
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	b     []byte
	limit int
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - t.limit; n > 0 {
		t.b = t.b[n:]
	}
	return len(p), nil
}

// lockedWriter makes writes from a command's two streams one at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
