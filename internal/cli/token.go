package cli

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"
)

// tokenCmd is about tokens for pages; all of it wants a tenant's key.
type tokenCmd struct {
	Mint   mintTokenCmd   `cmd:"" help:"Print a token that may do what its scopes say."`
	Revoke revokeTokenCmd `cmd:"" help:"Refuse a token, or all that a subject has so far, and end what they opened."`
	Keys   tokenKeysCmd   `cmd:"" help:"List, add and delete the keys with which tokens are verified."`
}

type mintTokenCmd struct {
	Scopes  []string `arg:"" help:"What it may do, as invoke:add, subscribe:orders.>, executions:own."`
	Subject string   `help:"Who has it." placeholder:"NAME"`
	TTL     string   `name:"ttl" help:"How long it lives; an hour without it." placeholder:"DURATION"`
}

func (c *mintTokenCmd) Run(ctx context.Context, s *session) error {
	in := map[string]any{"scopes": c.Scopes}
	if c.Subject != "" {
		in["subject"] = c.Subject
	}
	if c.TTL != "" {
		in["ttl"] = c.TTL
	}
	var made struct {
		Token     string   `json:"token"`
		ID        string   `json:"id"`
		Subject   string   `json:"subject,omitempty"`
		Scopes    []string `json:"scopes"`
		ExpiresAt string   `json:"expiresAt"`
	}
	if err := s.hub.JSON(ctx, http.MethodPost, "/v1/tokens", in, &made); err != nil {
		return err
	}
	if s.json {
		return s.print(made)
	}
	return s.say("%s", made.Token)
}

type revokeTokenCmd struct {
	Token   string `arg:"" optional:"" help:"The token itself."`
	ID      string `name:"id" help:"Its id." placeholder:"ID"`
	Subject string `help:"All that this subject has so far." placeholder:"NAME"`
}

func (c *revokeTokenCmd) Run(ctx context.Context, s *session) error {
	in := map[string]string{}
	for name, value := range map[string]string{"token": c.Token, "id": c.ID, "subject": c.Subject} {
		if value != "" {
			in[name] = value
		}
	}
	if len(in) != 1 {
		return wrongUsage("give one of the token, --id and --subject")
	}
	if _, err := s.hub.Do(ctx, http.MethodPost, "/v1/tokens/revoke", in); err != nil {
		return err
	}
	if s.json {
		return s.print(true)
	}
	return s.say("revoked")
}

type tokenKeysCmd struct {
	List   listTokenKeysCmd  `cmd:"" help:"List them."`
	Add    addTokenKeyCmd    `cmd:"" help:"Register a key with which you sign tokens yourself."`
	Delete deleteTokenKeyCmd `cmd:"" help:"Refuse the tokens of a key, at once or after a while."`
}

type listTokenKeysCmd struct{}

func (*listTokenKeysCmd) Run(ctx context.Context, s *session) error {
	type page struct {
		Items []struct {
			Kid, Alg, CreatedAt, Until string
			Hub                        bool
		}
	}
	return answer(ctx, s, http.MethodGet, "/v1/tokens/keys", nil, func(p page) error {
		if len(p.Items) == 0 {
			return s.say("no keys")
		}
		now := time.Now()
		var rows [][]string
		for _, k := range p.Items {
			of := "yours"
			if k.Hub {
				of = "the hub's"
			}
			rows = append(rows, []string{k.Kid, k.Alg, of, ago(k.CreatedAt, now), k.Until})
		}
		return table(s.out, "KEY ALG OF AGE UNTIL", rows)
	})
}

type addTokenKeyCmd struct {
	Alg       string `arg:"" help:"HS256, EdDSA or ES256."`
	Kid       string `help:"Its id; made up without it." placeholder:"ID"`
	PublicKey string `help:"File with the public key in PEM, for EdDSA and ES256." placeholder:"FILE" type:"existingfile"`
	Issuer    string `help:"What iss of its tokens must be." placeholder:"TEXT"`
}

func (c *addTokenKeyCmd) Run(ctx context.Context, s *session) error {
	in := map[string]string{"alg": c.Alg, "kid": c.Kid, "issuer": c.Issuer}
	if c.PublicKey != "" {
		b, err := os.ReadFile(c.PublicKey) //nolint:gosec // the user's choice
		if err != nil {
			return err
		}
		in["publicKey"] = string(b)
	}
	var made struct {
		Kid    string `json:"kid"`
		Alg    string `json:"alg"`
		Secret string `json:"secret,omitempty"`
	}
	if err := s.hub.JSON(ctx, http.MethodPost, "/v1/tokens/keys", in, &made); err != nil {
		return err
	}
	switch {
	case s.json:
		return s.print(made)
	case made.Secret == "":
		return s.say("kid  %s", made.Kid)
	}
	return s.say("kid     %s\nsecret  %s\nThe secret is shown this once; the hub keeps it sealed.", made.Kid, made.Secret)
}

type deleteTokenKeyCmd struct {
	Kid   string `arg:"" help:"The key's id."`
	After string `help:"Not at once: tokens are good for so long." placeholder:"DURATION"`
}

func (c *deleteTokenKeyCmd) Run(ctx context.Context, s *session) error {
	path := "/v1/tokens/keys/" + url.PathEscape(c.Kid)
	if c.After != "" {
		if _, err := s.hub.Do(ctx, http.MethodDelete, path+"?after="+url.QueryEscape(c.After), nil); err != nil {
			return err
		}
		if s.json {
			return s.print(true)
		}
		return s.say("tokens of key %s are good for %s more", c.Kid, c.After)
	}
	return s.remove(ctx, path, "key "+c.Kid)
}
