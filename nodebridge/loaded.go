package nodebridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/livefn/livefn/internal/fault"
)

// errLost says that a process died while it loaded a module.
var errLost = errors.New("the process died while it loaded the module")

// loaded is a module in a bridge. The Bridge's mu guards it until done is closed.
type loaded struct {
	m      *Module
	calls  int           // in flight
	unload bool          // once calls is 0
	done   chan struct{} // closed when info and err are set
	info   Info
	err    error
}

// moduleLocked gives m in the bridge; it has it loaded if it is not.
func (b *Bridge) moduleLocked(m *Module) *loaded {
	l := b.modules[m.handle]
	if l == nil {
		l = &loaded{m: m, done: make(chan struct{})}
		b.modules[m.handle] = l
		b.secrets.add(m.Env)
		b.out.add(moduleKey(m.handle), Load, m.handle, m.load(b.cfg))
	}
	l.unload = false
	return l
}

// load loads m and waits for what is in it.
func (b *Bridge) load(ctx context.Context, m *Module) (Info, error) {
	if err := b.fits(len(m.load(b.cfg))); err != nil {
		return Info{}, err
	}
	b.mu.Lock()
	if b.gone.Load() || b.retired != nil {
		b.mu.Unlock()
		return Info{}, errGone
	}
	l := b.moduleLocked(m)
	b.unlockAndWake()
	select {
	case <-l.done:
		return l.info, l.err
	case <-ctx.Done():
		return Info{}, fmt.Errorf("load %s@%d: %w", m.Function, m.Version, context.Cause(ctx))
	}
}

// setLoaded takes Loaded or LoadFailed. It says nothing new about a module that was unloaded meanwhile.
func (b *Bridge) setLoaded(f Frame) error {
	var answer struct {
		Declared int    `json:"declared"`
		Kind     string `json:"kind"`
		Name     string `json:"name"`
		Message  string `json:"message"`
		Stack    string `json:"stack"`
	}
	if err := json.Unmarshal(f.Payload, &answer); err != nil {
		return fmt.Errorf("read the answer to a Load: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.modules[f.ID]
	if l == nil || l.over() {
		return nil
	}
	l.info = Info{Declared: answer.Declared, Generator: answer.Kind == "generator"}
	if f.Kind == LoadFailed {
		detail := answer.Message
		if answer.Name != "" && answer.Name != "Error" {
			detail = answer.Name + ": " + detail
		}
		l.err = &fault.Fault{Code: fault.VersionBroken, Detail: detail + "\n" + answer.Stack}
	}
	close(l.done)
	b.endIfDoneLocked()
	return nil
}

func (l *loaded) over() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// endLocked takes one call out.
func (l *loaded) endLocked(b *Bridge) {
	l.calls--
	b.unloadLocked(l)
}

// unload has the bridge forget m once no call of it is in flight.
func (b *Bridge) unload(m *Module) {
	b.mu.Lock()
	if l := b.modules[m.handle]; l != nil {
		l.unload = true
		b.unloadLocked(l)
		b.endIfDoneLocked() // it may have been loading nothing else
	}
	b.unlockAndWake()
}

func (b *Bridge) unloadLocked(l *loaded) {
	if !l.unload || l.calls > 0 || b.gone.Load() {
		return
	}
	delete(b.modules, l.m.handle)
	b.unloads++
	l.loseLocked()
	b.out.add(moduleKey(l.m.handle), Unload, l.m.handle, nil)
}

// loseLocked ends the wait of those who load a module that will not be loaded.
func (l *loaded) loseLocked() {
	if !l.over() {
		l.err = errLost
		close(l.done)
	}
}
