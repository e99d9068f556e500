package tenants

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// lookEvery is how often an install's use of memory is looked at.
const lookEvery = 200 * time.Millisecond

// watchInstall ends an install that takes more memory or disk than it may, by end. had is how many bytes were in
// folders before it. It returns nil once ctx is done.
func (r *Registry) watchInstall(ctx context.Context, pid int, folders []string, had int64, end context.CancelCauseFunc) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	measure := time.Now().Add(time.Second) // large folders take a while themselves
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if used := memoryOf(pid); used > r.cfg.InstallMemory {
			end(fault.New(fault.InstallFailed, "The install needed more than %d MiB of memory (InstallMemory).", r.cfg.InstallMemory>>20))
		}
		if started := time.Now(); started.After(measure) {
			if used := sizeOf(folders) - had; used > r.cfg.InstallDisk {
				end(fault.New(fault.InstallFailed, "The install needed more than %d MiB of disk (InstallDisk).", r.cfg.InstallDisk>>20))
			}
			measure = time.Now().Add(max(time.Second, 10*time.Since(started)))
		}
	}
}

// memoryOf gives the resident memory of a process and of all that descend from it; 0 where there is no /proc.
func memoryOf(pid int) int64 {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	children, pages := map[int][]int{}, map[int]int64{}
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", number))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ") // proc_pid_stat(5): fields from the third on
		fields := strings.Fields(rest)
		if len(fields) < 22 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], number)
		pages[number], _ = strconv.ParseInt(fields[21], 10, 64)
	}
	total := int64(0)
	for left := []int{pid}; len(left) > 0; {
		one := left[len(left)-1]
		left = append(left[:len(left)-1], children[one]...)
		total += pages[one]
	}
	return total * int64(os.Getpagesize())
}

// sizeOf gives the bytes of the files below folders.
func sizeOf(folders []string) (total int64) {
	for _, dir := range folders {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // it is gone, or npm is at it
			}
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
			return nil
		})
	}
	return total
}
