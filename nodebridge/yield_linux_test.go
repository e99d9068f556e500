package nodebridge

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The collector's threads take as much of a CPU as the event loop's.
func TestAllThreadsOfAHeavyProcessGiveWay(t *testing.T) {
	f, m := twoBridges(t, func(*Config) {}), module(t, whoAnswers)
	invoke(t, f, m, small)
	invoke(t, f, m, heavy)
	for _, b := range f.Bridges("acme") {
		want := 20 // getpriority(2) gives 20 less the niceness
		if b.Heavy {
			want -= niceness
		}
		tasks, err := os.ReadDir("/proc/" + strconv.Itoa(b.PID) + "/task")
		check(t, "threads", err == nil && len(tasks) > 2, true)
		for _, task := range tasks {
			id, _ := strconv.Atoi(task.Name())
			got, err := unix.Getpriority(unix.PRIO_PROCESS, id)
			check(t, "read", err, nil)
			check(t, "priority", got, want)
		}
	}
}
