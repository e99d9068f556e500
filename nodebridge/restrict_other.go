//go:build !linux

package nodebridge

// restrict is for Linux: elsewhere the kernel's limits are the hub's own.
func restrict(int, *Limits) error { return nil }
