package samples

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"testing"
)

// What serve --dev promises to have: the main job, two majors of one package, a stream, a hot path.
func TestAllHasTheSamplesWithTheirFiles(t *testing.T) {
	got := map[string][]string{}
	for _, s := range All() {
		for file := range s.Files {
			got[s.Name] = append(got[s.Name], file)
		}
		slices.Sort(got[s.Name])
	}
	plain := []string{"index.js", "package.json", "test/index.test.js"}
	want := map[string][]string{
		"add": plain, "hello": plain, "oldest-lodash3": plain, "oldest-lodash4": plain, "primes": plain,
		"report": {"index.js", "orders.csv", "package.json", "test/index.test.js"},
	}
	g, _ := json.MarshalIndent(got, "", " ")
	w, _ := json.MarshalIndent(want, "", " ")
	if !bytes.Equal(g, w) {
		t.Fatalf("got %s\nwant %s", g, w)
	}
}

func TestTheReportReadsAtLeastFiftyThousandRows(t *testing.T) {
	for _, s := range All() {
		if s.Name != "report" {
			continue
		}
		if rows := bytes.Count(s.Files["orders.csv"], []byte("\n")) - 1; rows < 50_000 {
			t.Fatalf("orders.csv has %d rows", rows)
		}
	}
}

// A range would install something else next year, and a sample that broke then would look like our fault.
func TestSamplesPinTheirDependencies(t *testing.T) {
	exact := regexp.MustCompile(`^\d+\.\d+\.\d+$`)
	for _, s := range All() {
		var manifest struct {
			Name         string
			Dependencies map[string]string
		}
		if err := json.Unmarshal(s.Files["package.json"], &manifest); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		if manifest.Name != s.Name {
			t.Errorf("%s: package.json calls it %q", s.Name, manifest.Name)
		}
		for name, version := range manifest.Dependencies {
			if !exact.MatchString(version) {
				t.Errorf("%s: %s is %q, not one version", s.Name, name, version)
			}
		}
	}
}
