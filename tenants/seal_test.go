package tenants

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/livefn/livefn/internal/store"
)

const secret = "hush-hush-9f2c"

var withSecret = Publication{Source: "module.exports = 1", Settings: &Settings{Env: Env{"TOKEN": secret}}}

func mustPublish(t *testing.T, r *Registry, fn string, p Publication) *Version {
	t.Helper()
	v, _, err := r.Publish(bg, acme(t, r), fn, p, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tryOpen opens a registry on a store that nobody writes to.
func tryOpen(t *testing.T, dir string, cfg Config) (*Registry, error) {
	t.Helper()
	st, err := store.Open(dir+"/store", store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	cfg.Dir = dir + "/functions"
	return Open(cfg, st)
}

// Whoever copies the disk, or a backup of it, must not have the secrets too.
func TestSecretsAreSealedOnDisk(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{SecretKey: NewMasterKey()}
	r, stop := openRegistry(t, dir, cfg)
	v := mustPublish(t, r, "f", withSecret)
	if again := mustPublish(t, r, "f", withSecret); again != v {
		t.Errorf("the same content gave version %d", again.Number)
	}
	other := mustPublish(t, r, "f", Publication{Source: withSecret.Source, Settings: &Settings{Env: Env{"TOKEN": secret + "x"}}})
	if other.Number != 2 || other.Hash == v.Hash {
		t.Errorf("another secret gave version %d, %s", other.Number, other.Hash)
	}
	tr, err := r.cfg.tree(withSecret)
	if err != nil || v.Hash == tr.hash || strings.Contains(v.Dir, tr.hash[:12]) {
		t.Errorf("the hash %s of %s can be guessed, %v", v.Hash, v.Dir, err)
	}
	stop()
	for _, s := range []string{secret, "TOKEN", base64.StdEncoding.EncodeToString([]byte(secret)), tr.hash, cfg.SecretKey.Text()} {
		if found := grep(t, dir, s); len(found) > 0 {
			t.Errorf("%s is in %v", s, found)
		}
	}
	if fileExists(dir + "/secret.key") {
		t.Error("a key was made beside the operator's")
	}

	r, _ = openRegistry(t, dir, cfg)
	got, err := acme(t, r).Resolve("f@1")
	if err != nil || got.Settings.Env["TOKEN"] != secret {
		t.Errorf("after reopening: %+v, %v", got, err)
	}
	if got := mustPublish(t, r, "f", Publication{Source: withSecret.Source, Settings: &Settings{Env: Env{"TOKEN": secret + "x"}}}); got.Number != 2 {
		t.Errorf("after reopening the same content gave version %d", got.Number)
	}
}

// Another tenant's hash of the same content would say that both have the same secret.
func TestHashesOfSecretsDifferBetweenTenants(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	a := mustPublish(t, r, "f", withSecret)
	zeta, _, err := r.CreateTenant(bg, "zeta")
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := r.Publish(bg, zeta, "f", withSecret, io.Discard)
	if err != nil || a.Hash == b.Hash {
		t.Errorf("%s and %s, %v", a.Hash, b.Hash, err)
	}
}

func TestAKeyIsMadeForWhoGaveNone(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	cfg := Config{Log: slog.New(slog.NewTextHandler(&log, nil))}
	r, stop := openRegistry(t, dir, cfg)
	mustPublish(t, r, "plain", Publication{Source: "1"})
	file := dir + "/secret.key"
	if fileExists(file) || log.Len() > 0 {
		t.Errorf("a key was made before there was a secret: %s", &log)
	}
	mustPublish(t, r, "f", withSecret)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "LIVEFN_SECRET_KEY") {
		t.Errorf("it was not said loudly: %s", &log)
	}
	stop()
	if found := grep(t, dir, secret); len(found) > 0 {
		t.Errorf("the secret is in %v", found)
	}

	// An own key takes over, and the one in the folder goes.
	own := NewMasterKey()
	r, stop = openRegistry(t, dir, Config{SecretKey: own})
	if v, err := acme(t, r).Resolve("f"); err != nil || v.Settings.Env["TOKEN"] != secret {
		t.Fatalf("%v, %v", v, err)
	}
	stop() // all that was queued is on disk
	if fileExists(file) {
		t.Error("the key in the folder is still there")
	}
	r, _ = openRegistry(t, dir, Config{SecretKey: own})
	if v, err := acme(t, r).Resolve("f"); err != nil || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("%v, %v", v, err)
	}
}

func TestAnotherMasterKeyTakesOverBesideTheOldOne(t *testing.T) {
	dir := t.TempDir()
	first, second := NewMasterKey(), NewMasterKey()
	r, stop := openRegistry(t, dir, Config{SecretKey: first})
	mustPublish(t, r, "f", withSecret)
	stop()
	r, stop = openRegistry(t, dir, Config{SecretKey: second, FormerSecretKeys: []MasterKey{NewMasterKey(), first}})
	v := mustPublish(t, r, "f", withSecret)
	if v.Number != 1 {
		t.Errorf("the hash of the same content changed with the key: version %d", v.Number)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{SecretKey: second})
	if v, err := acme(t, r).Resolve("f"); err != nil || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("%v, %v", v, err)
	}
}

// A hub that goes on without the secrets would break functions, and one that overwrites them would lose them.
func TestAWrongKeyIsRefusedAndNothingIsLost(t *testing.T) {
	dir := t.TempDir()
	right, wrong := NewMasterKey(), NewMasterKey()
	r, stop := openRegistry(t, dir, Config{SecretKey: right})
	mustPublish(t, r, "f", withSecret)
	stop()
	for _, cfg := range []Config{{SecretKey: wrong}, {}} {
		_, err := tryOpen(t, dir, cfg)
		if err == nil {
			t.Fatal("a wrong key was taken")
		}
		for _, want := range []string{"acme", right.ID(), "--secret-key-old", "--forget-secrets", "Nothing was changed"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %s", err, want)
			}
		}
		if strings.Contains(err.Error(), right.Text()) || strings.Contains(err.Error(), wrong.Text()) {
			t.Error("the error tells a key")
		}
	}
	if fileExists(dir + "/secret.key") {
		t.Error("a key was made though there are secrets of another")
	}
	r, stop = openRegistry(t, dir, Config{SecretKey: right})
	if v, err := acme(t, r).Resolve("f"); err != nil || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("%v, %v", v, err)
	}
	mustPublish(t, r, "plain", Publication{Source: "1"})
	stop()

	// The way out for who has lost the key.
	r, stop = openRegistry(t, dir, Config{SecretKey: wrong, ForgetSecrets: true})
	_, err := acme(t, r).Resolve("f")
	wantFault(t, err, "version_broken", "Publish it again")
	if _, err := acme(t, r).Resolve("plain"); err != nil {
		t.Error(err)
	}
	if v := mustPublish(t, r, "f", withSecret); v.Number != 2 {
		t.Errorf("version %d", v.Number)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{SecretKey: wrong})
	if v, err := acme(t, r).Resolve("f"); err != nil || v.Number != 2 || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("%v, %v", v, err)
	}
	_, err = acme(t, r).Resolve("f@1")
	wantFault(t, err, "version_broken")
}

func TestASealedValueOpensOnlyWhereItBelongs(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	tn := acme(t, r)
	sealed, err := r.seal(bg, tn, "env of f@1", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := r.unseal("acme", "env of f@1", sealed); err != nil || string(plain) != secret {
		t.Errorf("%q, %v", plain, err)
	}
	for purpose, b := range map[string][]byte{"env of f@2": sealed, "env of f@1": append(sealed[:len(sealed)-1:len(sealed)-1], sealed[len(sealed)-1]^1), "": nil} {
		if plain, err := r.unseal("acme", purpose, b); err == nil {
			t.Errorf("%s opened as %q", purpose, plain)
		}
	}
	if _, err := r.unseal("zeta", "env of f@1", sealed); err == nil {
		t.Error("another tenant opened it")
	}
}

// A data folder of before has secrets in clear, and hashes of them.
func TestSecretsOfOlderProgramsAreSealedAtStart(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	plain := mustPublish(t, r, "plain", Publication{Source: "1"})
	tr, err := r.cfg.tree(withSecret)
	if err != nil {
		t.Fatal(err)
	}
	old := versionRecord{State: Ready, Hash: tr.hash, Folder: "f@1-" + tr.hash[:12], Settings: storedSettings(tr.settings)}
	folder := filepath.Join(r.tenantDir("acme"), old.Folder)
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := tr.write(folder); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Commit(bg, putRecord(versionKey("acme", "f", 1), old), putRecord(functionKey("acme", "f"), functionRecord{Latest: 1, Next: 2})); err != nil {
		t.Fatal(err)
	}
	if b, err := r.store.Get(versionKey("acme", "f", 1)); err != nil || b[0] != 1 || !bytes.Contains(b, []byte(secret)) {
		t.Fatalf("this is not how it was: %s, %v", b, err)
	}
	stop()

	r, stop = openRegistry(t, dir, Config{})
	v := mustPublish(t, r, "f", withSecret)
	if v.Number != 1 || v.Hash == tr.hash || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("version %d, %s, %q", v.Number, v.Hash, v.Settings.Env["TOKEN"])
	}
	mustPublish(t, r, "g", Publication{Source: "2"}) // behind what the start wrote
	records := map[string][]byte{}
	if err := r.store.Snapshot(bg, func(rec store.Record) error {
		records[string(rec.Key)] = bytes.Clone(rec.Value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for k := range maps.Keys(records) {
		if bytes.Contains(records[k], []byte(secret)) || bytes.Contains(records[k], []byte(tr.hash)) {
			t.Errorf("%s is %s", k, records[k])
		}
	}
	if b := records[string(versionKey("acme", "f", 1))]; len(b) == 0 || b[0] != recordFormatSealed {
		t.Errorf("the record is %s", b)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{})
	if v := mustPublish(t, r, "f", withSecret); v.Number != 1 || v.Settings.Env["TOKEN"] != secret {
		t.Errorf("version %d, %q", v.Number, v.Settings.Env["TOKEN"])
	}
	if v := mustPublish(t, r, "plain", Publication{Source: "1"}); v.Hash != plain.Hash {
		t.Errorf("the hash of what has no secrets became %s", v.Hash)
	}
}

func TestSecretsGoWithTheirTenant(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	mustPublish(t, r, "f", withSecret)
	before := r.seals.of("acme")
	if err := r.DeleteTenant(context.Background(), "acme"); err != nil {
		t.Fatal(err)
	}
	if b, err := r.store.Get(sealKey("acme")); err == nil {
		t.Errorf("its key is still there: %s", b)
	}
	mustPublish(t, r, "f", withSecret)
	if r.seals.of("acme").id == before.id {
		t.Error("a later tenant of the name has its key")
	}
}

func TestParseMasterKey(t *testing.T) {
	k := NewMasterKey()
	url := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(k.Text()), "=")
	b, _ := base64.StdEncoding.DecodeString(k.Text())
	for _, text := range []string{k.Text(), " " + k.Text() + "\n", url, strings.ToUpper(hexOf(b)), hexOf(b)} {
		if got, err := ParseMasterKey(text); err != nil || got != k {
			t.Errorf("%q gave %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "password", k.Text()[:20], k.Text() + "AAAA", hexOf(b[:31])} {
		if _, err := ParseMasterKey(text); err == nil || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
