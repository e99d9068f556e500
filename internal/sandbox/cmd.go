package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// startTime is how long bubblewrap may take to say which process it started.
const startTime = 10 * time.Second

// Cmd is a command that is prepared like an exec.Cmd, whose Stdin, Stdout, Stderr and WaitDelay are the
// caller's to set before Start. Path, Args, Env, Dir, ExtraFiles and SysProcAttr are the package's.
type Cmd struct {
	*exec.Cmd
	info *os.File   // where bubblewrap tells the number of its child; nil: there are no walls
	ours []*os.File // given to the process and closed after the start

	number atomic.Int64               // of the program, once it is known
	init   atomic.Pointer[os.Process] // the first process of the pid namespace: all in it end with it; Kill may come before it is known
	killed sync.Once
}

// plain is a command without walls.
func plain(ctx context.Context, s Spec) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, s.Program, s.Args...)}
	c.Env, c.Dir, c.ExtraFiles = s.Env, s.Dir, s.Files
	c.SysProcAttr = attributes()
	c.Cancel = c.cancel
	return c
}

func (c *Cmd) cancel() error {
	c.Kill()
	return nil
}

// Start starts the command. It waits until the namespaces are made, a few milliseconds.
func (c *Cmd) Start() error {
	if err := c.Launch(); err != nil {
		return err
	}
	return c.Started()
}

// Launch is the part of Start that has to be on the caller's thread. Without an error Started must follow.
func (c *Cmd) Launch() error {
	err := c.Cmd.Start()
	closeAll(c.ours) // else the end of info never comes
	c.ours = nil
	if err != nil && c.info != nil {
		closeAll([]*os.File{c.info})
	}
	return err
}

// Started is the part of Start that waits.
func (c *Cmd) Started() error {
	if c.info == nil {
		return nil
	}
	defer closeAll([]*os.File{c.info})
	var info struct {
		Child int `json:"child-pid"`
	}
	_ = c.info.SetReadDeadline(time.Now().Add(startTime))
	if err := json.NewDecoder(c.info).Decode(&info); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		c.Kill()
		_ = c.Wait()
		return fmt.Errorf("read what bubblewrap started: %w", err)
	}
	if info.Child > 0 { // else it failed, says why on stderr, and Wait tells
		init, _ := os.FindProcess(info.Child) // by a pidfd: the number may be another's later
		c.init.Store(init)
	}
	return nil
}

// Run starts the command and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Kill ends the program and all that it started, without mercy. Only its first call does: afterwards
// Wait may have come back, and the number be another process's.
func (c *Cmd) Kill() {
	c.killed.Do(func() {
		if init := c.init.Load(); init != nil && init.Kill() == nil {
			return // bubblewrap ends once the namespace is empty, and Wait comes back then
		}
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // an error says that it is dead already
	})
}

// PID gives the number by which the machine knows the program, once it runs; before, that of the
// process from which it will come.
func (c *Cmd) PID() int {
	init := c.init.Load()
	if init == nil {
		return c.Process.Pid
	}
	if n := c.number.Load(); n != 0 {
		return int(n)
	}
	children := Children(init.Pid)
	if len(children) == 0 {
		return init.Pid
	}
	c.number.Store(int64(children[0]))
	return children[0]
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing is buffered, so nothing can be lost
	}
}
