package loadtest

import "syscall"

// dieWithParent makes a child end even if we are killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
