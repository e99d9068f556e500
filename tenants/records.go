package tenants

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// The first byte of every record is its format; JSON follows. Formats are only ever added.
const (
	recordFormat       = 1
	recordFormatSealed = 2 // a versionRecord with Sealed: a program that does not know that must not run it without its env
)

type tenantRecord struct {
	CreatedAt time.Time `json:"createdAt"`
	Limits    ownLimits `json:"limits,omitempty"`
}

type keyRecord struct {
	Tenant    string    `json:"tenant"`
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"createdAt"`
}

type functionRecord struct {
	Latest  int                    `json:"latest"` // 0: none is ready
	Next    int                    `json:"next"`   // number of the next version
	Deleted bool                   `json:"deleted,omitempty"`
	Aliases map[string]aliasRecord `json:"aliases,omitempty"`
}

type aliasRecord struct {
	Targets   []Target  `json:"targets"`
	Previous  []Target  `json:"previous,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

type versionRecord struct {
	State     VersionState      `json:"state"`
	Hash      string            `json:"hash"`
	Folder    string            `json:"folder"`           // below the tenant's
	Settings  storedSettings    `json:"settings"`         // with its env in records of the first format alone
	Sealed    []byte            `json:"sealed,omitempty"` // its env
	CreatedAt time.Time         `json:"createdAt"`
	Installed map[string]string `json:"installed,omitempty"`
	Took      time.Duration     `json:"took"`
	Error     string            `json:"error,omitempty"`
	Packages  string            `json:"packages,omitempty"` // packages.key
	Resolved  time.Time         `json:"resolved,omitzero"`
	Node      string            `json:"node,omitempty"` // version of its runtime; "": the hub's own
}

func putRecord(key []byte, v any) store.Op {
	b, err := json.Marshal(v)
	if err != nil { // records are plain structs
		panic(fmt.Sprintf("encode %s: %v", key, err))
	}
	format := byte(recordFormat)
	if rec, ok := v.(versionRecord); ok && rec.Sealed != nil {
		format = recordFormatSealed
	}
	return store.Op{Key: key, Value: append([]byte{format}, b...)}
}

func readRecord(key, b []byte, v any) error {
	if len(b) == 0 || b[0] != recordFormat && b[0] != recordFormatSealed {
		return fault.New(fault.Internal, "The record %s has a format that this version of livefn does not know.", key)
	}
	if err := json.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}
