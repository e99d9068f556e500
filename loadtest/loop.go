package loadtest

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it; nothing is protected by it
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Loop is the peer that fan-out is measured against: it writes a ready frame to one socket after the
// other. With several shards, each has its part of the sockets and a goroutine for a publish. It runs in a
// process of its own, until ctx ends.
func Loop(ctx context.Context, out io.Writer, shards int) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := &loop{shards: make([]shard, max(1, shards))}
	for i := range l.shards {
		l.shards[i].conns = map[net.Conn]struct{}{}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", l.join)
	mux.HandleFunc("POST /publish", l.publish)
	server := &http.Server{Handler: mux} //nolint:gosec // on loopback, for us alone
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if _, err := fmt.Fprintf(out, "listening on http://%s\n", ln.Addr()); err != nil {
		return err
	}
	if err := server.Serve(ln); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

type loop struct {
	joined atomic.Uint64
	shards []shard
}

type shard struct {
	mu    sync.Mutex // guards conns, and makes publishes one at a time
	conns map[net.Conn]struct{}
}

func (l *loop) join(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	part := &l.shards[l.joined.Add(1)%uint64(len(l.shards))]
	part.mu.Lock() // whoever has read the answer gets what is published next
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])) // the client sees an error
	part.conns[c] = struct{}{}
	part.mu.Unlock()
	go part.leave(c, rw.Reader)
}

// leave waits for the client to go.
func (s *shard) leave(c net.Conn, r *bufio.Reader) {
	_, _ = io.Copy(io.Discard, r) // until it ends
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	_ = c.Close()
}

// publish writes n frames with the body to every socket, in one write each.
func (l *loop) publish(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	event, readErr := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil || readErr != nil || n < 1 {
		http.Error(w, "wrong", http.StatusBadRequest)
		return
	}
	frames := []byte(strings.Repeat(string(textFrame(event)), n))
	var others sync.WaitGroup
	for i := range l.shards[1:] {
		others.Go(func() { l.shards[1+i].write(frames) })
	}
	l.shards[0].write(frames)
	others.Wait()
}

func (s *shard) write(frames []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if _, err := c.Write(frames); err != nil {
			_ = c.Close() // leave takes it out
		}
	}
}

// textFrame is a text frame as servers send it.
func textFrame(payload []byte) []byte {
	if len(payload) < 126 {
		return append([]byte{0x81, byte(len(payload))}, payload...)
	}
	return append([]byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
}
