package tenants

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitRepository makes a repository of files, with one commit.
func gitRepository(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=t", "-c", "user.email=t@example.test", "commit", "-qm", "one"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// npm prepares a git dependency that has scripts by an install of its own in the clone. What the clone's .npmrc
// says must not lead anything that knows tokens elsewhere.
func TestAGitDependencySeesNoTokens(t *testing.T) {
	const token = "npm_SeCrEtToKeN-0123"
	private, _ := registryServer(t, func(req *http.Request) bool { return req.Header.Get("Authorization") == "Bearer "+token },
		pkg{name: "left", version: "1.0.0", source: "module.exports = 'ours'"}, pkg{name: "tool", version: "1.0.0"})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		t.Errorf("the clone's proxy was asked for %s with %q", req.URL, req.Header.Get("Authorization"))
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(proxy.Close)
	repository := gitRepository(t, map[string]string{
		".npmrc":       "proxy=" + proxy.URL + "/\nhttps-proxy=" + proxy.URL + "/\nregistry=" + private + "/\nstrict-ssl=false\n",
		"package.json": `{"name":"cloned","version":"1.2.3","scripts":{"prepare":"touch ran"},"dependencies":{"left":"1"},"devDependencies":{"tool":"1"}}`,
		"index.js":     "module.exports = require('left')",
	})
	t.Setenv("npm_config_registry", private)
	t.Setenv("npm_config_fetch_retries", "0")
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	if err := r.SetPackages(bg, tn, []byte(`{"registry":"`+private+`","tokens":{"`+private+`":"`+token+`"}}`)); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	v, _, err := r.Publish(bg, tn, "f", Publication{Source: "module.exports = () => require('cloned')",
		Dependencies: map[string]string{"cloned": "git+file://" + repository}}, &log)
	if err != nil || v.Installed["cloned"] != "1.2.3" {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if out, err := exec.Command("node", "-p", "require('"+v.Dir+"')()").CombinedOutput(); err != nil || string(out) != "ours\n" {
		t.Errorf("%s, %v", out, err)
	}
	if fileExists(filepath.Join(v.Dir, modulesDir, "cloned", "ran")) {
		t.Error("its script ran")
	}
}
