package tenants

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/livefn/livefn/internal/fault"
)

// scripted publishes a function whose own script is script, with an .npmrc.
func scripted(t *testing.T, r *Registry, name, script string) (*Version, error) {
	t.Helper()
	v, _, err := r.Publish(bg, acme(t, r), name, Publication{Files: map[string][]byte{
		".npmrc":           []byte("engine-strict=true\n"),
		"package.json":     fmt.Appendf(nil, `{"dependencies":{"own":"file:./own"},"scripts":{"postinstall":%q}}`, script),
		"own/package.json": []byte(`{"name":"own","version":"1.0.0"}`),
		"index.js":         []byte("1"),
	}}, nil)
	return v, err
}

// What a script leaves is read and written by the hub, which no walls are around.
func TestTheHubFollowsNothingThatAScriptLeaves(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{AllowScripts: true, MaxTreeSize: 1 << 20})
	outside := filepath.Join(t.TempDir(), "secret.key")
	secret := []byte("{\"hush\": 1}\n")
	if err := os.WriteFile(outside, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ script, says string }{
		{"ln -sf " + outside + " package-lock.json", "left a package-lock.json that is not a file"},
		{"ln -sf " + outside + " npm-shrinkwrap.json", "left a npm-shrinkwrap.json that is not a file"},
		{"ln -sf " + outside + " package.json", "left a package.json that is not a file"},
		{"ln -sf /dev/zero package-lock.json", "left a package-lock.json that is not a file"},
		{"truncate -s 2000000 package-lock.json", "left a package-lock.json of 2000000 bytes"},
		{"mkfifo pipe", "left pipe, which is neither"},
		{"mkdir lib && ln -s " + outside + " lib/data", "left lib/data, a link that leads out"},
		{"rm -rf node_modules && ln -s " + filepath.Dir(outside) + " node_modules", "left node_modules, a link that leads out"},
		{"ln -sf " + outside + " package-lock.json; exit 1", "A script of the function's own"}, // a broken version is read, too
	} {
		v, err := scripted(t, r, fmt.Sprintf("f%d", i), c.script)
		wantFault(t, err, fault.InstallFailed, c.says)
		lock, err := v.Lock()
		if lock != nil || err != nil {
			t.Errorf("%s: lock file %q, %v", c.script, lock, err)
		}
		if files, err := v.Source(); err != nil || len(files) != 4 || string(files[".npmrc"]) != "engine-strict=true\n" {
			t.Errorf("%s: files %q, %v", c.script, files, err)
		}
	}
	v, err := scripted(t, r, "g", "ln -sf "+outside+" .npmrc; ln -s index.js also.js")
	if err != nil {
		t.Fatal(err)
	}
	if files, err := v.Source(); err != nil || string(files[".npmrc"]) != "engine-strict=true\n" {
		t.Errorf("files %q, %v", files, err)
	}
	if b, err := os.ReadFile(outside); err != nil || !bytes.Equal(b, secret) {
		t.Errorf("the file outside has %q, %v", b, err)
	}
}

// Versions that an earlier release installed are not looked through again.
func TestALinkInAnInstalledVersionIsNotRead(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	v, err := scripted(t, r, "f", "")
	if err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(v.Dir, lockFile)
	for _, target := range []string{"/dev/zero", filepath.Join(r.cfg.Dir, "..", "store")} {
		if os.Remove(lock) != nil || os.Symlink(target, lock) != nil {
			t.Fatal("the link could not be made")
		}
		if b, err := v.Lock(); err == nil || b != nil {
			t.Errorf("%s: %q, %v", target, b, err)
		}
	}
}

// npm runs itself in the clone of a dependency that wants to be prepared, and believes the .npmrc there.
func TestACloneNamesNoProgramsOfTheRunThatKnowsTokens(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	inner := repository(t, map[string]string{"package.json": `{"name":"inner","version":"1.0.0"}`})
	outer := repository(t, map[string]string{
		"package.json": `{"name":"outer","version":"1.0.0","scripts":{"prepare":"touch ` + ran + `"},"dependencies":{"inner":"git+file://` + inner + `"}}`,
		".npmrc":       "git=./evil.sh\nignore-scripts=false\n",
		"evil.sh":      "#!/bin/sh\ntouch " + ran + "\nexec git \"$@\"\n",
	})
	r, _ := openRegistry(t, t.TempDir(), Config{})
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Source: "1", Dependencies: map[string]string{"outer": "git+file://" + outer}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if fileExists(ran) {
		t.Error("the dependency's code ran")
	}
	if v.Installed["outer"] != "1.0.0" {
		t.Errorf("installed %v", v.Installed)
	}
}

// repository makes a git repository with one commit.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // one is a program
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@test", "commit", "-q", "-m", "a"}} {
		cmd := exec.Command("git", args...) //nolint:gosec // the test's own
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
	}
	return dir
}
