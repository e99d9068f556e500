package tenants

import (
	"encoding/json"
	"fmt"

	"github.com/livefn/livefn/internal/fault"
)

// patchedPackages gives old with the changes of b, a JSON merge patch (RFC 7396) of what SetPackages takes. So a
// change of one setting needs to know neither the others, of which tokens can't be known, nor what is a default.
func patchedPackages(b []byte, old *PackageSettings) (*PackageSettings, error) {
	const where = "packages"
	var patch map[string]json.RawMessage
	if err := json.Unmarshal(b, &patch); err != nil {
		return nil, fault.New(fault.InvalidRequest, "%s: %s.", where, wrongJSON(err))
	}
	whole := map[string]any{"scripts": old.Scripts, "registry": old.Registry}
	scopes, tokens := map[string]any{}, map[string]any{}
	for scope, at := range old.Scopes {
		scopes[scope] = at
	}
	for at := range old.Tokens {
		tokens[at] = true
	}
	for name, value := range patch {
		var err error
		switch name {
		case "scopes":
			scopes, err = patched(where+".scopes", scopes, value, func(scope string) string { return scope })
		case "tokens":
			tokens, err = patched(where+".tokens", tokens, value, func(at string) string {
				if full, err := registryURL(at); err == nil {
					return full
				}
				return at // which is refused, if it is not to be taken away
			})
		default:
			whole[name] = value // null is what is not there
		}
		if err != nil {
			return nil, err
		}
	}
	whole["scopes"], whole["tokens"] = scopes, tokens
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("encode settings of packages: %w", err)
	}
	return parsePackages(b, old)
}

// patched changes members as the object patch says, whose names full makes those of members; null leaves none.
func patched(where string, members map[string]any, patch json.RawMessage, full func(string) string) (map[string]any, error) {
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, fault.New(fault.InvalidRequest, "%s: %s.", where, wrongJSON(err))
	}
	if changes == nil {
		return map[string]any{}, nil
	}
	changed := map[string]bool{}
	for name, value := range changes {
		name = full(name)
		if changed[name] {
			return nil, fault.New(fault.InvalidRequest, "%s: %.200q stands there twice, with and without the last slash.", where, name)
		}
		changed[name] = true
		if string(value) == "null" {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	return members, nil
}
