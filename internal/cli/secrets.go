package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/livefn/livefn/tenants"
)

// secretFile lies in the data folder if the operator gave no key for secrets.
const secretFile = "secret.key"

// secrets reads the flags that say with what secrets are sealed.
func (c *ServeCmd) secrets(cfg *tenants.Config) (err error) {
	cfg.SecretFile, cfg.ForgetSecrets = filepath.Join(c.Data, secretFile), c.ForgetSecrets
	if c.SecretKey != "" {
		if cfg.SecretKey, err = masterKey(c.SecretKey); err != nil {
			return fmt.Errorf("--secret-key: %w", err)
		}
	}
	if c.SecretKeyOld == "" {
		return nil
	}
	if c.SecretKey == "" {
		return fmt.Errorf("--secret-key-old goes with --secret-key, the key that takes its place")
	}
	for text := range strings.SplitSeq(c.SecretKeyOld, ",") {
		k, err := masterKey(text)
		if err != nil {
			return fmt.Errorf("--secret-key-old: %w", err)
		}
		cfg.FormerSecretKeys = append(cfg.FormerSecretKeys, k)
	}
	return nil
}

// masterKey reads a key, or, behind @, the file that has it.
func masterKey(text string) (tenants.MasterKey, error) {
	text = strings.TrimSpace(text)
	if file, ok := strings.CutPrefix(text, "@"); ok {
		b, err := os.ReadFile(file) //nolint:gosec // the operator's own file
		if err != nil {
			return tenants.MasterKey{}, err
		}
		text = string(b)
	}
	return tenants.ParseMasterKey(text)
}

type secretsCmd struct {
	Key secretsKeyCmd `cmd:"" help:"Make a key for --secret-key and print it."`
}

type secretsKeyCmd struct{}

// Run prints a key.
func (*secretsKeyCmd) Run(s *session) error {
	k := tenants.NewMasterKey()
	if s.json {
		return s.print(map[string]string{"key": k.Text(), "id": k.ID()})
	}
	fmt.Fprintf(s.note, "The hub's log calls it %s. Keep it where the hub's data is not: without it the secrets are lost.\n", k.ID())
	return s.say("%s", k.Text())
}
