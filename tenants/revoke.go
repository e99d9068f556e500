package tenants

import (
	"context"
	"time"

	"github.com/livefn/livefn/internal/fault"
)

// revocationsKept is how long a revocation is kept, and how long a token may live at most: longer than any
// token that it is about.
const revocationsKept = 30 * 24 * time.Hour

// revokedRecord is a revocation: What is "id " and a token's, or "subject " and a subject.
type revokedRecord struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// revokedToken is when something was revoked: tokens of a subject that were issued until then, by the second, are
// refused. What is said of an id holds for whatever time the token has.
type revokedToken struct{ at time.Time }

// RevokeToken has a token refused that has this id (jti), and ends what it opened.
func (r *Registry) RevokeToken(ctx context.Context, t *Tenant, id string) error {
	return r.revoke(ctx, t, "id", id)
}

// RevokeSubject has all tokens of a subject refused that were issued until now, and ends what they opened.
func (r *Registry) RevokeSubject(ctx context.Context, t *Tenant, subject string) error {
	return r.revoke(ctx, t, "subject", subject)
}

func (r *Registry) revoke(ctx context.Context, t *Tenant, kind, name string) error {
	if name == "" || checkSubject(name) != nil {
		return fault.New(fault.InvalidRequest, "%s must be a string of 1 to %d bytes.", kind, maxSubject)
	}
	what, now := kind+" "+name, time.Now().UTC()
	t.auth.revoking.Lock()
	defer t.auth.revoking.Unlock()
	t.life.RLock()
	defer t.life.RUnlock()
	t.auth.mu.RLock()
	before, again := t.auth.revoked[what]
	full := len(t.auth.revoked) >= r.cfg.MaxRevoked
	t.auth.mu.RUnlock()
	if full && !again {
		t.auth.change(func() { t.auth.sweepLocked(now) })
		t.auth.mu.RLock()
		full = len(t.auth.revoked) >= r.cfg.MaxRevoked
		t.auth.mu.RUnlock()
	}
	switch {
	case t.deleted:
		return noTenant(t.name)
	case full && !again:
		return fault.New(fault.Conflict, "There are %d revocations already (MaxRevoked). Delete the key that signed the tokens: it revokes all of them.", r.cfg.MaxRevoked)
	}
	at := now
	if next := before.at.Add(time.Second); again && next.After(at) {
		at = next // the hub may have issued tokens for the second after the one before: see issueTime
	}
	op := putRecord(revokedKey(t.name, what), revokedRecord{what, at})
	op.TTL = revocationsKept + at.Sub(now)
	if err := r.store.Commit(context.WithoutCancel(ctx), op); err != nil {
		return err
	}
	t.auth.change(func() { t.auth.revoked[what] = revokedToken{at} })
	r.tellRevoked(t.name)
	return nil
}

// sweepLocked forgets revocations that no token can be about any more.
func (a *tokenAuth) sweepLocked(now time.Time) {
	for what, v := range a.revoked {
		if now.Sub(v.at) > revocationsKept {
			delete(a.revoked, what)
		}
	}
}

// issueTime gives iat for a new token in seconds: after a revocation of its subject, even if that was in this
// second.
func (t *Tenant) issueTime(subject string) int64 {
	now := time.Now().Unix()
	t.auth.mu.RLock()
	defer t.auth.mu.RUnlock()
	if v, ok := t.auth.revoked["subject "+subject]; ok && v.at.Unix() >= now {
		return v.at.Unix() + 1
	}
	return now
}

// Stands says whether what a grant was given for is still good: it is not revoked, and has not run out.
func (r *Registry) Stands(g *Grant) error {
	if err := r.Revoked(g); err != nil || g.Token == nil {
		return err
	}
	switch now := time.Now(); {
	case g.keyOver(now):
		return refused("its key is gone.")
	case !now.Before(g.Token.Expires.Add(r.cfg.TokenLeeway)):
		return refused("it has expired.")
	}
	return nil
}

// Revoked says whether what a grant was given for was taken back: the key, the token, its key or its subject. One
// that has run out is not revoked by that: what was opened with it may have a while left (conn: ExpiryGrace).
func (r *Registry) Revoked(g *Grant) error {
	switch {
	case g.Admin:
		return nil
	case g.gone.Load():
		return fault.New(fault.Unauthorized, "The key was deleted.")
	case g.Token == nil:
		return nil
	}
	a, tok := &g.Tenant.auth, g.Token
	a.mu.RLock()
	defer a.mu.RUnlock()
	_, apiKey := a.apiKeys[tok.apiKey]
	switch {
	case a.closed, g.key.gone:
		return refused("its key is gone.")
	case tok.apiKey != "" && tok.apiKey != adminKeyID && !apiKey:
		return refused("the key that asked for it was deleted.")
	case a.revokedLocked(tok, g.key, r.cfg.TokenLeeway):
		return refused("it was revoked.")
	}
	return nil
}

// keyOver says whether the key of a grant's token was to be good until a time that has come.
func (g *Grant) keyOver(now time.Time) bool {
	a := &g.Tenant.auth
	a.mu.RLock()
	defer a.mu.RUnlock()
	return g.key.over(now)
}

// revokedLocked says whether a token, or its subject after it was issued, was revoked. Clocks of others may be
// ahead of the hub's by the leeway: what they issued before the revocation must not seem to be issued after it.
func (a *tokenAuth) revokedLocked(tok *Token, key *tokenKey, leeway time.Duration) bool {
	if _, ok := a.revoked["id "+tok.ID]; ok && tok.ID != "" {
		return true
	}
	v, ok := a.revoked["subject "+tok.Subject]
	if !ok || tok.Subject == "" {
		return false
	}
	if key.minted {
		leeway = 0
	}
	return tok.IssuedAt.Unix() <= v.at.Add(leeway).Unix()
}

// Expires says when a grant runs out: the zero time if it does not.
func (g *Grant) Expires() time.Time {
	if g.Token == nil {
		return time.Time{}
	}
	a := &g.Tenant.auth
	a.mu.RLock()
	defer a.mu.RUnlock()
	if until := g.key.until; !until.IsZero() && until.Before(g.Token.Expires) {
		return until
	}
	return g.Token.Expires
}

// OnRevoke has f called after grants of a tenant may have ceased to stand, or come to run out earlier.
func (r *Registry) OnRevoke(f func(tenant string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revoked = f
}

func (r *Registry) tellRevoked(tenant string) {
	r.mu.Lock()
	f := r.revoked
	r.mu.Unlock()
	f(tenant)
}

func (r *Registry) loadRevoked() error {
	return r.scan(revokedPrefix, func(key []byte, parts []string, v []byte) error {
		var rec revokedRecord
		if err := readRecord(key, v, &rec); err != nil {
			return err
		}
		if t := r.tenants[parts[0]]; t != nil {
			t.auth.revoked[rec.What] = revokedToken{rec.At}
		}
		return nil
	})
}
