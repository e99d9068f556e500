//go:build !linux

package nodebridge

import "syscall"

// processAttributes gives a process a group of its own, so that its children can be killed with it.
// When the hub dies, descriptor 3 ends, and the process exits by itself.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
