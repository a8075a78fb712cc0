package keystilehttp

import (
	"context"

	keystile "github.com/keystile/keystile/bindings/go"
)

type contextKey struct{}

// VerifiedKey is the key of an allowed request. It contains no part of the key's text.
type VerifiedKey struct {
	guard    *Guard
	decision keystile.Decision
}

// KeyFrom returns the key of the request that a context belongs to; false if no guard has
// allowed it.
func KeyFrom(ctx context.Context) (*VerifiedKey, bool) {
	key, _ := ctx.Value(contextKey{}).(*VerifiedKey)
	return key, key != nil
}

// ID returns the key's public id.
func (k *VerifiedKey) ID() keystile.KeyID { return k.Decision().KeyID() }

// Decision returns the whole decision: what is left of the limit, and whether the key is
// being replaced.
func (k *VerifiedKey) Decision() keystile.Decision {
	if k == nil {
		return keystile.Decision{}
	}
	return k.decision
}

// Record returns the key's record: the client that it belongs to, and what it may do. It is
// nearly always cached, but read from the store if the key's uses are counted there.
func (k *VerifiedKey) Record(ctx context.Context) (*keystile.Record, error) {
	if k == nil || k.guard == nil {
		return nil, keystile.ErrUninitialized
	}
	return k.guard.authenticator.Record(ctx, k.ID())
}
