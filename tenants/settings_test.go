package tenants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// The API shows a version's files, so a secret in them would be none.
func TestSecretsInAPackageJSONStayOutOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	const before = `{ "name" : "x",
	"livefn": {"timeout": "1s", "env" : {"TOKEN": "hush-1", "B": "hush-2"}, "env": {"C":"hush-3"} }, "keep":"me" }`
	files := map[string][]byte{"package.json": []byte(before), "index.js": []byte("1")}
	v, _, err := r.Publish(bg, acme(t, r), "f", Publication{Files: files}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if string(files["package.json"]) != before {
		t.Errorf("the caller's file became %s", files["package.json"])
	}
	if v.Settings.Env["C"] != "hush-3" {
		t.Errorf("the function gets %q", map[string]string(v.Settings.Env))
	}
	shown, err := v.Source()
	if err != nil {
		t.Fatal(err)
	}
	if want := `{ "name" : "x",
	"livefn": {"timeout": "1s", "env" : {}, "env": {} }, "keep":"me" }`; string(shown["package.json"]) != want {
		t.Errorf("shown: %s", shown["package.json"])
	}
	stop()
	if found := grep(t, dir+"/functions", "hush"); len(found) > 0 {
		t.Errorf("secrets are in %v", found)
	}
}

// What is printed in passing, %+v of a version, is how secrets get into logs.
func TestSecretsAreNotPrinted(t *testing.T) {
	v := &Version{Function: "f", Settings: Settings{Env: Env{"TOKEN": "hush", "A": "hush"}}}
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(h).Info("published", "version", v, "settings", v.Settings, "env", v.Settings.Env)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, verb+verb+verb+"\n", *v, v.Settings, v.Settings.Env)
	}
	if s := log.String(); strings.Contains(s, "hush") || strings.Contains(s, fmt.Sprintf("%x", "hush")) || !strings.Contains(s, "env[A TOKEN]") {
		t.Error(s)
	}
}

func TestANullSettingIsAsIfItWereNotThere(t *testing.T) {
	s, err := ParseSettings([]byte(`{"timeout":null,"retries":null,"env":{"A":null},"tail":null,"triggers":null}`))
	if err != nil || encode(t, storedSettings(s)) != "{}" {
		t.Errorf("%s, %v", encode(t, storedSettings(s)), err)
	}
}

func FuzzParseSettings(f *testing.F) {
	for _, s := range []string{`{}`, `null`, `{"timeout":"90s","env":{"A":"b"}}`, `{"retries":{"attempts":3,"backoff":"1s"},"triggers":[{"schedule":"* * * * *"}]}`,
		`{"tail":false,"concurrency":8}`, `{"timeout":-1}`, `[1]`, `{"env":{"A":null}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSettings(b)
		if err != nil {
			return
		}
		stored, err := json.Marshal(storedSettings(s))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		again, err := ParseSettings(stored)
		if err != nil || encode(t, storedSettings(again)) != string(stored) {
			t.Errorf("%s is stored as %s and read as %s, %v", b, stored, encode(t, storedSettings(again)), err)
		}
	})
}

func FuzzWithoutSecrets(f *testing.F) {
	for _, s := range []string{`{"livefn":{"env":{"A":"b"}}}`, `{"Livefn":{"ENV":"x"},"livefn":{}}`, `{"a":[1,{"livefn":{"env":1}}],"livefn": {"x" :1, "env" : [ ] } }`,
		`{"livefn":3}`, `[]`, `{"livefn":{"\u0065nv":{"A":"b"}}}`, "\ufeff{}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := readManifest(b); err != nil {
			return
		}
		after := withoutSecrets(b)
		m, err := readManifest(after)
		if err != nil {
			t.Fatalf("%s became %s: %v", b, after, err)
		}
		var s struct{ Env json.RawMessage }
		if json.Unmarshal(m.Livefn, &s) == nil && len(s.Env) > 0 && string(s.Env) != "{}" {
			t.Errorf("%s became %s, with env %s", b, after, s.Env)
		}
	})
}
