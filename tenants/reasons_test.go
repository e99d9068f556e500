package tenants

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// The first line of a failure says what to do, whatever npm makes of it: each is what the npm of this machine
// really prints.
func TestAFailedInstallSaysFirstWhatToDo(t *testing.T) {
	npmRegistry(t,
		pkg{name: "left", version: "1.0.0"}, pkg{name: "left", version: "2.0.0"},
		pkg{name: "plugin", version: "1.0.0", peers: map[string]string{"left": "^2"}},
		pkg{name: "apple", version: "1.0.0", os: []string{"darwin"}},
		pkg{name: "forged", version: "1.0.0", integrity: "sha512-" + strings.Repeat("A", 86) + "=="},
		pkg{name: "breaks", version: "1.0.0", scripts: map[string]string{"install": "exit 3"}},
		pkg{name: "native", version: "1.0.0", files: map[string]string{"binding.gyp": `{"targets":[{"target_name":"a","sources":["a.cc"]}]}`}, scripts: map[string]string{"install": "node-gyp rebuild"}},
	)
	bin := t.TempDir() // a machine without git, Python and compilers
	for _, name := range []string{"node", "npm", "sh", "env"} {
		at, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(at, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	r, _ := openRegistry(t, t.TempDir(), Config{AllowScripts: true})
	for _, c := range []struct{ manifest, say string }{
		{`{"dependencies":{"nothing":"1"}}`, "The package nothing does not exist in the registry."},
		{`{"dependencies":{"@acme/nothing":"1"}}`, "The package @acme/nothing does not exist in the registry."},
		{`{"dependencies":{"left":"^9"}}`, "No published version matches left@^9."},
		{`{"dependencies":{"left":"beta"}}`, "No published version matches left@beta."},
		{`{"dependencies":{"left":"1","plugin":"1"}}`, "The dependencies conflict with each other (peer left@\"^2\" from plugin@1.0.0)."},
		{`{"dependencies":{"le ft":"1"}}`, "A name or range in dependencies is not valid (EINVALIDPACKAGENAME)."},
		{`{"dependencies":{"left":"ftp:x"}}`, "A name or range in dependencies is not valid (EUNSUPPORTEDPROTOCOL)."},
		{`{"dependencies":{"apple":"1"}}`, "The package apple@1.0.0 is made for other systems than the hub's."},
		{`{"dependencies":{"forged":"1"}}`, "its checksum differs"},
		{`{"dependencies":{"left":"git+https://127.0.0.1:9/acme/left.git"}}`, "A dependency comes from a git repository that could not be read (git"},
		{`{"dependencies":{"breaks":"1"}}`, "A script of the package breaks failed (exit 3)."},
		{`{"dependencies":{"left":"1"},"scripts":{"postinstall":"exit 4"}}`, "A script of the function's own package.json failed (exit 4)."},
		{`{"dependencies":{"native":"1"}}`, "A package has native code that is built when it is installed, and the hub's machine lacks a tool for that (find Python)."},
	} {
		v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{"package.json": []byte(c.manifest), "index.js": []byte("1")}}, nil)
		if !fault.Is(err, fault.InstallFailed) || !strings.Contains(fault.From(err).Detail, c.say) {
			log, _ := v.Log()
			t.Errorf("%s:\n%v\n%s", c.manifest, err, log)
		}
	}
	if _, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: map[string][]byte{
		"package.json": []byte(`{"dependencies":{"left":"1"},"optionalDependencies":{"apple":"1","breaks":"1"}}`), "index.js": []byte("1")}}, nil); err != nil {
		t.Errorf("optional dependencies that can't be had: %v", err)
	}
}
