//go:build !linux

package loadtest

import (
	"context"
	"errors"
	"io"
	"time"
)

// Idle measures idle connections; it reads /proc, so it is for Linux alone.
type Idle struct {
	Livefn, Node string
	Connections  int
	Network      int
	Settle       time.Duration
	Log          io.Writer
}

// IdleFigures is what Idle measured.
type IdleFigures struct{}

// Run says that it can't.
func (Idle) Run(context.Context) (*IdleFigures, error) {
	return nil, errors.New("the memory of a process is read from /proc, which only Linux has")
}

// Print prints nothing.
func (*IdleFigures) Print(io.Writer) error { return nil }
