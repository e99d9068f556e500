package conn

import (
	"bufio"
	"context"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
)

// OnBackup has f write a backup when the operator asks for one. It is set before Serve.
func (s *Server) OnBackup(f func(ctx context.Context, w io.Writer) error) { s.onBackup = f }

// backup streams a backup while the hub runs. Once it has begun nothing but the backup's own checksum
// tells a whole one from one that ended early.
func (s *Server) backup(ctx *fasthttp.RequestCtx, _ []string) error {
	if err := s.admin(ctx); err != nil {
		return err
	}
	if s.onBackup == nil {
		return fault.New(fault.NotFound, "This hub makes no backups by HTTP.")
	}
	h := &ctx.Response.Header
	h.SetContentType("application/octet-stream")
	h.Set(fasthttp.HeaderContentDisposition, `attachment; filename="livefn-`+time.Now().UTC().Format("20060102T150405Z")+`.backup"`)
	conn, patience := ctx.Conn(), s.cfg.WriteTimeout
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		out := bufio.NewWriterSize(patient{w, conn, patience}, 64<<10)
		err := s.onBackup(s.life(), out)
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			s.cfg.Log.Error("a backup ended early", "error", err)
		}
	})
	return nil
}

// patient gives each piece of a long response its own time, in place of one for the whole.
type patient struct {
	w    *bufio.Writer
	conn net.Conn
	time time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(p.time)) // a connection that has none ends the write itself
	n, err := p.w.Write(b)
	if err == nil {
		err = p.w.Flush()
	}
	return n, err
}
