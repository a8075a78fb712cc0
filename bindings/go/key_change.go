package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// KeyChange is what is to be changed of a key. The zero value changes nothing: a field that
// is not set stays as it is.
//
// Without endpoints, networks, a rate limit or uses, a key is not restricted by them, so
// clearing one gives it more. An empty list allows nothing.
type KeyChange struct {
	// ClientName is the client that the key belongs to, for people: 1 to 255 bytes.
	ClientName *string
	// ClientEmail is the address to send notices to.
	ClientEmail Edit[string]
	// Owner is the account or tenant that the key belongs to.
	Owner Edit[string]
	// Metadata is custom JSON text, at most 16 KiB, which replaces all of it.
	Metadata Edit[string]
	// Template sets the permissions, limit and endpoints, which the other fields may only
	// narrow. Clearing it clears its name, and leaves the rights as they are. A key of a
	// template gets nothing more unless this is set or cleared in the same change.
	Template Edit[*ScopeTemplate]
	// Permissions are all permissions of the key. A list without elements, nil too, grants
	// none, and so does clearing them.
	Permissions Edit[[]string]
	// AddPermissions are permissions that it gets in addition; nil for none.
	AddPermissions []string
	// RemovePermissions are permissions that are taken from it, each spelled as it was
	// granted; nil for none.
	RemovePermissions []string
	// Endpoints are the endpoints that the key is restricted to.
	Endpoints Edit[*EndpointRules]
	// Networks are the networks that the key is restricted to.
	Networks Edit[*Networks]
	// RateLimit is the rate limit.
	RateLimit Edit[RateLimit]
	// Uses is how many times the key, and each other key of its lineage, may be used from now
	// on: 1 or more. If it is cleared, uses are not counted.
	Uses Edit[uint64]
	// Lifetime is how long the key lives from the change on, 1 ms or more.
	Lifetime *time.Duration
	// NeverExpires is set for a key that does not expire any more, and then Lifetime must be
	// nil.
	NeverExpires bool
	// lifetimes are set by Within.
	lifetimes LifetimePolicy
}

// Within returns the change under the policy of a service. A key that lives longer than the policy
// allows keeps its end, unless the change sets another.
func (c KeyChange) Within(policy LifetimePolicy) KeyChange {
	c.lifetimes = policy.within(c.lifetimes)
	return c
}

// Edit is what happens to an optional field in a [KeyChange]. The zero value leaves the field
// as it is; [Set] gives it a value, and [Clear] takes its value away.
type Edit[T any] struct {
	value T
	does  edit
}

type edit uint8

const (
	keeps edit = iota
	sets
	clears
)

// Set gives a field a value.
func Set[T any](value T) Edit[T] { return Edit[T]{value, sets} }

// Clear takes the value of a field away.
func Clear[T any]() Edit[T] { return Edit[T]{does: clears} }

// IsZero reports whether the field stays as it is.
func (e Edit[T]) IsZero() bool { return e.does == keeps }

// Value returns the value that is set; false if none is.
func (e Edit[T]) Value() (T, bool) { return e.value, e.does == sets }

func (e Edit[T]) pointer() *T {
	if e.does != sets {
		return nil
	}
	return &e.value
}

// setsUses reports whether the remaining uses are set or cleared. A store keeps them apart
// from the record.
func (c *KeyChange) setsUses() bool { return !c.Uses.IsZero() }

// ChangeKey changes what a key may do, or whom it belongs to. Its text, its id and its status
// stay: a suspended key can be changed, and stays suspended. The event names each field that
// changed, with its value before and after; of the e-mail address and the metadata only that
// they changed.
//
// It is pure, as [Revoke] is. If uses are changed, the other live keys of the lineage, which share
// them, need a new version and an event in the same batch: otherwise a process that has such a key
// in memory uses the number that it had before. [Authenticator.Change] and [Authenticator.Commit]
// add them. If you write [Change.Batch] to a store yourself, add them yourself.
//
// It returns [ErrState] if the key is revoked, expired or replaced, if nothing would change,
// or if a permission to remove is not one of the key's or is still granted by another;
// [ErrExceeds] if the key would exceed its template; otherwise the error of the field that is
// not well formed.
func ChangeKey(record *Record, change KeyChange, now time.Time) (*Change, error) {
	handle, raw, err := change.on(record)
	if err != nil {
		return nil, err
	}
	changed, err := record.changed(capi.RecordChange(handle, raw, millisOf(now)))
	if err != nil {
		return nil, err
	}
	if change.setsUses() && !sameUses(record, changed.Record) {
		changed.setUses = []KeyID{record.ID}
	}
	return changed, nil
}

// Alters reports whether [ChangeKey] would change a field of this key. It returns the errors of
// that function, except that a change of nothing is none.
func (c KeyChange) Alters(record *Record, now time.Time) (bool, error) {
	handle, raw, err := c.on(record)
	if err != nil {
		return false, err
	}
	alters, status := capi.RecordWouldChange(handle, raw, millisOf(now))
	return alters, failure(status)
}

func (c *KeyChange) on(record *Record) (*capi.Record, *capi.KeyChange, error) {
	raw, err := c.raw()
	if err != nil {
		return nil, nil, err
	}
	handle, err := record.handle()
	return handle, raw, err
}

func (c *KeyChange) raw() (*capi.KeyChange, error) {
	raw := &capi.KeyChange{
		ClientName:         c.ClientName,
		ClientEmail:        c.ClientEmail.pointer(),
		Owner:              c.Owner.pointer(),
		Metadata:           c.Metadata.pointer(),
		Uses:               c.Uses.pointer(),
		NeverExpires:       c.NeverExpires,
		ClearClientEmail:   c.ClientEmail.does == clears,
		ClearOwner:         c.Owner.does == clears,
		ClearMetadata:      c.Metadata.does == clears,
		ClearScopeTemplate: c.Template.does == clears,
		ClearEndpoints:     c.Endpoints.does == clears,
		ClearNetworks:      c.Networks.does == clears,
		ClearRateLimit:     c.RateLimit.does == clears,
		ClearUses:          c.Uses.does == clears,
	}
	var err error
	if raw.Lifetimes, err = c.lifetimes.raw(); err != nil {
		return nil, err
	}
	if c.Lifetime != nil {
		if c.NeverExpires {
			return nil, contradictsNeverExpires()
		}
		raw.LifetimeMillis = Ptr(spanMillis(*c.Lifetime))
	}
	if limit, set := c.RateLimit.Value(); set {
		raw.RateLimit = &limit.limit
	}
	// Nil would mean that the field stays, or is cleared: neither was asked for.
	if template, set := c.Template.Value(); set {
		if template == nil || template.template == nil {
			return nil, inField("template", "a template must have been created", capi.ErrorAbsent)
		}
		raw.Template = template.template
	}
	if rules, set := c.Endpoints.Value(); set {
		if rules == nil {
			return nil, inField("allowed_endpoints", "rules must have been created", capi.ErrorEndpoint)
		}
		if raw.Endpoints, err = rules.raw(); err != nil {
			return nil, err
		}
	}
	if networks, set := c.Networks.Value(); set {
		if networks == nil {
			return nil, inField("allowed_networks", "networks must have been created", capi.ErrorNetwork)
		}
		if raw.Networks, err = networks.raw(); err != nil {
			return nil, err
		}
	}
	for _, list := range []struct {
		texts []string
		place **capi.Permissions
		isSet bool
	}{
		// Which permissions are set is known by the edit: a nil list that is set means none.
		{c.Permissions.value, &raw.Permissions, !c.Permissions.IsZero()},
		{c.AddPermissions, &raw.AddPermissions, c.AddPermissions != nil},
		{c.RemovePermissions, &raw.RemovePermissions, c.RemovePermissions != nil},
	} {
		if !list.isSet {
			continue
		}
		permissions, status := capi.NewPermissions(list.texts)
		if err := failure(status); err != nil {
			return nil, err
		}
		*list.place = permissions
	}
	return raw, nil
}

func sameUses(before, after *Record) bool {
	left, right := before.RemainingUses, after.RemainingUses
	return left == right || (left != nil && right != nil && *left == *right)
}
