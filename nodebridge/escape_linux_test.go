package nodebridge

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// escapes are attempts to get out of a bridge, as JavaScript that gives true if it did. HUB, NEIGHBOUR
// and VICTIM are numbers of processes, DATA is the hub's folder; tool(name) is one of tools.
var escapes = []struct{ name, code string }{
	// What is the hub's, and other tenants'.
	{"read the hub's key", `fs.readFileSync(DATA + '/secret.key')`},
	{"list the data folder", `fs.readdirSync(DATA)`},
	{"read a neighbour's function", `fs.readFileSync(DATA + '/functions/zeta/f/index.js')`},
	{"walk up to a neighbour", `fs.readFileSync('/functions/../zeta/f/index.js')`},
	{"see a neighbour", `fs.readdirSync('/functions').includes('zeta')`},
	{"require a neighbour's function", `require(DATA + '/functions/zeta/f')`},
	{"look into the machine's /tmp", `fs.existsSync(OUTSIDE)`},
	{"follow a symbolic link out", `fs.symlinkSync(DATA + '/secret.key', '/tmp/link'), fs.readFileSync('/tmp/link')`},
	{"follow the link that a neighbour could have left", `fs.readFileSync('/functions/f/planted')`},
	{"walk up from the working directory", `fs.existsSync('/proc/self/cwd/../../../../..' + DATA)`},
	{"through the root of process 1", `fs.readdirSync('/proc/1/root' + DATA)`},
	{"through the descriptors of process 1", `fs.readdirSync('/proc/1/fd').some(fd => fs.statSync('/proc/1/fd/' + fd).isDirectory())`},
	{"read /etc/shadow", `fs.readFileSync('/etc/shadow')`},
	{"read private keys of the system", `fs.readdirSync('/etc/ssl/private')`},
	{"look into homes", `fs.readdirSync('/root').length + fs.readdirSync('/home').length >= 0`},
	{"look into /var/lib, /run and /sys", `['/var/lib', '/run', '/sys'].some(dir => fs.existsSync(dir))`},
	{"see the hub's environment", `Object.values(process.env).some(value => value.includes('hush'))`},
	{"see the environment of any process", `fs.readdirSync('/proc').filter(n => n > 0).some(n => fs.readFileSync('/proc/' + n + '/environ', 'utf8').includes('hush'))`},
	{"see where things lie in the arguments of process 1", `fs.readFileSync('/proc/1/cmdline', 'utf8').includes(DATA)`},
	{"read the hub's memory", `fs.openSync('/proc/' + HUB + '/mem', 'r')`},
	{"see the hub's process", `fs.readlinkSync('/proc/' + HUB + '/exe').includes('nodebridge')`},
	{"see other processes", `fs.readdirSync('/proc').filter(n => n > 0).some(n => fs.readFileSync('/proc/' + n + '/cmdline', 'utf8').includes('1000000'))`},

	// Writing outside.
	{"write into its functions", `fs.writeFileSync('/functions/f/index.js', '')`},
	{"add to its functions", `fs.writeFileSync('/functions/new', '')`},
	{"remove a function", `fs.rmSync('/functions/f/planted')`},
	{"rename a function", `fs.renameSync('/functions/f', '/functions/g')`},
	{"change a function's mode", `fs.chmodSync('/functions/f/index.js', 0o777)`},
	{"change a function's times", `fs.utimesSync('/functions/f/index.js', 0, 0)`},
	{"write into a function by a hard link", `fs.linkSync('/functions/f/index.js', '/tmp/hard'), fs.appendFileSync('/tmp/hard', ' ')`},
	{"write into a function through a descriptor", `fs.writeFileSync('/proc/self/fd/' + fs.openSync('/functions/f/index.js', 'r'), '')`},
	{"write into the bridge's script", `fs.appendFileSync('/livefn/js/main.js', ' ')`},
	{"write into Node", `fs.openSync(process.execPath, 'r+')`},
	{"write into the system", `['/', '/usr', '/usr/bin', '/usr/lib', '/etc', '/dev', '/var'].some(dir => { try { fs.writeFileSync(dir + '/x', ''); return true } catch { return false } })`},
	{"write to /etc/passwd", `fs.appendFileSync('/etc/passwd', 'x')`},
	{"name a program that the kernel runs", `fs.writeFileSync('/proc/sys/kernel/core_pattern', '|/functions/f/tool')`},
	{"press the system request key", `fs.writeFileSync('/proc/sysrq-trigger', 'h')`},
	{"be the last to be killed", `fs.writeFileSync('/proc/self/oom_score_adj', '-1000')`},
	{"write to its map of users", `fs.writeFileSync('/proc/self/uid_map', '0 0 1')`},
	{"fill the disk", `(() => { const b = Buffer.alloc(1 << 20); const fd = fs.openSync('/tmp/big', 'w'); try { for (let i = 0; i < 64; i++) fs.writeSync(fd, b) } finally { fs.rmSync('/tmp/big') } return true })()`},
	{"leave a file for the next in /dev/shm", `fs.writeFileSync('/dev/shm/note', 'x'), LEAVES`},

	// Processes.
	{"kill the hub", `kill(HUB, 'KILL')`},
	{"stop a neighbour", `kill(NEIGHBOUR, 'STOP')`},
	{"kill somebody", `kill(VICTIM, 'KILL')`},
	{"kill process 1", `kill(1, 'KILL'), LEAVES`},
	{"kill everybody", `tool("kill everybody"), LEAVES`},
	{"kill its group", `kill(0, 'KILL'), LEAVES`},
	{"raise its priority", `os.setPriority(0, -20)`},
	{"trace process 1", `tool('ptrace')`},
	{"read another process's memory", `tool('process_vm_readv')`},
	{"take another process's descriptor", `tool('pidfd_getfd')`},

	// Devices, sockets.
	{"open memory and disks", `['mem', 'kmsg', 'sda', 'vda', 'nvme0n1', 'kvm', 'fuse', 'loop-control'].some(dev => fs.existsSync('/dev/' + dev))`},
	{"make a device file", `tool('mknod')`},
	{"read the kernel's memory", `fs.readFileSync('/proc/kcore').length > 0`},
	{"a raw socket", `tool('raw socket')`},
	{"a packet socket", `tool('packet socket')`},
	{"a socket of a rare family", `tool('rare socket')`},
	{"a netlink socket for audit", `tool('audit socket')`},
	{"reach a port of the machine", `connect({ port: PORT, host: '127.0.0.1' })`},
	{"reach a socket in the data folder", `connect({ path: DATA + '/socket' })`},
	{"reach an abstract socket of the machine", `tool('abstract socket')`},
	{"reach the metadata address", `connect({ port: 80, host: '169.254.169.254' })`},
	{"reach the container engine", `connect({ path: '/run/docker.sock' })`},

	// The kernel.
	{"mount", `tool('mount')`},
	{"unmount", `tool('umount')`},
	{"make its functions writable", `tool('remount')`},
	{"bind its way out", `tool('bind')`},
	{"clone a mount", `tool('open_tree')`},
	{"pivot the root", `tool('pivot_root')`},
	{"change the root", `tool('chroot')`},
	{"a new user namespace", `tool('unshare user')`},
	{"a new mount namespace", `tool('unshare mount')`},
	{"a new network namespace", `tool('unshare net')`},
	{"clone into a user namespace", `tool('clone user')`},
	{"enter a namespace of process 1", `tool('setns')`},
	{"open a file by its handle", `tool('open_by_handle_at')`},
	{"become root", `tool('setuid')`},
	{"take another group", `tool('setgid')`},
	{"take capabilities", `tool('capset')`},
	{"run a program with set-user-id", `child.execFileSync('/usr/bin/su', ['-c', 'true'], { stdio: 'ignore' })`},
	{"load BPF", `tool('bpf')`},
	{"watch performance events", `tool('perf_event_open')`},
	{"a keyring", `tool('keyctl')`},
	{"load a kernel", `tool('kexec_load')`},
	{"load a module", `tool('init_module')`},
	{"an io_uring", `tool('io_uring_setup')`},
	{"handle page faults", `tool('userfaultfd')`},
	{"reboot", `tool('reboot')`},
	{"set the clock", `tool('clock_settime')`},
	{"set the machine's name", `tool('sethostname')`},
	{"swap", `tool('swapon')`},
	{"ports of the machine", `tool('iopl')`},
	{"read the kernel's log", `tool('syslog')`},
	{"type into a terminal", `tool('TIOCSTI')`},
	{"more files than it may have", `tool('rlimit')`},

	// The protocol, and the language.
	{"write nonsense to the protocol", `fs.writeSync(4, 'nonsense, and more of it'), LEAVES`},
	{"close the protocol", `fs.closeSync(4), fs.closeSync(3), LEAVES`},
	{"read what is meant for the bridge", `fs.readSync(3, Buffer.alloc(100)), LEAVES`},
	{"open the protocol anew", `fs.openSync('/proc/1/fd/3', 'r')`},
	{"pollute prototypes", `Object.prototype.polluted = true, Array.prototype.polluted = true, LEAVES`},
	{"replace what all use", `globalThis.JSON = null, Promise.prototype.then = null, LEAVES`},
	{"spin", `(() => { const end = Date.now() + 200; while (Date.now() < end); return LEAVES })()`},
}

// attacker runs an attempt. What it leaves behind by LEAVES is for the neighbour to find, or not.
const attacker = `
const fs = require('node:fs'), os = require('node:os'), net = require('node:net'), child = require('node:child_process')
const tool = name => child.spawnSync('/functions/f/tool', ['escape', name]).status === 0
const kill = (pid, signal) => child.spawnSync('/bin/sh', ['-c', 'kill -s ' + signal + ' ' + pid]).status === 0
const connect = to => new Promise(resolve => {
  const socket = net.connect({ ...to, timeout: 2000 })
  socket.on('connect', () => resolve(true))
  socket.on('timeout', () => resolve(false))
  socket.on('error', () => resolve(false))
})
const { stringify } = JSON
module.exports = async (code, values) => {
  const names = ['fs', 'os', 'child', 'require', 'tool', 'kill', 'connect', 'LEAVES', ...Object.keys(values)]
  const result = await Function(...names, 'return ' + code)(fs, os, child, require, tool, kill, connect, false, ...Object.values(values))
  return result === undefined ? 'true' : String(Boolean(result))
}`

const neighbour = `
const fs = require('node:fs')
module.exports = (hub, arg) => {
  if (hub === 'hang') return new Promise(() => {})
  return JSON.stringify([({}).polluted === undefined, [].polluted === undefined, fs.readdirSync('/dev/shm').length, fs.readdirSync('/tmp').length])
}`

// Each attempt fails, and whatever it broke, a neighbour's calls go on in the process in which they were.
func TestNobodyEscapes(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HUB", "hush")
	cfg := Config{Limits: Limits{MinBridges: 1, NoNetwork: true}, MaxTmp: 8 << 20, RestartMax: time.Millisecond}
	t.Run("from a bridge of its own", func(t *testing.T) {
		f, functions := walled(t, cfg)
		nobodyEscapes(t, f, functions)
	})
	cfg.Warm = 2
	t.Run("from one that was warm", func(t *testing.T) {
		f, functions := warmed(t, cfg)
		nobodyEscapes(t, f, functions)
		check(t, "warm ones were used", f.warm.used.Load() >= 2, true)
	})
}

func nobodyEscapes(t *testing.T, f *Fleet, functions string) {
	t.Helper()
	data := filepath.Dir(functions)
	attack, calm := moduleIn(t, functions, "acme", attacker), moduleIn(t, functions, "zeta", neighbour)
	key := filepath.Join(data, "secret.key")
	write(t, key, "hush")
	if err := os.Symlink(key, filepath.Join(attack.Dir, "planted")); err != nil {
		t.Fatal(err)
	}
	copyTool(t, filepath.Join(attack.Dir, "tool"))
	outside := filepath.Join(t.TempDir(), "note")
	write(t, outside, "x")

	victim := exec.Command("/bin/sleep", "1000000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		_ = victim.Wait()
		close(gone)
	}()
	t.Cleanup(func() {
		_ = victim.Process.Kill()
		<-gone
	})
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(data, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	abstract, err := net.Listen("unix", abstractName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range []net.Listener{port, socket, abstract} {
			_ = l.Close()
		}
	})

	hanging := newAnswer(t, calm, `["hang"]`)
	if err := f.Call("zeta", &hanging.Call); err != nil {
		t.Fatal(err)
	}
	check(t, "the neighbour", invokeAs[string](t, f, calm, `["look"]`), "[true,true,0,0]")
	pid := f.Bridges("")[0].PID
	values, err := json.Marshal(map[string]any{"HUB": os.Getpid(), "NEIGHBOUR": pid, "VICTIM": victim.Process.Pid,
		"DATA": data, "OUTSIDE": outside, "PORT": port.Addr().(*net.TCPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, data)
	check(t, "a tool", invokeAs[string](t, f, attack, fmt.Sprintf("[%q,%s]", "tool('nothing') && kill('$$', 0)", values)), "true")
	for _, e := range escapes {
		code, _ := json.Marshal(e.code)
		a := newAnswer(t, attack, fmt.Sprintf("[%s,%s]", code, values))
		if err := f.Call("acme", &a.Call); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		switch got := a.wait(); {
		case strings.HasPrefix(got, "Error ") && !mistake.MatchString(got), got == `Result "false"`, got == "Lost":
		default:
			t.Errorf("%s: %s", e.name, got)
		}
		check(t, e.name+": the neighbour", invokeAs[string](t, f, calm, `["look"]`), "[true,true,0,0]")
		check(t, e.name+": its process", neighbourOf(f), pid)
		select {
		case <-hanging.done:
			t.Fatalf("%s: the neighbour's call ended with %s", e.name, hanging.wait())
		case <-gone:
			t.Fatalf("%s: it killed somebody", e.name)
		default:
		}
	}
	check(t, "the data folder", snapshot(t, data), before)
	if len(escapes) < 40 {
		t.Errorf("only %d attempts", len(escapes))
	}
}

// mistake is an attempt that fails because it is written wrongly.
var mistake = regexp.MustCompile(`"name":"(Reference|Type|Syntax)Error"`)

func neighbourOf(f *Fleet) int {
	for _, b := range f.Bridges("") {
		if b.Tenant == "zeta" {
			return b.PID
		}
	}
	return 0
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copyTool puts this program among a tenant's files, as a tenant may publish programs.
func copyTool(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
}

// snapshot describes the files below dir, but for the bridges' own.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintln(&all, path, info.Mode(), info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

const abstractName = "@livefn-escape-test"

func init() {
	programs["escape"] = func(name string) int {
		if escape(name) {
			return 0
		}
		return 1
	}
}

// escape makes one attempt that JavaScript can't, and says whether it succeeded.
func escape(name string) bool {
	runtime.LockOSThread()
	call := func(number uintptr, args ...uintptr) bool {
		var a [6]uintptr
		copy(a[:], args)
		_, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		return errno == 0
	}
	var area [4096]byte
	at := uintptr(unsafe.Pointer(&area))
	socket := func(family, kind, protocol int) bool {
		_, err := unix.Socket(family, kind, protocol)
		return err == nil
	}
	switch name {
	case "nothing":
		return true
	case "kill everybody":
		return unix.Kill(-1, unix.SIGKILL) == nil
	case "ptrace":
		return unix.PtraceAttach(1) == nil || unix.PtraceSeize(1) == nil
	case "process_vm_readv":
		local := unix.Iovec{Base: &area[0], Len: 8}
		remote := unix.RemoteIovec{Base: at, Len: 8}
		_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{local}, []unix.RemoteIovec{remote}, 0)
		return err == nil
	case "pidfd_getfd":
		fd, err := unix.PidfdOpen(1, 0)
		if err != nil {
			return false
		}
		_, err = unix.PidfdGetfd(fd, 0, 0)
		return err == nil
	case "mknod":
		return unix.Mknod("/tmp/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))) == nil || unix.Mknod("/tmp/mem", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) == nil
	case "raw socket":
		return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) || socket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
	case "packet socket":
		return socket(unix.AF_PACKET, unix.SOCK_RAW, 0x300) || socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0x300)
	case "rare socket":
		for _, family := range []int{unix.AF_VSOCK, unix.AF_ALG, unix.AF_BLUETOOTH, unix.AF_KEY, unix.AF_RDS, unix.AF_TIPC, unix.AF_XDP, unix.AF_CAN} {
			if socket(family, unix.SOCK_SEQPACKET, 0) || socket(family, unix.SOCK_STREAM, 0) || socket(family, unix.SOCK_RAW, 0) {
				return true
			}
		}
		return false
	case "audit socket":
		return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT) || socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)
	case "abstract socket":
		_, err := net.Dial("unix", abstractName)
		return err == nil
	case "mount":
		return unix.Mount("x", "/tmp", "tmpfs", 0, "") == nil || unix.Mount("x", "/tmp", "proc", 0, "") == nil
	case "umount":
		return unix.Unmount("/functions", unix.MNT_DETACH) == nil || unix.Unmount("/proc/kcore", 0) == nil
	case "remount":
		return unix.Mount("", "/functions", "", unix.MS_REMOUNT|unix.MS_BIND, "") == nil
	case "bind":
		return unix.Mount("/", "/tmp", "", unix.MS_BIND|unix.MS_REC, "") == nil
	case "open_tree":
		_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE)
		return err == nil
	case "pivot_root":
		return unix.PivotRoot("/tmp", "/tmp") == nil
	case "chroot":
		return unix.Chroot("/tmp") == nil
	case "unshare user":
		return unix.Unshare(unix.CLONE_NEWUSER) == nil || exec.Command("/usr/bin/unshare", "-U", "true").Run() == nil
	case "unshare mount":
		return unix.Unshare(unix.CLONE_NEWNS) == nil
	case "unshare net":
		return unix.Unshare(unix.CLONE_NEWNET) == nil || unix.Unshare(unix.CLONE_NEWPID) == nil
	case "clone user":
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
		return cmd.Run() == nil
	case "setns":
		fd, err := unix.Open("/proc/1/ns/mnt", unix.O_RDONLY, 0)
		return err == nil && unix.Setns(fd, 0) == nil
	case "open_by_handle_at":
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
		return err == nil
	case "setuid":
		return unix.Setresuid(0, 0, 0) == nil
	case "setgid":
		return unix.Setresgid(0, 0, 0) == nil || unix.Setgroups([]int{0}) == nil
	case "capset":
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		caps := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
		return unix.Capset(&header, &caps[0]) == nil
	case "bpf":
		area[0], area[4], area[8], area[12] = 2, 4, 4, 1 // BPF_MAP_CREATE of an array
		return call(unix.SYS_BPF, 0, at, 72)
	case "perf_event_open":
		attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{}))}
		_, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
		return err == nil
	case "keyctl":
		_, err := unix.KeyctlJoinSessionKeyring("x")
		_, err2 := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true)
		return err == nil || err2 == nil
	case "kexec_load":
		return call(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	case "init_module":
		return call(unix.SYS_INIT_MODULE, at, 4096, at) || call(unix.SYS_DELETE_MODULE, at, 0)
	case "io_uring_setup":
		return call(unix.SYS_IO_URING_SETUP, 8, at)
	case "userfaultfd":
		return call(unix.SYS_USERFAULTFD, 0) || call(unix.SYS_USERFAULTFD, 1) // 1: for faults of user code only
	case "reboot":
		return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF) == nil
	case "clock_settime":
		var now unix.Timespec
		return unix.ClockGettime(unix.CLOCK_REALTIME, &now) == nil && unix.ClockSettime(unix.CLOCK_REALTIME, &now) == nil
	case "sethostname":
		return unix.Sethostname([]byte("x")) == nil
	case "swapon":
		path := append([]byte("/tmp/x"), 0)
		return call(unix.SYS_SWAPON, uintptr(unsafe.Pointer(&path[0])), 0)
	case "iopl":
		file, err := os.OpenFile("/dev/port", os.O_RDWR, 0)
		return err == nil && file != nil
	case "syslog":
		_, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, area[:])
		return err == nil
	case "TIOCSTI":
		for _, high := range []uintptr{0, 1 << 32, 1 << 63} {
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, 0, high|unix.TIOCSTI, at); errno != unix.EPERM { // else it is asked of the terminal, or what it is not
				return true
			}
		}
		return false
	case "rlimit":
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
			return false
		}
		limit.Max++
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) == nil
	}
	panic("no attempt " + name)
}
