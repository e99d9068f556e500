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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// install runs npm in dir. The lock file it writes stays with the version. Of the function's own .npmrc
// only what safeOptions names is in effect.
//
// Lifecycle scripts run only if the operator allows it: installs have no walls around them yet. A
// failed install keeps its log, and no packages.
func (r *Registry) install(ctx context.Context, tenant, dir string, tr *tree, log io.Writer) error {
	err := r.npm(ctx, tenant, dir, tr, log)
	if err == nil {
		var link string
		if link, err = leadsOut(dir); err == nil && link != "" {
			err = fault.New(fault.InstallFailed, "The dependency %s leads out of the function's folder. Publish the package to a registry, or put it among the function's files.", link)
		}
	}
	if err != nil {
		_ = os.RemoveAll(filepath.Join(dir, modulesDir)) // else kept with the broken version, which is harmless
	}
	return err
}

func (r *Registry) npm(ctx context.Context, tenant, dir string, tr *tree, log io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.InstallTimeout,
		fault.New(fault.InstallFailed, "The install did not end within %s.", r.cfg.InstallTimeout))
	defer cancel()
	args := []string{"install", "--omit=dev", "--install-links=false", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress",
		"--logs-max=0", "--loglevel=warn"}
	if !r.cfg.AllowScripts {
		args = append(args, "--ignore-scripts")
	}
	if tr.locked() {
		args = append(args, "--prefer-offline") // what was fetched once is as good as anything newer
	}
	home, err := os.MkdirTemp(r.buildDir(), "home-")
	if err != nil {
		return fmt.Errorf("make a home for the install: %w", err)
	}
	defer os.RemoveAll(home) //nolint:errcheck // swept at the next start
	if npmrc := tr.files[npmrcFile]; npmrc != nil {
		rc := filepath.Join(dir, npmrcFile)
		if err := os.WriteFile(rc, safeOptions(npmrc), 0o640); err != nil { //nolint:gosec // as the function's other files
			return fmt.Errorf("write %s: %w", npmrcFile, err)
		}
		defer func() { _ = os.WriteFile(rc, npmrc, 0o640) }() //nolint:gosec // as the function's other files
	}
	cmd := exec.CommandContext(ctx, r.cfg.Npm, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	endGroup := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = endGroup
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
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		_ = endGroup() // whoever still holds its output
		return fault.Because(err, fault.InstallFailed, "The install left a process running. Leave out the package whose script starts it.")
	}
	if exit, ran := errors.AsType[*exec.ExitError](err); ran {
		return fault.Because(exit, fault.InstallFailed, "%s", explain(tail.b))
	}
	return fault.Because(err, fault.InstallFailed, "The hub could not start npm to install packages; the operator says where it is with --npm.")
}

// safeOption are the lines of a function's .npmrc that are in effect on the hub: how versions are
// chosen. Others could name programs to run, or have the hub's variables sent away.
var safeOption = regexp.MustCompile(`(?m)^[ \t]*(legacy-peer-deps|strict-peer-deps|engine-strict|prefer-dedupe)[ \t]*=[ \t]*(true|false)[ \t]*\r?$`)

func safeOptions(npmrc []byte) []byte {
	var lines []byte
	for _, m := range safeOption.FindAllSubmatch(npmrc, -1) {
		lines = fmt.Appendf(lines, "%s=%s\n", m[1], m[2])
	}
	return lines
}

// passedOn are the npm settings in the hub's environment that installs see too: where packages come
// from and how they are fetched. Those with tokens belong into the hub user's .npmrc.
var passedOn = []string{"registry", "userconfig", "globalconfig", "ca", "cafile", "strict_ssl", "proxy", "https_proxy", "noproxy",
	"maxsockets", "fetch_retries", "fetch_retry_mintimeout", "fetch_retry_maxtimeout", "fetch_timeout"}

// installEnv is the environment of an install: nothing of the hub's own but where packages come from.
func (r *Registry) installEnv(tenant, home string) []string {
	path := os.Getenv("PATH")
	if filepath.IsAbs(r.cfg.Node) {
		path = filepath.Dir(r.cfg.Node) + string(filepath.ListSeparator) + path
	}
	env := []string{"HOME=" + home, "PATH=" + path, "LANG=C.UTF-8", "NODE_ENV=production", "npm_config_cache=" + r.cacheDir(tenant)}
	userconfig := false
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		option, isNpm := strings.CutPrefix(strings.ToLower(name), "npm_config_")
		switch {
		case isNpm && slices.Contains(passedOn, strings.ReplaceAll(option, "-", "_")):
			env = append(env, "npm_config_"+option+"="+value)
			userconfig = userconfig || option == "userconfig"
		case slices.Contains([]string{"http_proxy", "https_proxy", "no_proxy", "node_extra_ca_certs"}, strings.ToLower(name)):
			env = append(env, kv)
		}
	}
	if h, err := os.UserHomeDir(); err == nil && !userconfig {
		if rc := filepath.Join(h, npmrcFile); fileExists(rc) {
			env = append(env, "npm_config_userconfig="+rc)
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
	{regexp.MustCompile(`code ERESOLVE[\s\S]*?Could not resolve dependency:\s*(?:npm (?:error|ERR!)\s*)*(.+)`), "The dependencies conflict with each other (%s). Choose versions whose peer dependencies agree."},
	{regexp.MustCompile(`code EBADENGINE[\s\S]*?notsup Not compatible with your version of node/npm: (\S+)[\s\S]*?notsup Required: +\{"node":"([^"]*)"`), "The package %s needs Node %s, which this hub does not run. Choose another version of it."},
	{regexp.MustCompile(`code (EBADENGINE)`), "A package does not support this version of Node (%s). Choose another version of it."},
	{regexp.MustCompile(`code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ERR_SOCKET_TIMEOUT|EHOSTUNREACH|ENETUNREACH|E5\d\d)`), "The package registry could not be reached (%s). Try again, or check the hub's network."},
	{regexp.MustCompile(`code (E401|E403)`), "The package registry did not let the hub in (%s). Its operator signs in with an .npmrc."},
	{regexp.MustCompile(`code (ENOSPC)`), "The hub's disk is full (%s)."},
	{regexp.MustCompile(`code (EINVALIDPACKAGENAME|EINVALIDTAGNAME|EUNSUPPORTEDPROTOCOL)`), "A name or range in dependencies is not valid (%s)."},
	{regexp.MustCompile(`npm (?:error|ERR!) (?:code )?(.+)`), "npm failed: %s"},
}

func explain(output []byte) string {
	for _, r := range reasons {
		if m := r.pattern.FindSubmatch(output); m != nil {
			var found []any
			for _, part := range m[1:] {
				found = append(found, bytes.TrimSpace(part))
			}
			return fmt.Sprintf(r.say, found...)
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
