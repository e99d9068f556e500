package tenants

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/livefn/livefn/internal/fault"
)

const testSecret = "a secret of the tenant's that has 32 bytes and more"

// forge makes a token of any header and claims; sign makes the signature of what comes before it.
func forge(head, claims string, sign func(string) []byte) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(head)) + "." + b64([]byte(claims))
	return text + "." + b64(sign(text))
}

func hs256(secret string) func(string) []byte {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
}

func pemOf(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// claimsOf gives claims that are good for a minute, but for what more says.
func claimsOf(t testing.TB, more map[string]any) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{"aud": "livefn:acme", "sub": "u1", "iat": now, "exp": now + 60, "scope": "invoke:add"}
	for k, v := range more {
		if v == nil {
			delete(claims, k)
		} else {
			claims[k] = v
		}
	}
	return encode(t, claims)
}

func addKey(t testing.TB, r *Registry, in NewTokenKey) {
	t.Helper()
	if _, _, err := r.AddTokenKey(bg, acme(t, r), in); err != nil {
		t.Fatal(err)
	}
}

// newEdKey and newECKey give key pairs.
func newEdKey(t testing.TB) (public ed25519.PublicKey, private ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func newECKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed gives a token as any backend's library makes it.
func signed(t testing.TB, method jwt.SigningMethod, kid string, key any, claims string) string {
	t.Helper()
	var m jwt.MapClaims
	if err := json.Unmarshal([]byte(claims), &m); err != nil {
		t.Fatal(err)
	}
	token := jwt.NewWithClaims(method, m)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestATokenOfTheHubAllowsWhatItWasAskedFor(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	_, key, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	by, err := r.Authenticate(key)
	if err != nil {
		t.Fatal(err)
	}
	scopes := []string{"invoke:add", "subscribe:orders.>"}
	minted, err := r.MintToken(bg, by.Tenant, by.KeyID, TokenRequest{Scopes: scopes, TTL: time.Minute, Subject: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // verified, and remembered
		g, err := r.Authenticate(minted.Secret)
		if err != nil {
			t.Fatal(err)
		}
		got := *g.Token
		want := Token{ID: minted.ID, Subject: "u1", Scopes: got.Scopes, IssuedAt: got.IssuedAt, Expires: minted.Expires.Local(), apiKey: by.KeyID, changes: got.changes}
		if g.Admin || g.KeyID != "" || g.Tenant != by.Tenant || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(got.Scopes.List(), scopes) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		if ttl := got.Expires.Sub(got.IssuedAt); ttl != time.Minute && ttl != time.Minute+time.Second { // whole seconds
			t.Fatal(ttl)
		}
	}
	for _, in := range []TokenRequest{
		{}, {Scopes: []string{"fly"}}, {Scopes: []string{"invoke:add"}, TTL: time.Millisecond}, {Scopes: []string{"invoke:add"}, TTL: 25 * time.Hour},
		{Scopes: []string{"executions:own"}}, {Scopes: []string{"invoke:add"}, Subject: "a\nb"}, {Scopes: []string{"invoke:add"}, Subject: strings.Repeat("s", 257)},
		{Scopes: []string{"subscribe:a.>.b"}}, {Scopes: []string{"executions:>"}}, {Scopes: []string{"invoke:"}}, {Scopes: []string{"invoke:a b"}},
	} {
		if _, err := r.MintToken(bg, by.Tenant, by.KeyID, in); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%+v: %v", in, err)
		}
	}
}

// What a tenant's own backend signs with its own key is as good, whatever library it has.
func TestATenantSignsTokensWithItsOwnKeys(t *testing.T) {
	dir := t.TempDir()
	r, stop := openRegistry(t, dir, Config{})
	public, private := newEdKey(t)
	ec := newECKey(t, elliptic.P256())
	addKey(t, r, NewTokenKey{ID: "hs", Alg: HS256, Secret: testSecret})
	addKey(t, r, NewTokenKey{ID: "ed", Alg: EdDSA, PublicKey: pemOf(t, public)})
	addKey(t, r, NewTokenKey{ID: "ec", Alg: ES256, PublicKey: pemOf(t, ec.Public()), Issuer: "https://idp.example"})
	made, secret, err := r.AddTokenKey(bg, acme(t, r), NewTokenKey{Alg: HS256})
	if err != nil || len(secret) < minTokenSecret {
		t.Fatal(secret, err)
	}
	tokens := []string{
		signed(t, jwt.SigningMethodHS256, "hs", []byte(testSecret), claimsOf(t, nil)),
		signed(t, jwt.SigningMethodEdDSA, "ed", private, claimsOf(t, map[string]any{"aud": []string{"https://other.example", "livefn:acme"}})),
		signed(t, jwt.SigningMethodES256, "ec", ec, claimsOf(t, map[string]any{"iss": "https://idp.example", "scope": nil, "scopes": []string{"invoke:add", "openid"}})),
		signed(t, jwt.SigningMethodHS256, made.ID, []byte(secret), claimsOf(t, nil)),
	}
	check := func() {
		t.Helper()
		for i, text := range tokens {
			g, err := r.Authenticate(text)
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
			if g.Tenant.Name() != "acme" || g.Token.Subject != "u1" || !g.Token.Scopes.Invoke("add") || g.Token.Scopes.Invoke("other") {
				t.Fatalf("%d: %+v", i, g.Token)
			}
		}
	}
	check()
	stop()
	if err := filepath.WalkDir(dir+"/store", func(path string, e fs.DirEntry, err error) error {
		b, _ := os.ReadFile(path)
		if bytes.Contains(b, []byte(testSecret)) {
			t.Errorf("%s has the secret in clear", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r, _ = openRegistry(t, dir, Config{})
	check()
	for _, in := range []NewTokenKey{
		{Alg: "none"}, {Alg: "RS256", PublicKey: pemOf(t, public)}, {Alg: HS256, Secret: "short"}, {Alg: HS256, PublicKey: pemOf(t, public)},
		{Alg: EdDSA}, {Alg: EdDSA, PublicKey: pemOf(t, ec.Public())}, {Alg: ES256, PublicKey: pemOf(t, public)}, {Alg: ES256, PublicKey: pemOf(t, newECKey(t, elliptic.P384()).Public())},
		{Alg: EdDSA, Secret: testSecret}, {ID: "../x", Alg: HS256}, {ID: "hub-1", Alg: HS256},
		{Alg: EdDSA, PublicKey: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
	} {
		if _, _, err := r.AddTokenKey(bg, acme(t, r), in); !fault.Is(err, fault.InvalidRequest) {
			t.Errorf("%+v: %v", in, err)
		}
	}
	_, _, err = r.AddTokenKey(bg, acme(t, r), NewTokenKey{ID: "hs", Alg: HS256})
	wantFault(t, err, fault.Conflict, "hs")
}

// Each of these has let somebody in, somewhere. RFC 8725 has the names of most.
func TestForgedTokensAreRefused(t *testing.T) {
	r, _ := openRegistry(t, t.TempDir(), Config{})
	public, private := newEdKey(t)
	ec := newECKey(t, elliptic.P256())
	addKey(t, r, NewTokenKey{ID: "hs", Alg: HS256, Secret: testSecret})
	addKey(t, r, NewTokenKey{ID: "ed", Alg: EdDSA, PublicKey: pemOf(t, public)})
	addKey(t, r, NewTokenKey{ID: "ec", Alg: ES256, PublicKey: pemOf(t, ec.Public()), Issuer: "https://idp.example"})
	zeta, zetaKey, err := r.CreateTenant(bg, "zeta")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.AddTokenKey(bg, zeta, NewTokenKey{ID: "zs", Alg: HS256, Secret: testSecret + " of zeta"}); err != nil {
		t.Fatal(err)
	}
	byZeta, err := r.Authenticate(zetaKey)
	if err != nil {
		t.Fatal(err)
	}
	minted, err := r.MintToken(bg, byZeta.Tenant, byZeta.KeyID, TokenRequest{Scopes: []string{"invoke:*"}})
	if err != nil {
		t.Fatal(err)
	}
	mine, nothing := hs256(testSecret), func(string) []byte { return nil }
	good := claimsOf(t, nil)
	now := time.Now().Unix()
	head := `{"alg":"HS256","typ":"JWT","kid":"hs"}`
	if _, err := r.Authenticate(forge(head, good, mine)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	with := func(name string, v any) string { return forge(head, claimsOf(t, map[string]any{name: v}), mine) }
	parts := strings.Split(forge(head, good, mine), ".")
	for name, x := range map[string]struct{ token, says string }{
		"none":                              {forge(`{"alg":"none","kid":"hs"}`, good, nothing), "alg"},
		"None":                              {forge(`{"alg":"nOnE","kid":"hs"}`, good, nothing), "alg"},
		"no signature":                      {forge(head, good, nothing), "signature"},
		"another's signature":               {forge(head, good, hs256("another secret, of 32 bytes or more")), "signature"},
		"HS256 with the public key as text": {forge(`{"alg":"HS256","kid":"ed"}`, good, hs256(pemOf(t, public))), "alg"},
		"HS256 with the public key":         {forge(`{"alg":"HS256","kid":"ed"}`, good, hs256(string(public))), "alg"},
		"HS256 with the curve's key":        {forge(`{"alg":"HS256","kid":"ec"}`, good, hs256(pemOf(t, ec.Public()))), "alg"},
		"EdDSA said, HS256 done":            {forge(`{"alg":"EdDSA","kid":"ed"}`, good, hs256(pemOf(t, public))), "signature"},
		"HS512":                             {forge(`{"alg":"HS512","kid":"hs"}`, good, mine), "alg"},
		"RS256":                             {forge(`{"alg":"RS256","kid":"hs"}`, good, mine), "alg"},
		"a zero signature of the curve":     {forge(`{"alg":"ES256","kid":"ec"}`, good, func(string) []byte { return make([]byte, 64) }), "signature"}, // CVE-2022-21449
		"a signature in DER": {forge(`{"alg":"ES256","kid":"ec"}`, good, func(text string) []byte {
			sum := sha256.Sum256([]byte(text))
			sig, _ := ecdsa.SignASN1(rand.Reader, ec, sum[:])
			return sig
		}), "signature"},
		"alg missing":             {forge(`{"kid":"hs"}`, good, mine), "alg"},
		"kid missing":             {forge(`{"alg":"HS256"}`, good, mine), "kid"},
		"kid of nothing":          {forge(`{"alg":"HS256","kid":"no"}`, good, mine), "no key"},
		"kid of a path":           {forge(`{"alg":"HS256","kid":"../../../dev/null"}`, good, hs256("")), "no key"},
		"kid of a query":          {forge(`{"alg":"HS256","kid":"' UNION SELECT 'x"}`, good, hs256("x")), "no key"},
		"kid of another tenant":   {forge(`{"alg":"HS256","kid":"zs"}`, good, hs256(testSecret+" of zeta")), "no key"},
		"kid of the other's path": {forge(`{"alg":"HS256","kid":"zeta/zs"}`, good, hs256(testSecret+" of zeta")), "no key"},
		"kid that is no string":   {forge(`{"alg":"HS256","kid":["hs"]}`, good, mine), "kid"},
		"a key of its own":        {forge(`{"alg":"EdDSA","kid":"hs","jwk":{"kty":"oct","k":"AA"},"jku":"http://x.example/"}`, good, hs256("\x00")), "alg"},
		"crit":                    {forge(`{"alg":"HS256","kid":"hs","crit":["exp"]}`, good, mine), "crit"},
		"crit of b64":             {forge(`{"alg":"HS256","kid":"hs","crit":["b64"],"b64":false}`, good, mine), "crit"},
		"another kind of token":   {forge(`{"alg":"HS256","kid":"hs","typ":"secevent+jwt"}`, good, mine), "typ"},
		"alg twice":               {forge(`{"alg":"HS256","kid":"hs","alg":"none"}`, good, mine), "twice"},
		"a claim twice":           {forge(head, strings.Replace(good, "{", `{"scope":"invoke:*",`, 1), mine), "twice"},
		"a claim twice, escaped":  {forge(head, strings.Replace(good, "{", `{"sc\u006fpe":"invoke:*",`, 1), mine), "twice"},
		"exp in capitals":         {forge(head, strings.Replace(good, `"exp"`, `"EXP"`, 1), mine), ""},
		"more behind the claims":  {forge(head, good+good, mine), "JSON"},
		"claims of an array":      {forge(head, `[1]`, mine), "JSON"},
		"padding":                 {parts[0] + "=." + parts[1] + "." + parts[2], "base64"},
		"loose bits":              {parts[0] + "." + parts[1] + "." + looseBits(parts[2]), ""},
		"a part more":             {strings.Join(append(parts, "x"), "."), ""},
		"a space":                 {parts[0] + "." + parts[1] + ". " + parts[2], ""},
		"huge":                    {forge(head, claimsOf(t, map[string]any{"x": strings.Repeat("x", 8<<10)}), mine), "MaxToken"},
		"expired":                 {with("exp", now-10), "expired"},
		"no exp":                  {with("exp", nil), ""},
		"exp of text":             {with("exp", "tomorrow"), ""},
		"exp beyond time":         {with("exp", 1e300), ""},
		"exp below zero":          {with("exp", -1), ""},
		"lives too long":          {with("exp", now+25*3600), "MaxTokenTTL"},
		"not yet":                 {with("nbf", now+30), "not valid yet"},
		"nbf of text":             {with("nbf", "soon"), ""},
		"issued later":            {with("iat", now+30), "not valid yet"},
		"never issued":            {with("iat", nil), "iat"},
		"no aud":                  {with("aud", nil), "aud"},
		"aud of another service":  {with("aud", "https://other.example"), "aud"},
		"aud of two tenants":      {with("aud", []string{"livefn:acme", "livefn:zeta"}), "aud"},
		"aud of another tenant":   {with("aud", "livefn:zeta"), "no key"},
		"aud of no tenant":        {with("aud", "livefn:none"), "no key"},
		"aud of a number":         {with("aud", 7), "aud"},
		"sub of a number":         {with("sub", 7), "sub"},
		"sub of lines":            {with("sub", "a\nb"), "sub"},
		"a long sub":              {with("sub", strings.Repeat("s", 257)), "sub"},
		"scope and scopes":        {with("scopes", []string{"invoke:*"}), "scope"},
		"scope of an array":       {with("scope", []string{"invoke:*"}), "scope"},
		"very many scopes":        {with("scope", strings.Repeat("a ", 101)), "scopes"},
		"another iss":             {signed(t, jwt.SigningMethodES256, "ec", ec, claimsOf(t, map[string]any{"iss": "https://evil.example"})), "iss"},
		"no iss":                  {signed(t, jwt.SigningMethodES256, "ec", ec, good), "iss"},
		"the hub's, for another tenant": {func() string {
			p := strings.Split(minted.Secret, ".")
			claims, _ := base64.RawURLEncoding.DecodeString(p[1])
			return p[0] + "." + base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte("livefn:zeta"), []byte("livefn:acme"), 1)) + "." + p[2]
		}(), "no key"},
	} {
		g, err := r.Authenticate(x.token)
		if g != nil && err == nil {
			t.Errorf("%s: it was let in as %+v", name, g.Token)
			continue
		}
		if !fault.Is(err, fault.Unauthorized) || !strings.Contains(fault.From(err).Detail, x.says) {
			t.Errorf("%s: %v; want it to say %q", name, err, x.says)
		}
	}
	if _, err := r.Authenticate(signed(t, jwt.SigningMethodEdDSA, "ed", private, good)); err != nil {
		t.Error(err)
	}
}

// looseBits changes the bits of a signature's last letter that are no part of it.
func looseBits(sig string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(letters, sig[len(sig)-1])
	return sig[:len(sig)-1] + string(letters[last|1])
}

func FuzzTokensNeverPanicAndAreNeverGoodByChance(f *testing.F) {
	r, _ := openRegistry(f, f.TempDir(), Config{})
	addKey(f, r, NewTokenKey{ID: "hs", Alg: HS256, Secret: testSecret})
	head := `{"alg":"HS256","kid":"hs"}`
	f.Add(head, claimsOf(f, nil), []byte("x"))
	f.Add(`{"alg":"none","kid":"hs"}`, claimsOf(f, nil), []byte{})
	f.Add(head, `{"aud":["livefn:acme"],"exp":1e9,"iat":0}`, []byte("x"))
	f.Fuzz(func(t *testing.T, head, claims string, sig []byte) {
		if g, err := r.verifyToken(forge(head, claims, func(string) []byte { return sig })); err == nil {
			t.Fatalf("let in: %+v", g.Token)
		}
		// Signed well, whatever the claims are: no panic.
		_, _ = r.verifyToken(forge(`{"alg":"HS256","kid":"hs"}`, claims, hs256(testSecret)))
	})
}
