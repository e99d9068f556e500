//go:build !linux

package nodebridge

import "errors"

// usageOf is not known here: limits on what a process uses do not hold.
func usageOf(int) (usage, error) { return usage{}, errors.ErrUnsupported }

func residentOf(int) int64 { return 0 }
