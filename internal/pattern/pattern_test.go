package pattern

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var tokens = rapid.SampledFrom([]string{"a", "b", "c"})

func names(t *rapid.T) string {
	return strings.Join(rapid.SliceOfN(tokens, 1, 5).Draw(t, "name"), ".")
}

func patterns(t *rapid.T, what string) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 4).Draw(t, what)
	if len(parts) == 0 || rapid.Bool().Draw(t, what+" has a rest") {
		parts = append(parts, ">")
	}
	return strings.Join(parts, ".")
}

// A right that covered one name too many would show somebody else's events; one too few would refuse
// what was granted. So both directions are held to what the patterns match.
func TestAPatternCoversAnotherExactlyIfItMatchesAllThatTheOtherMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outer, inner := patterns(t, "outer"), patterns(t, "inner")
		covers := Covers(outer, inner)
		if name := names(t); covers && Matches(inner, name) && !Matches(outer, name) {
			t.Fatalf("%q covers %q, yet %q is matched by the second alone", outer, inner, name)
		}
		if covers {
			return
		}
		// The names that tell the two apart: a token that outer does not know for each *, and one or many for >.
		for _, rest := range []string{"c", "c.c", "c.c.c", "c.c.c.c.c.c"} {
			name := strings.ReplaceAll(strings.ReplaceAll(inner, "*", "c"), ">", rest)
			if !Matches(inner, name) {
				t.Fatalf("%q does not match %q", inner, name)
			}
			if !Matches(outer, name) {
				return
			}
		}
		t.Fatalf("%q does not cover %q, yet matches all that is tried", outer, inner)
	})
}

func TestMatchesIsWhatAReaderExpects(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"orders.>", "orders.eu", true}, {"orders.>", "orders.eu.new", true}, {"orders.>", "orders", false},
		{"orders.*", "orders.eu", true}, {"orders.*", "orders.eu.new", false}, {"*", "orders", true},
		{">", "execution.1", true}, {"orders", "orders", true}, {"orders", "order", false}, {"orders.eu", "orders", false},
	} {
		if got := Matches(c.pattern, c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.name, got)
		}
	}
}
