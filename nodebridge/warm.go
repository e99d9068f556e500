package nodebridge

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/livefn/livefn/internal/sandbox"
)

// warm is processes behind walls that are ready and belong to no one. Each becomes a bridge of one
// tenant, whose functions it is then shown, and of no other: what comes back from a bridge is its end.
type warm struct {
	fleet *Fleet
	room  *sandbox.Room // nil: there are none
	ready chan *process
	taken chan struct{} // holds one element when ready may have room
	used  atomic.Uint64 // that became bridges
}

func newWarm(f *Fleet) *warm {
	return &warm{fleet: f, ready: make(chan *process, f.cfg.Warm), taken: make(chan struct{}, 1)}
}

// slotsDir is where in the bridges' folder the slots are.
const slotsDir = "slots"

// open makes what is needed to keep warm processes. Without it bridges start from nothing.
func (w *warm) open() error {
	cfg := &w.fleet.cfg
	if cfg.Warm == 0 || cfg.Walls == nil {
		return nil
	}
	dir := filepath.Join(w.fleet.dir, slotsDir)
	for _, d := range []string{dir, cfg.Functions} {
		if err := os.MkdirAll(d, 0o750); err != nil {
			return err
		}
	}
	var err error
	w.room, err = cfg.Walls.OpenRoom(dir, cfg.Functions, cfg.Keeper...)
	return err
}

// run keeps processes ready until ctx ends, and ends those that are left. When the keeper dies, or hangs, another
// takes its place; bridges start from nothing meanwhile.
func (w *warm) run(ctx context.Context) error {
	cfg := &w.fleet.cfg
	again := restarts{first: cfg.RestartFirst, longest: cfg.RestartMax, forget: cfg.RestartForget}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		opened := time.Now()
		if err := w.open(); err != nil {
			w.fleet.tell("", 0, "exit", fmt.Sprintf("no processes can be kept warm: %v", err))
			if again.row == 0 {
				return nil // it never could be: the machine can't, or the operator has to see to it
			}
			timer.Reset(again.next(0, rand.Float64()))
			continue
		}
		if w.room == nil {
			return nil
		}
		w.keep(ctx)
		timer.Reset(again.next(time.Since(opened), rand.Float64()))
	}
	return nil
}

// keep keeps processes ready until ctx ends or the room is of no use any more; it ends those that are left, and
// the room.
func (w *warm) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && w.room.Broken() == nil {
		select {
		case <-timer.C:
		case <-ctx.Done():
			continue
		}
		pause := w.fleet.cfg.WarmAfter // between two starts, so that calls have the machine in between
		switch {
		case len(w.ready) == cap(w.ready):
			select {
			case <-w.taken:
			case <-ctx.Done():
			}
		case availableMemory() < w.fleet.cfg.WarmMinFree:
			pause = w.fleet.cfg.RestartMax
		default:
			p, err := w.start(ctx)
			if err != nil {
				w.fleet.tell("", 0, "exit", fmt.Sprintf("a process could not be kept warm: %v", err))
				pause = w.fleet.cfg.RestartMax
				break
			}
			w.ready <- p // has room: nobody else adds
		}
		timer.Reset(pause)
	}
	var ending errgroup.Group
	for len(w.ready) > 0 {
		p := <-w.ready
		ending.Go(func() error {
			p.discard()
			return nil
		})
	}
	_ = ending.Wait() // never an error
	if err := errors.Join(w.room.Broken(), w.room.Close()); err != nil {
		w.fleet.tell("", 0, "exit", fmt.Sprintf("the keeper of the warm processes' mounts ended: %v", err))
	}
}

// start starts a process and waits until it is ready.
func (w *warm) start(ctx context.Context) (*process, error) {
	slot, err := w.room.Slot()
	if err != nil {
		return nil, err
	}
	cfg := w.fleet.cfg
	cfg.NodeArgs = slices.Concat(cfg.NodeArgs, cfg.Limits.heapFlag())
	p, err := w.fleet.spawn.startProcess(&cfg, w.fleet.dir, "", "", slot)
	if err != nil {
		_ = slot.Free()
		return nil, err
	}
	if err := p.greet(ctx, &w.fleet.cfg); err != nil {
		p.discard()
		return nil, err
	}
	return p, nil
}

// take gives a process that is shown the tenant's functions, or nil.
func (w *warm) take(tenant string) *process {
	for {
		select {
		case p := <-w.ready:
			select {
			case w.taken <- struct{}{}:
			default:
			}
			if p.lives() && os.MkdirAll(w.fleet.cfg.functions(tenant), 0o750) == nil && p.slot.Show(tenant) == nil {
				w.used.Add(1)
				return p
			}
			p.discard() // it died while it waited, or was killed from outside
		default:
			return nil
		}
	}
}
