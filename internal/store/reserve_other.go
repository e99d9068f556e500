//go:build !linux

package store

import "os"

// reserve does nothing on these systems: MinFree alone keeps a full disk away.
func reserve(*os.File, int64) error { return nil }
