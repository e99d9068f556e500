package nodebridge

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// reading is what the goroutine that reads a bridge has for itself.
type reading struct {
	split         splitter
	large         incoming
	each          func(Frame) error // b.frame
	batch         Batch
	logs, nobodys quota    // of Log frames
	ended         []uint32 // ids of calls that ended in this chunk
}

func (r *reading) setup(b *Bridge) {
	r.split.from = &fromBridge
	r.large = incoming{from: &fromBridge, max: b.cfg.MaxMessage, grant: b.grant}
	r.each = b.frame
	r.logs.times, r.nobodys.times = margin*processShare, margin
}

// lastWords is how long calls of a dead process wait for what it wrote to stderr. Mostly that is there.
const lastWords = 100 * time.Millisecond

// read hands on what the process says, until it ends or makes no sense. Then no user code runs there
// any more, and every call that had no final frame is Lost.
func (b *Bridge) read() error {
	err := b.readChunks()
	b.calm(true)
	b.p.killGroup()
	select { // its last words may say why
	case <-b.said:
	case <-time.After(lastWords):
	}
	b.lose()
	b.reading.split.release()
	if errors.Is(err, io.EOF) {
		return errDied
	}
	return fmt.Errorf("read from the process: %w", err)
}

func (b *Bridge) readChunks() error {
	r := &b.reading
	pipe, err := newPipeReader(b.p.out)
	if err != nil {
		return err
	}
	for {
		chunk, err := pipe.next()
		if err != nil {
			return err
		}
		err = r.split.split(chunk, r.each)
		pipe.release()
		b.freeEnded()
		r.batch.Flush()
		b.calm(false)
		if err != nil {
			return err
		}
	}
}

// frame takes one frame from the process.
func (b *Bridge) frame(f Frame) error {
	switch f.Kind {
	case Begin:
		return b.reading.large.begin(f)
	case Data:
		f, done, err := b.reading.large.data(f)
		if err != nil || !done {
			return err
		}
		return b.message(f)
	case Credit:
		b.mu.Lock()
		b.out.grant(f.ID, binary.LittleEndian.Uint32(f.Payload))
		b.unlockAndWake()
		return nil
	}
	return b.message(f)
}

// message takes a small frame or a reassembled message.
func (b *Bridge) message(f Frame) error {
	switch f.Kind {
	case Ready:
		return b.setReady(f.Payload)
	case Loaded, LoadFailed:
		return b.setLoaded(f)
	case Pong:
		b.pong(f.ID)
		return nil
	}
	if f.Kind == Log && !b.logs(f) {
		return nil
	}
	if f.Kind == Log && f.ID == 0 {
		b.output("log", string(f.Payload))
		return nil
	}
	s, c := b.calls.find(f.ID)
	if c == nil {
		return nil // it has had its final frame
	}
	s.module.m.gave(len(f.Payload), b.cfg.HeavyFrom, f.Kind.Final())
	if f.Kind.Final() {
		b.ended(s, f.ID)
	}
	c.Receiver.Receive(f, &b.reading.batch)
	return nil
}

// ended makes find miss the call from now on. Its slot is freed at the end of the chunk, with one lock
// for all.
func (b *Bridge) ended(s *slot, id uint32) {
	s.call.Store(nil)
	b.inFlight.Add(-1)
	b.all.Add(-1)
	b.reading.ended = append(b.reading.ended, id)
}

func (b *Bridge) freeEnded() {
	r := &b.reading
	if len(r.ended) == 0 {
		return
	}
	b.mu.Lock()
	for _, id := range r.ended {
		b.calls.at(id & indexMask).module.endLocked(b)
		b.calls.free(id)
	}
	b.endIfDoneLocked()
	b.unlockAndWake()
	r.ended = r.ended[:0]
	b.freed()
}

// lose ends all calls and loads.
func (b *Bridge) lose() {
	b.mu.Lock()
	b.gone.Store(true)
	for _, m := range b.modules {
		m.loseLocked()
	}
	b.out = outgoing{}
	b.mu.Unlock()
	lost := b.lostFrames()
	b.calls.each(func(s *slot, c *Call) {
		b.ended(s, s.id.Load())
		f := lost(s)
		f.ID = s.id.Load()
		c.Receiver.Receive(f, &b.reading.batch)
	})
	b.freeEnded()
	b.reading.batch.Flush()
}

// grant gives credit to a message of the process.
func (b *Bridge) grant(id uint32, n int) {
	b.mu.Lock()
	b.out.buf = appendHead(b.out.buf, Credit, id, 4)
	b.out.buf = binary.LittleEndian.AppendUint32(b.out.buf, uint32(n))
	b.unlockAndWake()
}

func (b *Bridge) setReady(payload []byte) error {
	var ready struct {
		Node string `json:"node"`
	}
	select {
	case <-b.ready:
		return errors.New("the process was ready twice")
	default:
	}
	if err := json.Unmarshal(payload, &ready); err != nil {
		return fmt.Errorf("read Ready: %w", err)
	}
	b.node = ready.Node
	close(b.ready)
	return nil
}
