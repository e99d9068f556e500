package tenants

import (
	"crypto/elliptic"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkAuthenticate is what finding out who calls costs: with a key, with a token that is known, and with
// one that is seen for the first time.
func BenchmarkAuthenticate(b *testing.B) {
	r, _ := openRegistry(b, b.TempDir(), Config{})
	_, key, err := r.CreateTenant(bg, "acme")
	if err != nil {
		b.Fatal(err)
	}
	ec := newECKey(b, elliptic.P256())
	addKey(b, r, NewTokenKey{ID: "hs", Alg: HS256, Secret: testSecret})
	addKey(b, r, NewTokenKey{ID: "ec", Alg: ES256, PublicKey: pemOf(b, ec.Public())})
	hs := signed(b, jwt.SigningMethodHS256, "hs", []byte(testSecret), claimsOf(b, nil))
	es := signed(b, jwt.SigningMethodES256, "ec", ec, claimsOf(b, nil))
	for _, c := range []struct {
		name, secret string
		first        bool
	}{{"key", key, false}, {"token", hs, false}, {"first/HS256", hs, true}, {"first/ES256", es, true}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if c.first {
					_, err = r.verifyToken(c.secret)
				} else {
					_, err = r.Authenticate(c.secret)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
