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
	"time"
	"unsafe"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Grant is what a key allows: acting for Tenant, or everything if Admin.
type Grant struct {
	Tenant *Tenant // nil for the operator's key
	Admin  bool
	KeyID  string

	createdAt time.Time
}

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

// Authenticate gives what a key allows. Keys are known by their SHA-256 alone; they are long random
// strings, so that needs neither salt nor stretching. key is not kept.
func (r *Registry) Authenticate(key string) (*Grant, error) {
	if g, ok := r.keys.Load(hashKey(key)); ok {
		return g, nil
	}
	return nil, fault.New(fault.Unauthorized, "The hub does not know this key.")
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

// newKey makes a key: lf_<tenant>_ and 26 base32 characters of 130 random bits.
func newKey(tenant string) (secret string, hash [32]byte, rec keyRecord) {
	secret = "lf_" + tenant + "_" + rand.Text()
	hash = hashKey(secret)
	return secret, hash, keyRecord{Tenant: tenant, ID: hex.EncodeToString(hash[:6]), CreatedAt: time.Now().UTC()}
}

// CreateKey makes a further key of a tenant. The secret is shown this once.
func (r *Registry) CreateKey(ctx context.Context, tenant string) (Key, string, error) {
	t, err := r.Tenant(tenant)
	if err != nil {
		return Key{}, "", err
	}
	secret, hash, rec := newKey(tenant)
	if err := r.store.Commit(ctx, putRecord(keyKey(hash), rec)); err != nil {
		return Key{}, "", err
	}
	r.keys.Store(hash, &Grant{Tenant: t, KeyID: rec.ID, createdAt: rec.CreatedAt})
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

// DeleteKey deletes a key of a tenant; it is refused from then on.
func (r *Registry) DeleteKey(ctx context.Context, tenant, id string) error {
	t, err := r.Tenant(tenant)
	if err != nil {
		return err
	}
	var hash [32]byte
	found := false
	r.keys.Range(func(h [32]byte, g *Grant) bool {
		found = g.Tenant == t && g.KeyID == id
		hash = h
		return !found
	})
	if !found {
		return fault.New(fault.NotFound, "The tenant %q has no key %q.", tenant, id)
	}
	if err := r.store.Commit(ctx, store.Op{Key: keyKey(hash), Delete: true}); err != nil {
		return err
	}
	r.keys.Delete(hash)
	return nil
}
