package nodebridge

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// starvation is how long the thread that runs a process's event loop has been ready to run without a
// CPU to run on, since its start.
type starvation time.Duration

// starvationOf reads the second field of schedstat (Linux, Documentation/scheduler/sched-stats.rst):
// nanoseconds spent waiting on a runqueue. Where it can't be read, it is 0: nothing is said to starve.
func starvationOf(pid int) starvation {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return starvation(n)
}
