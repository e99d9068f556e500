package loadtest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// lookAt gives what the process and all that descend from it use.
func lookAt(pid int) (map[string]float64, error) {
	rss, _, err := memoryOf(int64(pid))
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil, err
	}
	look := map[string]float64{"hub's memory, MB": rss / 1e6, "open files": float64(len(files)), "processes": 0, "processes' memory, MB": 0}
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat") // it may have ended
			if i := bytes.LastIndexByte(stat, ')'); i > 0 {
				var state string
				var parent int
				if _, err := fmt.Sscan(string(stat[i+1:]), &state, &parent); err == nil {
					parents[n] = parent
				}
			}
		}
	}
	for n := range parents {
		for up := parents[n]; up > 1; up = parents[up] {
			if up == pid {
				look["processes"]++
				if rss, _, err := memoryOf(int64(n)); err == nil {
					look["processes' memory, MB"] += rss / 1e6
				}
				break
			}
		}
	}
	return look, nil
}
