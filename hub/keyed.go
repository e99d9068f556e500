package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/livefn/livefn/internal/fault"
	"github.com/livefn/livefn/internal/store"
)

// Name spaces of idempotency keys, as a Request has them. Each is of one who may choose keys, and none may meet one of
// another's. A space is its first word; no space's is the beginning of another's:
//
//	token "<subject>" <key>, token id "<jti>" <key>   of a token's holder (conn: Caller.key)
//	webhook <key>                                     of who calls a public function (WebhookKey)
//	trigger <id> <what>                               of a trigger: one for what starts it
//	key <key>                                         of the tenant, one that begins with one of these words (OwnKey)
//	<key>                                             of the tenant, any other
var keySpaces = []string{"token ", "webhook ", "trigger ", "key "}

// OwnKey gives the name of a key that the tenant chooses itself: with its own key, or in a function. These are one
// space, so that a function can ask for what was started over HTTP.
func OwnKey(key string) string {
	for _, space := range keySpaces {
		if strings.HasPrefix(key, space) {
			return "key " + key
		}
	}
	return key
}

// WebhookKey gives the name of a key that strangers choose.
func WebhookKey(key string) string { return "webhook " + key }

// keyed is an idempotency key: the execution it stands for and a digest of what was asked.
type keyed struct {
	Execution string `json:"execution"`
	Digest    string `json:"digest"`
	w         *write
}

// invokeKeyed starts the execution of an idempotency key, or joins it if there is one. The record of
// the key is part of the execution's first write.
func (t *tenant) invokeKeyed(req *Request, to Replier) (*Execution, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", req.Function, req.encoding(), req.Args))
	digest := hex.EncodeToString(sum[:])
	name := keyName(req.Key)
	var started *keyed
	var first *Execution
	var fail error
	k, _ := t.pending.Compute(name, func(k *keyed, ok bool) (*keyed, bool) {
		if ok {
			return k, false
		}
		b, err := t.hub.store.Get(idempotencyKey(t.name, name))
		if err == nil {
			k = &keyed{}
			fail = json.Unmarshal(b, k)
			return k, true // known from the store; nothing is pending
		}
		if !errors.Is(err, store.ErrNotFound) {
			fail = err
			return nil, true
		}
		x, w, err := t.start(req, to, func(x *Execution) store.Op {
			v, _ := json.Marshal(keyed{Execution: x.rec.ID, Digest: digest}) // strings
			return store.Op{Key: idempotencyKey(t.name, name), Value: v, TTL: t.hub.cfg.KeyTTL}
		})
		if err != nil {
			fail = err
			return nil, true
		}
		started = &keyed{Execution: x.rec.ID, Digest: digest, w: w}
		first = x
		return started, false
	})
	if fail != nil {
		return nil, fail
	}
	if started != nil {
		if _, err := started.w.wait(context.Background()); err != nil {
			first.forget(to) // told by the error, or already
			return nil, err
		}
		return first, nil
	}
	if k == nil { // Compute gives nothing for an entry it deletes
		return t.joinKeyed(name, digest, req, to)
	}
	return t.join(k, digest, req, to)
}

// keyName is the name of an idempotency key in maps and in the store.
func keyName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func (t *tenant) joinKeyed(name, digest string, req *Request, to Replier) (*Execution, error) {
	b, err := t.hub.store.Get(idempotencyKey(t.name, name))
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	k := &keyed{}
	if err := json.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("decode idempotency key: %w", err)
	}
	return t.join(k, digest, req, to)
}

// startedBy gives the execution that a key stands for.
func (t *tenant) startedBy(key string) (View, error) {
	sum := sha256.Sum256([]byte(key))
	b, err := t.hub.store.Get(idempotencyKey(t.name, hex.EncodeToString(sum[:])))
	if err != nil {
		return View{}, fmt.Errorf("read idempotency key: %w", err)
	}
	k := &keyed{}
	if err := json.Unmarshal(b, k); err != nil {
		return View{}, fmt.Errorf("decode idempotency key: %w", err)
	}
	return t.look(k.Execution)
}

// join answers with the execution that a key stands for already.
func (t *tenant) join(k *keyed, digest string, req *Request, to Replier) (*Execution, error) {
	if k.Digest != digest {
		return nil, fault.New(fault.Conflict, "The idempotency key was used for execution %s with another function or other arguments.", k.Execution)
	}
	if k.w != nil {
		if _, err := k.w.wait(context.Background()); err != nil {
			return nil, err
		}
	}
	x, err := t.find(k.Execution)
	if err != nil {
		return nil, err
	}
	if req.Events != nil {
		if err := t.subscribeExecution(&Subscription{t: t, pattern: "execution." + k.Execution, to: req.Events}, k.Execution, Since{Start: true}); err != nil {
			return nil, err
		}
	}
	if to != nil {
		return t.await(k.Execution, to)
	}
	return x, nil
}
