package tenants

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/sandbox"
)

// walls are those of installs in tests.
func walls(t *testing.T, hide string) *sandbox.Walls {
	t.Helper()
	w, err := sandbox.Find(hide)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Packages that only one customer may have come from the customer's registry, with the customer's token, over
// restarts, and the token is to be found nowhere.
func TestATenantHasRegistriesOfItsOwn(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0", source: "module.exports = 'public'"})
	const token = "npm_SeCrEtToKeN-0123"
	private, _ := registryServer(t, func(req *http.Request) bool { return req.Header.Get("Authorization") == "Bearer "+token },
		pkg{name: "@acme/secret", version: "1.0.0", source: "module.exports = 'private'"}, pkg{name: "left", version: "1.0.0", source: "module.exports = 'ours'"})
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{Walls: walls(t, dir)})
	tn := acme(t, r)
	deps := map[string]string{"left": "1", "@acme/secret": "1"}
	if err := r.SetPackages(bg, tn, fmt.Appendf(nil, `{"scopes":{"@acme":%q}}`, private)); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.Publish(bg, tn, "without", Publication{Source: "1", Dependencies: deps}, nil)
	wantFault(t, err, fault.InstallFailed, "did not let the hub in", "PUT /v1/packages")

	if err := r.SetPackages(bg, tn, fmt.Appendf(nil, `{"scopes":{"@acme":%q},"tokens":{%q:%q}}`, private, private+"/", token)); err != nil {
		t.Fatal(err)
	}
	wantShown := fmt.Sprintf(`{"scripts":"none","scopes":{"@acme":"%s/"},"tokens":["%[1]s/"]}`, private)
	if shown := encode(t, r.ShownPackages(tn)); shown != wantShown || strings.Contains(fmt.Sprintf("%v %+v %#v", tn.Packages(), tn.Packages(), tn.Packages()), token) {
		t.Errorf("shown: %s, want %s", shown, wantShown)
	}
	stop()
	r, stop = openRegistry(t, dir, Config{Walls: walls(t, dir)})
	tn = acme(t, r)
	var log strings.Builder
	v, _, err := r.Publish(bg, tn, "scoped", Publication{Source: "1", Dependencies: deps}, &log)
	if err != nil || v.Installed["@acme/secret"] != "1.0.0" {
		t.Fatalf("%v\n%s", err, log.String())
	}
	text := func(v *Version, name string) string {
		b, err := os.ReadFile(filepath.Join(v.Dir, "node_modules", name, "index.js"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text(v, "left") != "module.exports = 'public'" {
		t.Error("all packages come from the scope's registry")
	}
	if err := r.SetPackages(bg, tn, fmt.Appendf(nil, `{"registry":%q,"tokens":{%q:true}}`, private, private)); err != nil {
		t.Fatal(err)
	}
	if v = publish(t, r, "own", Publication{Source: "1", Dependencies: deps}); text(v, "left") != "module.exports = 'ours'" {
		t.Error("the hub's registry goes before the tenant's")
	}
	stop()
	for name := range contents(t, dir) {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil && strings.Contains(string(b), token) {
			t.Errorf("the token is in %s", name)
		}
	}
}

func TestWrongSettingsOfPackagesAreRefused(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	for body, say := range map[string]string{
		`[]`:                                     "packages: it is an array",
		`{"registries":"x"}`:                     "packages.registries",
		`{"scripts":"some"}`:                     `it is "none" or "all"`,
		`{"registry":"ftp://x.test/"}`:           "packages.registry",
		`{"registry":"https://me:hush@x.test/"}`: "belong into tokens",
		`{"registry":"https://x.test/\nignore-scripts=false"}`:    "packages.registry",
		`{"scopes":{"acme":"https://x.test/"}}`:                   "not a scope like @acme",
		`{"scopes":{"@acme":"https://x.test/?a=b"}}`:              "packages.scopes.@acme",
		`{"tokens":{"https://x.test/":""}}`:                       "is not a token",
		`{"tokens":{"https://x.test/":"a b"}}`:                    "is not a token",
		`{"tokens":{"https://x.test/":"${HOME}"}}`:                "is not a token",
		`{"tokens":{"https://x.test/":7}}`:                        "is not a token",
		`{"tokens":{"https://x.test/":true}}`:                     "there is none yet",
		`{"tokens":{"https://x.test/":"a","https://x.test":"b"}}`: "stands there twice",
	} {
		err := r.SetPackages(bg, tn, []byte(body))
		wantFault(t, err, fault.InvalidRequest, say)
		if strings.Contains(fault.From(err).Detail, "hush") {
			t.Errorf("%s shows a password: %v", body, err)
		}
	}
	wantFault(t, r.SetPackages(bg, tn, []byte(`{"scripts":"all"}`)), fault.Forbidden, "--allow-scripts")
}

// Who changes one setting knows neither the tokens nor what was left to the hub, and must not lose or fix either.
func TestAPatchOfTheSettingsOfPackagesLeavesTheOthers(t *testing.T) {
	r, stop := openRegistry(t, t.TempDir(), Config{AllowScripts: true})
	defer stop()
	tn := acme(t, r)
	for _, step := range []struct{ patch, shown, scripts, tokens string }{
		{`{"registry":"https://x.test","tokens":{"https://x.test":"a","https://y.test":"b"}}`,
			`{"scripts":"all","registry":"https://x.test/","scopes":{},"tokens":["https://x.test/","https://y.test/"]}`, "", "map[https://x.test/:a https://y.test/:b]"},
		{`{"scopes":{"@acme":"https://z.test","@else":"https://z.test"}}`,
			`{"scripts":"all","registry":"https://x.test/","scopes":{"@acme":"https://z.test/","@else":"https://z.test/"},"tokens":["https://x.test/","https://y.test/"]}`, "", "map[https://x.test/:a https://y.test/:b]"},
		{`{"scripts":"none","registry":null,"scopes":{"@else":null,"@none":null},"tokens":{"https://x.test":null,"https://y.test":"c","https://none.test":null}}`,
			`{"scripts":"none","scopes":{"@acme":"https://z.test/"},"tokens":["https://y.test/"]}`, "none", "map[https://y.test/:c]"},
		{`{}`, `{"scripts":"none","scopes":{"@acme":"https://z.test/"},"tokens":["https://y.test/"]}`, "none", "map[https://y.test/:c]"},
		{`{"scripts":null,"scopes":null,"tokens":null}`, `{"scripts":"all","scopes":{},"tokens":[]}`, "", "map[]"},
	} {
		if err := r.PatchPackages(bg, tn, []byte(step.patch)); err != nil {
			t.Fatalf("%s: %v", step.patch, err)
		}
		p := tn.Packages()
		if shown := encode(t, r.ShownPackages(tn)); shown != step.shown || p.Scripts != step.scripts || fmt.Sprint(p.Tokens) != step.tokens {
			t.Errorf("%s: %s, scripts %q, tokens %v", step.patch, shown, p.Scripts, p.Tokens)
		}
	}
	for body, say := range map[string]string{
		`[`: "packages: ", `{"registries":"x"}`: "packages.registries", `{"scripts":"some"}`: `it is "none" or "all"`, `{"scopes":[]}`: "packages.scopes: it is an array",
		`{"scopes":{"acme":"https://x.test/"}}`: "not a scope like @acme", `{"tokens":{"https://x.test":"a","https://x.test/":null}}`: "stands there twice",
		`{"tokens":{"x":"hush"}}`: "not an address", `{"tokens":{"https://me:hush@x.test/":"a"}}`: "belong into tokens", `{"tokens":{"https://x.test":true}}`: "there is none yet",
	} {
		err := r.PatchPackages(bg, tn, []byte(body))
		wantFault(t, err, fault.InvalidRequest, say)
		if strings.Contains(fault.From(err).Detail, "hush") {
			t.Errorf("%s shows a secret: %v", body, err)
		}
	}
}

// spy is a script that tries to read and write what it must not. What it could do is in its package's folder.
const spy = `const fs = require('fs'), found = []
for (const path of [process.env.SPY_OTHER, process.env.HOME + '/../..', '/root', '/home']) {
  try { fs.readdirSync(path).forEach(name => { if (/acme|zeta|secret/.test(name)) found.push(path + '/' + name) }) } catch {}
}
const rc = fs.readFileSync(process.env.npm_config_userconfig, 'utf8')
if (/_authToken/.test(rc)) found.push('token')
for (const dir of [process.env.npm_config_cache, '/usr/lib', __dirname + '/../../../..']) {
  try { fs.writeFileSync(dir + '/spied', '') } catch {} // the test looks what of it is there in the end
}
if (process.env.LIVEFN_ADMIN_KEY) found.push('env')
fs.writeFileSync(__dirname + '/found', JSON.stringify(found))
fs.appendFileSync(__dirname + '/index.js', '\n// built')
`

// Scripts run where the tenant wants them, see neither tokens nor others, and write to nothing but the version.
func TestLifecycleScriptsRunBehindWallsIfTheTenantWantsThem(t *testing.T) {
	t.Setenv("LIVEFN_ADMIN_KEY", "hush")
	npmRegistry(t, pkg{name: "spy", version: "1.0.0", source: spy, scripts: map[string]string{"install": "node index.js"}}, pkg{name: "left", version: "1.0.0"})
	dir := t.TempDir()
	r, _ := openRegistry(t, dir, Config{Walls: walls(t, dir)})
	tn := acme(t, r)
	if _, _, err := r.CreateTenant(bg, "zeta"); err != nil {
		t.Fatal(err)
	}
	deps := map[string]string{"spy": "1", "left": "1"}
	v := publish(t, r, "without", Publication{Source: "1", Dependencies: deps})
	if fileExists(filepath.Join(v.Dir, "node_modules/spy/found")) {
		t.Error("a script ran that nobody allowed")
	}
	if err := r.SetPackages(bg, tn, []byte(`{"scripts":"all","tokens":{"https://x.test/":"hush"}}`)); err != nil {
		t.Fatal(err)
	}
	with := publish(t, r, "with", Publication{Source: "1", Dependencies: deps})
	if found, err := os.ReadFile(filepath.Join(with.Dir, "node_modules/spy/found")); err != nil || string(found) != "[]" {
		t.Errorf("%s, %v", found, err)
	}
	if b, err := os.ReadFile(filepath.Join(v.Dir, "node_modules/spy/index.js")); err != nil || string(b) != spy {
		t.Errorf("the script changed a file of another version: %v", err)
	}
	for name := range contents(t, dir) {
		if filepath.Base(name) == "spied" {
			t.Errorf("the script wrote %s", name)
		}
	}
	own := publish(t, r, "own", Publication{Files: map[string][]byte{"index.js": []byte("1"),
		"package.json": []byte(`{"dependencies":{"left":"1"},"scripts":{"preinstall":"touch pre","postinstall":"touch post"}}`)}})
	if !fileExists(filepath.Join(own.Dir, "pre")) || !fileExists(filepath.Join(own.Dir, "post")) {
		t.Error("the function's own scripts did not run")
	}
}

// Scripts are the tenant's code, and have the network: where its functions have none, they are not run.
func TestInstallScriptsAreNoWayToTheNetworkForATenantWithout(t *testing.T) {
	npmRegistry(t, pkg{name: "left", version: "1.0.0"})
	dir := t.TempDir()
	r, _ := openRegistry(t, dir, Config{Walls: walls(t, dir), AllowScripts: true})
	files := map[string][]byte{"index.js": []byte("1"), "package.json": []byte(`{"dependencies":{"left":"1"},"scripts":{"postinstall":"touch ran"}}`)}
	limit := func(network string) {
		t.Helper()
		if err := r.SetLimits(bg, acme(t, r), fmt.Appendf(nil, `{"network":%q}`, network)); err != nil {
			t.Fatal(err)
		}
	}
	limit("none")
	_, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: files}, nil)
	wantFault(t, err, fault.InstallFailed, "(limit network)")
	if v := publish(t, r, "g", Publication{Source: "1", Dependencies: map[string]string{"left": "1"}}); !fileExists(filepath.Join(v.Dir, "node_modules/left")) {
		t.Error("npm itself can't fetch")
	}
	limit("full")
	if v := publish(t, r, "f", Publication{Files: files}); !fileExists(filepath.Join(v.Dir, "ran")) {
		t.Error("with the network the script did not run")
	}
}

// What an install may take is bounded, else one tenant's takes the machine from all.
func TestAnInstallIsEndedWhenItTakesTooMuch(t *testing.T) {
	for _, c := range []struct{ name, script, say string }{
		{"memory", "exec node -e 'const a = []; setInterval(() => a.push(Buffer.alloc(4e6, 1)), 1)'", "more than 96 MiB of memory (InstallMemory)"},
		{"disk", "head -c 3000000 /dev/zero > $HOME/large; exec sleep 1000", "more than 2 MiB of disk (InstallDisk)"},
		{"cache", "mkdir -p $npm_config_cache; head -c 3000000 /dev/zero > $npm_config_cache/large; exec sleep 1000", "more than 2 MiB of disk (InstallDisk)"},
		{"output", "exec yes", "more than 5000 bytes (InstallOutput)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, w := range []*sandbox.Walls{nil, walls(t, dir)} {
				r, _ := openRegistry(t, t.TempDir(), Config{Npm: program(t, c.script), InstallMemory: 96 << 20, InstallDisk: 2 << 20, InstallOutput: 5000, Walls: w})
				_, _, err := r.Publish(bg, acme(t, r), "f", withDependency, nil)
				wantFault(t, err, fault.InstallFailed, c.say)
			}
		})
	}
}
