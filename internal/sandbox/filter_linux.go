package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	refused = seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	missing = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS) // for what callers try first and can do without
)

// denied is what neither Node nor an install has any need of. Most of it the kernel would refuse to a
// process without capabilities; what is left are the parts of it in which its own holes have been found.
var denied = []string{
	// other processes
	"ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "move_pages", "migrate_pages",
	// namespaces, mounts and roots
	"mount", "umount", "umount2", "pivot_root", "chroot", "setns", "unshare", "fsopen", "fsconfig", "fsmount", "fspick",
	"move_mount", "open_tree", "open_tree_attr", "mount_setattr", "listmount", "statmount", "open_by_handle_at", "name_to_handle_at", "quotactl", "quotactl_fd",
	"fanotify_init", "fanotify_mark", "swapon", "swapoff", "mknod", "mknodat",
	// the kernel itself
	"bpf", "perf_event_open", "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module", "create_module", "delete_module",
	"query_module", "get_kernel_syms", "_sysctl", "sysfs", "syslog", "acct", "reboot", "iopl", "ioperm", "lookup_dcookie", "nfsservctl", "vm86",
	"vm86old", "uselib", "ustat", "vhangup", "personality", "modify_ldt",
	// keyrings
	"add_key", "request_key", "keyctl",
	// the machine's clock and name
	"settimeofday", "stime", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64", "adjtimex", "sethostname", "setdomainname",
}

// namespaces are the flags with which clone makes one.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// filter assembles the program that the kernel asks about each system call.
func filter() ([]byte, error) {
	machine, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("assemble the filter of system calls: %w", err)
	}
	known := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			_, ok := machine.SyscallNames[name]
			return !ok
		})
	}
	when := func(name string, conditions ...seccomp.Condition) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: conditions}
	}
	is := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	isNot := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: value}
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{
		{Action: refused, Names: known(denied...), NamesWithCondtions: []seccomp.NameWithConditions{
			when("clone", seccomp.Condition{Argument: 0, Operation: seccomp.BitsSet, Value: namespaces}),
			// Of sockets the common families only; netlink is what os.networkInterfaces asks.
			when("socket", isNot(0, unix.AF_UNIX), isNot(0, unix.AF_INET), isNot(0, unix.AF_INET6), isNot(0, unix.AF_NETLINK)),
			when("socket", is(0, unix.AF_NETLINK), isNot(2, unix.NETLINK_ROUTE)),
		}},
		{Action: missing, Names: known("clone3", // its flags lie in memory, where a filter can't look; libc goes on with clone
			"io_uring_setup", "io_uring_enter", "io_uring_register")},
	}}
	rules, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("assemble the filter of system calls: %w", err)
	}
	// Calls by the numbers of another architecture (int 0x80) would all pass.
	program := append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)},
		// What types into a terminal. The policy's conditions compare 64 bits, of which the kernel takes 32 here.
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(machine.SyscallNames["ioctl"]), SkipFalse: 4},
		bpf.LoadAbsolute{Off: argument(1), Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.TIOCLINUX, SkipTrue: 1},
		bpf.RetConstant{Val: uint32(refused)},
	}, rules...)
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble the filter of system calls: %w", err)
	}
	var b []byte
	for _, in := range raw { // struct sock_filter, linux/filter.h
		b = binary.NativeEndian.AppendUint16(b, in.Op)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	return b, nil
}

// argument is where in struct seccomp_data (linux/seccomp.h) the lower half of a system call's argument lies.
func argument(n uint32) uint32 {
	at := 16 + 8*n
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // big-endian
		at += 4
	}
	return at
}
