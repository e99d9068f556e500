package nodebridge

import (
	"io"
	"os"
	"syscall"
)

// pipeReader reads a pipe in chunks. It takes a buffer only once there is something to read, so that
// an idle pipe holds none.
type pipeReader struct {
	raw   syscall.RawConn
	try   func(fd uintptr) bool
	chunk *[chunkSize]byte
	n     int
	err   error
}

func newPipeReader(f *os.File) (*pipeReader, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &pipeReader{raw: raw}
	r.try = r.read
	return r, nil
}

// next gives what one read took. It is valid until release, which must come before the following next.
func (r *pipeReader) next() ([]byte, error) {
	if err := r.raw.Read(r.try); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	return r.chunk[:r.n], nil
}

func (r *pipeReader) release() {
	chunks.Put(r.chunk)
	r.chunk = nil
}

// read reports whether it is done: the runtime waits for the descriptor and calls again otherwise.
func (r *pipeReader) read(fd uintptr) bool {
	r.chunk = chunks.Get().(*[chunkSize]byte)
	for {
		r.n, r.err = syscall.Read(int(fd), r.chunk[:])
		if r.err != syscall.EINTR {
			break
		}
	}
	if r.err == nil && r.n > 0 {
		return true
	}
	r.release()
	if r.err == syscall.EAGAIN {
		return false
	}
	if r.err == nil {
		r.err = io.EOF
	}
	return true
}
