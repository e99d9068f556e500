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
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/sandbox"
)

// npmRun is one run of npm for a version.
type npmRun struct {
	packages *PackageSettings
	node     *nodeRuntime // nil: the hub's own
	dir      string       // the version's, where it installs
	home     string       // private to the version
	cache    string
	args     []string
	trusted  bool // no code of packages runs: it may know tokens
	log      io.Writer
	stdout   io.Writer // nil: log; else at most a few bytes, which nobody else writes
}

// always are arguments of every run.
var always = []string{"--omit=dev", "--install-links=false", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress",
	"--logs-max=0", "--loglevel=warn"}

// npm runs npm behind the walls: it sees the version's folder, its own home and a cache.
func (r *Registry) npm(ctx context.Context, run npmRun) error {
	spec, err := r.npmSpec(run)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	tail := &tailBuffer{limit: 64 << 10}
	watch := &fullWatch{}
	out := &boundedWriter{w: io.MultiWriter(run.log, tail, watch), left: r.cfg.InstallOutput, over: func() {
		stop(fault.New(fault.InstallFailed, "The install printed more than %d bytes (InstallOutput).", r.cfg.InstallOutput))
	}}
	cmd, err := r.cfg.Walls.Command(ctx, spec)
	if err != nil {
		return noNpm(err)
	}
	cmd.WaitDelay = time.Second
	cmd.Stdout, cmd.Stderr = out, out
	if run.stdout != nil {
		answer := &boundedWriter{w: run.stdout, left: r.cfg.InstallOutput, over: out.over}
		defer answer.end()
		cmd.Stdout = answer
	}
	had := sizeOf([]string{run.cache})
	if err := cmd.Start(); err != nil {
		return noNpm(err)
	}
	var watching errgroup.Group
	watching.Go(func() error {
		return r.watchInstall(ctx, cmd.Process.Pid, []string{run.dir, run.home, run.cache}, had, stop)
	})
	err = cmd.Wait()
	out.end()
	switch {
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case errors.Is(err, exec.ErrWaitDelay):
		cmd.Kill() // whoever still holds its output
		err = fault.Because(err, fault.InstallFailed, "The install left a process running. Leave out the package whose script starts it.")
	case watch.full(err):
		err = fullDisk(err)
	case err == nil:
	default:
		err = fault.Because(err, fault.InstallFailed, "%s", explain(tail.b))
	}
	stop(nil)
	if watched := watching.Wait(); watched != nil && err == nil {
		err = watched
	}
	return err
}

func noNpm(err error) error {
	return fault.Because(err, fault.InstallFailed, "The hub could not start npm to install packages; the operator says where it is with --npm.")
}

// npmSpec is what a run sees.
func (r *Registry) npmSpec(run npmRun) (sandbox.Spec, error) {
	tmp := filepath.Join(run.home, "tmp")
	for _, dir := range []string{tmp, run.cache} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return sandbox.Spec{}, fmt.Errorf("make a folder for the install: %w", err)
		}
	}
	rc := filepath.Join(run.home, npmrcFile)
	if err := os.WriteFile(rc, r.userconfig(run), 0o600); err != nil {
		return sandbox.Spec{}, fmt.Errorf("write %s: %w", npmrcFile, err)
	}
	spec := sandbox.Spec{Dir: run.dir, Network: true, Binds: []sandbox.Bind{
		{From: run.dir, Writable: true}, {From: run.home, Writable: true}, {From: run.cache, Writable: true},
	}}
	spec.Env = append(r.installEnv(&spec, run), "HOME="+run.home, "TMPDIR="+tmp, "npm_config_cache="+run.cache, "npm_config_userconfig="+rc)
	if run.trusted {
		guard, err := oneProject(run)
		if err != nil {
			return sandbox.Spec{}, err
		}
		spec.Env = append(spec.Env, "npm_config_ignore_scripts=true", "npm_config_git="+gitProgram(), guard)
	}
	if at := run.packages.Registry; at != "" { // the environment goes before any file
		spec.Env = append(spec.Env, "npm_config_registry="+at)
	}
	program, err := exec.LookPath(r.cfg.Npm)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		return sandbox.Spec{}, noNpm(err)
	}
	spec.Program, spec.Args = program, slices.Concat(run.args, always)
	if real, err := filepath.EvalSymlinks(program); err == nil && filepath.Ext(real) == ".js" { // npm is a script beside a library
		node, err := exec.LookPath(r.cfg.node())
		if run.node != nil {
			node, err = nodeIn(r.runtimeDir(run.node)), nil
			spec.Prefix = sandbox.RuntimePrefix
		}
		if err != nil {
			return sandbox.Spec{}, fmt.Errorf("find node: %w", err)
		}
		spec.Program, spec.Args = node, append([]string{real}, spec.Args...)
		spec.Binds = append(spec.Binds, sandbox.Bind{From: filepath.Dir(filepath.Dir(real))})
	} else if run.node != nil {
		spec.Binds = append(spec.Binds, sandbox.Bind{From: r.runtimeDir(run.node), To: sandbox.RuntimePrefix})
	}
	return spec, nil
}

// gitProgram is the git of a trusted run. For a dependency in a git repository npm runs itself in a clone, where it
// reads the clone's .npmrc and not the outer run's arguments: only the environment keeps a program or scripts
// that this file names from being run. Where there is no git, the name fails.
func gitProgram() string {
	if git, err := exec.LookPath("git"); err == nil && filepath.IsAbs(git) {
		return git
	}
	return "git"
}

// oneProject gives the variable that ends, before it does anything, each Node process that does not run in the
// version's folder. To prepare a git dependency for its scripts npm runs itself in the clone, where the clone's
// .npmrc could send what that npm asks for, with the tokens of registries, through a proxy of its own, or have
// certificates unchecked. No script runs in a trusted run, so there is nothing to prepare.
func oneProject(run npmRun) (variable string, err error) {
	file := filepath.Join(run.home, "one-project.cjs")
	text := fmt.Sprintf("const { realpathSync } = require('node:fs')\nif (realpathSync('.') !== realpathSync(%s)) process.exit(0)\n", strconv.Quote(run.dir))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write what keeps npm to one project: %w", err)
	}
	return "NODE_OPTIONS=--require=" + strconv.Quote(file), nil
}

func (c Config) node() string {
	if c.Node == "" {
		return "node"
	}
	return c.Node
}

// passedOn are the npm settings in the hub's environment that installs see too: where packages come
// from and how they are fetched.
var passedOn = []string{"registry", "globalconfig", "ca", "cafile", "strict_ssl", "proxy", "https_proxy", "noproxy",
	"maxsockets", "fetch_retries", "fetch_retry_mintimeout", "fetch_retry_maxtimeout", "fetch_timeout"}

// installEnv is the environment of an install: nothing of the hub's own but where packages come from. The
// files that it names are made visible.
func (r *Registry) installEnv(spec *sandbox.Spec, run npmRun) []string {
	path := os.Getenv("PATH")
	if filepath.IsAbs(r.cfg.Node) {
		path = filepath.Dir(r.cfg.Node) + string(filepath.ListSeparator) + path
	}
	if run.node != nil {
		prefix := r.runtimeDir(run.node)
		if r.cfg.Walls != nil {
			prefix = sandbox.RuntimePrefix
		}
		path = filepath.Join(prefix, "bin") + string(filepath.ListSeparator) + path
	}
	env := []string{"PATH=" + path, "LANG=C.UTF-8", "NODE_ENV=production"}
	show := func(file string) {
		if filepath.IsAbs(file) && fileExists(file) {
			spec.Binds = append(spec.Binds, sandbox.Bind{From: file})
		}
	}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		name = strings.ToLower(name)
		if !run.trusted && (strings.Contains(value, "@") || strings.Contains(name, "globalconfig")) {
			continue // a proxy's password, or a file with tokens
		}
		option, isNpm := strings.CutPrefix(name, "npm_config_")
		option = strings.ReplaceAll(option, "-", "_")
		switch {
		case isNpm && slices.Contains(passedOn, option):
			env = append(env, "npm_config_"+option+"="+value)
			if option == "globalconfig" || option == "cafile" {
				show(value)
			}
		case slices.Contains([]string{"http_proxy", "https_proxy", "no_proxy", "node_extra_ca_certs"}, name):
			env = append(env, kv)
			if name == "node_extra_ca_certs" {
				show(value)
			}
		}
	}
	return env
}

// userconfig is the .npmrc of a run: the operator's, and above it the tenant's registries. Where code of
// packages runs, only the places are in it.
func (r *Registry) userconfig(run npmRun) []byte {
	own := os.Getenv("NPM_CONFIG_USERCONFIG")
	if own == "" {
		own = os.Getenv("npm_config_userconfig")
	}
	if h, err := os.UserHomeDir(); err == nil && own == "" {
		own = filepath.Join(h, npmrcFile)
	}
	var rc []byte
	if b, err := os.ReadFile(own); err == nil { //nolint:gosec // the operator's own
		rc = append(b, '\n')
		if !run.trusted {
			rc = append(bytes.Join(place.FindAll(b, -1), []byte("\n")), '\n')
		}
	}
	return append(rc, run.packages.npmrc(run.trusted)...)
}

// place is a line of an .npmrc that says where packages come from.
var place = regexp.MustCompile(`(?m)^[ \t]*(@[\w.-]+:)?registry[ \t]*=[^@\n]*$`)

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
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

// boundedWriter makes writes from a command's two streams one at a time, and says once when they were too much.
type boundedWriter struct {
	mu   sync.Mutex // guards all
	w    io.Writer  // nil: it ended
	left int
	over func()
}

// end has nothing written any more: what outlives a command may still hold its output.
func (b *boundedWriter) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.w = nil
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 0 || b.w == nil {
		return len(p), nil
	}
	if b.left -= len(p); b.left < 0 {
		b.over()
	}
	return b.w.Write(p)
}
