package tenants

import (
	"crypto/elliptic"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// revocations opens a registry with a tenant, and gives its key's grant.
func revocations(t *testing.T, dir string, cfg Config) (r *Registry, by *Grant, told *int, stop func()) {
	t.Helper()
	r, stop = openRegistry(t, dir, cfg)
	told = new(int)
	r.OnRevoke(func(string) { *told++ })
	_, key, err := r.CreateTenant(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if by, err = r.Authenticate(key); err != nil {
		t.Fatal(err)
	}
	return r, by, told, stop
}

func mint(t *testing.T, r *Registry, by *Grant, subject string) MintedToken {
	t.Helper()
	m, err := r.MintToken(bg, by.Tenant, by.KeyID, TokenRequest{Scopes: []string{"invoke:add"}, Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A revocation that a restart forgets, or that a cache does not hear of, is none.
func TestARevokedTokenIsRefusedAtOnceAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	r, by, told, stop := revocations(t, dir, Config{})
	one, two, other := mint(t, r, by, "u1"), mint(t, r, by, "u1"), mint(t, r, by, "u2")
	var grants []*Grant
	for _, m := range []MintedToken{one, two, other} {
		g, err := r.Authenticate(m.Secret)
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, g)
	}
	good := func(r *Registry, inUse bool, want ...bool) {
		t.Helper()
		for i, m := range []MintedToken{one, two, other} {
			if _, err := r.Authenticate(m.Secret); (err == nil) != want[i] {
				t.Fatalf("token %d: %v", i, err)
			}
			if err := r.Stands(grants[i]); inUse && (err == nil) != want[i] {
				t.Fatalf("token %d, in use: %v", i, err)
			}
		}
	}
	good(r, true, true, true, true)
	if err := r.RevokeToken(bg, by.Tenant, one.ID); err != nil {
		t.Fatal(err)
	}
	good(r, true, false, true, true)
	if err := r.RevokeSubject(bg, by.Tenant, "u1"); err != nil {
		t.Fatal(err)
	}
	good(r, true, false, false, true)
	if *told != 2 {
		t.Errorf("told %d times", *told)
	}
	again := mint(t, r, by, "u1") // issued after the revocation, even if within the same second
	if _, err := r.Authenticate(again.Secret); err != nil {
		t.Error(err)
	}
	stop()
	r, _ = openRegistry(t, dir, Config{})
	good(r, false, false, false, true)
	if _, err := r.Authenticate(again.Secret); err != nil {
		t.Error(err)
	}
	wantFault(t, r.RevokeSubject(bg, acme(t, r), ""), fault.InvalidRequest, "subject")
}

// A clock that is ahead, of the hub's own tokens as well, must not carry a token over its revocation.
func TestARevocationHoldsForTokensOfTheFuture(t *testing.T) {
	r, by, _, _ := revocations(t, t.TempDir(), Config{TokenLeeway: time.Minute})
	refusedNow := func(what, token string) {
		t.Helper()
		if _, err := r.Authenticate(token); fault.From(err).Code != fault.Unauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
	ahead := time.Now().Unix() + 50
	addKey(t, r, NewTokenKey{ID: "own", Alg: HS256, Secret: testSecret})
	own := func(id, subject string, iat int64) string {
		return signed(t, jwt.SigningMethodHS256, "own", []byte(testSecret), claimsOf(t, map[string]any{"jti": id, "sub": subject, "iat": iat, "exp": iat + 60}))
	}
	one, two := own("a", "u1", ahead), own("b", "u2", ahead)
	for _, token := range []string{one, two} {
		if _, err := r.Authenticate(token); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.RevokeToken(bg, by.Tenant, "a"); err != nil {
		t.Fatal(err)
	}
	refusedNow("a token by its id", one)
	if err := r.RevokeSubject(bg, by.Tenant, "u2"); err != nil {
		t.Fatal(err)
	}
	refusedNow("a token by its subject", two)

	for i := range 3 { // each is issued for a second later than the revocation before it
		m := mint(t, r, by, "u3")
		if _, err := r.Authenticate(m.Secret); err != nil {
			t.Fatal(i, err)
		}
		if err := r.RevokeSubject(bg, by.Tenant, "u3"); err != nil {
			t.Fatal(err)
		}
		refusedNow("one of the hub's", m.Secret)
	}
	m := mint(t, r, by, "u4")
	if err := r.RevokeSubject(bg, by.Tenant, "u4"); err != nil {
		t.Fatal(err)
	}
	m = mint(t, r, by, "u4")
	if err := r.RevokeToken(bg, by.Tenant, m.ID); err != nil {
		t.Fatal(err)
	}
	refusedNow("one of the hub's by its id", m.Secret)
}

func TestRevocationsAtOnceDoNotGoBackwards(t *testing.T) {
	r, by, _, _ := revocations(t, t.TempDir(), Config{})
	const n = 8
	before := time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := r.RevokeSubject(bg, by.Tenant, "u1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if at := by.Tenant.auth.revoked["subject u1"].at; at.Before(before.Add((n - 1) * time.Second)) {
		t.Errorf("%v after %d of them", at.Sub(before), n)
	}
}

func TestAKeyThatIsOverStaysOverAndIsGivenUp(t *testing.T) {
	r, by, _, _ := revocations(t, t.TempDir(), Config{})
	a := &by.Tenant.auth
	addKey(t, r, NewTokenKey{ID: "old", Alg: HS256, Secret: testSecret})
	if err := r.DeleteTokenKey(bg, by.Tenant, "old", time.Minute); err != nil {
		t.Fatal(err)
	}
	until := a.keys["old"].until
	if err := r.DeleteTokenKey(bg, by.Tenant, "old", time.Hour); err != nil || !a.keys["old"].until.Equal(until) {
		t.Errorf("prolonged to %v, %v", a.keys["old"].until, err)
	}
	if err := r.DeleteTokenKey(bg, by.Tenant, "old", time.Second); err != nil || !a.keys["old"].until.Before(until) {
		t.Errorf("not shortened: %v, %v", a.keys["old"].until, err)
	}
	a.change(func() { a.keys["old"].until = time.Now() })
	wantFault(t, r.DeleteTokenKey(bg, by.Tenant, "old", time.Hour), fault.NotFound, "old")
	wantFault(t, r.DeleteTokenKey(bg, by.Tenant, "old", 0), fault.NotFound, "old")
	mint(t, r, by, "u1") // makes the hub's key
	if a.keys["old"] != nil || len(a.keys) != 1 {
		t.Error(a.keys)
	}
	if b, err := r.store.Get(tokenKeyKey("acme", "old")); err != store.ErrNotFound {
		t.Errorf("the store has %s, %v", b, err)
	}
	addKey(t, r, NewTokenKey{ID: "old", Alg: HS256})
}

func TestADeletedKeyTakesItsTokensWithIt(t *testing.T) {
	r, by, told, _ := revocations(t, t.TempDir(), Config{})
	_, secret, err := r.CreateKey(bg, "acme")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Authenticate(secret)
	if err != nil {
		t.Fatal(err)
	}
	of, ofSecond := mint(t, r, by, "u1"), mint(t, r, second, "u1")
	if _, err := r.Authenticate(ofSecond.Secret); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteKey(bg, "acme", second.KeyID); err != nil {
		t.Fatal(err)
	}
	_, err = r.Authenticate(ofSecond.Secret)
	wantFault(t, err, fault.Unauthorized, "deleted")
	wantFault(t, r.Stands(second), fault.Unauthorized, "deleted")
	if _, err := r.Authenticate(of.Secret); err != nil || r.Stands(by) != nil {
		t.Error(err)
	}
	// The hub's own key: all that it signed, and then a new one.
	hubKey := by.Tenant.TokenKeys()[0].ID
	if err := r.DeleteTokenKey(bg, by.Tenant, hubKey, 0); err != nil {
		t.Fatal(err)
	}
	_, err = r.Authenticate(of.Secret)
	wantFault(t, err, fault.Unauthorized, "no key")
	if _, err := r.Authenticate(mint(t, r, by, "u1").Secret); err != nil {
		t.Error(err)
	}
	if *told != 2 {
		t.Errorf("told %d times", *told)
	}
	wantFault(t, r.DeleteTokenKey(bg, by.Tenant, hubKey, 0), fault.NotFound, hubKey)
	g, err := r.Authenticate(mint(t, r, by, "u1").Secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteTenant(bg, "acme"); err != nil {
		t.Fatal(err)
	}
	wantFault(t, r.Stands(g), fault.Unauthorized)
}

// Rotation: both keys are good for a while, then one is not, also for what is remembered and what is open.
func TestAKeyThatIsReplacedIsGoodUntilItsTime(t *testing.T) {
	dir := t.TempDir()
	r, _ := openRegistry(t, dir, Config{})
	addKey(t, r, NewTokenKey{ID: "old", Alg: HS256, Secret: testSecret})
	text := signed(t, jwt.SigningMethodHS256, "old", []byte(testSecret), claimsOf(t, nil))
	g, err := r.Authenticate(text)
	if err != nil {
		t.Fatal(err)
	}
	ec := newECKey(t, elliptic.P256())
	addKey(t, r, NewTokenKey{ID: "new", Alg: ES256, PublicKey: pemOf(t, ec.Public())})
	if err := r.DeleteTokenKey(bg, g.Tenant, "old", 30*time.Second); err != nil {
		t.Fatal(err)
	}
	until := g.Tenant.TokenKeys()[0].Until
	if left := time.Until(until); left <= 0 || left > 30*time.Second {
		t.Fatal(left)
	}
	later, err := r.Authenticate(text)
	if err != nil || !later.Token.Expires.Equal(until) || !g.Expires().Equal(until) {
		t.Fatalf("%v: %v and %v, want %v", err, later.Token.Expires, g.Expires(), until)
	}
	if _, err := r.Authenticate(signed(t, jwt.SigningMethodES256, "new", ec, claimsOf(t, nil))); err != nil {
		t.Error(err)
	}
	// Past its time: a key of the past, as a restart finds it.
	g.Tenant.auth.change(func() { g.Tenant.auth.keys["old"].until = time.Now() })
	_, err = r.Authenticate(text)
	wantFault(t, err, fault.Unauthorized, "no key")
	if keys := g.Tenant.TokenKeys(); len(keys) != 1 || keys[0].ID != "new" {
		t.Error(keys)
	}
}

// The cache must not outlive the token, nor be a way to fill the memory.
func TestTheCacheOfTokensHonoursExpiryAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTokenCache(100)
		tn := newTenant("acme", tenantRecord{}, Limits{})
		grant := func() *Grant { return &Grant{Tenant: tn, Token: &Token{Expires: time.Now().Add(time.Minute)}} }
		first := hashKey("first")
		c.put(first, grant())
		for i := range 1000 {
			c.put(hashKey(fmt.Sprint(i)), grant())
			if c.get(first, time.Now(), 0) == nil { // what is used stays
				t.Fatalf("gone after %d", i)
			}
		}
		if n := c.young.Load().Size() + c.old.Load().Size(); n > 200 {
			t.Fatalf("it holds %d", n)
		}
		if c.get(hashKey("1"), time.Now(), 0) != nil {
			t.Fatal("it holds what nobody used")
		}
		time.Sleep(time.Minute - time.Millisecond)
		if c.get(first, time.Now(), 0) == nil {
			t.Fatal("gone too early")
		}
		time.Sleep(time.Millisecond)
		if c.get(first, time.Now(), 0) != nil || c.get(first, time.Now(), time.Second) == nil {
			t.Fatal("it does not mind the time")
		}
		tn.auth.change(func() {})
		if c.get(first, time.Now(), time.Second) != nil {
			t.Fatal("it did not hear of a change")
		}
	})
}

func TestRevocationsAreBounded(t *testing.T) {
	r, by, _, _ := revocations(t, t.TempDir(), Config{MaxRevoked: 2, MaxTokenKeys: 1})
	for _, id := range []string{"a", "b", "a"} {
		if err := r.RevokeToken(bg, by.Tenant, id); err != nil {
			t.Fatal(err)
		}
	}
	wantFault(t, r.RevokeToken(bg, by.Tenant, "c"), fault.Conflict, "MaxRevoked")
	addKey(t, r, NewTokenKey{ID: "one", Alg: HS256})
	_, _, err := r.AddTokenKey(bg, by.Tenant, NewTokenKey{ID: "two", Alg: HS256})
	wantFault(t, err, fault.Conflict, "MaxTokenKeys")
	mint(t, r, by, "u1") // the hub's own is none of them
}
