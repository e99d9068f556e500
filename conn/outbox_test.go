package conn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livefn/livefn/hub"
	"github.com/livefn/livefn/nodebridge"
)

// pair gives the two ends of a TCP connection.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); c.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// testOutbox is an outbox on a connection, with what it told its owner.
type testOutbox struct {
	outbox
	wg   sync.WaitGroup
	slow atomic.Bool
}

func newTestOutbox(t *testing.T, c net.Conn, limit int) *testOutbox {
	o := &testOutbox{}
	o.limit, o.timeout = limit, 10*time.Second
	o.spawn = func(f func()) { o.wg.Go(f) }
	o.over = func() { o.slow.Store(true); o.finish(closeFrame(CloseSlow)) }
	o.attach(newSocket(c, nil, new(atomic.Int64)), nil)
	t.Cleanup(func() { o.kill(); c.Close(); o.wg.Wait() })
	return o
}

// readFrames reads server frames until the connection or a close frame ends them.
func readFrames(r io.Reader) (texts []string, closed CloseCode, err error) {
	br := bufio.NewReader(r)
	for {
		var head [2]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return texts, 0, err
		}
		n := uint64(head[1])
		switch n {
		case 126:
			var b [2]byte
			_, err = io.ReadFull(br, b[:])
			n = uint64(binary.BigEndian.Uint16(b[:]))
		case 127:
			var b [8]byte
			_, err = io.ReadFull(br, b[:])
			n = binary.BigEndian.Uint64(b[:])
		}
		p := make([]byte, n)
		if _, err2 := io.ReadFull(br, p); err2 != nil || err != nil {
			return texts, 0, fmt.Errorf("in a frame: %v %v", err, err2)
		}
		switch head[0] {
		case 0x80 | opText:
			texts = append(texts, string(p))
		case 0x80 | opPing:
		case 0x80 | opClose:
			return texts, CloseCode(binary.BigEndian.Uint16(p)), nil
		default:
			return texts, 0, fmt.Errorf("opcode %#x", head[0])
		}
	}
}

// Several events reach a crowd whose batches several cores write at once: whoever writes a connection, its
// events come in the order in which they were appended, each once.
func TestACrowdHearsEachEventOnceAndInOrder(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	const connections, publishers, events = 400, 4, 25 // enough connections for a batch to be shared
	all := make([]*testOutbox, connections)
	heard := make([][]string, connections)
	var readers sync.WaitGroup
	for i := range all {
		ours, theirs := pair(t)
		all[i] = newTestOutbox(t, ours, 1<<20)
		readers.Go(func() { heard[i], _, _ = readFrames(theirs) }) // up to the close; what is missing shows below
	}
	var publishing sync.Mutex // as a stream's lock: it makes the order
	var want []string
	var senders sync.WaitGroup
	for range publishers {
		senders.Go(func() {
			for range events {
				var b nodebridge.Batch
				publishing.Lock()
				event := strconv.Itoa(len(want))
				want = append(want, event)
				for _, o := range all {
					o.text(&b, []byte(event))
				}
				publishing.Unlock()
				b.Flush()
			}
		})
	}
	senders.Wait()
	for _, o := range all {
		o.mu.Lock()
		o.finish(closeFrame(CloseNormal))
		o.mu.Unlock()
		o.Flush()
	}
	readers.Wait()
	for i, got := range heard {
		if !slices.Equal(got, want) {
			t.Fatalf("connection %d heard %v, want 0 to %d", i, got, len(want)-1)
		}
	}
}

// Frames of every length form, with control frames of another goroutine between them, through a
// connection that takes them in bits.
func TestFramesStayWholeHoweverTheyAreWritten(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetWriteBuffer(64 << 10)
	_ = theirs.SetReadBuffer(64 << 10)
	o := newTestOutbox(t, ours, 64<<20)
	sizes := []int{0, 1, 125, 126, 127, 65535, 65536, 200_000}
	const rounds = 40
	var senders sync.WaitGroup
	for g := range 3 {
		senders.Go(func() {
			var b nodebridge.Batch
			for i := range rounds {
				p := bytes.Repeat([]byte{byte('a' + g)}, sizes[i%len(sizes)])
				o.text(&b, p[:len(p)/2], p[len(p)/2:])
				if i%3 == 0 {
					b.Flush()
				}
			}
			b.Flush()
		})
	}
	senders.Go(func() {
		for range 200 {
			o.frames(pingFrame)
		}
	})
	go func() {
		senders.Wait()
		o.mu.Lock()
		o.finish(closeFrame(CloseNormal))
		o.mu.Unlock()
		o.Flush()
	}()
	texts, closed, err := readFrames(theirs)
	if err != nil || closed != CloseNormal {
		t.Fatalf("closed %d, %v", closed, err)
	}
	next := map[byte]int{}
	for _, s := range texts {
		if s == "" {
			continue
		}
		if strings.Trim(s, s[:1]) != "" {
			t.Fatalf("a frame of %d bytes has another's bytes", len(s))
		}
		for sizes[next[s[0]]%len(sizes)] == 0 {
			next[s[0]]++
		}
		if want := sizes[next[s[0]]%len(sizes)]; len(s) != want {
			t.Fatalf("sender %c: frame %d has %d bytes, want %d", s[0], next[s[0]], len(s), want)
		}
		next[s[0]]++
	}
	if len(texts) != 3*rounds {
		t.Fatalf("%d frames, want %d", len(texts), 3*rounds)
	}
}

// What has begun is finished, so that the client can read why it is closed.
func TestASlowReaderGetsWholeFramesAndThenCloseSlow(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetWriteBuffer(64 << 10)
	_ = theirs.SetReadBuffer(64 << 10)
	o := newTestOutbox(t, ours, 1<<20)
	p := bytes.Repeat([]byte("x"), 100_000)
	sent := 0
	for !o.slow.Load() {
		o.text(nil, p)
		if sent++; sent > 1000 {
			t.Fatal("the outbox has no bound")
		}
	}
	if o.text(nil, p) {
		t.Fatal("a frame was taken after the end")
	}
	texts, closed, err := readFrames(theirs)
	if err != nil || closed != CloseSlow {
		t.Fatalf("closed %d, %v", closed, err)
	}
	for _, s := range texts {
		if s != string(p) {
			t.Fatal("a frame is not whole")
		}
	}
	if len(texts) == 0 || len(texts) >= sent {
		t.Fatalf("%d of %d frames arrived", len(texts), sent)
	}
}

// An answer may be larger than the outbox, if its reader keeps up.
func TestOneFrameLargerThanTheLimitPasses(t *testing.T) {
	ours, theirs := pair(t)
	o := newTestOutbox(t, ours, 1<<10)
	p := bytes.Repeat([]byte("x"), 1<<20)
	if !o.text(nil, p) {
		t.Fatal("it was not taken")
	}
	o.mu.Lock()
	o.finish(closeFrame(CloseNormal))
	o.mu.Unlock()
	o.Flush()
	texts, closed, err := readFrames(theirs)
	if err != nil || closed != CloseNormal || len(texts) != 1 || texts[0] != string(p) {
		t.Fatalf("%d frames, closed %d, %v", len(texts), closed, err)
	}
}

func TestRoomWaitsUntilTheOutboxIsHalfEmpty(t *testing.T) {
	ours, theirs := pair(t)
	_ = ours.SetWriteBuffer(64 << 10)
	_ = theirs.SetReadBuffer(64 << 10)
	o := newTestOutbox(t, ours, 8<<20)
	p := bytes.Repeat([]byte("x"), 1<<20)
	for range 8 {
		o.text(nil, p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Room(ctx); err != context.Canceled {
		t.Fatalf("a full outbox has room: %v", err)
	}
	room := make(chan error, 1)
	go func() { room <- o.Room(context.Background()) }()
	if _, err := io.CopyN(io.Discard, theirs, 5<<20); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	if err := <-room; err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	queued := o.queued()
	o.mu.Unlock()
	if queued > 4<<20 {
		t.Fatalf("%d bytes wait", queued)
	}
	o.kill()
	if err := o.Room(context.Background()); err == nil {
		t.Fatal("a dead outbox has room")
	}
}

func TestABatchIsOneWrite(t *testing.T) {
	ours, theirs := pair(t)
	o := newTestOutbox(t, ours, 1<<20)
	var b nodebridge.Batch
	for range 10 {
		o.text(&b, []byte(`{"jsonrpc":"2.0","id":1,"result":3}`))
	}
	b.Flush()
	buf := make([]byte, 4096)
	n, err := theirs.Read(buf)
	if want := 10 * (2 + 35); err != nil || n != want {
		t.Fatalf("the first read gave %d bytes, want %d (%v)", n, want, err)
	}
}

func TestAppendingAndFlushingAllocatesNothing(t *testing.T) {
	ours, theirs := pair(t)
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	o := newTestOutbox(t, ours, 1<<20)
	var b nodebridge.Batch
	p := []byte(`{"jsonrpc":"2.0","id":1,"result":3}`)
	if n := testing.AllocsPerRun(1000, func() { o.text(&b, p, p); b.Flush() }); n > 0.1 {
		t.Fatalf("%v allocations", n)
	}
}

func TestASocketGivesEarlyBytesFirstAndReadsWithoutHoldingABuffer(t *testing.T) {
	ours, theirs := pair(t)
	k := newSocket(ours, []byte("early"), new(atomic.Int64))
	go func() {
		_, err := theirs.Write([]byte(" and late"))
		if err = errors.Join(err, theirs.CloseWrite()); err != nil {
			t.Error(err)
		}
	}()
	b, err := io.ReadAll(struct{ io.Reader }{k})
	if err != nil || string(b) != "early and late" || k.chunk != nil || k.early != nil {
		t.Fatalf("%q, %v", b, err)
	}
	if n, err := k.Read(b); n != 0 || err != io.EOF {
		t.Fatalf("%d, %v", n, err)
	}
}

// A connection that is no file descriptor of ours, such as TLS, works too.
func TestAnOutboxNeedsNoRawConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	o := newTestOutbox(t, ours, 1<<20)
	if o.sock.raw != nil {
		t.Fatal("a pipe is raw")
	}
	o.text(nil, []byte("hello"))
	o.mu.Lock()
	o.finish(closeFrame(CloseRestart))
	o.mu.Unlock()
	o.Flush()
	texts, closed, err := readFrames(theirs)
	if err != nil || closed != CloseRestart || len(texts) != 1 || texts[0] != "hello" {
		t.Fatalf("%q, closed %d, %v", texts, closed, err)
	}
}

// BenchmarkDeliver is what one event costs a session, up to the write, alone and with seven others.
func BenchmarkDeliver(b *testing.B) {
	s := &Session{}
	s.out.limit = 1 << 20
	k := &sink{s: s, head: eventHead("subscription", []byte(`"s1"`)), opened: true, name: "s1"}
	for _, n := range []int{1, 8} {
		var evs []*hub.Event
		for i := range n {
			evs = append(evs, &hub.Event{Stream: "load.fanout", Offset: uint64(i + 1), Type: "e", Data: []byte(`{"n":1234567,"text":"` + strings.Repeat("x", 60) + `"}`)})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for i := 0; i < b.N; i += n {
				k.Deliver(nil, evs, nil)
				s.out.tail = s.out.tail.free()
			}
		})
	}
}
