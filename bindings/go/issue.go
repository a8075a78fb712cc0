package keystile

import (
	"io"
	"slices"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// randomBytes is enough for any key, including bytes that are drawn again.
const randomBytes = 512

// IssueRequest is what a new key is to be. The defaults are the most restrictive: no
// permissions, and expiry after 90 days.
type IssueRequest struct {
	// ClientName is the client that the key belongs to, for people: 1 to 255 bytes.
	ClientName string
	// ClientEmail is the address to send notices to; may be empty.
	ClientEmail string
	// Owner is the account or tenant that the key belongs to; may be empty.
	Owner string
	// Environment is the deployment that the key is for, 1 to 12 of a-z and 0-9; may be
	// empty.
	Environment string
	// Metadata is custom JSON text, at most 16 KiB; may be empty.
	Metadata string
	// Template gives the key its permissions, limit and endpoints. The other fields may
	// only narrow it.
	Template *ScopeTemplate
	// Permissions are those granted; nil means those of the template, and an empty list
	// none.
	Permissions []string
	// Endpoints are the endpoints that the key is restricted to; nil means all, and an
	// empty list none.
	Endpoints *EndpointRules
	// Networks are the networks that the key is restricted to; nil means all, and an empty
	// list none.
	Networks *Networks
	// RateLimit is the rate limit; nil means unlimited.
	RateLimit *RateLimit
	// Uses is the total number of uses, 1 or more; nil means unlimited.
	Uses *uint64
	// Lifetime is how long the key lives, 1 ms or more; nil means 90 days, or the default of the
	// [LifetimePolicy].
	Lifetime *time.Duration
	// NeverExpires is set for a key that does not expire, and then Lifetime must be nil.
	NeverExpires bool
}

// Issuer issues keys of one format.
type Issuer struct {
	// Format is the format of the keys.
	Format *KeyFormat
	// Peppers are those that digests are made with; nil for none.
	Peppers *PepperRing
	// Lifetimes is how long the keys may live.
	Lifetimes LifetimePolicy
	// Random is a cryptographic generator; nil for that of the operating system. Goroutines
	// may share the issuer only if they may share its generator.
	Random io.Reader
}

// Change is the result of issuing, rotating, revoking and other changes. A store writes all
// of its records or none; see [Change.Batch].
type Change struct {
	// Key is the text of the new key if one was created. Only its owner may see it.
	Key APIKey
	// Record is the record of the new key if one was created, otherwise that of the changed
	// key.
	Record *Record
	// Records are all records to write; Record is the first of them.
	Records []*Record
	// Event is the event for the audit; nil if there is none.
	Event *Event
	// upkeep is what a store writes instead of whole records.
	upkeep []Upkeep
	// setUses are the keys whose remaining uses are written.
	setUses []KeyID
}

// Batch returns the change as a store writes it: a record with version 1 is new, and any
// other replaces only the version before it.
func (c *Change) Batch() Batch {
	var batch Batch
	if c == nil {
		return batch
	}
	batch.Upkeep, batch.SetUses = slices.Clone(c.upkeep), slices.Clone(c.setUses)
	for _, record := range c.Records {
		switch {
		case c.upkeep != nil:
		case record == nil:
			// No store takes it.
			batch.Updates = append(batch.Updates, record)
		case record.Version == 1:
			batch.Inserts = append(batch.Inserts, record)
		default:
			batch.Updates = append(batch.Updates, record)
		}
	}
	if c.Event == nil {
		return batch
	}
	batch.Events = append(batch.Events, *c.Event)
	// Each other key that is changed gets a separate event, so that followers of events see
	// it: an older key that ends with a rotation, and a successor whose first use was noted.
	for _, record := range batch.Updates {
		if record != nil && record.ID != c.Event.KeyID {
			event := Event{Kind: EventChanged, KeyID: record.ID, At: c.Event.At, Version: record.Version}
			if !record.IsLive(c.Event.At) {
				event.Kind = EventExpired
			}
			batch.Events = append(batch.Events, event)
		}
	}
	for _, upkeep := range c.upkeep {
		if upkeep.KeyID != c.Event.KeyID {
			batch.Events = append(batch.Events, Event{Kind: EventChanged, KeyID: upkeep.KeyID, At: c.Event.At,
				Version: upkeep.Version, Changes: []FieldChange{{Field: upkeep.Field()}}})
		}
	}
	return batch
}

// Issue issues a key.
//
// It returns [ErrExceeds] if the request exceeds the template, [ErrTime] for a lifetime that the
// issuer does not allow, [ErrRandomness] if the generator failed, otherwise the error of the
// field that is not well formed.
func (i *Issuer) Issue(request IssueRequest, now time.Time) (*Change, error) {
	raw, random, err := i.prepare(&request)
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Issue(i.Format.format, i.Peppers.handle(), raw, random, millisOf(now)))
}

// Delegate issues a key on behalf of the holder of another key. The new key never grants
// more than that one. Fields that the request does not set are copied from the source,
// except the permissions: the new key gets only those that are requested. The owner and the
// environment are always those of the source. The uses that it gets are to be taken off the
// source's in the same step, as [Authenticator.Delegate] does.
//
// It returns the errors of [Issuer.Issue], and [ErrState] if the source is not live.
func (i *Issuer) Delegate(source *Record, request IssueRequest, now time.Time) (*Change, error) {
	raw, random, err := i.prepare(&request)
	if err != nil {
		return nil, err
	}
	from, err := source.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Delegate(from, i.Format.format, i.Peppers.handle(), raw, random, millisOf(now)))
}

func (i *Issuer) prepare(request *IssueRequest) (*capi.IssueRequest, []byte, error) {
	random, err := i.random()
	if err != nil {
		return nil, nil, err
	}
	raw := &capi.IssueRequest{
		ClientName:   request.ClientName,
		ClientEmail:  orNil(request.ClientEmail),
		Owner:        orNil(request.Owner),
		Environment:  orNil(request.Environment),
		Metadata:     orNil(request.Metadata),
		Uses:         request.Uses,
		NeverExpires: request.NeverExpires,
	}
	if raw.Lifetimes, err = i.Lifetimes.raw(); err != nil {
		return nil, nil, err
	}
	if request.Template != nil && request.Template.template == nil {
		return nil, nil, inField("template", "a template must have been created", capi.ErrorAbsent)
	}
	if request.Template != nil {
		raw.Template = request.Template.template
	}
	if request.Permissions != nil {
		permissions, status := capi.NewPermissions(request.Permissions)
		if err := failure(status); err != nil {
			return nil, nil, err
		}
		raw.Permissions = permissions
	}
	if raw.Endpoints, err = request.Endpoints.raw(); err != nil {
		return nil, nil, err
	}
	if raw.Networks, err = request.Networks.raw(); err != nil {
		return nil, nil, err
	}
	if request.RateLimit != nil {
		raw.RateLimit = &request.RateLimit.limit
	}
	if request.Lifetime != nil {
		if request.NeverExpires {
			return nil, nil, contradictsNeverExpires()
		}
		raw.LifetimeMillis = Ptr(spanMillis(*request.Lifetime))
	}
	return raw, random, nil
}

// random returns bytes of the issuer's generator, and none for that of the operating
// system.
func (i *Issuer) random() ([]byte, error) {
	if i == nil || i.Format.isUninitialized() {
		return nil, inField("format", "a format must have been created", capi.ErrorFormat)
	}
	if i.Peppers.isUninitialized() {
		return nil, inField("peppers", "a pepper ring must have been created", capi.ErrorDigest)
	}
	if i.Random == nil {
		return nil, nil
	}
	bytes := make([]byte, randomBytes)
	if _, err := io.ReadFull(i.Random, bytes); err != nil {
		return nil, oneline.Join(ErrRandomness, err)
	}
	return bytes, nil
}

func changeOf(changed *capi.Changed, status *capi.Failure) (*Change, error) {
	if err := failure(status); err != nil {
		return nil, err
	}
	records, err := readRecords(changed.Records)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, ErrInternal
	}
	change := &Change{Record: records[0], Records: records, Event: eventOf(changed.Event)}
	if changed.Key != "" {
		change.Key = APIKey{conceal(changed.Key)}
	}
	return change, nil
}

// changed returns the change of a record. A length of life that is not known stays that.
func (r *Record) changed(changed *capi.Changed, status *capi.Failure) (*Change, error) {
	change, err := changeOf(changed, status)
	if err != nil {
		return nil, err
	}
	r.keepLifetime(change)
	return change, nil
}

func (r *Record) keepLifetime(change *Change) {
	for _, after := range change.Records {
		if after.ID == r.ID && r.Lifetime == 0 && after.ExpiresAt.Equal(r.ExpiresAt) {
			after.Lifetime = 0
		}
	}
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
