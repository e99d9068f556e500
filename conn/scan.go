package conn

import (
	"bytes"
	"encoding/json"
)

// maxDepth is how deeply a message may nest, as in encoding/json.
const maxDepth = 10000

// The scanner checks RFC 8259 in one pass and allocates nothing. Each function takes a position in b
// and gives the position after what it read, or -1 where b is not JSON.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipValue reads one value that begins at i.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return skipString(b, i)
	case c == '-' || c-'0' <= 9:
		return skipNumber(b, i)
	case c == '{':
		return skipObject(b, i, depth)
	case c == '[':
		return skipArray(b, i, depth)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return -1
}

func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipString reads a string whose opening quote is at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < 0x20:
			return -1
		case c == '\\':
			i++
			if i >= len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if !hex4(b, i+1) {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

func hex4(b []byte, i int) bool {
	if len(b)-i < 4 {
		return false
	}
	for _, c := range b[i : i+4] {
		if c-'0' > 9 && c-'a' > 5 && c-'A' > 5 {
			return false
		}
	}
	return true
}

func skipDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

func skipArray(b []byte, i, depth int) int {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i = skipValue(b, i, depth+1); i < 0 {
			return -1
		}
		if i = skipSpace(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return -1
		}
	}
}

func skipObject(b []byte, i, depth int) int {
	m := objectAt(b, i, depth)
	for m.key() != nil && m.value() != nil {
	}
	return m.pos
}

// members walks the members of an object: key and value by turns, until key gives nil. Then pos is
// behind the object, or -1 if it is none.
type members struct {
	b     []byte
	pos   int // at the brace or behind a value; between key and value: at the value
	depth int
	begun bool
}

// objectAt begins at the brace at i.
func objectAt(b []byte, i, depth int) members { return members{b: b, pos: i, depth: depth} }

// key gives the next key with its quotes.
func (m *members) key() []byte {
	b, i := m.b, m.pos
	m.pos = -1
	switch {
	case i < 0:
		return nil
	case !m.begun:
		i = skipSpace(b, i+1)
		if i < len(b) && b[i] == '}' {
			m.pos = i + 1
			return nil
		}
		m.begun = true
	default:
		if i = skipSpace(b, i); i >= len(b) {
			return nil
		}
		if b[i] == '}' {
			m.pos = i + 1
			return nil
		}
		if b[i] != ',' {
			return nil
		}
		i = skipSpace(b, i+1)
	}
	if i >= len(b) || b[i] != '"' {
		return nil
	}
	j := skipString(b, i)
	if j < 0 {
		return nil
	}
	colon := skipSpace(b, j)
	if colon >= len(b) || b[colon] != ':' {
		return nil
	}
	m.pos = skipSpace(b, colon+1)
	return b[i:j]
}

// value gives the value of the key that key gave.
func (m *members) value() []byte {
	i := m.pos
	if m.pos = skipValue(m.b, i, m.depth+1); m.pos < 0 {
		return nil
	}
	return m.b[i:m.pos]
}

// text gives the content of a JSON string that was scanned; without escapes it is a slice of it.
// Half a surrogate pair and what is not UTF-8 become U+FFFD, as in encoding/json.
func text(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil // it was scanned, so it is one
	}
	return []byte(s)
}
