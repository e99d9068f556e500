// Package pattern is the one place that knows names of streams and patterns over them: NATS subject
// syntax, tokens joined by dots, in which * stands for any one token and > at the end for one or more.
// The hub finds subscribers by it, tokens are given rights by it.
package pattern

import (
	"strings"

	"github.com/livefn/livefn/internal/fault"
)

// MaxName is the length in bytes that a stream's name or a pattern may have.
const MaxName = 256

// Check says whether p is a stream's name or a pattern, and whether it has wildcards.
func Check(p string) (wild bool, err error) {
	if p == "" || len(p) > MaxName {
		return false, fault.New(fault.InvalidRequest, "A stream's name or pattern has 1 to %d characters.", MaxName)
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
		case !IsToken(token):
			return false, fault.New(fault.InvalidRequest, "%q is not a stream's name or pattern: tokens of letters, digits, _ and -, joined by dots; * is any one token, > the rest.", p)
		}
	}
	return wild, nil
}

// IsToken reports whether s has letters, digits, _ and - alone, and at least one.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// Reserved reports whether streams that begin with this token are the hub's own.
func Reserved(first string) bool {
	return first == "execution" || first == "function" || first == "hub"
}

// Matches reports whether the pattern matches a stream's name. Check accepted both.
func Matches(pattern, name string) bool { return Covers(pattern, name) }

// Covers reports whether everything that inner matches is matched by outer, too. Check accepted both.
func Covers(outer, inner string) bool {
	for {
		o, orest, omore := strings.Cut(outer, ".")
		i, irest, imore := strings.Cut(inner, ".")
		switch {
		case o == ">":
			return true
		case i == ">", o != "*" && o != i:
			return false
		case !omore || !imore:
			return omore == imore
		}
		outer, inner = orest, irest
	}
}
