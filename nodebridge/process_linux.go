package nodebridge

import "syscall"

// processAttributes gives a process a group of its own, so that its children can be killed with it,
// and has the kernel kill it when the hub dies without a chance to.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
