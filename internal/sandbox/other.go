//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"io"
	"syscall"
)

// Walls are for Linux.
type Walls struct{}

// Find says that there are none.
func Find(hide ...string) (*Walls, error) {
	return nil, errors.New("the walls around functions are made of Linux namespaces, which this system has not")
}

// Room and Slot are for Linux.
type (
	Room struct{}
	Slot struct{}
)

var errNoRoom = errors.New("mount namespaces are Linux's")

// OpenRoom says that there are none.
func (w *Walls) OpenRoom(dir, shown string, keeper ...string) (*Room, error) { return nil, errNoRoom }

// Close does nothing.
func (r *Room) Close() error { return nil }

// Broken says that there are none.
func (r *Room) Broken() error { return errNoRoom }

// Slot says that there are none.
func (r *Room) Slot() (*Slot, error) { return nil, errNoRoom }

// Show says that there are none.
func (s *Slot) Show(name string) error { return errNoRoom }

// Free does nothing.
func (s *Slot) Free() error { return nil }

// Keep says that there are none.
func Keep(in io.Reader, out io.Writer, dir, shown string) error { return errNoRoom }

// Command gives a plain command.
func (w *Walls) Command(ctx context.Context, s Spec) (*Cmd, error) { return plain(ctx, s), nil }

// attributes gives a process a session and so a group of its own, so that its children can be killed
// with it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
