package nodebridge

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// niceness is that of the heavy lane's processes: each gets about a third of the CPU time of one of ordinary
// priority that wants it too, and all there is if none does. With less, an event loop that stands still on a busy
// machine could not be told from one that gets no CPU for minutes.
const niceness = 5

// yieldTo has a process give way to those of ordinary priority. Linux keeps a priority for each thread
// (setpriority(2)); those that are started later have that of who starts them, so the second look finds what was
// started during the first. A kernel that groups processes by session (sched(7), autogroup) weighs the groups.
// Where it can't be done the process has the priority of all others.
func yieldTo(pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	for range 2 {
		tasks, _ := os.ReadDir(dir + "/task") // none: it has ended
		for _, task := range tasks {
			if id, err := strconv.Atoi(task.Name()); err == nil {
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
			}
		}
	}
	if f, err := os.OpenFile(dir+"/autogroup", os.O_WRONLY, 0); err == nil { //nolint:gosec // of a process of ours
		_, _ = f.WriteString(strconv.Itoa(niceness))
		_ = f.Close()
	}
}
