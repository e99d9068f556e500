package nodebridge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
)

// process is a started Node with our ends of its pipes.
type process struct {
	cmd            *exec.Cmd
	home           string
	in, out        *os.File // descriptors 3 and 4 of the process
	stdout, stderr *os.File
	killed         sync.Once
}

// spawner starts processes on one thread, which lives as long as they do: Linux sends Pdeathsig when
// the thread that started a process ends, not only when the hub does.
type spawner chan spawn

type spawn struct {
	cmd  *exec.Cmd
	done chan error
}

// run starts processes until ctx ends.
func (s spawner) run(ctx context.Context) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case r := <-s:
			r.done <- r.cmd.Start()
		case <-ctx.Done():
			return
		}
	}
}

func (s spawner) start(cmd *exec.Cmd) error {
	r := spawn{cmd, make(chan error, 1)}
	s <- r // run outlives all who call start
	return <-r.done
}

// startProcess starts the script with a folder of its own in dir.
func (s spawner) startProcess(cfg *Config, script, dir string) (*process, error) {
	node, err := exec.LookPath(cfg.Node)
	if err != nil {
		return nil, err
	}
	if node, err = filepath.Abs(node); err != nil {
		return nil, err
	}
	p := &process{}
	if p.home, err = os.MkdirTemp(dir, "bridge-"); err != nil {
		return nil, fmt.Errorf("make a bridge's folder: %w", err)
	}
	theirs, err := p.pipes()
	defer closeAll(theirs)
	if err == nil {
		p.cmd = exec.Command(node, append(slices.Clone(cfg.NodeArgs), script)...)
		p.cmd.Env = environment(node, p.home)
		p.cmd.Dir = p.home
		p.cmd.ExtraFiles = theirs[:2]
		p.cmd.Stdout, p.cmd.Stderr = theirs[2], theirs[3]
		p.cmd.SysProcAttr = processAttributes()
		err = s.start(p.cmd)
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("start %s: %w", node, err)
	}
	return p, nil
}

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

// killGroup ends the process and what it started. Only its first call does: afterwards the process
// may be reaped, and its number be another's.
func (p *process) killGroup() {
	p.killed.Do(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // an error says that it is dead already
	})
}

// kill is killGroup, and waits for the process itself. It gives how it ended.
func (p *process) kill() error {
	p.killGroup()
	return p.cmd.Wait()
}

// close closes our ends and removes the process's folder.
func (p *process) close() {
	closeAll([]*os.File{p.in, p.out, p.stdout, p.stderr})
	_ = os.RemoveAll(p.home) // a leftover is removed when the fleet ends
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing is buffered, so nothing can be lost
		}
	}
}
