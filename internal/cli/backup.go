package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/livefn/livefn/internal/backup"
	"github.com/livefn/livefn/internal/store"
	"github.com/livefn/livefn/tenants"
)

// The folders within the data folder; the store's is "store".
const (
	functionsDir = "functions"
	bridgesDir   = "bridges"
)

// source is what a backup of this hub is made of.
func (c *ServeCmd) source(st *store.Store, registry *tenants.Registry) backup.Source {
	src := backup.Source{Store: st, Dir: c.Data, Skip: []string{bridgesDir}, Program: programVersion()}
	data, err := filepath.Abs(c.Data)
	for _, path := range registry.Scratch() {
		if rel, relErr := filepath.Rel(data, path); err == nil && relErr == nil {
			src.Skip = append(src.Skip, rel)
		}
	}
	return src
}

type backupCmd struct {
	operator
	Output string `short:"o" help:"The file to write; without it livefn-<time>.backup. It has all that all tenants have." placeholder:"FILE" type:"path"`
}

// Run writes beside the file and renames: a file that is there is whole.
func (c *backupCmd) Run(ctx context.Context, s *session) error {
	path := cmp.Or(c.Output, "livefn-"+time.Now().UTC().Format("20060102T150405Z")+".backup")
	f, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600) //nolint:gosec // where the user wants it
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // renamed if all went well
	size, err := c.as(s).hub.Download(ctx, http.MethodPost, "/v1/admin/backup", f)
	if err == nil {
		if _, err = backup.Check(f, size); err != nil {
			err = fmt.Errorf("the hub did not finish the backup (its log says why): %w", err)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if s.json {
		return s.print(map[string]any{"file": path, "bytes": size})
	}
	return s.say("%s  %d bytes", path, size)
}

type restoreCmd struct {
	File string `arg:"" help:"A backup." type:"existingfile"`
	Data string `help:"Folder to make: of a hub to be started on it. It must be empty, or not exist." default:"./data" env:"LIVEFN_DATA" type:"path"`
}

// Run makes the folder.
func (c *restoreCmd) Run(ctx context.Context, s *session) error {
	r, err := backup.Restore(ctx, c.File, c.Data)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(r)
	}
	return s.say("%s  %d records and %d files, as they were at %s", c.Data, r.Records, r.Files, r.CreatedAt.Format(time.RFC3339))
}
