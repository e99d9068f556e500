package hub

import (
	"encoding/binary"
	"strings"
)

// Every key of this package. Parts are names without slashes, so prefixes are never ambiguous.
//
//	h/x/<tenant>/<execution>                    execution record (record.go)
//	h/f/<tenant>/<function>/<execution>         the executions of a function: what use.go reads
//	h/q/<tenant>/<execution>                    empty: to be taken up at start-up, without waiting for a timer
//	h/c/<tenant>/<execution>/<execution>        empty: the durable children of an execution
//	h/i/<tenant>/<execution>/<u64 number>       event sent to an execution (inbox.go)
//	h/t/<u64 ms since 1970>/<tenant>/<execution>  empty: when to look at an execution (timer.go)
//	h/e/<tenant>/<execution>/<u64 offset>       event of an execution's stream (events.go)
//	h/b/<tenant>/<execution>/<name>             a payload too large for the record
//	h/k/<tenant>/<idempotency key, hex sha256>  idempotency record, expires after 24 h
//	h/g/<tenant>/<trigger>                      trigger record (triggers.go)
//	h/gs/<tenant>/<trigger>                     where a trigger is
//	h/gd/<tenant>/<execution>                   a dead-letter stream that is to be told of it
//	h/sj/<tenant>/                              the journal of the tenant's own streams (journalstore.go)
//	h/sd/<tenant>/<stream>                      a stream whose retention was set
//	h/se/<tenant>/<stream>/<u64 offset>         event of a durable stream
//	h/sl/<tenant>/<u64 number>                  log of the journal: stream and offset of a durable event
//	h/st/<tenant>/<stream>                      what a durable stream's history has lost
//	h/sm/<tenant>/<stream>                      a stream that had events in memory, or is gone
//
// Execution ids are ULIDs, so records of a tenant lie in the order of their creation.
func executionKey(tenant, id string) []byte { return key("h/x", tenant, id) }
func executionsPrefix(tenant string) []byte { return key("h/x", tenant, "") }
func functionKey(tenant, fn, id string) []byte {
	return key("h/f", tenant, fn, id)
}
func functionPrefix(tenant, fn string) []byte { return key("h/f", tenant, fn, "") }
func functionsPrefix(tenant string) []byte    { return key("h/f", tenant, "") }
func queuedKey(tenant, id string) []byte      { return key("h/q", tenant, id) }
func queuedPrefix() []byte                    { return []byte("h/q/") }
func eventKey(tenant, id string, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(eventsPrefix(tenant, id), offset)
}
func eventsPrefix(tenant, id string) []byte       { return key("h/e", tenant, id, "") }
func blobKey(tenant, id, name string) []byte      { return key("h/b", tenant, id, name) }
func idempotencyKey(tenant, digest string) []byte { return key("h/k", tenant, digest) }
func childKey(tenant, parent, id string) []byte   { return key("h/c", tenant, parent, id) }
func childrenPrefix(tenant, parent string) []byte { return key("h/c", tenant, parent, "") }
func blobsPrefix(tenant, id string) []byte        { return key("h/b", tenant, id, "") }
func inboxPrefix(tenant, id string) []byte        { return key("h/i", tenant, id, "") }
func inboxKey(tenant, id string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(inboxPrefix(tenant, id), number)
}
func timersPrefix() []byte { return []byte("h/t/") }
func timerKey(at int64, tenant, id string) []byte {
	return append(binary.BigEndian.AppendUint64(timersPrefix(), uint64(at)), key("", tenant, id)...) //nolint:gosec // after 1970
}
func timerOfKey(k []byte) dueTimer {
	at := binary.BigEndian.Uint64(k[len(timersPrefix()):])
	tenant, id := lastTwo(string(k))
	return dueTimer{int64(at), tenant, id} //nolint:gosec // timerKey made it
}
func offsetOfEventKey(k []byte) uint64            { return binary.BigEndian.Uint64(k[len(k)-8:]) }
func executionOfKey(k []byte) (tenant, id string) { return lastTwo(string(k)) }
func key(parts ...string) []byte                  { return []byte(strings.Join(parts, "/")) }

func journalsPrefix() []byte { return []byte("h/sj/") }
func tenantOfJournalKey(k []byte) string {
	tenant, _ := lastTwo(string(k))
	return tenant
}
func triggerKey(tenant, name string) []byte      { return key("h/g", tenant, name) }
func triggersPrefix(tenant string) []byte        { return key("h/g", tenant, "") }
func triggerStateKey(tenant, name string) []byte { return key("h/gs", tenant, name) }
func deadLetterKey(tenant, id string) []byte     { return key("h/gd", tenant, id) }
func deadLettersPrefix(tenant string) []byte     { return key("h/gd", tenant, "") }

func journalKey(tenant string) []byte      { return key("h/sj", tenant, "") }
func streamKey(tenant, name string) []byte { return key("h/sd", tenant, name) }
func streamsPrefix(tenant string) []byte   { return key("h/sd", tenant, "") }
func streamEventKey(tenant, name string, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(streamEventsPrefix(tenant, name), offset)
}
func streamEventsPrefix(tenant, name string) []byte { return key("h/se", tenant, name, "") }
func logKey(tenant string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(logPrefix(tenant), number)
}
func logPrefix(tenant string) []byte     { return key("h/sl", tenant, "") }
func trimKey(tenant, name string) []byte { return key("h/st", tenant, name) }
func markKey(tenant, name string) []byte { return key("h/sm", tenant, name) }
func marksPrefix(tenant string) []byte   { return key("h/sm", tenant, "") }

// tenantPrefixes gives the prefixes of everything that belongs to a tenant, but for timers: one of an
// execution that is gone does nothing.
func tenantPrefixes(tenant string) (prefixes [][]byte) {
	for _, p := range []string{"h/x", "h/f", "h/q", "h/e", "h/b", "h/k", "h/c", "h/i", "h/g", "h/gs", "h/gd", "h/sd", "h/se", "h/sl", "h/st", "h/sm"} {
		prefixes = append(prefixes, key(p, tenant, ""))
	}
	return append(prefixes, journalKey(tenant))
}

func lastTwo(k string) (string, string) {
	i := strings.LastIndexByte(k, '/')
	j := strings.LastIndexByte(k[:i], '/')
	return k[j+1 : i], k[i+1:]
}
