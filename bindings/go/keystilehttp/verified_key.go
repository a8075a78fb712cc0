package keystilehttp

import (
	"context"

	keystile "github.com/keystile/keystile/bindings/go"
)

type contextKey struct{}

// VerifiedKey is the key that a request was allowed by. It holds no key text, never changes, and
// goroutines may share it.
type VerifiedKey struct {
	guard    *Guard
	decision keystile.Decision
}

// KeyFrom is the key of the request that a context belongs to; false where no guard has let
// it pass.
func KeyFrom(ctx context.Context) (*VerifiedKey, bool) {
	key, is := ctx.Value(contextKey{}).(*VerifiedKey)
	return key, is
}

// ID is the key's public id.
func (k *VerifiedKey) ID() keystile.KeyID { return k.decision.KeyID() }

// Decision is the whole decision: what is left of the limit, and whether the key is being
// replaced.
func (k *VerifiedKey) Decision() keystile.Decision { return k.decision }

// Record is what is kept about the key: whose it is, and what it may do. It is asked for only
// where a handler wants it, and is in memory then, nearly always.
func (k *VerifiedKey) Record(ctx context.Context) (*keystile.Record, error) {
	return k.guard.authenticator.Record(ctx, k.ID())
}
