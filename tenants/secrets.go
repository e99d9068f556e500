package tenants

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/livefn/livefn/internal/store"
)

// The env of versions in their records: sealed since the second format, in clear before.

// envPurpose says what a sealed env belongs to, so that it opens nowhere else.
func envPurpose(fn string, number int) string { return fmt.Sprintf("env of %s@%d", fn, number) }

// keyHash makes a tree's hash one that tells nothing about its env.
func (r *Registry) keyHash(ctx context.Context, t *Tenant, tr *tree) error {
	if len(tr.settings.Env) == 0 {
		return nil
	}
	k, err := r.dataKey(ctx, t)
	if err != nil {
		return err
	}
	tr.hash = k.hash(tr.hash)
	return nil
}

// putVersion gives the write of a version's record, with its env sealed.
func (r *Registry) putVersion(ctx context.Context, t *Tenant, fn string, number int, rec versionRecord) (store.Op, error) {
	if len(rec.Settings.Env) > 0 {
		k, err := r.dataKey(ctx, t)
		if err != nil {
			return store.Op{}, err
		}
		rec.sealEnv(k, t.name, fn, number)
	}
	return putRecord(versionKey(t.name, fn, number), rec), nil
}

func (rec *versionRecord) sealEnv(k *dataKey, tenant, fn string, number int) {
	plain, err := json.Marshal(map[string]string(rec.Settings.Env))
	if err != nil { // strings have a JSON form
		panic(err)
	}
	rec.Sealed = k.seal(plain, sealContext(tenant, envPurpose(fn, number)))
	rec.Settings.Env = nil
}

// unsealEnv fills in the env of a record.
func (r *Registry) unsealEnv(tenant, fn string, number int, rec *versionRecord) error {
	if rec.Sealed == nil {
		return nil
	}
	plain, err := r.unseal(tenant, envPurpose(fn, number), rec.Sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, (*map[string]string)(&rec.Settings.Env))
}

// clearVersion is a version whose record has its env in clear.
type clearVersion struct {
	tenant, fn string
	number     int
	rec        versionRecord
}

// sealClear seals what older programs kept in clear, and keys the hashes of it. What can't be sealed now,
// for want of room for a key, is at the next start.
func (r *Registry) sealClear(clear []*clearVersion, versions map[string][]*Version) {
	var ops []store.Op
	for _, c := range clear {
		k := r.seals.of(c.tenant)
		if k == nil {
			master, err := r.seals.master()
			if err != nil {
				r.cfg.Log.Error("Secrets of older versions are not sealed yet.", "error", err)
				return
			}
			k = newDataKey()
			ops = append(ops, putRecord(sealKey(c.tenant), k.record(c.tenant, master)))
			r.seals.set(c.tenant, k)
		}
		c.rec.sealEnv(k, c.tenant, c.fn, c.number)
		c.rec.Hash = k.hash(c.rec.Hash)
		for _, v := range versions[c.tenant+"/"+c.fn] {
			if v.Number == c.number {
				v.Hash = c.rec.Hash
			}
		}
		ops = append(ops, putRecord(versionKey(c.tenant, c.fn, c.number), c.rec))
	}
	if len(clear) == 0 {
		return
	}
	r.enqueueInParts(ops, func(err error) {
		if err == nil {
			r.cfg.Log.Warn("Secrets that an older program kept in clear are sealed. Traces of them stay in the store's files until it has "+
				"rewritten these: replace the secrets, or run on a data folder restored from a new backup.", "versions", len(clear))
		}
	})
}
