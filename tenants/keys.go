package tenants

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Grant is what a key or token allows: acting for Tenant, within the token's scopes if it is one, or
// everything if Admin.
type Grant struct {
	Tenant *Tenant // nil for the operator's key
	Admin  bool
	KeyID  string // "" for a token
	Token  *Token // nil for a key

	createdAt time.Time
	gone      atomic.Bool // the key was deleted
	key       *tokenKey   // what the token was verified with, also once another has its id
}

// adminKeyID is the id of the operator's key.
const adminKeyID = "admin"

// Key is a key as it may be shown.
type Key struct {
	ID        string
	CreatedAt time.Time
}

// MarshalJSON gives {id, createdAt}.
func (k Key) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID        string `json:"id"`
		CreatedAt string `json:"createdAt"`
	}{k.ID, shownTime(k.CreatedAt)})
}

// Authenticate gives what a key or token allows. Keys are known by their SHA-256 alone; they are long random
// strings, so that needs neither salt nor stretching. secret is not kept.
func (r *Registry) Authenticate(secret string) (*Grant, error) {
	h := hashKey(secret)
	if g, ok := r.keys.Load(h); ok {
		return g, nil
	}
	if !looksLikeToken(secret) {
		return nil, errUnknownKey
	}
	if g := r.known.get(h, time.Now(), r.cfg.TokenLeeway); g != nil {
		return g, nil
	}
	g, err := r.verifyToken(strings.Clone(secret))
	if err == nil {
		r.known.put(h, g)
	}
	return g, err
}

var errUnknownKey = fault.New(fault.Unauthorized, "The hub does not know this key.")

// storeKey makes a key known, whose record is on disk.
func (r *Registry) storeKey(h [32]byte, g *Grant) {
	g.Tenant.auth.change(func() { g.Tenant.auth.apiKeys[g.KeyID] = struct{}{} })
	r.keys.Store(h, g)
}

func hashKey(key string) [32]byte {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(key), len(key))) //nolint:gosec // read only; saves a copy on every request
}

func parseHash(s string) (h [32]byte, err error) {
	n, err := hex.Decode(h[:], []byte(s))
	if err == nil && n != len(h) {
		err = fmt.Errorf("%q is not a SHA-256", s)
	}
	return h, err
}

// newKey makes a key: lf_<tenant>_ and 32 random letters and digits, 190 bits.
func newKey(tenant string) (secret string, hash [32]byte, rec keyRecord) {
	secret = "lf_" + tenant + "_" + randomText(32)
	hash = hashKey(secret)
	return secret, hash, keyRecord{Tenant: tenant, ID: hex.EncodeToString(hash[:6]), CreatedAt: time.Now().UTC()}
}

func randomText(n int) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := make([]byte, 0, n)
	for random := make([]byte, n); ; {
		_, _ = rand.Read(random) // never fails (Go 1.24)
		for _, b := range random {
			if len(text) == n {
				return string(text)
			}
			if b &= 63; int(b) < len(letters) { // the two others would make some letters likelier
				text = append(text, letters[b])
			}
		}
	}
}

// CreateKey makes a further key of a tenant. The secret is shown this once.
func (r *Registry) CreateKey(ctx context.Context, tenant string) (Key, string, error) {
	r.admin.Lock()
	defer r.admin.Unlock()
	t, err := r.Tenant(tenant)
	if err != nil {
		return Key{}, "", err
	}
	if t.deleted { // in parts: see DeleteTenant
		return Key{}, "", noTenant(tenant)
	}
	secret, hash, rec := newKey(tenant)
	if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(keyKey(hash), rec)); err != nil {
		return Key{}, "", err
	}
	r.storeKey(hash, &Grant{Tenant: t, KeyID: rec.ID, createdAt: rec.CreatedAt})
	return Key{rec.ID, rec.CreatedAt}, secret, nil
}

// Keys lists a tenant's keys, oldest first.
func (r *Registry) Keys(tenant string) ([]Key, error) {
	t, err := r.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	keys := []Key{}
	r.keys.Range(func(_ [32]byte, g *Grant) bool {
		if g.Tenant == t {
			keys = append(keys, Key{g.KeyID, g.createdAt})
		}
		return true
	})
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// DeleteKey deletes a key of a tenant: it, and the tokens that the hub gave for it, are refused from then on,
// and what they opened is ended.
func (r *Registry) DeleteKey(ctx context.Context, tenant, id string) error {
	r.admin.Lock()
	defer r.admin.Unlock()
	t, err := r.Tenant(tenant)
	if err != nil {
		return err
	}
	found := false
	err = r.deleteKeys(context.WithoutCancel(ctx), t, func(g *Grant) bool {
		found = found || g.KeyID == id
		return g.KeyID == id
	})
	if err == nil && !found {
		return fault.New(fault.NotFound, "The tenant %q has no key %q.", tenant, id)
	}
	return err
}

// deleteKeys deletes the keys of t that which chooses, on disk before in memory, so that none of them
// is good again after a restart. The caller holds r.admin.
func (r *Registry) deleteKeys(ctx context.Context, t *Tenant, which func(*Grant) bool) error {
	var hashes [][32]byte
	var ops []store.Op
	r.keys.Range(func(h [32]byte, g *Grant) bool {
		if g.Tenant == t && which(g) {
			hashes = append(hashes, h)
			ops = append(ops, store.Op{Key: keyKey(h), Delete: true})
		}
		return true
	})
	if err := r.commitInParts(ctx, ops); err != nil {
		return err
	}
	for _, h := range hashes {
		if g, ok := r.keys.LoadAndDelete(h); ok {
			g.gone.Store(true)
			t.auth.change(func() { delete(t.auth.apiKeys, g.KeyID) })
		}
	}
	if len(hashes) > 0 {
		r.tellRevoked(t.name)
	}
	return nil
}
