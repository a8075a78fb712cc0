package keystile

import (
	"fmt"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Limits of [Leases] and [Options.LimitsTimeout], and defaults.
const (
	leaseLengthDefault   = time.Second
	limitsTimeoutDefault = time.Second

	leaseProcessesDefault uint32 = 4
)

// Leases are how an [Authenticator] takes tokens of [Options.Limits]: for how long it may use what
// it took, and what it does while it cannot take any. The zero value of a field selects its
// default.
//
// With leases of a length L, at most burst + limit × (T + L) / window requests of a lineage pass
// in any time T in all processes together, if no more of them hold leases than are named here. Of
// the tokens that are free some may be refused to one process because others hold them, at most a
// quarter of a burst.
type Leases struct {
	// Length is the time L, 1 ms to 10 s; by default 1 s. Tokens are used for three eighths of
	// it, and those that are left are given back within the other five. A negative value turns
	// leases off: each request takes a token of its own.
	Length time.Duration
	// Processes is how many processes hold leases at once, 1 to 100,000; by default 4. Each asks
	// for no more tokens at once than, divided by four times this, the limit lets pass in Length,
	// or a burst if that is less; but for one at least.
	Processes uint32
	// Share is by how many processes each limit is divided while tokens cannot be taken, 1 to
	// 100,000: as many as there are at most, or the limits are not kept. A process then lets its
	// part of each limit pass. By default there is no such part: requests of keys with a rate
	// limit are refused meanwhile, with [CauseStoreUnavailable].
	Share uint32
}

// usable returns for how long tokens may be used; within, until when they are taken back.
func (l Leases) usable() time.Duration {
	return spanOf(spanMillis(max(orDefault(l.Length, leaseLengthDefault), 0)) * 3 / 8)
}

func (l Leases) within() time.Duration {
	return max(orDefault(l.Length, leaseLengthDefault), 0).Truncate(time.Millisecond) - l.usable()
}

// tokensAtOnce returns the most tokens of a limit to ask for, as the keyring does.
func (l Leases) tokensAtOnce(limit RateLimit) uint32 {
	holders := 4 * uint64(orDefault(l.Processes, leaseProcessesDefault))
	length := uint64(max(orDefault(l.Length, leaseLengthDefault), 0).Milliseconds())
	window := max(limit.limit.WindowMillis*holders, 1)
	most := min(uint64(limit.limit.Limit)*length/window, uint64(limit.limit.Burst)/holders)
	return uint32(max(most, 1))
}

// shareLimits fills in how the keyring takes tokens, if there are limits to take them of.
func (o *Options) shareLimits(asked *capi.KeyringOptions) error {
	if o.Limits == nil {
		if o.Leases != (Leases{}) || o.LimitsTimeout != 0 {
			return fmt.Errorf("%w: Leases and LimitsTimeout need Limits", ErrLimit)
		}
		return nil
	}
	if o.LimitsTimeout < 0 {
		return fmt.Errorf("%w: LimitsTimeout must be above 0", ErrLimit)
	}
	asked.LeaseMillis = orZeroMillis(orDefault(o.Leases.Length, leaseLengthDefault))
	asked.LeaseProcesses, asked.LeaseShare = o.Leases.Processes, o.Leases.Share
	return nil
}
