package conn

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/units"
	"github.com/livefn/livefn/tenants"
)

// tokenView is the answer to a request for a token, which is shown this once.
type tokenView struct {
	Token     string   `json:"token"`
	ID        string   `json:"id"`
	Subject   string   `json:"subject,omitempty"`
	Scopes    []string `json:"scopes"`
	ExpiresAt string   `json:"expiresAt"`
}

// createToken signs a token for a page, or for whoever else must not have the key.
func (s *Server) createToken(ctx *fasthttp.RequestCtx, _ []string) error {
	c, err := s.caller(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Scopes  []string       `json:"scopes"`
		TTL     units.Duration `json:"ttl"`
		Subject string         `json:"subject"`
	}
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	made, err := s.tenants.MintToken(s.life(), c.Tenant, c.grant.KeyID, tenants.TokenRequest{Scopes: in.Scopes, TTL: time.Duration(in.TTL), Subject: in.Subject})
	if err != nil {
		return err
	}
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	writeJSON(ctx, fasthttp.StatusCreated, tokenView{made.Secret, made.ID, in.Subject, in.Scopes, made.Expires.UTC().Format(timeLayout)})
	return nil
}

// revokeTokens revokes one token, by itself or its id, or all of a subject.
func (s *Server) revokeTokens(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Token   string `json:"token"`
		ID      string `json:"id"`
		Subject string `json:"subject"`
	}
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	switch {
	case in.Token != "" && in.ID == "" && in.Subject == "":
		g, err := s.tenants.Authenticate(in.Token)
		if err != nil {
			return err
		}
		if g.Token == nil || g.Tenant != t || g.Token.ID == "" {
			return invalid("The body's token must be a token of this tenant that has an id (jti).")
		}
		return none(ctx, s.tenants.RevokeToken(s.life(), t, g.Token.ID))
	case in.ID != "" && in.Token == "" && in.Subject == "":
		return none(ctx, s.tenants.RevokeToken(s.life(), t, in.ID))
	case in.Subject != "" && in.Token == "" && in.ID == "":
		return none(ctx, s.tenants.RevokeSubject(s.life(), t, in.Subject))
	}
	return invalid("The body needs exactly one of token, id and subject.")
}

func (s *Server) listTokenKeys(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return reply(ctx, listOf(t.TokenKeys()), nil)
}

// addTokenKey registers a key with which the tenant itself signs tokens.
func (s *Server) addTokenKey(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var in struct {
		Kid       string `json:"kid"`
		Alg       string `json:"alg"`
		Secret    string `json:"secret"`
		PublicKey string `json:"publicKey"`
		Issuer    string `json:"issuer"`
	}
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	k, secret, err := s.tenants.AddTokenKey(s.life(), t, tenants.NewTokenKey{ID: in.Kid, Alg: in.Alg, Secret: in.Secret, PublicKey: in.PublicKey, Issuer: in.Issuer})
	if err != nil {
		return err
	}
	writeJSON(ctx, fasthttp.StatusCreated, struct {
		Kid       string `json:"kid"`
		Alg       string `json:"alg"`
		Secret    string `json:"secret,omitempty"` // if the hub made it up; shown once
		Issuer    string `json:"issuer,omitempty"`
		CreatedAt string `json:"createdAt"`
	}{k.ID, k.Alg, secret, k.Issuer, k.CreatedAt.UTC().Format(timeLayout)})
	return nil
}

// deleteTokenKey deletes a key: at once, or ?after= so long.
func (s *Server) deleteTokenKey(ctx *fasthttp.RequestCtx, args []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var after units.Duration
	if q := query(ctx, "after"); q != "" {
		if after, err = units.ParseDuration(q); err != nil {
			return invalid(`after must be milliseconds or a duration like "1h".`)
		}
	}
	return none(ctx, s.tenants.DeleteTokenKey(s.life(), t, args[0], time.Duration(after)))
}

// originsView is whose pages may act as the tenant; null: any.
type originsView struct {
	Origins []string `json:"origins"`
}

func (s *Server) getOrigins(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return reply(ctx, originsView{t.Origins()}, nil)
}

func (s *Server) setOrigins(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	var in originsView
	if err := body(ctx, &in, false); err != nil {
		return err
	}
	if in.Origins == nil {
		return fault.New(fault.InvalidRequest, "The body's origins must be an array of strings. DELETE lets pages of any origin in.")
	}
	err = s.tenants.SetOrigins(s.life(), t, in.Origins)
	return reply(ctx, originsView{t.Origins()}, err)
}

func (s *Server) deleteOrigins(ctx *fasthttp.RequestCtx, _ []string) error {
	t, err := s.tenant(ctx)
	if err != nil {
		return err
	}
	return none(ctx, s.tenants.SetOrigins(s.life(), t, nil))
}
