package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// TestMain also is the program that asks the kernel for what the filter refuses.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "calls" {
		makeCalls()
		return
	}
	if len(os.Args) > 3 && os.Args[1] == "keeper" {
		if err := Keep(os.Stdin, os.Stdout, os.Args[2], os.Args[3]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func walls(t testing.TB, hide ...string) *Walls {
	t.Helper()
	w, err := Find(hide...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// shown is a folder that everybody may look into.
func shown(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func run(t testing.TB, w *Walls, s Spec) string {
	t.Helper()
	cmd, err := w.Command(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(&out, "(%v)", err)
	}
	return strings.TrimSpace(out.String())
}

// sh runs a script behind walls and gives what it prints.
func sh(t testing.TB, w *Walls, s Spec, script string) string {
	t.Helper()
	s.Program, s.Args = "/bin/sh", []string{"-c", script}
	s.Env = append(s.Env, "PATH=/usr/bin")
	return run(t, w, s)
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func TestAProgramSeesOnlyWhatItIsGiven(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HUB", "hush")
	inherited, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inherited.Close() })
	if _, err := unix.FcntlInt(inherited.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	w, dir := walls(t), shown(t, "a")
	real, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Binds: []Bind{{From: dir, To: "/given"}}, Dir: "/given", Files: []*os.File{inherited}}
	for _, c := range []struct{ what, script, want string }{
		{"the root", "echo /* | sed 's| /lib[a-z0-9]*||g; s| /nix||'", "/bin /dev /etc /given /proc /sbin /tmp /usr /var"},
		{"where it starts", "pwd; ls", "/given\na"},
		{"its environment", "env | sort", "PATH=/usr/bin\nPWD=/given"},
		{"the environment of process 1", `tr '\0' ' ' < /proc/1/environ`, "PATH=/usr/bin"},
		{"the arguments of process 1", `tr '\0' '\n' < /proc/1/cmdline | head -5 | tr '\n' ' '`, w.bwrap + " --args 9 -- " + real},
		{"processes", "echo /proc/[0-9]*", "/proc/1 /proc/2"},
		{"its descriptors", "exec 9<&-; for f in /proc/self/fd/*; do [ -e $f ] && echo ${f##*/}; done | sort -n | head -4 | tr '\\n' ' '", "0 1 2 3"},
		{"the hub's descriptors of process 1", "ls /proc/1/fd | wc -l", "4"}, // 0, 1, 2 and what wakes it
		{"users", "cat /etc/passwd; id -u; id -g; id -G", "livefn:x:1000:1000::/tmp:/bin/sh\n1000\n1000\n1000"},
		{"keys", "ls /etc/shadow /etc/ssl/private /root /home /srv /var/lib /run /sys /boot 2>/dev/null | wc -l", "0"},
		{"its name", "uname -n", "livefn"},
		{"capabilities", "grep -c 'Cap.*0000000000000000' /proc/self/status; grep -h -e NoNewPrivs -e 'Seccomp:' /proc/self/status | tr '\\t\\n' '  '", "5\nNoNewPrivs: 1 Seccomp: 2"},
		{"its session", "cut -d' ' -f6 /proc/self/stat", "1"},
		{"network devices", "grep -c : /proc/net/dev; grep -c lo: /proc/net/dev", "1\n1"},
	} {
		check(t, c.what, sh(t, w, s, c.script), c.want)
	}
}

// Root's number alone lets one write sysctls; one of them names a program that the kernel runs as root.
func TestNothingIsWritableButTmpAndWhatIsGivenSo(t *testing.T) {
	w, ro, rw := walls(t), shown(t, "a"), t.TempDir()
	s := Spec{Tmp: 1 << 20, Binds: []Bind{{From: ro, To: "/ro"}, {From: rw, Writable: true}}}
	got := sh(t, w, s, `for f in / /dev /etc /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/self/oom_score_adj /usr /usr/bin /var /ro /ro/a /tmp /dev/shm `+rw+`; do
		if [ -d $f ]; then f=$f/new; fi; if (echo core > $f) 2>/dev/null; then echo $f; fi; done`)
	check(t, "written", got, "/tmp/new\n/dev/shm/new\n"+rw+"/new")
	check(t, "a full /tmp", sh(t, w, s, "head -c 2000000 /dev/zero > /tmp/big 2>/dev/null; stat -c %s /tmp/big"), "1048576")
	info, err := os.Stat(filepath.Join(rw, "new"))
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Errorf("what it wrote: %v, %v", info, err)
	}
}

func TestHiddenFoldersAreHiddenWhereverTheyLie(t *testing.T) {
	dir := shown(t, "data/secret.key", "data/tenants/acme/f.js", "open")
	w := walls(t, filepath.Join(dir, "data"))
	s := Spec{Binds: []Bind{{From: filepath.Join(dir, "data/tenants/acme"), To: "/functions"}}}
	check(t, "its folder", sh(t, w, s, "ls /functions; ls "+dir+" 2>&1 | wc -l"), "f.js\n1")
	s.Binds = append(s.Binds, Bind{From: filepath.Join(dir, "data/tenants/acme")})
	check(t, "the same folder", sh(t, w, s, "find "+dir+" -type f"), filepath.Join(dir, "data/tenants/acme/f.js"))
	w.hide = append(w.hide, "/usr/share")
	check(t, "in the system", sh(t, w, s, "ls /usr/share | wc -l"), "0")
}

func TestTheNetworkIsThereIfItIsGiven(t *testing.T) {
	got := sh(t, walls(t), Spec{Network: true}, "cat /proc/net/dev | wc -l")
	out, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "devices", got, strconv.Itoa(bytes.Count(out, []byte("\n"))))
}

// A program that runs already is shown a folder, which it may not change, and no other.
func TestASlotShowsAFolderToAProgramThatRuns(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w, slots, all := walls(t), t.TempDir(), shown(t, "acme/a", "zeta/z")
	room, err := w.OpenRoom(slots, all, self, "keeper")
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"acme", "zeta"} {
		slot, err := room.Slot()
		if err != nil {
			t.Fatal(err)
		}
		cmd, err := w.Command(t.Context(), Spec{Program: "/bin/sh", Env: []string{"PATH=/usr/bin"}, Slot: slot, SlotTo: "/functions",
			Args: []string{"-c", "ls /functions; echo runs; read go; ls /functions; echo x > /functions/x; echo x > /functions/a; ls " + slots + " " + all + "; grep -c /functions /proc/self/mountinfo"}})
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		cmd.Stderr = &errs
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 100)
		n, err := out.Read(line)
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		check(t, "before", string(line[:n]), "runs\n")
		if err := slot.Show(tenant); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
		check(t, tenant, string(text), tenant[:1]+"\n2\n")
		if err := slot.Free(); err != nil {
			t.Error(err)
		}
	}
	slot, err := room.Slot()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../../etc", "nobody", "..", ""} {
		if err := slot.Show(name); err == nil {
			t.Errorf("shows %q", name)
		}
	}
	check(t, "the end", fmt.Sprint(room.Close()), "<nil>")
	left, err := os.ReadDir(slots)
	check(t, "what is left", fmt.Sprint(left, err), "[] <nil>")
	_, err = room.Slot()
	check(t, "a closed room", fmt.Sprint(err != nil), "true")
}

// Whoever leaves the group and the session is still in the namespace.
func TestKillEndsAllThatWasStarted(t *testing.T) {
	for name, w := range map[string]*Walls{"walls": walls(t), "none": nil} {
		script := "echo started; sleep 1000"
		if w != nil {
			script = "setsid sleep 1000 & echo started; sleep 1000"
		}
		cmd, err := w.Command(t.Context(), Spec{Program: "/bin/sh", Args: []string{"-c", script}, Dir: "/", Env: []string{"PATH=/usr/bin"}})
		if err != nil {
			t.Fatal(err)
		}
		r, wr, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout = wr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = wr.Close()
		line := make([]byte, 100)
		n, err := r.Read(line)
		check(t, name+": output", fmt.Sprint(string(line[:n]), err), "started\n<nil>")
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.PID()))
		check(t, name+": the program's number", fmt.Sprint(strings.Contains("dash bash sh\n", strings.TrimSpace(string(comm))), err), "true <nil>")
		cmd.Kill()
		cmd.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("it was not killed")
		}
		_ = r.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = r.Read(line) // ends once nobody has the other end
		check(t, name+": the end", fmt.Sprint(err), "EOF")
		_ = r.Close()
	}
}

func TestACommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cmd, err := walls(t).Command(ctx, Spec{Program: "/bin/sh", Args: []string{"-c", "sleep 1000"}, Env: []string{"PATH=/usr/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cancel()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	_, err := walls(t).Command(t.Context(), Spec{Program: "/nowhere/node"})
	check(t, "a program", fmt.Sprint(errors.Is(err, fs.ErrNotExist)), "true")
	_, err = walls(t).Command(t.Context(), Spec{Program: "/bin/sh", Binds: []Bind{{From: "/nowhere"}}})
	check(t, "a folder", fmt.Sprint(errors.Is(err, fs.ErrNotExist)), "true")
	t.Setenv("PATH", t.TempDir())
	_, err = Find()
	check(t, "bubblewrap", fmt.Sprint(err), "bwrap is not installed; with Debian or Ubuntu: apt-get install bubblewrap")
}

// makeCalls makes each system call that is denied, and some by their arguments, and prints what passed.
func makeCalls() {
	machine, err := arch.GetInfo("")
	if err != nil {
		panic(err)
	}
	call := func(what string, want unix.Errno, name string, args ...uintptr) {
		n, ok := machine.SyscallNames[name]
		if !ok {
			return
		}
		a := [6]uintptr{}
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(uintptr(n), a[0], a[1], a[2], a[3], a[4], a[5]); errno != want {
			fmt.Println(what, errno)
		}
	}
	for _, name := range denied {
		call(name, unix.EPERM, name)
	}
	for _, name := range []string{"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"} {
		call(name, unix.ENOSYS, name)
	}
	for flag := uintptr(unix.CLONE_NEWNS); flag <= unix.CLONE_NEWNET; flag <<= 1 {
		if flag&namespaces != 0 {
			call("clone with a namespace", unix.EPERM, "clone", flag)
		}
	}
	for family := uintptr(0); family < 64; family++ {
		want := unix.EPERM
		switch family {
		case unix.AF_INET, unix.AF_INET6:
			// what is raw the kernel refuses
		case unix.AF_UNIX:
			want = unix.ESOCKTNOSUPPORT
		case unix.AF_NETLINK:
			call("netlink for audit", unix.EPERM, "socket", family, unix.SOCK_RAW, unix.NETLINK_AUDIT)
			call("netlink for routes", 0, "socket", family, unix.SOCK_RAW, unix.NETLINK_ROUTE)
			continue
		}
		kind := uintptr(unix.SOCK_RAW)
		if family == unix.AF_UNIX {
			kind = 99
			want = unix.EINVAL
		}
		call(fmt.Sprint("socket of family ", family), want, "socket", family, kind, 1)
	}
	call("ioctl TIOCSTI", unix.EPERM, "ioctl", 0, unix.TIOCSTI)
	call("ioctl TIOCLINUX", unix.EPERM, "ioctl", 0, unix.TIOCLINUX)
	call("ioctl TIOCSTI with bits that the kernel drops", unix.EPERM, "ioctl", 0, 1<<32|unix.TIOCSTI)
	call("ioctl TIOCLINUX with bits that the kernel drops", unix.EPERM, "ioctl", 0, 1<<63|unix.TIOCLINUX)
	call("ioctl FIONREAD", unix.ENOTTY, "ioctl", 0, unix.TCGETS)
	call("getpid", 0, "getpid")
	fmt.Println("done")
}

func TestSystemCallsThatNodeNeverNeedsAreRefused(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "what passed", run(t, walls(t), Spec{Program: self, Args: []string{"calls"}}), "done")
}
