package nodebridge

import (
	"context"
	"runtime"
)

const (
	busyBuffer = 1 << 20  // a larger buffer is not used again
	idleBuffer = 64 << 10 // a larger buffer is not kept while there is nothing to write
)

// write writes what was added to out, until ctx ends. It yields before it takes the buffer: whoever is
// about to run, and has a call, adds it first, and one write takes all.
func (b *Bridge) write(ctx context.Context) error {
	var spare []byte
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil
		}
		for {
			runtime.Gosched()
			b.mu.Lock()
			buf := b.out.take(spare)
			b.writing = len(buf)
			if len(buf) == 0 {
				b.awake = false
				if cap(b.out.buf) > idleBuffer {
					b.out.buf = nil
				}
				b.mu.Unlock()
				if spare = buf; cap(spare) > idleBuffer {
					spare = nil
				}
				break
			}
			b.mu.Unlock()
			if _, err := b.p.in.Write(buf); err != nil {
				return err
			}
			if spare = buf; cap(spare) > busyBuffer {
				spare = nil
			}
		}
	}
}
