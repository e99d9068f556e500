package tenants

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/livefn/livefn/internal/fault"
)

// Secrets at rest. A master key, which is not in the store, wraps one data key for each tenant; the data
// key seals what is secret in the tenant's records, and makes hashes of it that say nothing to who lacks
// the key. So another master key means one small write a tenant, and a deleted tenant's secrets are gone
// with its data key, wherever copies of them may lie.
//
//	sealed = 1, 8 bytes id of the data key, nonce, AES-256-GCM(secret), authenticated with what it belongs to

// sealedFormat is the first byte of what is sealed.
const sealedFormat = 1

// errOtherKey says that something was sealed with a data key that the tenant has no more.
var errOtherKey = errors.New("it was sealed with a key that was given up")

// dataKey is a tenant's.
type dataKey struct {
	id   [8]byte
	key  [32]byte
	aead cipher.AEAD
	mac  []byte // key of hashes
}

// sealRecord is a data key as the store has it.
type sealRecord struct {
	ID      string `json:"id"`
	Master  string `json:"master"` // id of the master key that wraps it
	Wrapped []byte `json:"wrapped"`
}

func newDataKey() *dataKey {
	k := &dataKey{}
	_, _ = rand.Read(k.id[:]) // never fails (Go 1.24)
	_, _ = rand.Read(k.key[:])
	return k.derive()
}

func (k *dataKey) derive() *dataKey {
	k.aead = newGCM(hkdfKey(k.key[:], "livefn seal"))
	k.mac = hkdfKey(k.key[:], "livefn content hash")
	return k
}

func hkdfKey(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, 32)
	if err != nil { // only of lengths beyond reason
		panic(err)
	}
	return key
}

// record wraps the key.
func (k *dataKey) record(tenant string, master MasterKey) sealRecord {
	id := hex.EncodeToString(k.id[:])
	return sealRecord{ID: id, Master: master.id, Wrapped: master.wrap(k.key[:], wrapContext(tenant, id))}
}

// open unwraps it.
func (rec sealRecord) open(tenant string, master MasterKey) (*dataKey, error) {
	k := &dataKey{}
	if n, err := hex.Decode(k.id[:], []byte(rec.ID)); err != nil || n != len(k.id) {
		return nil, fmt.Errorf("the data key of tenant %s has no id", tenant)
	}
	b, err := master.unwrap(rec.Wrapped, wrapContext(tenant, rec.ID))
	if err != nil || len(b) != len(k.key) {
		return nil, fmt.Errorf("the data key of tenant %s is damaged: restore a backup", tenant)
	}
	copy(k.key[:], b)
	return k.derive(), nil
}

func wrapContext(tenant, id string) string { return "data key " + id + " of " + tenant }

// seal seals what belongs to context, with which alone it can be opened.
func (k *dataKey) seal(plain []byte, context string) []byte {
	sealed := append([]byte{sealedFormat}, k.id[:]...)
	return k.aead.Seal(sealed, nil, plain, []byte(context)) //nolint:gosec // it makes the nonce itself
}

func (k *dataKey) open(sealed []byte, context string) ([]byte, error) {
	head := 1 + len(k.id)
	switch {
	case len(sealed) < head || sealed[0] != sealedFormat:
		return nil, errors.New("it is not sealed in a known format")
	case [8]byte(sealed[1:head]) != k.id:
		return nil, errOtherKey
	}
	plain, err := k.aead.Open(nil, nil, sealed[head:], []byte(context))
	if err != nil {
		return nil, errors.New("it was changed since it was sealed")
	}
	return plain, nil
}

// hash gives a hash of a hash that covers secrets: alike for the same content of one tenant, and of no use
// for guessing them.
func (k *dataKey) hash(of string) string {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write([]byte(of))
	return hex.EncodeToString(mac.Sum(nil))
}

// seal seals a secret of t's for a record. purpose says what it is and belongs to: unseal wants the same.
func (r *Registry) seal(ctx context.Context, t *Tenant, purpose string, plain []byte) ([]byte, error) {
	k, err := r.dataKey(ctx, t)
	if err != nil {
		return nil, err
	}
	return k.seal(plain, sealContext(t.name, purpose)), nil
}

// unseal opens what seal gave.
func (r *Registry) unseal(tenant, purpose string, sealed []byte) ([]byte, error) {
	k := r.seals.of(tenant)
	if k == nil {
		return nil, errOtherKey
	}
	return k.open(sealed, sealContext(tenant, purpose))
}

func sealContext(tenant, purpose string) string { return purpose + " of " + tenant }

// dataKey gives the tenant's data key, which is made at its first use.
func (r *Registry) dataKey(ctx context.Context, t *Tenant) (*dataKey, error) {
	if k := r.seals.of(t.name); k != nil {
		return k, nil
	}
	r.seals.making.Lock()
	defer r.seals.making.Unlock()
	if k := r.seals.of(t.name); k != nil {
		return k, nil
	}
	master, err := r.seals.master()
	if err != nil {
		return nil, fault.Because(err, fault.StorageUnavailable, "The hub could not keep a key for secrets. Try again; its log says why.")
	}
	k := newDataKey()
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return nil, noTenant(t.name)
	}
	if err := r.store.Commit(context.WithoutCancel(ctx), putRecord(sealKey(t.name), k.record(t.name, master))); err != nil {
		return nil, err
	}
	r.seals.set(t.name, k)
	return k, nil
}
