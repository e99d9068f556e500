//go:build !linux

package nodebridge

func yieldTo(int) {}
