package nodebridge

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"github.com/livefn/livefn/internal/sandbox"
)

// clockTick is the unit of CPU times in /proc: USER_HZ, which is 100 on every machine that Go runs on.
const clockTick = 10 * time.Millisecond

// usageOf measures a process and all that it has started, as /proc shows them (proc(5)): CPU time, resident
// memory, processes. What ends while it is looked at is left out.
func usageOf(pid int) (u usage, err error) {
	if err := u.add(pid); err != nil {
		return usage{}, err
	}
	return u, nil
}

// residentOf gives the resident memory of one process, 0 if it can't be read.
func residentOf(pid int) int64 {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm") //nolint:gosec // of a process of ours
	fields := bytes.Fields(statm)
	if err != nil || len(fields) < 2 {
		return 0
	}
	return parse(fields[1]) * int64(os.Getpagesize())
}

// maxProcesses bounds how many processes of a bridge are looked at; more than that are too many anyway.
const maxProcesses = 4096

func (u *usage) add(pid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat") //nolint:gosec // of a process of ours
	if err != nil {
		return err
	}
	i := bytes.LastIndexByte(stat, ')') // the name before it may hold anything
	if i < 0 {
		return errors.New("/proc/PID/stat has no name")
	}
	fields := bytes.Fields(stat[i+1:]) // the third field of proc(5) is the first here
	if len(fields) < 22 {
		return errors.New("/proc/PID/stat has too few fields")
	}
	u.processes++
	u.cpu += time.Duration(parse(fields[11])+parse(fields[12])) * clockTick
	u.memory += parse(fields[21]) * int64(os.Getpagesize())
	if u.processes >= maxProcesses {
		return nil
	}
	for _, child := range sandbox.Children(pid) {
		if u.processes < maxProcesses {
			_ = u.add(child) // it may have ended
		}
	}
	return nil
}

func parse(field []byte) int64 {
	n, _ := strconv.ParseInt(string(field), 10, 64) // the kernel's own numbers
	return n
}
