package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// operator is the key for the admin API, beside the key for everything else.
type operator struct {
	AdminKey string `help:"The operator's key; without it --key is used." env:"LIVEFN_ADMIN_KEY"`
}

// as signs the session in as the operator.
func (o *operator) as(s *session) *session {
	if o.AdminKey != "" {
		s.hub.Key = o.AdminKey
	}
	s.hub.Tenant = ""
	return s
}

type tenantsCmd struct {
	operator
	Create createTenantCmd `cmd:"" help:"Make a tenant and print its first key, once."`
	List   listTenantsCmd  `cmd:"" help:"List tenants."`
	Delete deleteTenantCmd `cmd:"" help:"Delete a tenant and all that it owns."`
}

type createTenantCmd struct {
	Name string `arg:"" help:"Name: letters, digits, _ and -."`
}

func (c *createTenantCmd) Run(ctx context.Context, s *session, all *commands) error {
	var made struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	err := all.Tenants.as(s).hub.JSON(ctx, http.MethodPost, "/v1/admin/tenants", map[string]string{"name": c.Name}, &made)
	if err != nil {
		return err
	}
	if s.json {
		return s.print(made)
	}
	return s.say("tenant  %s\nkey     %s\nThe key is shown this once; the hub keeps its hash only.", made.Name, made.Key)
}

type listTenantsCmd struct{}

func (*listTenantsCmd) Run(ctx context.Context, s *session, all *commands) error {
	type page struct {
		Items []struct {
			Name      string
			CreatedAt string
			Functions int
		}
	}
	return answer(ctx, all.Tenants.as(s), http.MethodGet, "/v1/admin/tenants", nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no tenants")
		}
		now := time.Now()
		var rows [][]string
		for _, t := range p.Items {
			rows = append(rows, []string{t.Name, strconv.Itoa(t.Functions), ago(t.CreatedAt, now)})
		}
		return table(s.out, "TENANT FUNCTIONS AGE", rows)
	})
}

type deleteTenantCmd struct {
	Name string `arg:"" help:"Tenant."`
}

func (c *deleteTenantCmd) Run(ctx context.Context, s *session, all *commands) error {
	return all.Tenants.as(s).remove(ctx, "/v1/admin/tenants/"+url.PathEscape(c.Name), "tenant "+c.Name)
}

type keysCmd struct {
	operator
	Create createKeyCmd `cmd:"" help:"Make a key and print it, once."`
	List   listKeysCmd  `cmd:"" help:"List keys: their ids, not the keys."`
	Delete deleteKeyCmd `cmd:"" help:"Delete a key; who uses it is signed out."`
}

func keysPath(tenant string) string { return "/v1/admin/tenants/" + url.PathEscape(tenant) + "/keys" }

type createKeyCmd struct {
	Tenant string `arg:"" name:"name" help:"Tenant."`
}

func (c *createKeyCmd) Run(ctx context.Context, s *session, all *commands) error {
	var made struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	if err := all.Keys.as(s).hub.JSON(ctx, http.MethodPost, keysPath(c.Tenant), nil, &made); err != nil {
		return err
	}
	if s.json {
		return s.print(made)
	}
	return s.say("id   %s\nkey  %s\nThe key is shown this once; the hub keeps its hash only.", made.ID, made.Key)
}

type listKeysCmd struct {
	Tenant string `arg:"" name:"name" help:"Tenant."`
}

func (c *listKeysCmd) Run(ctx context.Context, s *session, all *commands) error {
	type page struct {
		Items []struct{ ID, CreatedAt string }
	}
	return answer(ctx, all.Keys.as(s), http.MethodGet, keysPath(c.Tenant), nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no keys")
		}
		now := time.Now()
		var rows [][]string
		for _, k := range p.Items {
			rows = append(rows, []string{k.ID, ago(k.CreatedAt, now)})
		}
		return table(s.out, "KEY AGE", rows)
	})
}

type deleteKeyCmd struct {
	Tenant string `arg:"" name:"name" help:"Tenant."`
	ID     string `arg:"" help:"The key's id."`
}

func (c *deleteKeyCmd) Run(ctx context.Context, s *session, all *commands) error {
	return all.Keys.as(s).remove(ctx, keysPath(c.Tenant)+"/"+url.PathEscape(c.ID), "key "+c.ID)
}

func (s *session) remove(ctx context.Context, path, what string) error {
	if _, err := s.hub.Do(ctx, http.MethodDelete, path, nil); err != nil {
		return err
	}
	if s.json {
		return s.print(true)
	}
	return s.say("%s deleted", what)
}
