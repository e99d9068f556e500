package tenants

import (
	"context"
	"net/url"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// origin is whose pages may act as a tenant: an origin (RFC 6454), or those of all names below one.
type origin struct {
	text   string // as it was given, in lower case
	scheme string // with ://
	below  string // for https://*.example.com: .example.com; else ""
}

type originsRecord struct {
	Origins []string `json:"origins"`
}

// parseOrigin reads an origin as browsers write it, or with *. before its host.
func parseOrigin(text string) (origin, error) {
	wrong := fault.New(fault.InvalidRequest, "%.300q is not an origin like https://app.example.com, or https://*.example.com for all names below one.", text)
	text = strings.ToLower(text)
	scheme, host, ok := strings.Cut(text, "://")
	below := ""
	if rest, any := strings.CutPrefix(host, "*."); any {
		below, host = "."+rest, rest
	}
	u, err := url.Parse(scheme + "://" + host)
	if !ok || err != nil || u.Host != host || u.Hostname() == "" || scheme == "" || strings.ContainsAny(host, "*, ") {
		return origin{}, wrong
	}
	return origin{text, scheme + "://", below}, nil
}

func (o origin) matches(text string) bool {
	if o.below == "" {
		return o.text == text
	}
	host, ok := strings.CutPrefix(text, o.scheme)
	name, below := strings.CutSuffix(host, o.below)
	return ok && below && name != "" && !strings.HasPrefix(name, ".")
}

// AllowsOrigin says whether a page of this origin, as its browser sends it, may act as the tenant. Without a
// list, any may: what it needs is a key or token, which no browser sends by itself.
func (t *Tenant) AllowsOrigin(text string) bool {
	list := t.origins.Load()
	if list == nil {
		return true
	}
	text = strings.ToLower(text)
	for _, o := range *list {
		if o.matches(text) {
			return true
		}
	}
	return false
}

// Origins gives the list; nil if there is none.
func (t *Tenant) Origins() []string {
	list := t.origins.Load()
	if list == nil {
		return nil
	}
	texts := make([]string, len(*list))
	for i, o := range *list {
		texts[i] = o.text
	}
	return texts
}

// SetOrigins says whose pages may act as the tenant; nil: any.
func (r *Registry) SetOrigins(ctx context.Context, t *Tenant, texts []string) error {
	if len(texts) > r.cfg.MaxOrigins {
		return fault.New(fault.InvalidRequest, "There are %d origins; %d are allowed (MaxOrigins).", len(texts), r.cfg.MaxOrigins)
	}
	list, err := parseOrigins(texts)
	if err != nil {
		return err
	}
	t.auth.signing.Lock() // one after the other, on disk as in memory
	defer t.auth.signing.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	if t.deleted {
		return noTenant(t.name)
	}
	op := store.Op{Key: originsKey(t.name), Delete: true}
	if texts != nil {
		op = putRecord(originsKey(t.name), originsRecord{texts})
	}
	if err := r.store.Commit(context.WithoutCancel(ctx), op); err != nil {
		return err
	}
	t.origins.Store(list)
	r.tellRevoked(t.name)
	return nil
}

func parseOrigins(texts []string) (*[]origin, error) {
	if texts == nil {
		return nil, nil
	}
	list := []origin{}
	for _, text := range texts {
		o, err := parseOrigin(text)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return &list, nil
}

func (r *Registry) loadOrigins() error {
	return r.scan(originsPrefix, func(key []byte, parts []string, v []byte) error {
		var rec originsRecord
		if err := readRecord(key, v, &rec); err != nil {
			return err
		}
		t := r.tenants[parts[0]]
		if t == nil {
			return nil
		}
		if rec.Origins == nil {
			rec.Origins = []string{}
		}
		list, err := parseOrigins(rec.Origins)
		t.origins.Store(list)
		return err
	})
}
