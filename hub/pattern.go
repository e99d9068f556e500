package hub

import (
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/pattern"
)

// maxStreamName is the length in bytes that a stream's name or a pattern may have.
const maxStreamName = pattern.MaxName

// maxToken is the length in bytes that each token of a stream's name may have.
const maxToken = 64

// checkPattern says whether p is a stream's name or a pattern over names, and whether it has wildcards.
func checkPattern(p string) (wild bool, err error) { return pattern.Check(p) }

func isToken(s string) bool { return pattern.IsToken(s) }

// matches reports whether the pattern, which checkPattern accepted, matches a stream's name.
func matches(p, name string) bool { return pattern.Matches(p, name) }

// patternScope says whether a pattern, which checkPattern accepted, may match streams that the tenant
// made, and whether it may match the hub's own.
func patternScope(p string) (own, hubs bool) {
	first, _, _ := strings.Cut(p, ".")
	hubs = pattern.Reserved(first)
	return !hubs, hubs || first == "*" || first == ">"
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
