package nodebridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// process is a started Node with our ends of its pipes.
type process struct {
	command        *sandbox.Cmd
	home           string   // a folder of its own, where there are no walls; they give it one in memory
	in, out        *os.File // descriptors 3 and 4 of the process
	stdout, stderr *os.File
	slot           *sandbox.Slot // through which it is shown its tenant's functions; nil: it sees them from its start
	greeted        bool          // Init was written, and the answer to it is there to be read
}

// spawner starts processes on one thread, which lives as long as they do: Linux sends Pdeathsig when
// the thread that started a process ends, not only when the hub does.
type spawner chan spawn

type spawn struct {
	cmd  *sandbox.Cmd
	done chan error
}

// run starts processes until ctx ends.
func (s spawner) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case r := <-s:
			r.done <- r.cmd.Launch()
		case <-ctx.Done():
			return
		}
	}
}

func (s spawner) start(cmd *sandbox.Cmd) error {
	r := spawn{cmd, make(chan error, 1)}
	s <- r // run outlives all who call start
	if err := <-r.done; err != nil {
		return err
	}
	return cmd.Started() // here: others' starts go on meanwhile
}

// Where a process behind walls finds what is the hub's and what is its tenant's.
const (
	scriptInside    = "/livefn/js"
	functionsInside = "/functions"
	tmpInside       = "/tmp"
)

// startProcess starts a process of a tenant, with files of its own in dir, where the script is too. Behind
// walls it sees the folder above its Node's at prefix; "": where that is. With a slot it starts one of no tenant.
func (s spawner) startProcess(cfg *Config, dir, tenant, prefix string, slot *sandbox.Slot) (*process, error) {
	node, err := exec.LookPath(cfg.Node)
	if err != nil {
		return nil, err
	}
	if node, err = filepath.Abs(node); err != nil {
		return nil, err
	}
	p := &process{slot: slot}
	found := node // by the process's own programs
	if cfg.Limits.NoNetwork && cfg.Walls == nil {
		return nil, errors.New("the tenant's functions may have no network (limit network), and without walls it can't be taken away")
	}
	spec := sandbox.Spec{Program: node, Network: !cfg.Limits.NoNetwork, Tmp: int64(cfg.MaxTmp)}
	script := scriptDir(dir)
	switch {
	case slot != nil:
		spec.Slot, spec.SlotTo = slot, functionsInside
		spec.Binds = []sandbox.Bind{{From: script, To: scriptInside}}
		spec.Dir, script = tmpInside, scriptInside
	case cfg.Walls != nil:
		functions := cfg.functions(tenant)
		if err := os.MkdirAll(functions, 0o750); err != nil { // it may have published nothing yet
			return nil, fmt.Errorf("make the folder of a tenant's functions: %w", err)
		}
		spec.Binds = []sandbox.Bind{{From: script, To: scriptInside}, {From: functions, To: functionsInside}}
		spec.Dir, script = tmpInside, scriptInside
		if spec.Prefix = prefix; spec.Prefix != "" {
			found = filepath.Join(spec.Prefix, "bin", "node")
		}
	default:
		if p.home, err = os.MkdirTemp(dir, "bridge-"); err != nil {
			return nil, fmt.Errorf("make a bridge's folder: %w", err)
		}
		spec.Dir = p.home
	}
	theirs, err := p.pipes()
	defer closeAll(theirs)
	if err == nil {
		spec.Args = append(slices.Clone(cfg.NodeArgs), filepath.Join(script, scriptStart))
		spec.Env = environment(found, spec.Dir)
		spec.Files = theirs[:2]
		p.command, err = cfg.Walls.Command(context.Background(), spec) // its end is kill's
	}
	if err == nil {
		p.command.Stdout, p.command.Stderr = theirs[2], theirs[3]
		err = s.start(p.command)
	}
	if err != nil {
		p.slot = nil // the caller's, as there is no process
		p.close()
		return nil, fmt.Errorf("start %s: %w", node, err)
	}
	return p, nil
}

// hello is what the hub says first.
func hello(cfg *Config) []byte {
	b, _ := json.Marshal(struct {
		Protocol   int `json:"protocol"`
		MaxMessage int `json:"maxMessage"`
	}{1, cfg.MaxMessage})
	return appendFrame(nil, Init, 0, b)
}

// greet says Init and waits until the answer is there, which it leaves to the bridge to read.
func (p *process) greet(ctx context.Context, cfg *Config) error {
	p.greeted = true
	if _, err := p.in.Write(hello(cfg)); err != nil {
		return fmt.Errorf("write to the process: %w", err)
	}
	_ = p.out.SetReadDeadline(time.Now().Add(cfg.ReadyTimeout))
	stop := context.AfterFunc(ctx, func() { _ = p.out.SetReadDeadline(time.Now()) })
	defer stop()
	pipe, err := p.out.SyscallConn()
	if err != nil {
		return err
	}
	var over bool
	err = pipe.Read(func(fd uintptr) (done bool) {
		done, over = pending(fd)
		return done || over
	})
	switch {
	case err != nil:
		return fmt.Errorf("the process was not ready in %v: %w", cfg.ReadyTimeout, err)
	case over:
		return errors.New("the process died")
	}
	return p.out.SetReadDeadline(time.Time{})
}

// lives says whether the process holds its end of the pipe.
func (p *process) lives() bool {
	over := true
	if pipe, err := p.out.SyscallConn(); err == nil {
		_ = pipe.Control(func(fd uintptr) { _, over = pending(fd) }) // closed: over
	}
	return !over
}

// discard ends a process that no bridge has.
func (p *process) discard() {
	_ = p.kill()
	p.close()
}

// pid gives the number by which the machine knows the process, once it is ready.
func (p *process) pid() int { return p.command.PID() }

// pipes makes the pipes, and gives the process's ends of descriptors 3, 4, 1 and 2.
func (p *process) pipes() (theirs []*os.File, err error) {
	for _, ours := range []**os.File{&p.in, &p.out, &p.stdout, &p.stderr} {
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if ours == &p.in {
			r, w = w, r
		}
		*ours, theirs = r, append(theirs, w)
	}
	return theirs, nil
}

// environment is all that a bridge sees: never the hub's own, which holds secrets, and things that
// slow Node's start down.
func environment(node, home string) []string {
	return []string{
		"PATH=" + filepath.Dir(node) + ":/usr/local/bin:/usr/bin:/bin",
		"HOME=" + home,
		"TMPDIR=" + home,
		"LANG=C.UTF-8",
		"TZ=UTC",
		"NODE_ENV=production", // what packages such as express and react mean by a server in earnest
	}
}

// killGroup ends the process and what it started.
func (p *process) killGroup() { p.command.Kill() }

// kill is killGroup, and waits for the process itself. It gives how it ended.
func (p *process) kill() error {
	p.killGroup()
	return p.command.Wait()
}

// close closes our ends and removes the process's folder.
func (p *process) close() {
	closeAll([]*os.File{p.in, p.out, p.stdout, p.stderr})
	if p.slot != nil {
		_ = p.slot.Free() // goes with the room
	}
	if p.home != "" {
		_ = os.RemoveAll(p.home) // a leftover is removed when the fleet ends
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing is buffered, so nothing can be lost
		}
	}
}
