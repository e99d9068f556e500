package loadtest

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm sleeps precisely. Go's own timers wake an idle program on whole milliseconds (its poller
// waits with epoll_wait), which at a call each 50 µs would be measured as the hub's latency; a timer
// descriptor wakes the same poller within microseconds.
type alarm struct {
	file *os.File
	raw  int
	buf  [8]byte
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timer"), raw: fd}, nil
}

func (a *alarm) sleep(d time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(a.raw, 0, &spec, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	if _, err := a.file.Read(a.buf[:]); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("wait for a timer: %w", err)
	}
	return nil
}

func (a *alarm) close() { _ = a.file.Close() }
