package keystile

import (
	"errors"
	"io"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// randomBytes is as many as any key takes, those that are drawn again included.
const randomBytes = 512

// IssueRequest is what a new key is to be. What is left out is the least: no permissions,
// and an end after 90 days. A plain value: goroutines may share it as long as none changes it.
type IssueRequest struct {
	// ClientName is whose key it is, for people: 1 to 255 bytes.
	ClientName string
	// ClientEmail is the address that notices go to; may be empty.
	ClientEmail string
	// Owner is the account or tenant that the key belongs to; may be empty.
	Owner string
	// Environment is the deployment that the key is for, 1 to 12 of a-z and 0-9; may be
	// empty.
	Environment string
	// Metadata is JSON text of your own, at most 16 KiB; may be empty.
	Metadata string
	// Template gives the key its permissions, limit and endpoints; what is asked for beside
	// it must lie within it.
	Template *ScopeTemplate
	// Permissions are those granted; nil is those of the template, and an empty list none.
	Permissions []string
	// Endpoints restrict where the key may be used; nil does not, and an empty list allows
	// nothing.
	Endpoints *EndpointRules
	// Networks restrict from where; nil does not, and an empty list allows nothing.
	Networks *Networks
	// RateLimit is how often the key may be used; nil does not restrict it.
	RateLimit *RateLimit
	// Uses is how many times in all, 1 or more; nil does not restrict it.
	Uses *uint64
	// Lifetime is how long it lives, 1 ms or more; nil is 90 days.
	Lifetime *time.Duration
	// NeverExpires is for a key without an end.
	NeverExpires bool
}

// Issuer makes keys of one format. Goroutines may share it, unless they may not share its
// Random.
type Issuer struct {
	// Format is how the keys are spelled.
	Format *KeyFormat
	// Peppers are what digests are made under; nil for none.
	Peppers *PepperRing
	// Random is a cryptographic generator; nil is the operating system's.
	Random io.Reader
}

// Change is what issuing, rotating, revoking and the other verbs come to. A store writes
// all of its records, or none; see [Change.Batch]. A plain value: goroutines may share it as long as none changes it.
type Change struct {
	// Key is the text of the new key where one was made, for its owner alone.
	Key APIKey
	// Record is that of the new key where one was made, else that of the changed one.
	Record *Record
	// Records are all that are to be written, Record the first of them.
	Records []*Record
	// Event is what the audit keeps; nil where there is nothing to tell.
	Event *Event
}

// Batch is the change as a store writes it: a record of version 1 is new, and any other is
// accepted only over the version before it.
func (c *Change) Batch() Batch {
	var batch Batch
	for _, record := range c.Records {
		if record.Version == 1 {
			batch.Inserts = append(batch.Inserts, record)
		} else {
			batch.Updates = append(batch.Updates, record)
		}
	}
	if c.Event == nil {
		return batch
	}
	batch.Events = append(batch.Events, *c.Event)
	for _, record := range batch.Updates {
		// An older key that ends by a rotation is named too: who follows the events has it.
		if c.Event.Kind == EventRotated && record.ID != c.Event.KeyID && !record.IsLive(c.Event.At) {
			ended := Event{Kind: EventExpired, KeyID: record.ID, At: c.Event.At}
			batch.Events = append(batch.Events, ended)
		}
	}
	return batch
}

// Issue issues a key.
//
// It is [ErrExceeds] where more is asked for than the template holds, [ErrRandomness] where
// the generator failed, else the error of the field that is not well formed.
func (i *Issuer) Issue(request IssueRequest, now time.Time) (*Change, error) {
	raw, random, err := i.prepare(&request)
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Issue(i.Format.format, i.Peppers.handle(), raw, random, millisOf(now)))
}

// Delegate issues a key on behalf of the holder of another, which never holds more than
// that. What the request leaves open is taken from the source, but for the permissions:
// the new key has those that were asked for. Owner and environment are the source's.
//
// Errors are those of [Issuer.Issue]; [ErrState] where the source is not live.
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
	if request.Template != nil && request.Template.template == nil {
		return nil, nil, ErrAbsent
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
		raw.LifetimeMillis = Ptr(spanMillis(*request.Lifetime))
	}
	return raw, random, nil
}

// random is bytes of the issuer's own generator, and none for the operating system's.
func (i *Issuer) random() ([]byte, error) {
	if i.Format == nil || i.Format.format == nil {
		return nil, ErrFormat
	}
	if i.Peppers.isUninitialized() {
		return nil, ErrDigest
	}
	if i.Random == nil {
		return nil, nil
	}
	bytes := make([]byte, randomBytes)
	if _, err := io.ReadFull(i.Random, bytes); err != nil {
		return nil, errors.Join(ErrRandomness, err)
	}
	return bytes, nil
}

func changeOf(changed *capi.Changed, status capi.Status) (*Change, error) {
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

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
