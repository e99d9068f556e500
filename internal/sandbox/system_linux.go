package sandbox

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// merged are the folders of the root that are links into /usr on a merged system.
var merged = []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}

// settings is what of /etc a program needs to link, to find hosts, and to trust certificates. Nothing
// in it is secret: private keys are beside these, in /etc/ssl/private and /etc/pki/tls/private.
var settings = []string{"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ca-certificates", "/etc/pki/ca-trust/extracted", "/etc/pki/tls/certs", "/etc/crypto-policies",
	"/etc/localtime", "/etc/mime.types", "/etc/fonts"}

// masked are files of /proc that tell of the machine, not of the program's own processes.
var masked = []string{"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/sched_debug", "/proc/kallsyms", "/proc/modules",
	"/proc/slabinfo", "/proc/sysrq-trigger"}

// system gives the arguments for the read-only system.
func system() []string {
	args := []string{"--ro-bind", "/usr", "/usr"}
	for _, dir := range merged {
		switch target, err := os.Readlink(dir); {
		case err == nil:
			args = append(args, "--symlink", target, dir)
		case exists(dir):
			args = append(args, "--ro-bind", dir, dir)
		}
	}
	if exists("/nix/store") {
		args = append(args, "--ro-bind", "/nix/store", "/nix/store")
	}
	for _, path := range settings {
		args = append(args, "--ro-bind-try", path, path)
	}
	return args
}

// program gives the file to run and what of the machine has to be visible for it: a Node that was
// unpacked somewhere is its whole prefix, with npm; of anything else it is the file alone.
func program(path string) (string, []Bind, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", nil, err
	}
	if within(real, "/usr") || within(real, "/nix/store") {
		return real, nil, nil
	}
	prefix := filepath.Dir(filepath.Dir(real))
	if prefix != "/" && exists(filepath.Join(prefix, "include", "node", "node.h")) {
		return real, []Bind{{From: prefix}}, nil
	}
	return real, []Bind{{From: real}}, nil
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// inheritNothing marks the descriptors that the hub was started with, which nobody else closes.
func inheritNothing() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		if n, err := strconv.Atoi(fd.Name()); err == nil && n > 2 {
			unix.CloseOnExec(n)
		}
	}
	return nil
}
