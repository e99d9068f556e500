package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socket is a JSON-RPC client on a WebSocket, made of a library that the hub doesn't use.
type socket struct {
	t    *testing.T
	conn *websocket.Conn

	write sync.Mutex // one writer at a time
	mu    sync.Mutex // guards the rest
	last  int
	calls map[string]chan answer

	events chan event    // notifications, in order
	closed chan struct{} // closed when nothing more comes
	err    error         // why; set before closed is
}

type answer struct {
	ID     json.RawMessage `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    struct {
		Code      string `json:"code"`
		Execution string `json:"execution"`
	} `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.Data.Code, e.Message) }

type event struct {
	Subscription string          `json:"subscription"`
	Stream       string          `json:"stream"`
	Offset       uint64          `json:"offset"`
	Type         string          `json:"type"`
	Time         string          `json:"time"`
	Data         json.RawMessage `json:"data"`
}

func (h *hub) socket() *socket {
	h.t.Helper()
	return h.dial(http.Header{"Authorization": {"Bearer " + h.key}})
}

func (h *hub) dial(header http.Header) *socket {
	h.t.Helper()
	conn, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/v1/ws", header)
	if err != nil {
		h.t.Fatalf("dial: %v", err)
	}
	_ = res.Body.Close()
	s := &socket{t: h.t, conn: conn, calls: map[string]chan answer{}, events: make(chan event, 100_000), closed: make(chan struct{})}
	go s.read()
	h.t.Cleanup(s.close)
	return s
}

func (s *socket) close() {
	_ = s.conn.Close()
	<-s.closed
}

func (s *socket) read() {
	defer close(s.closed)
	for {
		_, b, err := s.conn.ReadMessage()
		if err != nil {
			s.err = err
			close(s.events)
			return
		}
		batch := []json.RawMessage{b}
		if b[0] == '[' {
			if err := json.Unmarshal(b, &batch); err != nil {
				s.t.Errorf("a batch that is not JSON: %v", err)
			}
		}
		for _, m := range batch {
			s.message(m)
		}
	}
}

func (s *socket) message(b []byte) {
	var m struct {
		answer
		Method string
		Params event
	}
	if err := json.Unmarshal(b, &m); err != nil {
		s.t.Errorf("a message that is not JSON: %v: %.200s", err, b)
		return
	}
	if m.Method != "" {
		if m.Method == "event" {
			s.events <- m.Params
		}
		return
	}
	s.mu.Lock()
	waiting := s.calls[string(m.ID)]
	delete(s.calls, string(m.ID))
	s.mu.Unlock()
	if waiting == nil {
		s.t.Errorf("an answer that nobody waits for: %.200s", b)
		return
	}
	waiting <- m.answer
}

// expect gives where the answer to the id will come.
func (s *socket) expect(id string) <-chan answer {
	c := make(chan answer, 1)
	s.mu.Lock()
	s.calls[id] = c
	s.mu.Unlock()
	return c
}

// send sends a request and gives where its answer will come.
func (s *socket) send(method string, params any) <-chan answer {
	s.mu.Lock()
	s.last++
	id := strconv.Itoa(s.last)
	s.mu.Unlock()
	c := s.expect(id)
	b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": json.RawMessage(id), "method": method, "params": params})
	if err != nil {
		s.t.Fatal(err)
	}
	s.text(b)
	return c
}

func (s *socket) text(b []byte) {
	s.write.Lock()
	defer s.write.Unlock()
	_ = s.conn.WriteMessage(websocket.TextMessage, b) // the reader notices what is wrong
}

func (s *socket) await(what string, c <-chan answer) answer {
	s.t.Helper()
	select {
	case a := <-c:
		return a
	case <-s.closed:
		s.t.Fatalf("%s: the connection was closed: %v", what, s.err)
	case <-time.After(patience):
		s.t.Fatalf("%s: no answer", what)
	}
	return answer{}
}

// call sends a request and reads its result into out; a fault fails the test.
func (s *socket) call(method string, params, out any) {
	s.t.Helper()
	a := s.await(method, s.send(method, params))
	if a.Error != nil {
		s.t.Fatalf("%s %v: %v", method, params, a.Error)
	}
	if out != nil {
		if err := json.Unmarshal(a.Result, out); err != nil {
			s.t.Fatalf("%s: %v in %s", method, err, a.Result)
		}
	}
}

// fault sends a request that must fail, and gives the fault.
func (s *socket) fault(method string, params any) *rpcError {
	s.t.Helper()
	a := s.await(method, s.send(method, params))
	if a.Error == nil {
		s.t.Fatalf("%s %v: no fault, but %s", method, params, a.Result)
	}
	return a.Error
}

// next waits for the next notification that f accepts; those before it are gone.
func (s *socket) next(what string, f func(event) bool) event {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case ev, ok := <-s.events:
			if !ok {
				s.t.Fatalf("waiting for %s: the connection was closed: %v", what, s.err)
			}
			if f(ev) {
				return ev
			}
		case <-timeout:
			s.t.Fatalf("waiting for %s: it did not come", what)
		}
	}
}

// nextOf waits for an event of this type.
func (s *socket) nextOf(eventType string) event {
	s.t.Helper()
	return s.next(eventType, func(ev event) bool { return ev.Type == eventType })
}

// execution is an execution as the API shows it.
type execution struct {
	ID        string          `json:"id"`
	Function  string          `json:"function"`
	Version   int             `json:"version"`
	State     string          `json:"state"`
	Attempt   int             `json:"attempt"`
	CreatedAt string          `json:"createdAt"`
	StartedAt string          `json:"startedAt"`
	EndedAt   string          `json:"endedAt"`
	Args      json.RawMessage `json:"args"`
	Result    json.RawMessage `json:"result"`
	Error     *struct{ Code, Message, Name, Stack string }
	Pause     *struct {
		Reason string          `json:"reason"`
		At     string          `json:"at"`
		Args   json.RawMessage `json:"args"`
	} `json:"pause"`
}

func (s *socket) get(id string) (x execution) {
	s.t.Helper()
	s.call("get", map[string]string{"execution": id}, &x)
	return x
}
