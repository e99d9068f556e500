package loadtest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 wants it; nothing is protected by it
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// firstID is the JSON-RPC id of slot 0. All ids have as many digits, so that a request is a fixed
// text in which seven bytes change.
const (
	firstID  = 1_000_000
	idDigits = 7
)

// socketCodec speaks JSON-RPC over a WebSocket. The request is masked once; encode copies it and
// patches the id.
type socketCodec struct {
	run     *run
	request []byte // the whole masked frame, its id's digits being those of firstID
	at      int    // where the id stands in request
	mask    [4]byte
	phase   int // of the mask at the id's first digit
	expect  []byte
	message []byte // fragments so far
	partial bool
}

func newSocketCodec(r *run) *socketCodec {
	s := &socketCodec{run: r, expect: bytes.TrimSpace(r.Expect)}
	_, _ = rand.Read(s.mask[:]) // never fails
	before := `{"jsonrpc":"2.0","id":`
	body := fmt.Appendf(nil, `%s%d,"method":"invoke","params":{"function":%q,"args":%s}}`, before, firstID, r.Function, r.Args)
	s.request = appendFrame(nil, opText, body, s.mask)
	s.phase = len(before)
	s.at = len(s.request) - len(body) + s.phase
	return s
}

func (s *socketCodec) encode(out []byte, slot int) []byte {
	from := len(out) + s.at
	out = append(out, s.request...)
	for i, id := idDigits-1, firstID+slot; i >= 0; i-- {
		out[from+i] = byte('0'+id%10) ^ s.mask[(s.phase+i)&3]
		id /= 10
	}
	return out
}

func (s *socketCodec) handshake(c net.Conn) ([]byte, error) {
	s.message, s.partial = s.message[:0], false
	path := s.run.target.prefix + "/v1/ws"
	if s.run.Tenant != "" {
		path += "?tenant=" + s.run.Tenant
	}
	return upgrade(c, path, s.run.target.host, s.run.Key)
}

// upgrade makes a WebSocket of the connection (RFC 6455, section 4), and gives what came behind the answer.
func upgrade(c net.Conn, path, host, bearer string) ([]byte, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, host)
	fmt.Fprintf(&b, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", key)
	if bearer != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", bearer)
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		defer res.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxHead))
		var problem struct{ Code, Detail string }
		if json.Unmarshal(body, &problem) == nil && problem.Code != "" {
			return nil, fmt.Errorf("%s: %s", problem.Code, problem.Detail)
		}
		return nil, fmt.Errorf("no WebSocket there: %s", res.Status)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // see above
	if res.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, errors.New("the answer to the WebSocket handshake is for another request")
	}
	early := make([]byte, br.Buffered())
	_, err = io.ReadFull(br, early)
	return early, err
}

func (s *socketCodec) decode(in []byte) (answer, int, error) {
	f, n, err := parseFrame(in)
	if err != nil || n == 0 {
		return answer{}, 0, err
	}
	switch f.op {
	case opPing:
		return answer{slot: -1, reply: appendFrame(nil, opPong, f.payload, s.mask)}, n, nil
	case opPong:
		return answer{slot: -1}, n, nil
	case opClose:
		if len(f.payload) < 2 {
			return answer{}, 0, errors.New("the hub closed the WebSocket")
		}
		return answer{}, 0, fmt.Errorf("the hub closed the WebSocket: %d %s", int(f.payload[0])<<8|int(f.payload[1]), f.payload[2:])
	case opBinary:
		return answer{}, 0, errors.New("the hub sent a binary message")
	}
	if (f.op == opContinuation) != s.partial {
		return answer{}, 0, errFrame
	}
	message := f.payload
	if !f.final || s.partial {
		s.message = append(s.message, f.payload...)
		if len(s.message) > maxBuffer {
			return answer{}, 0, errFrame
		}
		if s.partial = !f.final; s.partial {
			return answer{slot: -1}, n, nil
		}
		message = s.message
		s.message = s.message[:0]
	}
	a, err := s.meaning(message)
	return a, n, err
}

// meaning says what a JSON-RPC message answers.
func (s *socketCodec) meaning(message []byte) (answer, error) {
	m, ok := scanMessage(message)
	switch {
	case !ok:
		return answer{}, fmt.Errorf("the hub sent what is not JSON-RPC: %.200q", message)
	case m.method != nil:
		return answer{slot: -1}, nil // a notification
	}
	a := answer{slot: int(m.id - firstID)}
	if m.id < firstID || m.id >= firstID+maxInFlight {
		if m.fault == nil {
			return answer{}, fmt.Errorf("the hub answered what was not asked: %.200q", message)
		}
		a.slot = -1
	}
	switch {
	case m.fault != nil:
		a.code, a.detail = faultCode(m.fault)
		if a.slot < 0 { // it could not even read the request
			return answer{}, errors.New(a.code + a.detail)
		}
	case s.expect != nil && !bytes.Equal(m.result, s.expect):
		a.code, a.detail = codeWrong, fmt.Sprintf(": %.200q", m.result)
	}
	return a, nil
}

// faultCode gives the stable code of a JSON-RPC error, or its number.
func faultCode(fault []byte) (code, detail string) {
	var e struct {
		Code    int
		Message string
		Data    struct{ Code string }
	}
	if err := json.Unmarshal(fault, &e); err != nil {
		return "rpc_malformed", ""
	}
	if e.Message != "" {
		detail = ": " + e.Message
	}
	if e.Data.Code != "" {
		return e.Data.Code, detail
	}
	return fmt.Sprintf("rpc_%d", e.Code), detail
}
