package keystile

import (
	"context"
	"errors"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

const (
	// returnsPerLength is how often in each length of a lease what was not used is given back,
	// and returnPause the shortest time between two returns.
	returnsPerLength = 8
	returnPause      = 5 * time.Millisecond
	// returnedMax is how many rests the keyring returns at once.
	returnedMax = 1024
	// sharedRounds is in how many rounds a request waits for tokens that another one takes.
	sharedRounds = 4
)

// tokenWaits is what a check has waited for tokens so far.
type tokenWaits struct {
	begun  time.Time
	rounds int
	// others is how many requests waited for the same tokens.
	others uint32
	// failure is why the limits could not be asked.
	failure error
}

// settleTokens goes on with a check that needs tokens, and began at now, until it is decided or
// needs a record. An error means that there is no decision.
func (a *Authenticator) settleTokens(ctx context.Context, key string, request *capi.Request, waits *tokenWaits, now uint64, decision *capi.Decision) (asOf uint64, status capi.Status, err error) {
	var ticket capi.Ticket
	var wanted capi.TokenRequest
	clock := func() uint64 { return now + uint64(time.Since(waits.begun).Milliseconds()) }
	for {
		status = a.ring.CheckForTokens(key, request, clock(), decision, &ticket, &wanted)
		if status != capi.NeedsTokens {
			return ticket.AsOf, status, nil
		}
		if waits.rounds++; waits.rounds > roundsMax {
			return 0, status, ErrStale
		}
		status, err = a.takeAndGrant(ctx, key, request, waits, clock, decision, &ticket, wanted)
		if err != nil || status != capi.NeedsTokens {
			return ticket.AsOf, status, err
		}
	}
}

// takeAndGrant takes tokens for a request and those that ask meanwhile, or waits for another
// request that does. The status is NeedsTokens if the check has to be made again.
func (a *Authenticator) takeAndGrant(ctx context.Context, key string, request *capi.Request, waits *tokenWaits, clock func() uint64, decision *capi.Decision, ticket *capi.Ticket, wanted capi.TokenRequest) (capi.Status, error) {
	// Without leases, or after some rounds, what others would take may come too late for this one.
	take := Take{KeyID{wanted.Lineage}, RateLimit{wanted.Limit}, 1}
	var own *sharedCall
	if a.leasesTokens && waits.rounds <= sharedRounds {
		take.Tokens = max(wanted.Tokens, min(waits.others, a.leases.tokensAtOnce(take.Limit)))
	}
	// While the limits fail, one tries them, and none waits for it.
	if a.leasesTokens && waits.rounds <= sharedRounds && !a.tokens.fails.Load() {
		what := wantedTokens{KeyID{wanted.KeyID}, take.Limit}
		call, begun := a.tokens.join(what)
		if !begun {
			select {
			case <-call.done:
				if call.failure != nil {
					return a.grantWithout(call.failure, key, request, waits, clock(), decision, ticket)
				}
				waits.others = call.waiting
				return capi.NeedsTokens, nil
			case <-ctx.Done():
				return capi.NeedsTokens, ctx.Err()
			}
		}
		// After the grant, so that those who wait find what is left.
		defer a.tokens.end(what, call)
		own = call
	}
	askedAt := clock()
	taken, err := a.tokens.take(ctx, take)
	// Tokens are used up to an instant, and the request may have waited for a while.
	now := clock()
	if ctx.Err() != nil && err != nil {
		return capi.NeedsTokens, ctx.Err()
	}
	if err != nil {
		if own != nil {
			own.failure = err
		}
		return a.grantWithout(err, key, request, waits, now, decision, ticket)
	}
	state := taken.State
	if err := state.Move(taken.Clock, timeOf(now)); err != nil {
		return capi.NeedsTokens, err
	}
	grant := capi.Grant{State: uint64(state), AskedAt: askedAt, TakenAt: millisOf(taken.Clock), Tokens: taken.Tokens}
	return a.ring.Grant(ticket, key, request, &grant, now, decision), nil
}

// grantWithout decides a check whose tokens could not be taken: by the share of this process, unless
// the error is one of its lineage only.
func (a *Authenticator) grantWithout(err error, key string, request *capi.Request, waits *tokenWaits, now uint64, decision *capi.Decision, ticket *capi.Ticket) (capi.Status, error) {
	if !isLimitsAway(err) {
		return capi.NeedsTokens, err
	}
	waits.failure = err
	return a.ring.Grant(ticket, key, request, &capi.Grant{Degraded: true}, now, decision), nil
}

// refusedWithout returns the refusal of a request whose tokens could not be taken, and why.
func (a *Authenticator) refusedWithout(err error, key string, now uint64) (Decision, error) {
	if errors.Is(err, ErrCorrupt) {
		return a.verifier.refusedBecause(err, key, timeOf(now))
	}
	return Refuse(CauseStoreUnavailable), unavailable(err)
}

// rateAt returns the state of a limit that is counted elsewhere, by a clock that shows now.
func (p *parts) rateAt(ctx context.Context, lineage KeyID, limit RateLimit, now time.Time) (RateState, error) {
	taken, err := p.tokens.take(ctx, Take{Lineage: lineage, Limit: limit})
	if err != nil {
		return 0, unavailable(err)
	}
	err = taken.State.Move(taken.Clock, now)
	return taken.State, err
}

// returnTokens gives back what was not used, again and again, until the authenticator is closed.
func (p *parts) returnTokens(length time.Duration) {
	every := max(length/returnsPerLength, returnPause)
	if length <= 0 {
		every = leaseLengthDefault
	}
	for pause(p.stopped, every) {
		p.giveBackTokens(p.stopped, millisOf(p.clock()))
	}
}

// giveBackTokens gives back the tokens whose time is over, or all if now is 0.
func (p *parts) giveBackTokens(ctx context.Context, now uint64) {
	for {
		unused := p.ring.Rest(now)
		rests := make([]Rest, len(unused))
		for at, own := range unused {
			rests[at] = Rest{KeyID{own.Lineage}, RateLimit{own.Limit}, own.Tokens, timeOf(own.TakenAt), spanOf(own.WithinMillis)}
		}
		p.tokens.giveBack(ctx, rests)
		if now == 0 || len(unused) < returnedMax {
			return
		}
	}
}
