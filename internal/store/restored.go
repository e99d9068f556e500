package store

import (
	"context"
	"errors"
)

// restoredKey is in a store that was made of a backup until its user has taken note: what happened after
// the backup was told to somebody and is gone.
var restoredKey = []byte("s/restored")

// MarkRestored notes that the store was made of a backup.
func (s *Store) MarkRestored(ctx context.Context) error {
	return s.Commit(ctx, Op{Key: restoredKey, Value: []byte{1}})
}

// Restored reports whether the store was made of a backup and nobody has taken note yet.
func (s *Store) Restored() (bool, error) {
	_, err := s.Get(restoredKey)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// NoteRestored gives the record that takes note.
func NoteRestored() Op { return Op{Key: restoredKey, Delete: true} }
