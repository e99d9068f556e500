package nodebridge

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// availableMemory is how much the machine could give to new processes, as the kernel estimates it.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	defer closeAll([]*os.File{f})
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err == nil {
				return kib << 10
			}
		}
	}
	return math.MaxInt64
}

// pending says what waits at the end of a pipe that we read: data, or that nobody writes any more.
func pending(fd uintptr) (data, over bool) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return false, false
	}
	return fds[0].Revents&unix.POLLIN != 0, fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
}
