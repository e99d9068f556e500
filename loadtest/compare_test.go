package loadtest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever compares must get the machine back as it was: processes gone, ports free.
func TestPeersAreGoneAfterwards(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "node")
	if err := writePeer(dir, "node-http.mjs"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []process{
		{name: "echo", args: []string{self, "load", "peer", "echo"}},
		{name: "node", dir: dir, args: []string{"node", "node-http.mjs"}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan string, 1), make(chan error, 1)
		go func() { done <- p.Run(ctx, ready) }()
		var url string
		select {
		case url = <-ready:
		case err := <-done:
			t.Fatalf("%s: %v", p.name, err)
		}
		s := scenarioFor(url, HTTP)
		s.Expect = nil
		if r, err := s.Run(t.Context()); err != nil || r.Calls == 0 || r.Failed() > 0 {
			t.Errorf("%s: %+v, %v", p.name, r, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if _, err := net.DialTimeout("tcp", strings.TrimPrefix(url, "http://"), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: its port is not free: %v", p.name, err)
		}
	}
}

// A peer that can't be had is a row that says why, and does not cost the other rows.
func TestAPeerThatCannotBeHadIsARowThatSaysSo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := newHubStub(t, nil)
	f, err := Comparison{Livefn: self, URL: h.URL, Node: "no-such-node", Npm: "no-such-npm", Cache: t.TempDir(),
		Rounds: 1, Duration: 50 * time.Millisecond, WarmUp: 10 * time.Millisecond}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range f.Tables[0].Rows {
		if failed := row.Peer == peerNodeHTTP; failed != (row.Error != "") || failed == (len(row.reports) == 1) {
			t.Errorf("%+v", *row)
		}
	}
	ws := f.Tables[1].Rows
	if !strings.Contains(ws[0].Error, wsPackage) || len(ws[1].reports) != 1 || ws[1].Ratio != 0 || f.Complete() {
		t.Errorf("%+v %+v", *ws[0], *ws[1])
	}
}
