package hub

import (
	"encoding/binary"
	"strings"
)

// Every key of this package. Parts are names without slashes, so prefixes are never ambiguous.
//
//	h/x/<tenant>/<execution>                    execution record (record.go)
//	h/f/<tenant>/<function>/<execution>         empty: the executions of a function
//	h/q/<tenant>/<execution>                    empty: not parked and not ended: to be run at start-up
//	h/e/<tenant>/<execution>/<u64 offset>       event of an execution's stream (events.go)
//	h/b/<tenant>/<execution>/<name>             a payload too large for the record
//	h/k/<tenant>/<idempotency key, hex sha256>  idempotency record, expires after 24 h
//
// Execution ids are ULIDs, so records of a tenant lie in the order of their creation.
func executionKey(tenant, id string) []byte { return key("h/x", tenant, id) }
func executionsPrefix(tenant string) []byte { return key("h/x", tenant, "") }
func functionKey(tenant, fn, id string) []byte {
	return key("h/f", tenant, fn, id)
}
func functionPrefix(tenant, fn string) []byte { return key("h/f", tenant, fn, "") }
func queuedKey(tenant, id string) []byte      { return key("h/q", tenant, id) }
func queuedPrefix() []byte                    { return []byte("h/q/") }
func eventKey(tenant, id string, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(eventsPrefix(tenant, id), offset)
}
func eventsPrefix(tenant, id string) []byte       { return key("h/e", tenant, id, "") }
func blobKey(tenant, id, name string) []byte      { return key("h/b", tenant, id, name) }
func idempotencyKey(tenant, digest string) []byte { return key("h/k", tenant, digest) }
func offsetOfEventKey(k []byte) uint64            { return binary.BigEndian.Uint64(k[len(k)-8:]) }
func executionOfKey(k []byte) (tenant, id string) { return lastTwo(string(k)) }
func key(parts ...string) []byte                  { return []byte(strings.Join(parts, "/")) }

// tenantPrefixes gives the prefixes of everything that belongs to a tenant.
func tenantPrefixes(tenant string) (prefixes [][]byte) {
	for _, p := range []string{"h/x", "h/f", "h/q", "h/e", "h/b", "h/k"} {
		prefixes = append(prefixes, key(p, tenant, ""))
	}
	return prefixes
}

func lastTwo(k string) (string, string) {
	i := strings.LastIndexByte(k, '/')
	j := strings.LastIndexByte(k[:i], '/')
	return k[j+1 : i], k[i+1:]
}
