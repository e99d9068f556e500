package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// Children lists the processes that a process has started and that have not ended, the oldest first.
func Children(pid int) []int {
	if listed() {
		return listedChildren(pid)
	}
	return foundChildren(pid)
}

// listed says whether the kernel lists the children of threads, for which it may be built or not
// (CONFIG_PROC_CHILDREN, proc_pid_task(5)).
var listed = sync.OnceValue(func() bool { return exists(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())) })

func listedChildren(pid int) (all []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, task := range tasks {
		list, err := os.ReadFile(task) //nolint:gosec // of a process of ours
		if err != nil {
			continue // the thread has ended meanwhile
		}
		for _, child := range bytes.Fields(list) {
			if n, err := strconv.Atoi(string(child)); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// foundChildren looks at all processes of the machine for those of a parent.
func foundChildren(pid int) (all []int) {
	processes, _ := os.ReadDir("/proc") // without it there is no walls either
	parent := []byte(strconv.Itoa(pid))
	for _, p := range processes {
		n, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + p.Name() + "/stat") //nolint:gosec // a number
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before it may hold anything
		if len(fields) > 1 && bytes.Equal(fields[1], parent) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}
