package keystile

import (
	"context"
	"runtime"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// fetchAndAdmit checks a key that needs tokens, or whose record is not cached or may not be used,
// by fetches that began at this reading of the lease's clock, or later.
func (a *Authenticator) fetchAndAdmit(ctx context.Context, key string, request Request, now, asOf, earliest uint64, needs capi.Status) (Decision, error) {
	defer runtime.KeepAlive(a)
	lookup, err := a.verifier.Lookup(key)
	if err != nil {
		return Refuse(CauseMalformed), nil
	}
	asker := ctx
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	asked, begun := request.raw(), time.Now()
	waits := tokenWaits{begun: begun}
	for round := 0; round < roundsMax; round++ {
		decision := Decision{requirement: request.Requirement}
		if needs == capi.NeedsTokens {
			asOf, decision.status, err = a.settleTokens(ctx, key, &asked, &waits, now, &decision.raw)
			if err != nil {
				return a.refusedWithout(err, key, now)
			}
			if decision.status != capi.NeedsRecord {
				return a.decided(decision, key, nil, waits.failure)
			}
		}
		if round > 1 && !pause(ctx, roundPause) {
			return Refuse(CauseStoreUnavailable), unavailable(ctx.Err())
		}
		fetched, err := a.fetches.fetch(ctx, lookup, wanted{asOf, round > 0, earliest})
		if err != nil {
			return a.verifier.refusedBecause(err, key, timeOf(now))
		}
		if a.usage != nil && a.isCountedKey(key, fetched.record, now) {
			decision, isGone, err := a.checkCounted(asker, key, request, lookup, fetched.record.lineage(), now)
			if err != nil {
				return a.verifier.refusedBecause(err, key, timeOf(now))
			}
			if isGone {
				// Its row was deleted since the fetch.
				continue
			}
			return decision, nil
		}
		// A check that joined a fetch must consider all invalidations since that fetch
		// began, which was before its own ticket.
		usage, err := a.spentOf(ctx, fetched, timeOf(now).Add(time.Since(begun)))
		if err != nil {
			return Refuse(CauseStoreUnavailable), unavailable(err)
		}
		asOf, decision.status = a.ring.Admit(min(asOf, fetched.asOf), key, &asked, fetched.handle, usage, fetched.record, now, &decision.raw)
		if needs = decision.status; needs != capi.NeedsRecord && needs != capi.NeedsTokens {
			return a.decided(decision, key, fetched.record, nil)
		}
	}
	return Refuse(CauseStoreUnavailable), unavailable(ErrStale)
}

// decided returns a decision and its error: failure, if it was refused because the limits could
// not be asked.
func (a *Authenticator) decided(decision Decision, key string, record *Record, failure error) (Decision, error) {
	if decision.Allowed() && (decision.NeedsRehash() || !decision.EndsOverlapOf().IsZero()) {
		a.schedule(&decision, key, record)
	}
	if failure != nil && decision.Cause() == CauseStoreUnavailable {
		return decision, unavailable(failure)
	}
	return decision.orMisuse()
}

// isCountedKey reports whether a text is the key of a record whose uses are counted. The
// keyring remembers those that are not: guesses must not wait in the queue of the key.
func (p *parts) isCountedKey(key string, record *Record, now uint64) bool {
	if record == nil || record.RemainingUses == nil {
		return false
	}
	usage := Usage{Remaining: record.RemainingUses}
	decision, err := p.verifier.Verify(key, record, Request{}, &usage, timeOf(now))
	return err == nil && (decision.Allowed() || !decision.KeyID().IsZero())
}
