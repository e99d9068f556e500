package sandbox

import "syscall"

// attributes gives a process a session and so a group of its own, so that its children can be killed
// with it and no terminal is theirs, and has the kernel kill it when the hub dies without a chance to.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}
