package tenants

import (
	"errors"
	"regexp"
	"syscall"

	"github.com/livefn/livefn/internal/fault"
)

// A full disk is the machine's fault, not that of the version that is published: it makes no version.

// fullDisk is the fault of a publish that found the disk full.
func fullDisk(cause error) error {
	return fault.Because(cause, fault.StorageUnavailable, "The hub's disk is full: nothing was published. Publish again once its operator has made room.")
}

// ifFull gives fullDisk for an error of a full disk, and any other as it is.
func ifFull(err error) error {
	_, told := errors.AsType[*fault.Fault](err)
	if !told && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fullDisk(err)
	}
	return err
}

// saysFull is how programs that fail say that the disk is full; leftOut how npm says that it goes on without a file of
// a package that it could not write.
var (
	saysFull = regexp.MustCompile(`(?i)no space left on device|disk quota exceeded|npm (?:error|ERR!) code (?:ENOSPC|EDQUOT)`)
	leftOut  = regexp.MustCompile(`TAR_ENTRY_ERROR (?:ENOSPC|EDQUOT)`)
)

// longestSaying is more bytes than either matches.
const longestSaying = 64

// fullWatch looks whether what is written to it says that the disk is full.
type fullWatch struct {
	end       []byte // of what was written: the next write may complete it
	said, cut bool
}

func (w *fullWatch) Write(p []byte) (int, error) {
	b := append(w.end, p...)
	w.said, w.cut = w.said || saysFull.Match(b), w.cut || leftOut.Match(b)
	w.end = append(b[:0], b[max(0, len(b)-longestSaying):]...)
	return len(p), nil
}

// full reports whether the disk was full for a program that ended with err: one that ended well may have printed
// anything.
func (w *fullWatch) full(err error) bool { return w.cut || err != nil && w.said }
