package cli

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestTheDoctorFindsWhatTheHubNeeds(t *testing.T) {
	var out, errs strings.Builder
	code := Run(t.Context(), []string{"doctor", "--json", "--data", t.TempDir() + "/data"}, strings.NewReader(""), &out, &errs)
	var report struct {
		OK       bool
		Findings []finding
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if code != exitDone || !report.OK || errs.Len() > 0 {
		t.Errorf("code %d, %+v, %s", code, report, errs.String())
	}
	var names []string
	for _, f := range report.Findings {
		names = append(names, f.Name)
	}
	if want := []string{"system", "walls", "warm", "user", "cgroups", "node", "npm", "open files", "disk"}; !slices.Equal(names, want) {
		t.Errorf("findings %v", names)
	}
}

func TestTheDoctorSaysWhatIsMissingAndWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, errs strings.Builder
	code := Run(t.Context(), []string{"doctor", "--node", "/nowhere/node", "--data", "/proc/data"}, strings.NewReader(""), &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "missing") {
		t.Errorf("code %d: %s", code, errs.String())
	}
	for _, part := range []string{"missing  walls        bwrap is not installed", "apt-get install bubblewrap", "--isolation=none",
		"missing  node         fork/exec /nowhere/node", "--node", "warning  disk"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, out.String())
		}
	}
}

func TestTheDoctorKnowsAnOldNode(t *testing.T) {
	f := program(context.Background(), "node", "node", func(string) (string, string) { return bad, "Newer." }, "")
	if !strings.HasPrefix(f.Found, "v") || f != (finding{"node", bad, f.Found, "Newer."}) {
		t.Errorf("%+v", f)
	}
}

func TestTheDoctorTellsCgroupsApart(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	for _, c := range []struct {
		found string
		state string
		files fstest.MapFS
	}{
		{"version 2, delegated", fine, fstest.MapFS{"sys/fs/cgroup/cgroup.controllers": file("cpu io memory pids\n"),
			"proc/self/cgroup": file("0::/hub.service\n"), "sys/fs/cgroup/hub.service/cgroup.procs": file("")}},
		{"version 2, not delegated to this user", weak, fstest.MapFS{"sys/fs/cgroup/cgroup.controllers": file("cpu io memory pids\n"),
			"proc/self/cgroup": file("0::/hub.service\n"), "sys/fs/cgroup/hub.service/cgroup.procs": {Mode: 0o444}}},
		{"version 2, without memory, pids", weak, fstest.MapFS{"sys/fs/cgroup/cgroup.controllers": file("cpu\n"), "proc/self/cgroup": file("0::/\n")}},
		{"version 1", weak, fstest.MapFS{"sys/fs/cgroup/memory/tasks": file("")}},
		{"none", weak, fstest.MapFS{}},
	} {
		if f := cgroups(c.files); f.Found != c.found || f.State != c.state || (f.Do == "") != (c.state == fine) {
			t.Errorf("%s: %+v", c.found, f)
		}
	}
}
