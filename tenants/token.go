package tenants

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/livefn/livefn/internal/fault"
)

// Tokens are JWTs (RFC 7519) for whoever must not have a key: pages. They are signed by the hub
// (POST /v1/tokens) or by the tenant itself with a key that it registered; docs/tokens.md has the claims.
//
// What a token says of itself is believed only once its signature was checked, with one exception: to find
// the key, aud names the tenant (exactly one of its values is livefn:<tenant>) and kid a key of that tenant's. A
// wrong name finds a key that does not fit. The algorithm is the key's.

// Token is a token that was verified.
type Token struct {
	ID       string // jti; "" if it has none
	Subject  string // sub; "" if it has none
	Scopes   *Scopes
	IssuedAt time.Time
	Expires  time.Time

	apiKey  string // id of the tenant's key that asked the hub for it
	changes uint64 // tokenAuth.changes when it was verified
}

// Bounds of tokens.
const (
	defaultTokenTTL = time.Hour
	maxSubject      = 256
	audience        = "livefn:" // and the tenant's name
	issuer          = "livefn"  // of what the hub signs
)

// TokenRequest is what a token is asked for with.
type TokenRequest struct {
	Scopes  []string
	TTL     time.Duration // 0: an hour
	Subject string        // who has it; "": nobody in particular
}

// MintedToken is a token that the hub signed.
type MintedToken struct {
	Secret  string
	ID      string
	Expires time.Time
}

// MintToken signs a token that acts as t for the holder of a key, with which it goes.
func (r *Registry) MintToken(ctx context.Context, t *Tenant, keyID string, in TokenRequest) (MintedToken, error) {
	scopes, err := parseScopes(in.Scopes)
	if err != nil {
		return MintedToken{}, err
	}
	switch {
	case in.TTL == 0:
		in.TTL = min(defaultTokenTTL, r.cfg.MaxTokenTTL)
	case in.TTL < time.Second || in.TTL > r.cfg.MaxTokenTTL:
		return MintedToken{}, fault.New(fault.InvalidRequest, "ttl is 1 s to %s (MaxTokenTTL).", r.cfg.MaxTokenTTL)
	}
	if err := checkSubject(in.Subject); err != nil {
		return MintedToken{}, err
	}
	if in.Subject == "" && scopes.Has("executions:own") {
		return MintedToken{}, fault.New(fault.InvalidRequest, "executions:own needs a subject: it is about the executions that the subject started.")
	}
	kid, key, err := r.mintKey(ctx, t)
	if err != nil {
		return MintedToken{}, err
	}
	now := t.issueTime(in.Subject)
	expires := math.Ceil(float64(time.Now().Add(in.TTL).UnixMilli()) / 1000) // whole seconds, and not less than was asked for
	expires = min(expires, float64(now)+r.cfg.MaxTokenTTL.Seconds())
	out := MintedToken{ID: randomText(20), Expires: time.Unix(int64(expires), 0).UTC()}
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience + t.name, "jti": out.ID, "iat": now, "exp": out.Expires.Unix(),
		"scope": strings.Join(scopes.list, " "), "key": keyID,
	}
	if in.Subject != "" {
		claims["sub"] = in.Subject
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	token.Header["kid"] = kid
	if out.Secret, err = token.SignedString(key.verify); err != nil {
		return MintedToken{}, err
	}
	if len(out.Secret) > r.cfg.MaxToken {
		return MintedToken{}, fault.New(fault.InvalidRequest, "The token would have %d bytes; it may have %d (MaxToken). Give it fewer scopes.", len(out.Secret), r.cfg.MaxToken)
	}
	return out, nil
}

func checkSubject(s string) error {
	if len(s) > maxSubject || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return fault.New(fault.InvalidRequest, "A subject has %d bytes at most, and no control characters.", maxSubject)
	}
	return nil
}

// looksLikeToken tells a token from a key that is not known.
func looksLikeToken(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 }

func refused(format string, args ...any) error {
	return fault.New(fault.Unauthorized, "The token is refused: "+format, args...)
}

// verifyToken verifies a token.
func (r *Registry) verifyToken(text string) (*Grant, error) {
	if len(text) > r.cfg.MaxToken {
		return nil, refused("it has more than %d bytes (MaxToken).", r.cfg.MaxToken)
	}
	parts := strings.Split(text, ".")
	alg, kid, err := tokenHead(parts[0])
	if err != nil {
		return nil, err
	}
	claims, err := tokenPart(parts[1])
	if err != nil {
		return nil, err
	}
	name, err := tenantOf(claims["aud"])
	if err != nil {
		return nil, err
	}
	unknown := refused("aud and kid name no key of the hub.") // alike for both: it tells nobody which tenants there are
	t, err := r.Tenant(name)
	if err != nil {
		return nil, unknown
	}
	changes := t.auth.changes.Load()
	t.auth.mu.RLock()
	key := t.auth.keys[kid]
	over := key == nil || key.over(time.Now())
	t.auth.mu.RUnlock()
	if over {
		return nil, unknown
	}
	if alg != key.alg {
		return nil, refused("its alg is %.20q, its key's is %s.", alg, key.alg)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{key.alg}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(r.cfg.TokenLeeway), jwt.WithStrictDecoding())
	_, err = parser.ParseWithClaims(text, jwt.MapClaims{}, func(*jwt.Token) (any, error) { return key.verify, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, refused("its signature does not fit its key.")
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, refused("it has expired.")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return nil, refused("it is not valid yet (nbf, iat). Is a clock wrong?")
	case err != nil:
		return nil, refused("it is not a valid JWT.")
	}
	token, err := r.tokenOf(claims, key)
	if err != nil {
		return nil, err
	}
	token.changes = changes
	g := &Grant{Tenant: t, Token: token, key: key}
	token.Expires = g.Expires()
	return g, r.Stands(g)
}

// tokenHead reads a token's header: alg and kid.
func tokenHead(part string) (alg, kid string, err error) {
	head, err := tokenPart(part)
	if err != nil {
		return "", "", err
	}
	if head["crit"] != nil {
		return "", "", refused("its header has crit, and the hub knows no extension (RFC 7515, 4.1.11).")
	}
	for name, to := range map[string]*string{"alg": &alg, "kid": &kid} {
		if json.Unmarshal(head[name], to) != nil || *to == "" {
			return "", "", refused("its header needs %s, a string.", name)
		}
	}
	if typ := ""; head["typ"] != nil && (json.Unmarshal(head["typ"], &typ) != nil || !strings.EqualFold(strings.TrimPrefix(strings.ToLower(typ), "at+"), "jwt")) {
		return "", "", refused("its typ is not JWT.")
	}
	return alg, kid, nil
}

// tokenPart reads a part of a token: a JSON object that has no member twice, as decoders differ about which
// of them holds (RFC 8725, 3.10).
func tokenPart(part string) (map[string]json.RawMessage, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refused("it is not base64url.")
	}
	malformed := refused("it is not made of JSON objects.")
	d := json.NewDecoder(bytes.NewReader(b))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, malformed
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, malformed
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, malformed
		}
		if _, twice := members[name.(string)]; twice {
			return nil, refused("it has %.40q twice.", name)
		}
		members[name.(string)] = value
	}
	if _, err := d.Token(); err != nil || len(bytes.TrimSpace(b[d.InputOffset():])) > 0 {
		return nil, malformed
	}
	return members, nil
}

// tenantOf reads aud: exactly one of its values names a tenant.
func tenantOf(aud json.RawMessage) (name string, err error) {
	var list []string
	if one := ""; json.Unmarshal(aud, &one) == nil {
		list = []string{one}
	} else if json.Unmarshal(aud, &list) != nil {
		return "", refused("aud must be a string, or an array of strings.")
	}
	found := 0
	for _, a := range list {
		if tenant, ok := strings.CutPrefix(a, audience); ok {
			name = tenant
			found++
		}
	}
	if found != 1 {
		return "", refused("exactly one value of aud must be %s<tenant>.", audience)
	}
	return name, nil
}

// tokenOf reads the claims of a token whose signature fits.
func (r *Registry) tokenOf(claims map[string]json.RawMessage, key *tokenKey) (*Token, error) {
	t := &Token{}
	var iss string
	for name, to := range map[string]*string{"sub": &t.Subject, "jti": &t.ID, "iss": &iss} {
		if claims[name] != nil && json.Unmarshal(claims[name], to) != nil {
			return nil, refused("%s must be a string.", name)
		}
	}
	if key.minted {
		_ = json.Unmarshal(claims["key"], &t.apiKey) // the hub's own
	}
	if key.issuer != "" && iss != key.issuer {
		return nil, refused("its key is registered for another iss.")
	}
	if err := checkSubject(t.Subject); err != nil || len(t.ID) > maxSubject {
		return nil, refused("sub and jti have %d bytes at most, and no control characters.", maxSubject)
	}
	for name, to := range map[string]*time.Time{"iat": &t.IssuedAt, "exp": &t.Expires} {
		var n float64
		if claims[name] == nil || json.Unmarshal(claims[name], &n) != nil || n < 0 || n > 1<<40 {
			return nil, refused("%s must be seconds since 1970.", name)
		}
		*to = time.UnixMilli(int64(n * 1000))
	}
	if t.Expires.Sub(t.IssuedAt) > r.cfg.MaxTokenTTL {
		return nil, refused("it is made to live longer than %s (MaxTokenTTL).", r.cfg.MaxTokenTTL)
	}
	var err error
	t.Scopes, err = scopesOf(claims["scope"], claims["scopes"])
	return t, err
}

// scopesOf reads scope, a string with spaces between (RFC 9068), or scopes, an array.
func scopesOf(text, list json.RawMessage) (*Scopes, error) {
	var scopes []string
	switch one := ""; {
	case text != nil && list != nil:
		return nil, refused("it has scope and scopes.")
	case text != nil && json.Unmarshal(text, &one) == nil:
		scopes = strings.Fields(one)
	case text != nil:
		return nil, refused("scope must be a string.")
	case list != nil && json.Unmarshal(list, &scopes) != nil:
		return nil, refused("scopes must be an array of strings.")
	}
	if len(scopes) > maxScopes {
		return nil, refused("it has %d scopes; %d are allowed.", len(scopes), maxScopes)
	}
	return knownScopes(scopes), nil
}
