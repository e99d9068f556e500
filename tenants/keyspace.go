package tenants

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Every key of this package. Values are one format byte and JSON. Parts are names without slashes.
//
//	t/t/<tenant>                                   tenantRecord
//	t/k/<sha256 of the key, hex>                   keyRecord
//	t/f/<tenant>/<function>                        functionRecord; stays when the function is deleted, so that
//	                                               version numbers are never used again
//	t/v/<tenant>/<function>/<number, 10 digits>    versionRecord
//	t/l/<tenant>/<function>/<number, 10 digits>    the install's log, as it was
//	t/s/<tenant>/key                               sealRecord: the tenant's data key, wrapped
//	t/j/<tenant>/<kid>                             tokenKeyRecord
//	t/x/<tenant>/<sha256 of what, hex>             revokedRecord: a token or a subject; goes after revocationsKept
//	t/o/<tenant>/origins                           originsRecord
//	t/p/<tenant>/packages                          packagesRecord
const (
	tenantsPrefix   = "t/t/"
	keysPrefix      = "t/k/"
	functionsPrefix = "t/f/"
	versionsPrefix  = "t/v/"
	logsPrefix      = "t/l/"
	sealsPrefix     = "t/s/"
	tokenKeysPrefix = "t/j/"
	revokedPrefix   = "t/x/"
	originsPrefix   = "t/o/"

	packageSettingsPrefix = "t/p/"
)

// tenantPrefixes lists where a tenant's functions, its data key and what it has for tokens are.
func tenantPrefixes(tenant string) (prefixes []string) {
	for _, p := range []string{functionsPrefix, versionsPrefix, logsPrefix, sealsPrefix, tokenKeysPrefix, revokedPrefix, originsPrefix, packageSettingsPrefix} {
		prefixes = append(prefixes, p+tenant+"/")
	}
	return prefixes
}

func packagesSettingsKey(tenant string) []byte {
	return []byte(packageSettingsPrefix + tenant + "/packages")
}
func tenantKey(tenant string) []byte       { return []byte(tenantsPrefix + tenant) }
func keyKey(hash [32]byte) []byte          { return []byte(keysPrefix + hex.EncodeToString(hash[:])) }
func functionKey(tenant, fn string) []byte { return []byte(functionsPrefix + tenant + "/" + fn) }
func versionKey(tenant, fn string, n int) []byte {
	return fmt.Appendf(nil, "%s%s/%s/%010d", versionsPrefix, tenant, fn, n)
}
func logKey(tenant, fn string, n int) []byte {
	return fmt.Appendf(nil, "%s%s/%s/%010d", logsPrefix, tenant, fn, n)
}
func sealKey(tenant string) []byte          { return []byte(sealsPrefix + tenant + "/key") }
func tokenKeyKey(tenant, kid string) []byte { return []byte(tokenKeysPrefix + tenant + "/" + kid) }
func revokedKey(tenant, what string) []byte {
	h := sha256.Sum256([]byte(what))
	return []byte(revokedPrefix + tenant + "/" + hex.EncodeToString(h[:]))
}
func originsKey(tenant string) []byte { return []byte(originsPrefix + tenant + "/origins") }
func partsOf(key []byte) []string     { return strings.Split(string(key), "/")[2:] }
