package nodebridge

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// restrict sets limits that the kernel holds (prlimit(2)) on a process that has run no code of a tenant yet;
// what it starts inherits them. None is raised above the hard limit that the process has from the hub, which only
// root could do.
func restrict(pid int, l *Limits) error {
	set := func(what string, resource int, n uint64) error {
		var has unix.Rlimit
		err := unix.Prlimit(pid, resource, nil, &has)
		if err == nil {
			n = min(n, has.Max)
			err = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: n, Max: n}, nil)
		}
		if err != nil {
			return fmt.Errorf("limit %s of a process: %w", what, err)
		}
		return nil
	}
	err := set("the core dump", unix.RLIMIT_CORE, 0)
	if l.OpenFiles > 0 {
		err = errors.Join(err, set("the open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles)))
	}
	if l.Memory > 0 {
		err = errors.Join(err, set("the memory", unix.RLIMIT_DATA, 2*uint64(l.Memory)+slack))
	}
	return err
}
