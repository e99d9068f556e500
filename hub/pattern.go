package hub

import (
	"strings"

	"github.com/livefn/livefn/internal/fault"
)

// maxStreamName is the length in bytes that a stream's name or a pattern may have.
const maxStreamName = 256

// maxToken is the length in bytes that each token of a stream's name may have.
const maxToken = 64

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

// patternScope says whether a pattern, which checkPattern accepted, may match streams that the tenant
// made, and whether it may match the hub's own.
func patternScope(pattern string) (own, hubs bool) {
	switch token, _, _ := strings.Cut(pattern, "."); token {
	case "*", ">":
		return true, true
	case "execution", "function", "hub":
		return false, true
	}
	return true, false
}

// checkStream says whether name can be a stream that a tenant makes.
func checkStream(name string) error {
	wild, err := checkPattern(name)
	if err != nil {
		return err
	}
	if wild {
		return fault.New(fault.InvalidRequest, "%q is a pattern; this needs the name of one stream.", name)
	}
	if own, _ := patternScope(name); !own {
		return fault.New(fault.InvalidRequest, "%q is the hub's own: a stream of yours may not begin with execution, function or hub.", name)
	}
	for rest, more := name, true; more; {
		var token string
		if token, rest, more = strings.Cut(rest, "."); len(token) > maxToken {
			return fault.New(fault.InvalidRequest, "A token of a stream's name has 1 to %d characters; %q has %d.", maxToken, token, len(token))
		}
	}
	return nil
}
