package tenants

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// The algorithms that a key for tokens may be of. The algorithm belongs to the key: what a token says of
// itself is compared with it, and chooses nothing.
const (
	HS256 = "HS256" // a secret that both sides have
	EdDSA = "EdDSA" // Ed25519
	ES256 = "ES256" // ECDSA over P-256
)

// tokenKey verifies tokens, and signs them if it is the hub's own.
type tokenKey struct {
	alg       string
	verify    any    // []byte, ed25519.PublicKey or *ecdsa.PublicKey
	minted    bool   // the hub signs with it
	issuer    string // what iss must be; "": anything
	createdAt time.Time

	until time.Time // it is good for nothing from then on; zero: for ever. Guarded by auth.mu, and written under auth.signing
	gone  bool      // it was deleted before; guarded by auth.mu
}

// tokenKeyRecord is a tokenKey as the store has it.
type tokenKeyRecord struct {
	Alg       string    `json:"alg"`
	Sealed    []byte    `json:"sealed,omitempty"` // the secret of HS256
	Public    string    `json:"public,omitempty"` // PEM
	Minted    bool      `json:"minted,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	Until     time.Time `json:"until,omitzero"`
}

// tokenAuth is what a tenant's tokens are verified with.
type tokenAuth struct {
	signing  sync.Mutex    // held while a key is made or goes; before life and mu
	revoking sync.Mutex    // held while something is revoked; before life and mu
	changes  atomic.Uint64 // counts the changes of what follows: what was verified before one is verified again

	mu      sync.RWMutex // guards the rest
	closed  bool         // the tenant is deleted
	apiKeys map[string]struct{}
	keys    map[string]*tokenKey    // by kid
	revoked map[string]revokedToken // by what it is said of: see revoke.go
}

// change changes what tokens are verified with.
func (a *tokenAuth) change(f func()) {
	a.mu.Lock()
	f()
	a.mu.Unlock()
	a.changes.Add(1)
}

// TokenKey is a key for tokens as it may be shown.
type TokenKey struct {
	ID        string
	Alg       string
	Hub       bool // the hub's own, with which it signs what POST /v1/tokens gives
	Issuer    string
	CreatedAt time.Time
	Until     time.Time
}

// MarshalJSON gives {kid, alg, hub, issuer?, createdAt, until?}.
func (k TokenKey) MarshalJSON() ([]byte, error) {
	out := struct {
		Kid       string `json:"kid"`
		Alg       string `json:"alg"`
		Hub       bool   `json:"hub"`
		Issuer    string `json:"issuer,omitempty"`
		CreatedAt string `json:"createdAt"`
		Until     string `json:"until,omitempty"`
	}{k.ID, k.Alg, k.Hub, k.Issuer, shownTime(k.CreatedAt), ""}
	if !k.Until.IsZero() {
		out.Until = shownTime(k.Until)
	}
	return json.Marshal(out)
}

// NewTokenKey is a key that a tenant registers.
type NewTokenKey struct {
	ID        string // "": made up
	Alg       string
	Secret    string // of HS256; "": made up
	PublicKey string // of the others: PEM
	Issuer    string // iss of every token of it; "": anything
}

// Bounds of what a tenant registers.
const (
	minTokenSecret = 32 // bytes: less could be guessed (RFC 7518, 3.2)
	maxTokenSecret = 1024
	maxIssuer      = 256
	hubKeyPrefix   = "hub-" // of the ids of the hub's own keys
)

// AddTokenKey registers a key. secret is one that was made up, and is shown this once.
func (r *Registry) AddTokenKey(ctx context.Context, t *Tenant, in NewTokenKey) (k TokenKey, secret string, err error) {
	if in.ID == "" {
		in.ID = "k-" + randomText(12)
	}
	if err := checkName("key", in.ID); err != nil {
		return k, "", err
	}
	if strings.HasPrefix(in.ID, hubKeyPrefix) {
		return k, "", fault.New(fault.InvalidRequest, "Ids that begin with %s are the hub's.", hubKeyPrefix)
	}
	if len(in.Issuer) > maxIssuer {
		return k, "", fault.New(fault.InvalidRequest, "issuer has %d bytes at most.", maxIssuer)
	}
	rec := tokenKeyRecord{Alg: in.Alg, Public: in.PublicKey, Issuer: in.Issuer, CreatedAt: time.Now().UTC()}
	var plain []byte
	switch {
	case in.Alg == HS256 && in.PublicKey != "" || in.Alg != HS256 && in.Secret != "":
		return k, "", fault.New(fault.InvalidRequest, "HS256 has a secret, EdDSA and ES256 have a publicKey.")
	case in.Alg == HS256 && in.Secret == "":
		secret = randomText(48)
		plain = []byte(secret)
	case in.Alg == HS256:
		if len(in.Secret) < minTokenSecret || len(in.Secret) > maxTokenSecret {
			return k, "", fault.New(fault.InvalidRequest, "A secret has %d to %d bytes.", minTokenSecret, maxTokenSecret)
		}
		plain = []byte(in.Secret)
	}
	key, err := rec.key(plain)
	if err != nil {
		return k, "", err
	}
	t.auth.signing.Lock()
	defer t.auth.signing.Unlock()
	if err := r.putTokenKey(ctx, t, in.ID, key, rec, plain); err != nil {
		return k, "", err
	}
	return key.shown(in.ID), secret, nil
}

func (k *tokenKey) shown(id string) TokenKey {
	return TokenKey{id, k.alg, k.minted, k.issuer, k.createdAt, k.until}
}

// key gives what verifies, made of the record and the secret, if it has one.
func (rec tokenKeyRecord) key(secret []byte) (*tokenKey, error) {
	k := &tokenKey{alg: rec.Alg, minted: rec.Minted, issuer: rec.Issuer, createdAt: rec.CreatedAt, until: rec.Until}
	if rec.Alg == HS256 {
		k.verify = secret
		return k, nil
	}
	if block, _ := pem.Decode([]byte(rec.Public)); block != nil && strings.Contains(block.Type, "PRIVATE") {
		return nil, fault.New(fault.InvalidRequest, "This is a private key: keep it, replace it if it went far, and register the public key.")
	}
	var err error
	switch rec.Alg {
	case EdDSA:
		k.verify, err = jwt.ParseEdPublicKeyFromPEM([]byte(rec.Public))
		if _, ok := k.verify.(ed25519.PublicKey); err != nil || !ok {
			return nil, fault.New(fault.InvalidRequest, "publicKey must be an Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----).")
		}
	case ES256:
		var public *ecdsa.PublicKey
		if public, err = jwt.ParseECPublicKeyFromPEM([]byte(rec.Public)); err != nil || public.Curve != elliptic.P256() {
			return nil, fault.New(fault.InvalidRequest, "publicKey must be a P-256 public key in PEM (-----BEGIN PUBLIC KEY-----).")
		}
		k.verify = public
	default:
		return nil, fault.New(fault.InvalidRequest, "alg must be HS256, EdDSA or ES256.")
	}
	return k, nil
}

func tokenKeyPurpose(id string) string { return "token key " + id }

// over says whether the key was to be good until a time that has come.
func (k *tokenKey) over(now time.Time) bool { return !k.until.IsZero() && !now.Before(k.until) }

// putTokenKey keeps a new key, and gives up those that are over; once it returns, the key is on disk and verifies.
// auth.signing is held.
func (r *Registry) putTokenKey(ctx context.Context, t *Tenant, id string, key *tokenKey, rec tokenKeyRecord, secret []byte) error {
	if secret != nil {
		var err error
		if rec.Sealed, err = r.seal(ctx, t, tokenKeyPurpose(id), secret); err != nil {
			return err
		}
	}
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return noTenant(t.name)
	}
	have, taken, now := 0, false, time.Now()
	var ops []store.Op
	var over []string
	t.auth.mu.RLock()
	for other, k := range t.auth.keys {
		switch {
		case k.over(now):
			over = append(over, other)
			if other != id {
				ops = append(ops, store.Op{Key: tokenKeyKey(t.name, other), Delete: true})
			}
		case other == id:
			taken = true
		}
		if !k.minted && !k.over(now) {
			have++
		}
	}
	t.auth.mu.RUnlock()
	switch {
	case taken:
		return fault.New(fault.Conflict, "There is a key %q already. A new key has another id, so that tokens of both are good for a while.", id)
	case have >= r.cfg.MaxTokenKeys && !key.minted:
		return fault.New(fault.Conflict, "There are %d keys for tokens already (MaxTokenKeys). Delete one that signs no more.", have)
	}
	if err := r.store.Commit(context.WithoutCancel(ctx), append(ops, putRecord(tokenKeyKey(t.name, id), rec))...); err != nil {
		return err
	}
	t.auth.change(func() {
		for _, other := range over {
			delete(t.auth.keys, other)
		}
		t.auth.keys[id] = key
	})
	return nil
}

// TokenKeys lists the keys for tokens, oldest first.
func (t *Tenant) TokenKeys() []TokenKey {
	t.auth.mu.RLock()
	defer t.auth.mu.RUnlock()
	keys := []TokenKey{}
	for id, k := range t.auth.keys {
		if k.over(time.Now()) {
			continue
		}
		keys = append(keys, k.shown(id))
	}
	slices.SortFunc(keys, func(a, b TokenKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys
}

// DeleteTokenKey has a key's tokens refused, and ends what they opened: now, or once after has passed;
// that can't make it later. The hub's own key is replaced by a new one when a token is next asked for.
func (r *Registry) DeleteTokenKey(ctx context.Context, t *Tenant, id string, after time.Duration) error {
	if after < 0 || after > revocationsKept {
		return fault.New(fault.InvalidRequest, "after is 0 to %d days.", revocationsKept/(24*time.Hour))
	}
	t.auth.signing.Lock()
	defer t.auth.signing.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	t.auth.mu.RLock()
	old := t.auth.keys[id]
	t.auth.mu.RUnlock()
	if old == nil || old.over(time.Now()) || t.deleted {
		return fault.New(fault.NotFound, "There is no key %q for tokens.", id)
	}
	until := time.Now().Add(after).UTC()
	if after > 0 && !old.until.IsZero() && old.until.Before(until) {
		return nil // it goes before that
	}
	if after > 0 {
		b, err := r.store.Get(tokenKeyKey(t.name, id))
		if err != nil {
			return err
		}
		var rec tokenKeyRecord
		if err := readRecord(tokenKeyKey(t.name, id), b, &rec); err != nil {
			return err
		}
		rec.Until = until
		if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(tokenKeyKey(t.name, id), rec)); err != nil {
			return err
		}
		t.auth.change(func() { old.until = until })
	} else {
		if err := r.store.Commit(context.WithoutCancel(ctx), store.Op{Key: tokenKeyKey(t.name, id), Delete: true}); err != nil {
			return err
		}
		t.auth.change(func() {
			old.gone = true
			delete(t.auth.keys, id)
		})
	}
	r.tellRevoked(t.name)
	return nil
}

// mintKey gives the key with which the hub signs for a tenant, and makes it at its first use.
func (r *Registry) mintKey(ctx context.Context, t *Tenant) (id string, k *tokenKey, err error) {
	t.auth.signing.Lock()
	defer t.auth.signing.Unlock()
	t.auth.mu.RLock()
	for have, key := range t.auth.keys {
		if key.minted && key.until.IsZero() {
			id, k = have, key
		}
	}
	t.auth.mu.RUnlock()
	if k != nil {
		return id, k, nil
	}
	var b [38]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	id = hubKeyPrefix + hex.EncodeToString(b[32:])
	rec := tokenKeyRecord{Alg: HS256, Minted: true, CreatedAt: time.Now().UTC()}
	if k, err = rec.key(b[:32]); err != nil {
		return "", nil, err
	}
	return id, k, r.putTokenKey(ctx, t, id, k, rec, b[:32])
}

// loadTokenKeys reads the keys for tokens, once the tenants and their data keys are there.
func (r *Registry) loadTokenKeys() error {
	return r.scan(tokenKeysPrefix, func(key []byte, parts []string, v []byte) error {
		var rec tokenKeyRecord
		if err := readRecord(key, v, &rec); err != nil {
			return err
		}
		t := r.tenants[parts[0]]
		if t == nil {
			return nil
		}
		if !rec.Until.IsZero() && rec.Until.Before(time.Now()) {
			r.store.Enqueue([]store.Op{{Key: key, Delete: true}}, nil)
			return nil
		}
		var secret []byte
		if rec.Sealed != nil {
			var err error
			if secret, err = r.unseal(parts[0], tokenKeyPurpose(parts[1]), rec.Sealed); err != nil {
				r.cfg.Log.Error("A key for tokens can't be opened and was given up; its tokens are refused. Register it again.",
					"tenant", parts[0], "kid", parts[1], "error", err)
				r.store.Enqueue([]store.Op{{Key: key, Delete: true}}, nil)
				return nil
			}
		}
		k, err := rec.key(secret)
		if err != nil {
			return err
		}
		t.auth.keys[parts[1]] = k
		return nil
	})
}
