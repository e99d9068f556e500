//go:build !linux

package nodebridge

import "math"

func availableMemory() int64 { return math.MaxInt64 }

// pending is asked where there are warm processes, and so walls.
func pending(uintptr) (data, over bool) { return false, true }
