package hub

import (
	"strings"

	"github.com/livefn/livefn/internal/fault"
)

// maxStreamName is the length in bytes that a stream's name or a pattern may have.
const maxStreamName = 256

// checkPattern says whether p is a stream's name or a pattern over names (NATS subject syntax: tokens
// joined by dots, * for any one token, > as the last token for one or more), and whether it has
// wildcards.
func checkPattern(p string) (wild bool, err error) {
	if p == "" || len(p) > maxStreamName {
		return false, fault.New(fault.InvalidRequest, "A stream's name or pattern has 1 to %d characters.", maxStreamName)
	}
	for rest, more := p, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		switch {
		case token == "*":
			wild = true
		case token == ">":
			wild = true
			if more {
				return false, fault.New(fault.InvalidRequest, "The pattern %q has > before its end; > stands for the rest, so it comes last.", p)
			}
		case !isToken(token):
			return false, fault.New(fault.InvalidRequest, "%q is not a stream's name or pattern: tokens of letters, digits, _ and -, joined by dots; * is any one token, > the rest.", p)
		}
	}
	return wild, nil
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// matches reports whether the pattern, which checkPattern accepted, matches a stream's name.
func matches(pattern, name string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		n, nrest, nmore := strings.Cut(name, ".")
		if p == ">" {
			return true
		}
		if p != "*" && p != n {
			return false
		}
		if !pmore || !nmore {
			return pmore == nmore
		}
		pattern, name = prest, nrest
	}
}
