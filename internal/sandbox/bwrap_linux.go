package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Program is the name of bubblewrap's program; Package is what distributions call it.
const (
	Program = "bwrap"
	Package = "bubblewrap"
)

// inside is the number of the user and the group as programs see them.
const inside = "1000"

const probeTime = 10 * time.Second

// Walls are how this machine puts a process behind walls.
type Walls struct {
	bwrap  string
	filter []byte
	fixed  []string // arguments that are the same for all
	hide   []string // folders that are not visible, wherever they lie
}

// Find finds out whether walls can be made here, by making some. hide are folders that no program may
// see, even if they lie in a part of the system that is visible. An error says what to do.
func Find(hide ...string) (*Walls, error) {
	bwrap, err := exec.LookPath(Program)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed; with Debian or Ubuntu: apt-get install %s", Program, Package)
	}
	w := &Walls{bwrap: bwrap, hide: hide}
	if w.filter, err = filter(); err != nil {
		return nil, err
	}
	if err := inheritNothing(); err != nil {
		return nil, fmt.Errorf("look at what the hub was started with: %w", err)
	}
	w.fixed = w.common()
	if err := w.probe(); err != nil {
		return nil, err
	}
	return w, nil
}

// probe runs a program behind walls.
func (w *Walls) probe() error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	cmd, err := w.Command(ctx, Spec{Program: "/usr/bin/env", Args: []string{"true"}, Dir: "/"})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(out.String())
		return fmt.Errorf("%s can't make namespaces here (%w: %s): the kernel must let this user make user namespaces "+
			"(sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns; "+
			"a container needs a seccomp profile that does), and %s be 0.8 or newer", Program, err, said, Program)
	}
	return nil
}

// common is what is true of every program.
func (w *Walls) common() []string {
	return append([]string{"--unshare-user", "--uid", inside, "--gid", inside, "--unshare-pid", "--unshare-ipc", "--unshare-uts",
		"--unshare-cgroup-try", "--hostname", "livefn", "--die-with-parent", "--new-session", "--cap-drop", "ALL"}, system()...)
}

// Command prepares a command behind the walls. It is killed, with all that it started, when ctx ends.
// One that is not started leaks descriptors.
func (w *Walls) Command(ctx context.Context, s Spec) (*Cmd, error) {
	if w == nil {
		return plain(ctx, s), nil
	}
	file, seen, err := program(s.Program)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", s.Program, err)
	}
	if s.Prefix != "" {
		bin := filepath.Dir(s.Program)
		file = path.Join(s.Prefix, filepath.Base(bin), filepath.Base(s.Program))
		seen = []Bind{{From: filepath.Dir(bin), To: s.Prefix}}
	}
	d := &descriptors{next: 3 + len(s.Files)}
	args, err := w.arguments(d, s, seen)
	if err != nil {
		closeAll(d.files)
		return nil, err
	}
	info, theirs, err := os.Pipe()
	if err != nil {
		closeAll(d.files)
		return nil, err
	}
	args = append(args, "--info-fd", d.add(theirs))
	list, err := d.data([]byte(strings.Join(args, "\x00") + "\x00"))
	if err != nil {
		closeAll(append(d.files, info))
		return nil, err
	}
	c := &Cmd{info: info, ours: d.files}
	command := append([]string{w.bwrap, "--args", list, "--", file}, s.Args...)
	if s.Slot != nil {
		command = append(slices.Clone(s.Slot.room.enter), command...)
	}
	c.Cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = s.Env // bubblewrap's own is visible as that of process 1
	if c.Env == nil {
		c.Env = []string{}
	}
	c.Dir = "/"
	c.ExtraFiles = append(append([]*os.File{}, s.Files...), d.files...)
	c.SysProcAttr = attributes()
	c.Cancel = c.cancel
	return c, nil
}

// arguments are those of bubblewrap, which does what they say in their order. seen is what the program
// needs beside the spec's binds.
func (w *Walls) arguments(d *descriptors, s Spec, seen []Bind) ([]string, error) {
	args := append([]string{}, w.fixed...)
	if !s.Network {
		args = append(args, "--unshare-net")
	}
	for path, text := range map[string]string{
		"/etc/passwd": "livefn:x:" + inside + ":" + inside + "::/tmp:/bin/sh\n",
		"/etc/group":  "livefn:x:" + inside + ":\n",
	} {
		fd, err := d.data([]byte(text))
		if err != nil {
			return nil, err
		}
		args = append(args, "--ro-bind-data", fd, path)
	}
	tmp := s.Tmp
	if tmp == 0 {
		tmp = DefaultTmp
	}
	size := strconv.FormatInt(tmp, 10)
	args = append(args, "--size", size, "--tmpfs", "/tmp", "--symlink", "../tmp", "/var/tmp")
	args, err := w.show(d, args, seen)
	if err != nil {
		return nil, err
	}
	var hidden []string
	for _, dir := range w.hide {
		if covered(dir, seen) {
			args = append(args, "--size", "65536", "--tmpfs", dir)
			hidden = append(hidden, "--remount-ro", dir)
		}
	}
	if args, err = w.show(d, args, s.Binds); err != nil { // behind what is hidden: they may lie in it
		return nil, err
	}
	args = append(args, hidden...)
	if s.Slot != nil {
		args = append(args, "--ro-bind", s.Slot.path(), s.SlotTo) // by its name: a descriptor would be of the machine's own mounts
	}
	// Root's sysctls are writable for who has its number, whatever its capabilities: bubblewrap shows all
	// of /proc, so it is made read-only.
	args = append(args, "--proc", "/proc")
	for _, path := range masked {
		if exists(path) {
			args = append(args, "--ro-bind", "/dev/null", path)
		}
	}
	args = append(args, "--remount-ro", "/proc", "--dev", "/dev", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev",
		"--remount-ro", "/")
	if s.Dir != "" {
		args = append(args, "--chdir", s.Dir)
	}
	program, err := d.data(w.filter)
	if err != nil {
		return nil, err
	}
	return append(args, "--seccomp", program), nil
}

// show adds arguments that make binds.
func (w *Walls) show(d *descriptors, args []string, binds []Bind) ([]string, error) {
	for _, b := range binds {
		from, err := openPath(b.From)
		if err != nil {
			return nil, err
		}
		how := "--ro-bind-fd" // by descriptor: it stays the same file
		if b.Writable {
			how = "--bind-fd"
		}
		args = append(args, how, d.add(from), b.to())
	}
	return args, nil
}

// covered says whether a folder lies in what the system or binds show.
func covered(dir string, binds []Bind) bool {
	if within(dir, "/usr") || within(dir, "/nix/store") {
		return true
	}
	for _, b := range binds {
		if within(dir, b.to()) {
			return true
		}
	}
	return false
}

// descriptors are those that a process is given beyond the standard ones and the caller's.
type descriptors struct {
	next  int
	files []*os.File
}

// add gives the number that the process knows f by.
func (d *descriptors) add(f *os.File) string {
	d.files = append(d.files, f)
	d.next++
	return strconv.Itoa(d.next - 1)
}

// data gives a descriptor from which b can be read once.
func (d *descriptors) data(b []byte) (string, error) {
	if len(b) > 60<<10 { // what a pipe takes without a reader
		return "", errors.New("too many arguments for bubblewrap")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	_, err = w.Write(b)
	_ = w.Close() // a pipe buffers nothing of its writer's
	if err != nil {
		_ = r.Close()
		return "", err
	}
	return d.add(r), nil
}

// openPath opens a file or folder only to name it.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
