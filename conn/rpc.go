package conn

import "bytes"

// The error codes of JSON-RPC 2.0, and the one that stands for a fault's own code in `data`.
const (
	rpcParse         = -32700
	rpcInvalid       = -32600
	rpcNoMethod      = -32601
	rpcInvalidParams = -32602
	rpcFault         = -32000
)

// maxParams is how many members params may have; no method takes as many.
const maxParams = 12

// rpcRequest is one request of a message. Its slices point into the message.
type rpcRequest struct {
	id     []byte // the JSON of the id; nil for a notification
	method []byte
	params [maxParams]rpcParam
	n      int  // params that are set
	extra  bool // there were more than maxParams
	code   int  // rpcInvalid or rpcInvalidParams if it is no request that can be done; 0 if it is one
}

// rpcParam is one member of params.
type rpcParam struct{ name, value []byte }

// decodeRPC reads a whole message in one pass: a request, or a batch of them, which it appends to
// reqs. It gives false if the message is not JSON (rpcParse). A batch may hold max requests; what is
// beyond is checked, counted in total, and left out.
func decodeRPC(msg []byte, reqs []rpcRequest, max int) (_ []rpcRequest, batch bool, total int, ok bool) {
	i := skipSpace(msg, 0)
	if i < len(msg) && msg[i] == '[' {
		reqs, total, i = decodeBatch(msg, i, reqs, max)
		batch = true
	} else {
		reqs = append(reqs, rpcRequest{})
		total = 1
		i = reqs[len(reqs)-1].decode(msg, i, 0)
	}
	return reqs, batch, total, i >= 0 && skipSpace(msg, i) == len(msg)
}

func decodeBatch(b []byte, i int, reqs []rpcRequest, max int) (_ []rpcRequest, total, end int) {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return reqs, 0, i + 1
	}
	for {
		total++
		if total <= max {
			reqs = append(reqs, rpcRequest{})
			i = reqs[len(reqs)-1].decode(b, i, 1)
		} else {
			i = skipValue(b, i, 1)
		}
		if i < 0 {
			return reqs, total, -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return reqs, total, -1
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return reqs, total, i + 1
		default:
			return reqs, total, -1
		}
	}
}

// decode reads the request at i and gives the position behind it, or -1.
func (r *rpcRequest) decode(b []byte, i, depth int) int {
	r.code = rpcInvalid
	if i >= len(b) || b[i] != '{' {
		r.id = null
		return skipValue(b, i, depth)
	}
	var version bool
	params := byte('{') // how they begin
	m := objectAt(b, i, depth)
	for key := m.key(); key != nil; key = m.key() {
		switch string(text(key)) {
		case "jsonrpc":
			v := m.value()
			version = v != nil && v[0] == '"' && string(text(v)) == "2.0"
		case "id":
			r.id = m.value()
		case "method":
			r.method = m.value()
		case "params":
			if m.pos < len(b) {
				params = b[m.pos]
			}
			r.decodeParams(&m)
		default:
			m.value()
		}
	}
	if m.pos >= 0 {
		r.check(version, params)
	}
	return m.pos
}

// decodeParams reads params where m stands, and takes them apart if they are an object.
func (r *rpcRequest) decodeParams(m *members) {
	r.n, r.extra = 0, false // of two params the last holds
	if m.pos >= len(m.b) || m.b[m.pos] != '{' {
		m.value()
		return
	}
	p := objectAt(m.b, m.pos, m.depth+1)
	for key := p.key(); key != nil; key = p.key() {
		if v := p.value(); v != nil {
			r.param(text(key), v)
		}
	}
	m.pos = p.pos
}

// check says whether what was read is a request. params is the first byte of its params.
func (r *rpcRequest) check(version bool, params byte) {
	idOK := len(r.id) == 0 || r.id[0] == '"' || r.id[0] == '-' || r.id[0]-'0' <= 9 || r.id[0] == 'n'
	methodOK := len(r.method) > 0 && r.method[0] == '"'
	if !idOK || r.id == nil && (!version || !methodOK) {
		r.id = null // what can't be told from a request is answered
	}
	if !idOK || !version || !methodOK {
		return
	}
	r.method = text(r.method)
	switch params {
	case '{', 'n': // many clients send null for none
		r.code = 0
	case '[':
		r.code = rpcInvalidParams
	default:
		if r.id == nil {
			r.id = null
		}
	}
}

// param sets one param; of two with one name the last holds.
func (r *rpcRequest) param(name, value []byte) {
	for i := range r.params[:r.n] {
		if bytes.Equal(r.params[i].name, name) {
			r.params[i].value = value
			return
		}
	}
	if r.n == maxParams {
		r.extra = true
		return
	}
	r.params[r.n] = rpcParam{name, value}
	r.n++
}

var null = []byte("null")
