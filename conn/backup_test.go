package conn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// Whoever has a backup has every tenant's secrets.
func TestABackupIsForTheOperatorAlone(t *testing.T) {
	f := open(t, Config{})
	admin := "Authorization: Bearer " + adminKey
	equal(t, "without one set up", f.request("POST", "/v1/admin/backup", "", admin).code(t), "not_found")
	content := bytes.Repeat([]byte("backup"), 100_000)
	var fail error
	f.srv.OnBackup(func(_ context.Context, w io.Writer) error {
		_, err := w.Write(content)
		return errors.Join(err, fail)
	})
	equal(t, "a tenant's key", f.request("POST", "/v1/admin/backup", "").code(t), "forbidden")
	r := f.request("POST", "/v1/admin/backup", "", admin)
	equal(t, "status", r.status, 200)
	equal(t, "type", r.header.Get("Content-Type"), "application/octet-stream")
	equal(t, "size", len(r.body), len(content))
	fail = errors.New("the disk")
	f.request("POST", "/v1/admin/backup", "", admin) // its missing checksum tells
	equal(t, "the hub goes on", f.request("GET", "/healthz", "").status, 200)
}
