package tenants

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// publishN publishes versions 1 to n of f.
func publishN(t testing.TB, r *Registry, tn *Tenant, n int) {
	t.Helper()
	for i := range n {
		if _, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = " + strconv.Itoa(i)}, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
}

func targets(t testing.TB, body string) []Target {
	t.Helper()
	ts, err := ParseTargets([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// numberOf gives the number of the version that ref means.
func numberOf(t testing.TB, tn *Tenant, ref string) int {
	t.Helper()
	v, err := tn.Resolve(ref)
	if err != nil {
		t.Fatal(err)
	}
	return v.Number
}

// What an alias meant before a crash it means afterwards, the way back included.
func TestAliasesPointAtVersionsAndBack(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 3)
	for i, body := range []string{`{"version":1}`, `{"version":2}`, `{"version":2}`} {
		a, created, err := r.SetAlias(bg, tn, "f", "prod", targets(t, body))
		if err != nil || created != (i == 0) || a.Name != "prod" {
			t.Fatalf("%+v, %v, %v", a, created, err)
		}
	}
	if _, _, err := r.SetAlias(bg, tn, "f", "canary", targets(t, `{"weights":{"3":10,"2":90}}`)); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		fn, err := tn.Function("f")
		if err != nil {
			t.Fatal(err)
		}
		times := map[string]string{}
		for _, a := range fn.Aliases() {
			times[a.Name] = shownTime(a.UpdatedAt)
		}
		want := fmt.Sprintf(`[{"name":"canary","weights":{"2":90,"3":10},"updatedAt":%q},{"name":"prod","version":2,"previous":{"version":1},"updatedAt":%q}]`,
			times["canary"], times["prod"])
		if got := encode(t, fn.Aliases()); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if got := [...]int{numberOf(t, tn, "f"), numberOf(t, tn, "f@prod"), numberOf(t, tn, "f@latest")}; got != [...]int{3, 2, 3} {
			t.Errorf("latest, prod and latest are %v", got)
		}
	}
	check()
	stop()
	r, _ = openRegistry(t, dir, Config{})
	tn = acme(t, r)
	check()
	for _, want := range []int{1, 2} {
		if _, err := r.Rollback(bg, tn, "f", "prod"); err != nil || numberOf(t, tn, "f@prod") != want {
			t.Errorf("prod is %d after a rollback, %v", numberOf(t, tn, "f@prod"), err)
		}
	}
	if err := r.DeleteAlias(bg, tn, "f", "prod"); err != nil {
		t.Fatal(err)
	}
	_, err := tn.Resolve("f@prod")
	wantFault(t, err, fault.NotFound, `"prod"`)
}

func TestAWeightedAliasSharesCallsOut(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 3)
	if _, _, err := r.SetAlias(bg, tn, "f", "canary", targets(t, `{"weights":{"1":80,"2":20,"3":0}}`)); err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	var chance, keyed [4]int
	for i := range calls {
		chance[numberOf(t, tn, "f@canary")]++
		key := strconv.Itoa(i)
		v, _, err := tn.ResolveFor("f@canary", key)
		again, _, _ := tn.ResolveFor("f@canary", key)
		if err != nil || v != again {
			t.Fatalf("key %s gave %v, then %v, %v", key, v, again, err)
		}
		keyed[v.Number]++
	}
	for _, got := range [][4]int{chance, keyed} { // 4,000 ± 9 standard deviations of 57
		if got[1]+got[2] != calls || got[2] < 3500 || got[2] > 4500 {
			t.Errorf("of %d calls the versions got %v", calls, got)
		}
	}
}

// Resolving is on the path of every call.
func TestResolvingAllocatesNothing(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 2)
	if _, _, err := r.SetAlias(bg, tn, "f", "canary", targets(t, `{"weights":{"1":50,"2":50}}`)); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"f", "f@1", "f@latest", "f@canary"} {
		if n := testing.AllocsPerRun(1000, func() { _, _ = tn.Resolve(ref) }); n != 0 {
			t.Errorf("%s: %v allocations", ref, n)
		}
	}
}

func TestWrongAliasesAreRefusedWithTheField(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 1)
	for body, words := range map[string]string{
		`{}`: "{\"version\": 3}", `[]`: "alias: ", `{"version":1,"weights":{"1":1}}`: "{\"version\": 3}",
		`{"version":0}`: "alias.version", `{"version":"1"}`: "alias.version", `{"weights":{}}`: "alias.weights",
		`{"weights":{"1":0}}`: "above 0", `{"weights":{"01":1}}`: "alias.weights.01", `{"weights":{"x":1}}`: "alias.weights.x",
		`{"weights":{"1":-1}}`: "alias.weights.1", `{"weights":{"1":1.5}}`: "alias.weights.1", `{"weights":{"1":1000001}}`: "1000000", `{"versoin":1}`: "alias.versoin",
	} {
		_, err := ParseTargets([]byte(body))
		wantFault(t, err, fault.InvalidRequest, words)
	}
	for _, name := range []string{"", "latest", "3", "a b", strings.Repeat("a", 65)} {
		_, _, err := r.SetAlias(bg, tn, "f", name, []Target{{1, 1}})
		wantFault(t, err, fault.InvalidRequest)
	}
	_, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{2, 1}})
	wantFault(t, err, fault.NotFound, "no version 2")
	_, _, err = r.SetAlias(bg, tn, "nope", "prod", []Target{{1, 1}})
	wantFault(t, err, fault.NotFound, `"nope"`)
	r.SetCheck(func(context.Context, *Version) error { return fault.New(fault.VersionBroken, "no export") })
	_, _, err = r.Publish(bg, tn, "f", Publication{Source: "module.exports = ("}, io.Discard)
	wantFault(t, err, fault.VersionBroken)
	_, _, err = r.SetAlias(bg, tn, "f", "prod", []Target{{2, 1}})
	wantFault(t, err, fault.VersionBroken, "no export")
	_, err = r.Rollback(bg, tn, "f", "prod")
	wantFault(t, err, fault.NotFound)
	if _, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{1, 1}}); err != nil {
		t.Fatal(err)
	}
	_, err = r.Rollback(bg, tn, "f", "prod")
	wantFault(t, err, fault.Conflict)
	wantFault(t, r.DeleteAlias(bg, tn, "f", "nope"), fault.NotFound)
}

// A weight of 0 sends no calls, so what came before has to move as if the version were not among the targets.
func TestAWeightOfNothingKeepsNothing(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	publishN(t, r, tn, 2)
	if _, _, err := r.SetAlias(bg, tn, "f", "prod", []Target{{1, 0}, {2, 1}}); err != nil {
		t.Fatal(err)
	}
	fn, err := tn.Function("f")
	if err != nil {
		t.Fatal(err)
	}
	if later := fn.Later(fn.Version(1), "prod", "k"); later != fn.Version(2) {
		t.Errorf("what is on version 1 goes to %+v", later)
	}
	if later := fn.Later(fn.Version(2), "prod", "k"); later != nil {
		t.Errorf("what is on version 2 goes to %+v", later)
	}
}
