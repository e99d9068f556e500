package tenants

import (
	"slices"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/pattern"
)

// Scopes is what a token may do; nil allows nothing. The grammar, which docs/tokens.md explains:
//
//	scope = "invoke:" ( "*" / function [ "@" reference ] )
//	      / ( "subscribe:" / "publish:" ) pattern
//	      / "executions:" ( "own" / "read" / "write" )
//	      / ( "functions:" / "triggers:" / "streams:" ) ( "read" / "write" )
type Scopes struct {
	list      []string
	all       bool                // invoke:*
	invoke    map[string]struct{} // functions, and functions at a reference
	subscribe []string            // patterns
	publish   []string
	rights    map[string]struct{} // of executions and what follows, as they are written
}

// maxScopes is how many a token may have.
const maxScopes = 100

// rights are the scopes that name neither a function nor a stream.
var rights = map[string][]string{
	"executions": {"own", "read", "write"},
	"functions":  {"read", "write"},
	"triggers":   {"read", "write"},
	"streams":    {"read", "write"},
}

// parseScopes reads scopes; what is none is an error.
func parseScopes(list []string) (*Scopes, error) {
	if len(list) == 0 || len(list) > maxScopes {
		return nil, fault.New(fault.InvalidRequest, "A token has 1 to %d scopes.", maxScopes)
	}
	s := &Scopes{}
	for _, scope := range list {
		if err := s.add(scope); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// knownScopes reads a token from elsewhere, which may have scopes for others: those allow nothing here.
func knownScopes(list []string) *Scopes {
	s := &Scopes{}
	for _, scope := range list[:min(len(list), maxScopes)] {
		_ = s.add(scope)
	}
	return s
}

func (s *Scopes) add(scope string) error {
	kind, of, _ := strings.Cut(scope, ":")
	var err error
	switch kind {
	case "invoke":
		err = s.addInvoke(of)
	case "subscribe":
		_, err = pattern.Check(of)
		s.subscribe = appendIf(err == nil, s.subscribe, of)
	case "publish":
		_, err = pattern.Check(of)
		s.publish = appendIf(err == nil, s.publish, of)
	default:
		if !slices.Contains(rights[kind], of) {
			return fault.New(fault.InvalidRequest, "%.300q is not a scope: there are invoke:FUNCTION, subscribe:PATTERN, publish:PATTERN, executions:own, "+
				"and read and write of executions, functions, triggers and streams.", scope)
		}
		if s.rights == nil {
			s.rights = map[string]struct{}{}
		}
		s.rights[scope] = struct{}{}
	}
	if err != nil {
		return fault.New(fault.InvalidRequest, "%.300q is not a scope. %s", scope, fault.From(err).Detail)
	}
	s.list = append(s.list, scope)
	return nil
}

func appendIf(ok bool, list []string, s string) []string {
	if ok {
		return append(list, s)
	}
	return list
}

func (s *Scopes) addInvoke(of string) error {
	if of == "*" {
		s.all = true
		return nil
	}
	name, ref, given := strings.Cut(of, "@")
	if err := checkName("function", name); err != nil {
		return err
	}
	if given && checkName("version", ref) != nil {
		return fault.New(fault.InvalidRequest, "%q is no version or alias.", ref)
	}
	if s.invoke == nil {
		s.invoke = map[string]struct{}{}
	}
	s.invoke[of] = struct{}{}
	return nil
}

// List gives the scopes as they were written.
func (s *Scopes) List() []string { return s.list }

// Invoke says whether a function may be called by this reference: name, or name@version. A scope without a
// version allows all of them.
func (s *Scopes) Invoke(ref string) bool {
	if s.all {
		return true
	}
	if _, ok := s.invoke[ref]; ok {
		return true
	}
	name, _, given := strings.Cut(ref, "@")
	_, ok := s.invoke[name]
	return given && ok
}

// Subscribe says whether all that a pattern matches may be seen.
func (s *Scopes) Subscribe(wanted string) bool { return covered(s.subscribe, wanted) }

// Publish says whether there may be published to a stream.
func (s *Scopes) Publish(stream string) bool { return covered(s.publish, stream) }

// covered says whether a granted pattern covers what is wanted. Streams of the hub's own are granted by name or by
// a whole ">": a "*" in the first place is meant for the tenant's, and so grants no pattern that begins with one.
func covered(granted []string, wanted string) bool {
	if _, err := pattern.Check(wanted); err != nil {
		return false
	}
	first, _, _ := strings.Cut(wanted, ".")
	hubs := first == "*" || pattern.Reserved(first)
	for _, p := range granted {
		if hubs && p[0] == '*' {
			continue
		}
		if pattern.Covers(p, wanted) {
			return true
		}
	}
	return false
}

// Has says whether there is a right like "executions:read"; write holds read.
func (s *Scopes) Has(right string) bool {
	if _, ok := s.rights[right]; ok {
		return true
	}
	kind, read := strings.CutSuffix(right, ":read")
	_, ok := s.rights[kind+":write"]
	return read && ok
}
