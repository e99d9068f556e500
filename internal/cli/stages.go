package cli

import (
	"context"
	"errors"
	"sync"
)

// stage is a part of the hub that runs until its context ends.
type stage struct {
	name string
	run  func(ctx context.Context) error
}

// runStages runs all stages at once and ends them in reverse order, each after the one above it has
// returned: when ctx ends, or when one of them returns by itself. A stage may so rely on those before
// it as long as it runs.
func runStages(ctx context.Context, stages ...stage) error {
	type running struct {
		cancel context.CancelCauseFunc
		done   chan struct{}
		err    error
	}
	ended := make(chan struct{})
	var once sync.Once
	all := make([]*running, len(stages))
	for i, s := range stages {
		stageCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		r := &running{cancel: cancel, done: make(chan struct{})}
		all[i] = r
		go func() {
			r.err = s.run(stageCtx)
			close(r.done)
			once.Do(func() { close(ended) })
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		all[i].cancel(errors.New("the hub stops"))
		<-all[i].done
		if err := all[i].err; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
