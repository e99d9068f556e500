//go:build !linux

package loadtest

import "time"

// alarm sleeps as precisely as the system's timers.
type alarm struct{}

func newAlarm() (*alarm, error) { return &alarm{}, nil }

func (*alarm) sleep(d time.Duration) error { time.Sleep(d); return nil }

func (*alarm) close() {}
