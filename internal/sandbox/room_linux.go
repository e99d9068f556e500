package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Room is a mount namespace beside the machine's, in which programs are started that are to be shown a
// folder later, while they run. Each has a slot: a folder on a shared mount. What is bound onto the slot
// in the room propagates to where the program sees it (mount_namespaces(7), shared subtrees).
//
// A process of its own, the keeper, holds the namespace and makes the mounts: whoever is not root can do
// so only in a user namespace, and a program with several threads can't enter one.
type Room struct {
	dir   string // of the slots
	enter []string

	mu     sync.Mutex // guards all below, and the talk with the keeper
	keeper *exec.Cmd
	in     *os.File // with out the talk with the keeper: both have deadlines
	out    *os.File
	said   *bufio.Reader // of out
	last   int           // number of a slot
	broken error         // why the keeper is asked no more
}

// answerTime is how long the keeper may take for an answer; it makes system calls alone. One that takes longer is
// asked no more: its answers could be taken for those to later questions.
const answerTime = time.Second

// shownDir is where the keeper binds, read-only, the folder whose folders it shows. A later remount
// would not propagate.
const shownDir = "shown"

// OpenRoom opens a room. dir is an empty folder for the slots, shown the folder whose folders will be
// shown, keeper the command that calls Keep with these two as its last arguments.
func (w *Walls) OpenRoom(dir, shown string, keeper ...string) (*Room, error) {
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return nil, fmt.Errorf("find nsenter, of util-linux: %w", err)
	}
	cmd := exec.Command(keeper[0], append(keeper[1:], dir, shown)...)
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	r := &Room{dir: dir, keeper: cmd}
	theirs, err := r.pipes()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout = theirs[0], theirs[1]
	err = cmd.Start()
	closeAll(theirs)
	if err != nil {
		closeAll([]*os.File{r.in, r.out})
		return nil, fmt.Errorf("start the keeper of a mount namespace: %w", err)
	}
	ns := fmt.Sprintf("/proc/%d/ns/", cmd.Process.Pid)
	r.enter = []string{nsenter, "--mount=" + ns + "mnt"}
	if os.Geteuid() != 0 {
		r.enter = append(r.enter, "--user="+ns+"user", "--preserve-credentials") // its user is the namespace's root
	}
	r.enter = append(r.enter, "--")
	if err := r.answerLocked(startTime); err != nil { // nobody else has it yet
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// pipes makes the pipes of the talk, and gives the keeper's ends.
func (r *Room) pipes() (theirs []*os.File, err error) {
	in, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.in = ours
	ours, out, err := os.Pipe()
	if err != nil {
		closeAll([]*os.File{in, r.in})
		return nil, err
	}
	r.out, r.said = ours, bufio.NewReader(ours)
	return []*os.File{in, out}, nil
}

// Close ends the keeper. Programs that run keep what they see.
func (r *Room) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	closeAll([]*os.File{r.in, r.out}) // the first tells it to end
	late := time.AfterFunc(answerTime, func() { _ = r.keeper.Process.Kill() })
	defer late.Stop()
	return r.keeper.Wait()
}

// Broken says why nothing more can be shown in the room; nil: it can. Another room can be opened then.
func (r *Room) Broken() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

func (r *Room) ask(words ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return r.broken
	}
	_ = r.in.SetWriteDeadline(time.Now().Add(answerTime)) // a pipe has deadlines
	if _, err := fmt.Fprintln(r.in, strings.Join(words, " ")); err != nil {
		r.broken = fmt.Errorf("ask the keeper: %w", err)
		return r.broken
	}
	return r.answerLocked(answerTime)
}

func (r *Room) answerLocked(limit time.Duration) error {
	_ = r.out.SetReadDeadline(time.Now().Add(limit)) // likewise
	line, err := r.said.ReadString('\n')
	if err != nil {
		r.broken = fmt.Errorf("hear the keeper: %w", err)
		return r.broken
	}
	if line = strings.TrimSpace(line); line != "" {
		return errors.New(line)
	}
	return nil
}

// Slot is where one program will be shown a folder.
type Slot struct {
	room *Room
	name string
}

// Slot makes a slot.
func (r *Room) Slot() (*Slot, error) {
	r.mu.Lock()
	r.last++
	s := &Slot{r, strconv.Itoa(r.last)}
	r.mu.Unlock()
	return s, r.ask("make", s.name)
}

// Show lets the slot's program see a folder, by its name in the folder of those that may be shown,
// read-only. It does so once.
func (s *Slot) Show(name string) error { return s.room.ask("show", s.name, name) }

// Free takes a slot back whose program has ended.
func (s *Slot) Free() error { return s.room.ask("free", s.name) }

func (s *Slot) path() string { return filepath.Join(s.room.dir, s.name) }

// Keep is the keeper: it runs in namespaces of its own and does what in says, until that ends.
func Keep(in io.Reader, out io.Writer, dir, shown string) error {
	reply := func(err error) error {
		text := ""
		if err != nil {
			text = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		_, err = fmt.Fprintln(out, text)
		return err
	}
	if err := prepare(dir, shown); err != nil {
		return reply(err)
	}
	if err := reply(nil); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := reply(keep(dir, strings.Fields(lines.Text()))); err != nil {
			return err
		}
	}
	return lines.Err()
}

func prepare(dir, shown string) error {
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil { // nothing leaves the room
		return fmt.Errorf("part the room's mounts from the machine's: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=4m"); err != nil {
		return fmt.Errorf("mount the slots: %w", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the slots: %w", err)
	}
	at := filepath.Join(dir, shownDir)
	if err := os.Mkdir(at, 0o750); err != nil { //nolint:gosec // both folders are named by the hub
		return err
	}
	if err := unix.Mount(shown, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind what is shown: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return err
	}
	locked := uintptr(st.Flags) & (unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME) // a user namespace may not take them away
	if err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|locked, ""); err != nil {
		return fmt.Errorf("make read-only what is shown: %w", err)
	}
	return nil
}

func keep(dir string, words []string) error {
	for _, word := range words {
		if word != filepath.Base(word) || strings.HasPrefix(word, ".") {
			return fmt.Errorf("%q is no name", word)
		}
	}
	switch {
	case len(words) == 2 && words[0] == "make":
		return os.Mkdir(filepath.Join(dir, words[1]), 0o755) //nolint:gosec // it is empty, and on a mount of the room's own
	case len(words) == 3 && words[0] == "show":
		return unix.Mount(filepath.Join(dir, shownDir, words[2]), filepath.Join(dir, words[1]), "", unix.MS_BIND, "")
	case len(words) == 2 && words[0] == "free":
		_ = unix.Unmount(filepath.Join(dir, words[1]), unix.MNT_DETACH) // fails if nothing was shown
		return os.Remove(filepath.Join(dir, words[1]))                  //nolint:gosec // a name, see above
	}
	return fmt.Errorf("the keeper does not know %q", words)
}
