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
)

// Loop is the peer that fan-out is measured against: it writes a ready frame to one socket after the
// other. It runs in a process of its own, until ctx ends.
func Loop(ctx context.Context, out io.Writer) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l := &loop{conns: map[net.Conn]struct{}{}}
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
	l.mu.Lock() // whoever has read the answer gets what is published next
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:])) // the client sees an error
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	go l.leave(c, rw.Reader)
}

// leave waits for the client to go.
func (l *loop) leave(c net.Conn, r *bufio.Reader) {
	_, _ = io.Copy(io.Discard, r) // until it ends
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
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
