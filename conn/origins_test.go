package conn

import (
	"net/http"
	"strings"
	"testing"
)

// Whoever owns a name can point it at the hub: that Origin and Host agree makes no page the hub's own.
func TestWhichPagesAreTheHubsOwn(t *testing.T) {
	o := newOwnOrigins([]string{"https://hub.example.com", "http://hub.lan:8080"})
	for _, c := range []struct {
		origin, host string
		own          bool
	}{
		{"http://127.0.0.1:8080", "127.0.0.1:8080", true},
		{"http://localhost:8080", "localhost:8080", true},
		{"http://LocalHost:8080", "localhost:8080", true},
		{"http://app.localhost", "app.localhost", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"http://[fd00::5]", "[fd00::5]:80", true},
		{"http://192.168.1.5:8080", "192.168.1.5:8080", true}, // a hub on the LAN
		{"http://192.168.1.5", "192.168.1.5:80", true},
		{"https://hub.example.com", "127.0.0.1:8080", true}, // a proxy that sends its own Host
		{"https://hub.example.com", "hub.example.com", true},
		{"http://hub.lan:8080", "hub.lan:8080", true},

		{"http://evil.example:8080", "evil.example:8080", false}, // rebound
		{"http://127.0.0.1.evil.example:8080", "127.0.0.1.evil.example:8080", false},
		{"http://notlocalhost:8080", "notlocalhost:8080", false},
		{"http://hub.example.com", "hub.example.com", false}, // scheme
		{"https://127.0.0.1:8080", "127.0.0.1:8080", false},
		{"https://hub.example.com:8443", "hub.example.com:8443", false}, // port
		{"http://localhost:3000", "localhost:8080", false},
		{"http://localhost", "localhost:8080", false},
		{"http://192.168.1.6:8080", "192.168.1.5:8080", false},
		{"https://evil.example", "hub.example.com", false},
		{"ws://127.0.0.1:8080", "127.0.0.1:8080", false},
		{"null", "127.0.0.1:8080", false},
		{"http://", "", false},
		{"", "", false},
	} {
		if got := o.isOwn(c.origin, c.host); got != c.own {
			t.Errorf("Origin %q, Host %q: %t", c.origin, c.host, got)
		}
	}
}

func TestAnAddressOfTheHubIsAnOrigin(t *testing.T) {
	for address, want := range map[string]string{
		"https://Hub.example.com": "https://hub.example.com", "https://hub.example.com:443/": "https://hub.example.com",
		"http://hub.lan:80": "http://hub.lan", "http://hub.lan:8080": "http://hub.lan:8080", "https://h:80": "https://h:80",
		"hub.example.com": "", "ftp://h": "", "https://h/path": "", "https://u@h": "", "https://h?q": "", "https://*.example.com": "", "https://": "", "": "",
	} {
		if got, err := Origin(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", address, got, err)
		}
	}
}

// The same over all three ways in, against a tenant whose list has another page.
func TestAReboundPageIsAskedForAsAnyOther(t *testing.T) {
	f := open(t, Config{Origins: []string{"https://hub.example.com"}})
	equal(t, "set", f.request("PUT", "/v1/origins", `{"origins":["`+page+`"]}`).status, 200)
	token := f.token("u1", "invoke:echo", "subscribe:>")
	_, port, _ := strings.Cut(f.addr, ":")
	for _, c := range []struct {
		origin, host string
		own          bool
	}{
		{"http://evil.example:" + port, "evil.example:" + port, false},
		{"https://" + f.addr, f.addr, false},
		{"http://" + f.addr, f.addr, true},
		{"http://localhost:" + port, "localhost:" + port, true},
		{"https://hub.example.com", f.addr, true},
	} {
		post := f.from(c.origin, c.host, "POST", "/v1/invoke/echo", token)
		sse := f.from(c.origin, c.host, "GET", "/v1/streams/a/events", token)
		equal(t, c.origin+" by HTTP", post == 200, c.own)
		equal(t, c.origin+" by SSE", sse == 200, c.own)
		ws := f.dial("/v1/ws?token="+token, "Origin: "+c.origin, "Host: "+c.host)
		if c.own {
			equal(t, c.origin+" by WebSocket", ws.refusal("ping", `{}`), "")
		} else {
			equal(t, c.origin+" by WebSocket", ws.closed(), CloseForbidden)
		}
	}
}

// from sends a page's request to a host of a name, and gives the status.
func (f *front) from(origin, host, method, path, token string) int {
	f.t.Helper()
	req, err := http.NewRequest(method, "http://"+f.addr+path, strings.NewReader("[1]"))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Host = host
	req.Header = http.Header{"Origin": {origin}, "Authorization": {"Bearer " + token}}
	if method == "GET" {
		req.Header.Set("Accept", "text/event-stream")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
