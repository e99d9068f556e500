package conn

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ownOrigins are those of the hub's own pages, as the dashboard, beside the ones that need no list (isOwn).
type ownOrigins map[string]struct{}

func newOwnOrigins(list []string) ownOrigins {
	o := ownOrigins{}
	for _, text := range list {
		if own, err := Origin(text); err == nil { // who configures has asked Origin before
			o[own] = struct{}{}
		}
	}
	return o
}

// Origin gives the origin (RFC 6454) of an address at which the hub is reached, as browsers write it.
func Origin(address string) (string, error) {
	u, err := url.Parse(strings.ToLower(address))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" || strings.Contains(u.Host, "*") {
		return "", fmt.Errorf("%.300q is not an address like https://hub.example.com: http or https, a host, and a port if it is not the usual one", address)
	}
	return u.Scheme + "://" + withoutPort(u.Scheme, u.Host), nil
}

// withoutPort takes the port away that browsers leave out.
func withoutPort(scheme, host string) string {
	usual := ":80"
	if scheme == "https" {
		usual = ":443"
	}
	return strings.TrimSuffix(strings.TrimSuffix(host, usual), ":")
}

// isOwn says whether a page of origin, which spoke to host (the header Host), came from the hub itself. That both have the
// same name proves nothing: the name may be somebody else's, who had his page loaded and then gave the name the hub's
// address (DNS rebinding). An address can't be given to another, nor can localhost. The hub itself speaks no TLS, so that a
// page of https is its own only if it is listed.
func (o ownOrigins) isOwn(origin, host string) bool {
	origin = strings.ToLower(origin)
	if _, listed := o[origin]; listed {
		return true
	}
	from, ok := strings.CutPrefix(origin, "http://")
	host = withoutPort("http", strings.ToLower(host))
	return ok && from != "" && from == host && cannotRebind(host)
}

// cannotRebind says whether a host, with or without a port, is an address, or the machine's own name for itself (RFC 6761, 6.3).
func cannotRebind(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	} else {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}
