package conn

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// tenantKey makes another tenant, and gives its key.
func (f *front) tenantKey(name string) string {
	f.t.Helper()
	var made struct{ Key string }
	if r := f.admin("POST", "/v1/admin/tenants", `{"name":"`+name+`"}`); json.Unmarshal([]byte(r.body), &made) != nil || made.Key == "" {
		f.t.Fatal(r.body)
	}
	return made.Key
}

// A revocation looks at the connections of its tenant, whichever way they signed in, and at no other's.
func TestConnectionsAreFoundByTheirTenant(t *testing.T) {
	f := open(t, Config{})
	other := f.tenantKey("other")
	byHeader, byMessage, nobody := f.socket(), f.dial("/v1/ws"), f.dial("/v1/ws")
	theirs, admin := f.socket(as(other)), f.dial("/v1/ws", as(adminKey))
	equal(t, "signed in late", byMessage.ask(auth(f.key)), authOK)
	for _, c := range []*socketClient{byHeader, theirs, admin} {
		equal(t, "in", c.ask(askPing), `{"jsonrpc":"2.0","id":1,"result":"pong"}`)
	}
	events := f.open("GET", "/v1/streams/a/events", "", "Accept: text/event-stream")
	defer events.Body.Close()
	equal(t, "the tenant's", len(f.srv.live.listOf("acme")), 3)
	equal(t, "the other's", len(f.srv.live.listOf("other")), 1)
	equal(t, "all", len(f.srv.live.list()), 6)
	for _, c := range []*socketClient{byHeader, byMessage, theirs, admin, nobody} {
		_ = c.Close()
	}
	_ = events.Body.Close()
	for end := time.Now().Add(10 * time.Second); len(f.srv.live.list()) > 0; { // until the hub has noticed
		if time.Now().After(end) {
			t.Fatal("connections that have gone are still there")
		}
	}
	f.srv.live.mu.Lock()
	defer f.srv.live.mu.Unlock()
	equal(t, "tenants without a connection", len(f.srv.live.of), 0)
}

// BenchmarkRecheck is what a revocation, or another list of origins, costs once it is on disk: one connection of the
// tenant's is looked at, whatever the others have.
func BenchmarkRecheck(b *testing.B) {
	for _, others := range []int{0, 900, 9000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			f := open(b, Config{ConnectBurst: 2 * others})
			headers := map[string][]string{"Authorization": {"Bearer " + f.tenantKey("other")}}
			dialer := websocket.Dialer{ReadBufferSize: 256, WriteBufferSize: 256}
			for range others {
				c, res, err := dialer.Dial("ws://"+f.addr+"/v1/ws", headers)
				if err != nil {
					b.Skip("not enough files may be open (ulimit -n): ", err)
				}
				defer func() { _, _ = res.Body.Close(), c.Close() }()
			}
			own := f.socket()
			own.ask(askPing)
			for b.Loop() {
				f.srv.recheck("acme")
			}
		})
	}
}
