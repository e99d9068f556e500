package cli

import (
	"fmt"
	"net"

	"github.com/livefn/livefn/conn"
)

// urls are addresses, from a flag that may be repeated or have commas.
type urls []string

// origins gives the origins of the hub's own pages: those of --public-url, and that of the name to listen at, if it is one.
func (c *ServeCmd) origins(at net.Addr) ([]string, error) {
	var list []string
	for _, address := range c.PublicURL {
		origin, err := conn.Origin(address)
		if err != nil {
			return nil, fmt.Errorf("--public-url: %w", err)
		}
		list = append(list, origin)
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	_, port, err := net.SplitHostPort(at.String())
	if err == nil && host != "" && net.ParseIP(host) == nil { // an address needs no list
		if origin, err := conn.Origin("http://" + net.JoinHostPort(host, port)); err == nil {
			list = append(list, origin)
		}
	}
	return list, nil
}
