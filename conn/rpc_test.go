package conn

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

// oracle is decodeRPC written with encoding/json.
type oracleRequest struct {
	ID     string
	Method string
	Params map[string]string
	Code   int
}

func oracle(msg []byte, max int) (reqs []oracleRequest, batch bool, total int, ok bool) {
	if !json.Valid(msg) {
		return nil, false, 0, false
	}
	var list []json.RawMessage
	if bytes.TrimLeft(msg, " \t\r\n")[0] == '[' {
		batch = true
		if json.Unmarshal(msg, &list) != nil {
			return nil, false, 0, false
		}
	} else {
		list = []json.RawMessage{msg}
	}
	total = len(list)
	for _, raw := range list[:min(total, max)] {
		reqs = append(reqs, oracleOne(raw))
	}
	return reqs, batch, total, true
}

func oracleOne(raw json.RawMessage) oracleRequest {
	r := oracleRequest{ID: "null", Code: rpcInvalid}
	var m map[string]json.RawMessage
	if bytes.TrimSpace(raw)[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return r
	}
	var version, method string
	versionOK := m["jsonrpc"] != nil && m["jsonrpc"][0] == '"' && json.Unmarshal(m["jsonrpc"], &version) == nil && version == "2.0"
	methodOK := m["method"] != nil && m["method"][0] == '"' && json.Unmarshal(m["method"], &method) == nil
	id, hasID := m["id"]
	if hasID && bytes.ContainsAny(id[:1], "{[tf") {
		return r
	}
	if hasID {
		r.ID = string(id)
	}
	if !versionOK || !methodOK {
		return r
	}
	r.Method = method
	p := m["params"]
	if p == nil {
		p = json.RawMessage("{}")
	}
	switch p[0] {
	case '[':
		r.Code = rpcInvalidParams
	case 'n':
		r.Code = 0
	case '{':
		r.Code = 0
		var params map[string]json.RawMessage
		if json.Unmarshal(p, &params) != nil {
			panic("valid JSON")
		}
		for k, v := range params {
			if r.Params == nil {
				r.Params = map[string]string{}
			}
			r.Params[k] = string(v)
		}
	}
	if !hasID && r.Code != rpcInvalid {
		r.ID = ""
	}
	return r
}

func ours(msg []byte, max int) (reqs []oracleRequest, batch bool, total int, ok, extra bool) {
	list, batch, total, ok := decodeRPC(msg, nil, max)
	if !ok {
		return nil, false, 0, false, false
	}
	for _, r := range list {
		o := oracleRequest{ID: string(r.id), Code: r.code}
		if r.code != rpcInvalid || (len(r.method) > 0 && r.method[0] != '"') {
			o.Method = string(r.method)
		}
		if r.code == 0 {
			for _, p := range r.params[:r.n] {
				if o.Params == nil {
					o.Params = map[string]string{}
				}
				o.Params[string(p.name)] = string(p.value)
			}
		}
		extra = extra || r.extra
		reqs = append(reqs, o)
	}
	return reqs, batch, total, true, extra
}

func checkRPC(t *testing.T, msg []byte) {
	t.Helper()
	if !utf8.Valid(msg) { // a session closes before it decodes
		return
	}
	const max = 3
	want, wantBatch, wantTotal, wantOK := oracle(msg, max)
	got, batch, total, ok, extra := ours(msg, max)
	if ok != wantOK || batch != wantBatch || total != wantTotal {
		t.Fatalf("%q: got ok %v batch %v total %v, want %v %v %v", msg, ok, batch, total, wantOK, wantBatch, wantTotal)
	}
	if extra { // the oracle takes any number of params
		return
	}
	for i := range want {
		if want[i].Code == rpcInvalid { // what it would have been is not compared
			want[i].Method, want[i].Params, got[i].Method, got[i].Params = "", nil, "", nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%q:\n got %+v\nwant %+v", msg, got, want)
	}
}

var rpcSeeds = []string{
	`{"jsonrpc":"2.0","id":1,"method":"invoke","params":{"function":"add","args":[1,2]}}`,
	` { "jsonrpc" : "2.0" , "id" : "a\"b" , "method" : "pi\u006eg" } `,
	`{"jsonrpc":"2.0","method":"ping"}`,
	`{"jsonrpc":"2.0","id":null,"method":"ping","params":null}`,
	`{"jsonrpc":"2.0","id":1.5e3,"method":"ping","params":[1]}`,
	`{"jsonrpc":"2.0","id":true,"method":"ping"}`,
	`{"jsonrpc":"1.0","id":1,"method":"ping"}`,
	`{"id":1,"method":"ping"}`,
	`{"jsonrpc":"2.0","id":1,"method":1,"params":"bar"}`,
	`{"jsonrpc":"2.0","id":1,"method":"ping","params":3}`,
	`{"jsonrpc":"2.0","method":"ping","params":3}`,
	`{"jsonrpc":"2.0","id":1,"method":"a","id":2,"method":"b","params":{"x":1,"x":2},"params":{"y":{"z":[]}}}`,
	`{"jsonrpc":"2.0","id":1,"method":"a","params":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9}}`,
	`[]`, `[1]`, `[1,2,3,4]`, `[[],{}]`, `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"ping"}]`,
	`[{"jsonrpc":"2.0","id":1,"method":"ping"},`, `[1,]`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a" 1}`,
	``, ` `, `1`, `"x"`, `nul`, `null`, `tru`, `{"jsonrpc":"2.0"} x`, `{"a":"` + "\x01" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`,
	`{"params":{"a":01}}`, `{"params":{"a":-}}`, `{"params":{"a":1.}}`, `{"params":{"a":1e}}`, `{"params":{"a":-0.1E+2}}`,
	`{"id":"\ud800","jsonrpc":"2.0","method":"\ud83d\ude00"}`, `{"jsonrpc":"2.0","id":1,"method":"` + "\xff" + `"}`,
}

func TestAMessageIsReadAsEncodingJSONReadsIt(t *testing.T) {
	for _, msg := range rpcSeeds {
		checkRPC(t, []byte(msg))
	}
	deep := func(n int) []byte {
		return append(append([]byte(`{"params":{"a":`), bytes.Repeat([]byte("["), n)...), append(bytes.Repeat([]byte("]"), n), "}}"...)...)
	}
	checkRPC(t, deep(100))
	checkRPC(t, deep(9997))
	checkRPC(t, deep(20000))
}

func FuzzDecodeRPC(f *testing.F) {
	for _, msg := range rpcSeeds {
		f.Add([]byte(msg))
	}
	f.Fuzz(checkRPC)
}

func TestReadingAMessageAllocatesNothing(t *testing.T) {
	msg := []byte(rpcSeeds[0])
	reqs := make([]rpcRequest, 0, 4)
	if n := testing.AllocsPerRun(100, func() { decodeRPC(msg, reqs, 4) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkDecodeRPC(b *testing.B) {
	msg := []byte(rpcSeeds[0])
	reqs := make([]rpcRequest, 0, 4)
	b.SetBytes(int64(len(msg)))
	for b.Loop() {
		decodeRPC(msg, reqs, 4)
	}
}
