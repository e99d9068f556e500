package tenants

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MasterKey is the key under which the tenants' data keys are kept. It is the operator's, or lies in
// Config.SecretFile. The zero value is no key.
type MasterKey struct {
	key [32]byte
	id  string // names the key, and says nothing about it
}

// NewMasterKey makes a key.
func NewMasterKey() MasterKey {
	var k MasterKey
	_, _ = rand.Read(k.key[:]) // never fails (Go 1.24)
	return k.named()
}

// ParseMasterKey reads 32 bytes in base64, of either alphabet, or in hex.
func ParseMasterKey(text string) (k MasterKey, err error) {
	text = strings.TrimSpace(text)
	b, err := hex.DecodeString(text)
	if err != nil {
		plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
		b, err = base64.RawStdEncoding.DecodeString(plain)
	}
	if err != nil || len(b) != len(k.key) {
		return k, errors.New("a secret key is 32 bytes in base64 or hex; livefn secrets key makes one")
	}
	copy(k.key[:], b)
	return k.named(), nil
}

func (k MasterKey) named() MasterKey {
	sum := sha256.Sum256(append([]byte("livefn master key\n"), k.key[:]...))
	k.id = hex.EncodeToString(sum[:6])
	return k
}

// ID names the key without telling it.
func (k MasterKey) ID() string { return k.id }

// Text is what ParseMasterKey reads.
func (k MasterKey) Text() string { return base64.StdEncoding.EncodeToString(k.key[:]) }

// Format prints the key's name, whatever the verb.
func (k MasterKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "key ", k.id) }

// wrap seals a data key; context is what it belongs to.
func (k MasterKey) wrap(dataKey []byte, context string) []byte {
	return newGCM(k.key[:]).Seal(nil, nil, dataKey, []byte(context)) //nolint:gosec // it makes the nonce itself
}

func (k MasterKey) unwrap(wrapped []byte, context string) ([]byte, error) {
	return newGCM(k.key[:]).Open(nil, nil, wrapped, []byte(context))
}

// newGCM gives AES-256-GCM with random nonces, which go before what is sealed: 2^32 seals a key.
func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil { // keys here have 32 bytes
		panic(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return gcm
}

// readMasterKey reads a key file. Without the file it gives no key.
func readMasterKey(file string) (MasterKey, error) {
	b, err := os.ReadFile(file) //nolint:gosec // the operator's choice
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return MasterKey{}, nil
	case err != nil:
		return MasterKey{}, fmt.Errorf("read the secret key: %w", err)
	}
	k, err := ParseMasterKey(string(b))
	if err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

// writeMasterKey makes a key file for its owner's eyes alone. It is on disk when this returns, so that
// nothing is ever wrapped with a key that a power loss takes away.
func writeMasterKey(file string, k MasterKey) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep a secret key: %w", err)
		}
	}()
	part := file + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // beside the folder of functions
	if err != nil {
		return err
	}
	defer os.Remove(part) //nolint:errcheck // renamed if all went well
	_, err = f.WriteString(k.Text() + "\n")
	if err = errors.Join(err, f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	return syncPath(filepath.Dir(file))
}
