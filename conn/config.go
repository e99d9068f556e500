package conn

import (
	"log/slog"
	"time"
)

// Config is what an operator can set. A zero value stands for the default in the field's comment.
type Config struct {
	MaxBody        int           // bytes of one request's body; 64 MiB
	MaxHeaderBytes int           // bytes of a request's line and headers; 16 KiB
	MaxFrame       int           // bytes of one WebSocket message; 64 MiB
	MaxBatch       int           // requests in one JSON-RPC batch; 256
	MaxCalls       int           // requests of one WebSocket that run at once; 4096
	MaxSubs        int           // subscriptions of one WebSocket; 1024
	MaxSubjects    int           // subjects of one tenant without a connection whose message rate is remembered; 100000
	OutboxBytes    int           // output that waits for one connection; 8 MiB
	MaxConns       int           // connections at once; 262144
	ConnectRate    int           // WebSockets and event streams that come in each second; 5000
	ConnectBurst   int           // those that come in at once before the rate counts; 2000
	AuthRate       int           // tokens that a WebSocket which is signed in may bring a second, and at once; 10
	HeaderTimeout  time.Duration // from a request's first byte to the end of its headers; 10 s
	BodyTimeout    time.Duration // for a request's body over 64 KiB, from the end of the headers, and for a response; 5 min
	IdleTimeout    time.Duration // a kept-alive connection without a request; 75 s
	WriteTimeout   time.Duration // for 64 KiB of output to be taken by a slow reader; 30 s
	AuthWithin     time.Duration // for the first message of a WebSocket that is not signed in; 5 s
	ExpiryNotice   time.Duration // before a token runs out, a WebSocket is asked for another; half of what is left, if that is less; 60 s
	ExpiryGrace    time.Duration // after it has, the WebSocket or event stream goes on for so long; 30 s
	CloseWithin    time.Duration // for the peer to answer a close; 5 s
	PingEvery      time.Duration // a WebSocket is pinged, and an event stream gets a comment, after so long without traffic; 20 s
	DrainWithin    time.Duration // for running requests to end once Serve's context has; 10 s
	RefusePause    time.Duration // how long a refusal for a tenant's rate is held back over HTTP; 50 ms
	ReconnectAfter time.Duration // clients told to leave come back after 0 to this long; 5 s
	Origins        []string      // of the hub's own pages beside addresses and localhost, in the form that Origin gives; none
	Log            *slog.Logger  // slog.Default()
}

func (c *Config) setDefaults() {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	setTime := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&c.MaxBody, 64<<20)
	setInt(&c.MaxHeaderBytes, 16<<10)
	setInt(&c.MaxFrame, 64<<20)
	setInt(&c.MaxBatch, 256)
	setInt(&c.MaxCalls, 4096)
	setInt(&c.MaxSubs, 1024)
	setInt(&c.MaxSubjects, 100_000)
	setInt(&c.OutboxBytes, 8<<20)
	setInt(&c.MaxConns, 256<<10)
	setInt(&c.ConnectRate, 5000)
	setInt(&c.ConnectBurst, 2000)
	setInt(&c.AuthRate, 10)
	setTime(&c.HeaderTimeout, 10*time.Second)
	setTime(&c.BodyTimeout, 5*time.Minute)
	setTime(&c.IdleTimeout, 75*time.Second)
	setTime(&c.WriteTimeout, 30*time.Second)
	setTime(&c.AuthWithin, 5*time.Second)
	setTime(&c.ExpiryNotice, time.Minute)
	setTime(&c.ExpiryGrace, 30*time.Second)
	setTime(&c.CloseWithin, 5*time.Second)
	setTime(&c.PingEvery, 20*time.Second)
	setTime(&c.DrainWithin, 10*time.Second)
	setTime(&c.RefusePause, 50*time.Millisecond)
	setTime(&c.ReconnectAfter, 5*time.Second)
	if c.Log == nil {
		c.Log = slog.Default()
	}
}
