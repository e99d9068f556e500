package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/livefn/livefn/conn"
	"github.com/livefn/livefn/internal/fault"
)

// A client that meets a code it cannot look up, or waits for one that never comes, was lied to. So
// the fault table, its documentation and the SDK have the same codes, in the same order.
func TestTheCodesAreTheSameInTheHubTheDocsAndTheSDK(t *testing.T) {
	var hub []string
	for _, e := range fault.Table {
		hub = append(hub, string(e.Code))
	}
	// What only the client can say: it has no connection to be told anything over.
	client := []string{"connection_failed", "connection_lost", "closed"}

	docs := read(t, "docs/errors.md")
	ofHub, ofClient, found := strings.Cut(docs, "\n## The client's own codes\n")
	if !found {
		t.Fatal("docs/errors.md has no section of the client's own codes")
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|")
	equal(t, "docs/errors.md, the hub's", words(ofHub, row), hub)
	equal(t, "docs/errors.md, the client's", words(ofClient, row), client)

	all := append(slices.Clone(hub), client...)
	list := within(t, "public/sdk/errors.js", "export const codes = Object.freeze([", "])")
	equal(t, "public/sdk/errors.js", words(list, regexp.MustCompile(`(?m)^\s*'([a-z_]+)'`)), all)
	union := within(t, "public/sdk/livefn.d.ts", "export type Code =", "\n\n")
	equal(t, "public/sdk/livefn.d.ts", words(union, regexp.MustCompile(`\| '([a-z_]+)'`)), all)
}

// The text of a code is written once, in the fault table; the page repeats it word by word.
func TestTheDocsExplainTheCodesAsTheTableDoes(t *testing.T) {
	docs := read(t, "docs/errors.md")
	for _, e := range fault.Table {
		line := regexp.MustCompile("(?m)^\\| `" + string(e.Code) + "` \\| \\d{3} \\| (.*) \\|$").FindStringSubmatch(docs)
		if line == nil {
			t.Errorf("docs/errors.md has no row of the form | `%s` | status | meaning |", e.Code)
		} else if line[1] != e.Meaning {
			t.Errorf("docs/errors.md says of %s\n%q\nthe table says\n%q", e.Code, line[1], e.Meaning)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// within gives what stands in a file between two marks.
func within(t *testing.T, path, from, to string) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, path), from)
	if !found {
		t.Fatalf("%s has no %q", path, from)
	}
	part, _, found := strings.Cut(rest, to)
	if !found {
		t.Fatalf("%s: %q never ends", path, from)
	}
	return part
}

func words(text string, one *regexp.Regexp) []string {
	var all []string
	for _, match := range one.FindAllStringSubmatch(text, -1) {
		all = append(all, match[1])
	}
	return all
}

func equal(t *testing.T, where string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s has\n%q\nwant\n%q", where, got, want)
	}
}

// What a client does on a close code is the protocol; conn writes it once, docs/errors.md repeats it.
func TestTheDocsListTheCloseCodesAsConnDoes(t *testing.T) {
	var want strings.Builder
	for _, e := range conn.CloseCodes {
		fmt.Fprintf(&want, "| %d | %s | %s | %s |\n", e.Code, e.Reason, e.Meaning, e.Client)
	}
	if !strings.Contains(read(t, "docs/errors.md"), want.String()) {
		t.Errorf("docs/errors.md does not have this table:\n%s", want.String())
	}
}
