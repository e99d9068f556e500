package tenants

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/livefn/livefn/internal/store"
)

// keyring is the master keys and, unwrapped, the data keys of all tenants.
type keyring struct {
	file string // of the key that is made if the operator gave none
	log  *slog.Logger

	retiring bool // the file is of no use once the operator's key wraps everything

	making sync.Mutex // held while a data key is made

	mu      sync.Mutex // guards all below
	current MasterKey  // wraps; zero: made at its first use
	former  []MasterKey
	data    map[string]*dataKey
}

// openKeyring knows the operator's keys, and the one in the file. Without a key of the operator's the
// file's is the current one; else it is a former one, which goes once nothing needs it.
func openKeyring(cfg Config) (*keyring, error) {
	k := &keyring{file: cfg.SecretFile, log: cfg.Log, current: cfg.SecretKey, former: cfg.FormerSecretKeys, data: map[string]*dataKey{}}
	own, err := readMasterKey(k.file)
	switch {
	case err != nil:
		return nil, err
	case own.id == "":
	case k.current.id == "":
		k.current = own
		k.warn()
	default:
		k.retiring = true
		k.former = append([]MasterKey{own}, k.former...)
	}
	return k, nil
}

func (k *keyring) warn() {
	k.log.Warn("Secrets are sealed with a key that lies in the data folder: whoever has the folder, or a backup, can open them. "+
		"Set LIVEFN_SECRET_KEY (livefn secrets key makes one) to keep the key elsewhere.", "file", k.file)
}

// master gives the key that wraps, and makes one if there is none.
func (k *keyring) master() (MasterKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current.id == "" {
		own := NewMasterKey()
		if err := writeMasterKey(k.file, own); err != nil {
			k.log.Error("no key for secrets", "error", err)
			return own, err
		}
		k.current = own
		k.warn()
	}
	return k.current, nil
}

// of gives a tenant's data key; nil if it has none.
func (k *keyring) of(tenant string) *dataKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.data[tenant]
}

func (k *keyring) set(tenant string, key *dataKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.data[tenant] = key
}

func (k *keyring) forget(tenant string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.data, tenant)
}

// known gives the master key with that id.
func (k *keyring) known(id string) (MasterKey, bool) {
	for _, m := range append([]MasterKey{k.current}, k.former...) {
		if m.id == id && id != "" {
			return m, true
		}
	}
	return MasterKey{}, false
}

// unknown explains that a data key can't be opened.
func (k *keyring) unknown(tenant, id string) error {
	has := "was given no key"
	if k.current.id != "" {
		has = "has the key " + k.current.id
		for _, m := range k.former {
			has += ", " + m.id
		}
	}
	return fmt.Errorf("the secrets of tenant %s are sealed with the key %s, and this hub %s.\n"+
		"Give it that key: as --secret-key, or, to move to another one, as --secret-key-old. Nothing was changed.\n"+
		"If the key is lost, so are the secrets: --forget-secrets starts without them, and functions that have any are to be published again",
		tenant, id, has)
}

// loadSeals opens the tenants' data keys, and wraps those anew that a former master key wraps. All are
// looked at before anything is written.
func (r *Registry) loadSeals() error {
	k := r.seals
	var again, lost []store.Op
	if err := r.scan(sealsPrefix, func(key []byte, parts []string, v []byte) error {
		var rec sealRecord
		if err := readRecord(key, v, &rec); err != nil {
			return err
		}
		tenant := parts[0]
		master, ok := k.known(rec.Master)
		if !ok && r.cfg.ForgetSecrets {
			lost = append(lost, store.Op{Key: key, Delete: true})
			k.log.Warn("The secrets of a tenant were given up.", "tenant", tenant, "key", rec.Master)
			return nil
		}
		if !ok {
			return k.unknown(tenant, rec.Master)
		}
		data, err := rec.open(tenant, master)
		if err != nil {
			return err
		}
		k.set(tenant, data)
		if master != k.current {
			again = append(again, putRecord(key, data.record(tenant, k.current)))
		}
		return nil
	}); err != nil {
		return err
	}
	if len(again) > 0 {
		k.log.Info("Secrets move to another key.", "tenants", len(again), "key", k.current.id)
	}
	r.enqueueInParts(append(lost, again...), k.retire)
	return nil
}

// retire removes the key file once a key of the operator's wraps everything.
func (k *keyring) retire(err error) {
	if err != nil || !k.retiring {
		return
	}
	if err := os.Remove(k.file); err != nil {
		k.log.Error("A key for secrets that is not needed any more could not be removed.", "error", err)
		return
	}
	k.log.Info("The secrets are sealed with the operator's key; the one in the data folder was removed.", "key", k.current.id)
}

// enqueueInParts writes records one after the other, once the store runs. done is told when all are on
// disk, or why they never will be.
func (r *Registry) enqueueInParts(ops []store.Op, done func(error)) {
	parts := slices.Collect(slices.Chunk(ops, 512))
	if len(parts) == 0 {
		done(nil)
		return
	}
	for _, part := range parts[:len(parts)-1] {
		r.store.Enqueue(part, nil) // an error would be the last one's too
	}
	r.store.Enqueue(parts[len(parts)-1], done)
}
