package hub

import (
	"context"
	"fmt"

	"github.com/livefn/livefn/internal/store"
)

// renewEpochs gives streams that go on in a restored store new epochs. Events that came after the backup are
// gone though somebody has them, and their offsets will be given to others: no position of before can be
// trusted. Streams of executions that succeeded get no further event, so theirs stay. It begins again if a
// crash cuts it off, and takes note of the restore last.
func (h *Hub) renewEpochs(ctx context.Context) error {
	restored, err := h.store.Restored()
	if err != nil || !restored {
		return err
	}
	ops := []store.Op{}
	renew := func(prefix []byte, change func(v []byte) ([]byte, error)) error {
		return h.store.Scan(store.Range{Prefix: prefix}, func(k, v []byte) (bool, error) {
			changed, err := change(v)
			if err != nil {
				return false, fmt.Errorf("%s: %w", k, err)
			}
			if changed != nil {
				ops = append(ops, store.Op{Key: k, Value: changed})
			}
			if len(ops) >= purgeBatch {
				err = h.store.Commit(ctx, ops...)
				ops = []store.Op{} // the store has the others
			}
			return true, err
		})
	}
	err = renew(journalsPrefix(), func(v []byte) ([]byte, error) {
		var r journalRecord
		err := decodeRecordJSON(v, &r)
		r.Epoch = newEpoch()
		return encodeRecordJSON(r), err
	})
	if err == nil {
		err = renew([]byte("h/sd/"), func(v []byte) ([]byte, error) {
			var r streamRecord
			err := decodeRecordJSON(v, &r)
			r.Epoch = newEpoch()
			return encodeRecordJSON(r), err
		})
	}
	if err == nil {
		err = renew([]byte("h/x/"), func(v []byte) ([]byte, error) {
			r, err := decodeRecord(v)
			if err != nil || r.State == Succeeded {
				return nil, err
			}
			r.Epoch = newEpoch()
			return encodeRecord(r), nil
		})
	}
	if err == nil {
		err = h.store.Commit(ctx, append(ops, store.NoteRestored())...)
	}
	if err != nil {
		return fmt.Errorf("renew the epochs of a restored hub: %w", err)
	}
	return nil
}
