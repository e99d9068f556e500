package loadtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// httpCodec sends POST /v1/invoke over a kept-alive HTTP/1.1 connection, one call at a time.
type httpCodec struct {
	request []byte
	expect  []byte

	accepted bool // 202 is an answer
}

func newHTTPCodec(r *run) *httpCodec {
	var b bytes.Buffer
	query := ""
	if r.Durable {
		query = "?async=1"
	}
	fmt.Fprintf(&b, "POST %s/v1/invoke/%s%s HTTP/1.1\r\nHost: %s\r\n", r.target.prefix, r.Function, query, r.target.host)
	if r.Durable && r.Wait > 0 {
		fmt.Fprintf(&b, "Prefer: wait=%d\r\n", max(1, int(r.Wait.Seconds())))
	}
	if r.Key != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", r.Key)
	}
	if r.Tenant != "" {
		fmt.Fprintf(&b, "Livefn-Tenant: %s\r\n", r.Tenant)
	}
	fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(r.Args), r.Args)
	return &httpCodec{request: b.Bytes(), expect: bytes.TrimSpace(r.Expect), accepted: r.Durable && r.Wait == 0}
}

func (h *httpCodec) handshake(net.Conn) ([]byte, error) { return nil, nil }

func (h *httpCodec) encode(out []byte, _ int) []byte { return append(out, h.request...) }

func (h *httpCodec) decode(in []byte) (answer, int, error) {
	status, body, n, err := parseResponse(in)
	if err != nil || n == 0 {
		return answer{}, 0, err
	}
	switch {
	case status < 200: // 100 Continue and its kind precede the answer
		return answer{slot: -1}, n, nil
	case status == 200 || status == 204 || status == 202 && h.accepted:
		if h.expect != nil && !bytes.Equal(bytes.TrimSpace(body), h.expect) {
			return answer{code: codeWrong, detail: fmt.Sprintf(": %.200q", body)}, n, nil
		}
		return answer{}, n, nil
	}
	var problem struct{ Code, Detail string }
	if json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		problem.Code = fmt.Sprintf("http_%d", status)
	}
	if problem.Detail != "" {
		problem.Detail = ": " + problem.Detail
	}
	return answer{code: problem.Code, detail: problem.Detail}, n, nil
}

var (
	errNotHTTP   = errors.New("the answer is not HTTP/1.1")
	errEndless   = errors.New("the answer says neither its length nor its chunks")
	errBadChunks = errors.New("the answer's chunks are malformed")
)

// maxHead is how long a response's line and headers may be.
const maxHead = 64 << 10

// parseResponse takes a response from the front of in (RFC 9112): its status, its body, and its
// length; 0: it is not all there yet. It reads what a server may send in answer to a POST, and refuses
// a body that ends with the connection, as no kept-alive server sends it.
func parseResponse(in []byte) (status int, body []byte, n int, err error) {
	const line = len("HTTP/1.1 200")
	if len(in) < line {
		return 0, nil, 0, nil
	}
	if string(in[:9]) != "HTTP/1.1 " {
		return 0, nil, 0, errNotHTTP
	}
	for _, d := range in[9:line] {
		if d < '0' || d > '9' {
			return 0, nil, 0, errNotHTTP
		}
		status = status*10 + int(d-'0')
	}
	head := bytes.Index(in, []byte("\r\n\r\n"))
	if head < 0 {
		if len(in) > maxHead {
			return 0, nil, 0, errNotHTTP
		}
		return 0, nil, 0, nil
	}
	length, chunked, err := bodyLength(in[line:head])
	if err != nil {
		return 0, nil, 0, err
	}
	start := head + 4
	switch {
	case status < 200 || status == 204 || status == 304:
		return status, nil, start, nil
	case chunked:
		body, n, err := parseChunks(in[start:])
		if err != nil || n == 0 {
			return 0, nil, 0, err
		}
		return status, body, start + n, nil
	case length < 0:
		return 0, nil, 0, errEndless
	case len(in)-start < length:
		return 0, nil, 0, nil
	}
	return status, in[start : start+length], start + length, nil
}

// bodyLength looks for how the body ends; -1: the headers don't say.
func bodyLength(head []byte) (length int, chunked bool, err error) {
	length = -1
	for len(head) > 0 {
		line := head
		if i := bytes.IndexByte(head, '\n'); i >= 0 {
			if i == 0 || head[i-1] != '\r' { // readers disagree on what a lone line feed ends
				return 0, false, errNotHTTP
			}
			line, head = head[:i], head[i+1:]
		} else {
			head = nil
		}
		switch {
		case isHeader(line, "content-length:"):
			v := bytes.TrimSpace(line[len("content-length:"):])
			n, err := strconv.ParseUint(string(v), 10, 31) // does not allocate: the string is not kept
			if err != nil || length >= 0 && length != int(n) {
				return 0, false, errNotHTTP
			}
			length = int(n)
		case isHeader(line, "transfer-encoding:"):
			if !bytes.EqualFold(bytes.TrimSpace(line[len("transfer-encoding:"):]), []byte("chunked")) {
				return 0, false, errNotHTTP
			}
			chunked = true
		}
	}
	return length, chunked, nil
}

// isHeader reports whether line begins with the header name, which is given in lower case and with its colon.
func isHeader(line []byte, name string) bool {
	if len(line) < len(name) || line[0]|0x20 != name[0] || line[len(name)-1] != ':' {
		return false
	}
	return bytes.EqualFold(line[:len(name)], []byte(name))
}

// parseChunks takes a chunked body and its trailers from the front of in.
func parseChunks(in []byte) (body []byte, n int, err error) {
	for at := 0; ; {
		i := bytes.IndexByte(in[at:], '\n')
		if i < 0 {
			if len(in)-at > maxHead {
				return nil, 0, errBadChunks
			}
			return nil, 0, nil
		}
		size, _, _ := bytes.Cut(in[at:at+i], []byte(";"))
		length, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		if err != nil {
			return nil, 0, errBadChunks
		}
		at += i + 1
		if length == 0 {
			return endChunks(in, at, body)
		}
		end := at + int(length)
		if len(in) < end+2 {
			return nil, 0, nil
		}
		if string(in[end:end+2]) != "\r\n" {
			return nil, 0, errBadChunks
		}
		body = append(body, in[at:end]...)
		at = end + 2
	}
}

// endChunks skips the trailers behind the last chunk.
func endChunks(in []byte, at int, body []byte) ([]byte, int, error) {
	for {
		i := bytes.IndexByte(in[at:], '\n')
		if i < 0 {
			if len(in)-at > maxHead {
				return nil, 0, errBadChunks
			}
			return nil, 0, nil
		}
		line := bytes.TrimSpace(in[at : at+i])
		at += i + 1
		if len(line) == 0 {
			return body, at, nil
		}
	}
}
