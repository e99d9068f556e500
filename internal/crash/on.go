//go:build crashpoints

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	point, times = plan(os.Getenv("LIVEFN_CRASH"))
	passed       atomic.Int64
)

// plan reads point:times.
func plan(s string) (string, int64) {
	name, n, _ := strings.Cut(s, ":")
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		return "", 0
	}
	return name, count
}

// At is passed at a named point.
func At(name string) {
	if name == point && passed.Add(1) == times {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}
