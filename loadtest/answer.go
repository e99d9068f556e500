package loadtest

// message is what a JSON-RPC message from the hub says; its slices point into it.
type message struct {
	id     int64 // -1: none, or none of ours
	method []byte
	result []byte
	fault  []byte // the value of "error"
}

// scanMessage finds the members of a JSON-RPC object without decoding their values. It reads all
// that is JSON, and some that is not: whether the result is right is checked against what is expected.
func scanMessage(b []byte) (m message, ok bool) {
	m.id = -1
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return m, false
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return m, space(b, i+1) == len(b)
	}
	for {
		key := i
		if i = value(b, i); i < 0 || b[key] != '"' {
			return m, false
		}
		name := b[key+1 : i-1]
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return m, false
		}
		from := space(b, i+1)
		if i = value(b, from); i < 0 {
			return m, false
		}
		v := b[from:i]
		switch string(name) {
		case "id":
			m.id = number(v)
		case "method":
			m.method = v
		case "result":
			m.result = v
		case "error":
			m.fault = v
		}
		if i = space(b, i); i >= len(b) {
			return m, false
		}
		switch b[i] {
		case ',':
			i = space(b, i+1)
		case '}':
			return m, space(b, i+1) == len(b)
		default:
			return m, false
		}
	}
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// number reads a plain decimal; -1 for all else.
func number(b []byte) int64 {
	if len(b) == 0 || len(b) > 18 {
		return -1
	}
	n := int64(0)
	for _, d := range b {
		if d < '0' || d > '9' {
			return -1
		}
		n = n*10 + int64(d-'0')
	}
	return n
}

// value gives the position behind the JSON value at i, or -1 if none ends.
func value(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return text(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				if i = text(b, i); i < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	case '}', ']', ',', ':':
		return -1
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

// text gives the position behind the string at i, or -1.
func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
