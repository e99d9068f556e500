package cli

import (
	"net"
	"reflect"
	"strings"
	"testing"
)

func TestTheHubsOwnOriginsAreItsPublicAddressesAndTheNameItListensAt(t *testing.T) {
	at := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 8080}
	for listen, want := range map[string][]string{
		"0.0.0.0:8080": {"https://hub.example.com"}, ":0": {"https://hub.example.com"}, "[::]:8080": {"https://hub.example.com"},
		"hub.lan:0": {"https://hub.example.com", "http://hub.lan:8080"},
	} {
		c := &ServeCmd{Listen: listen, PublicURL: []string{"https://Hub.example.com:443/"}}
		if got, err := c.origins(at); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", listen, got, err)
		}
	}
	c := &ServeCmd{PublicURL: []string{"hub.example.com"}}
	if _, err := c.origins(at); err == nil || !strings.Contains(err.Error(), "--public-url") {
		t.Error(err)
	}
}
