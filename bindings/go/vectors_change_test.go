package keystile_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var changeReplays = map[string]func(*testing.T){"change": changes}

// changeForm is what is to be changed: a field that is missing stays, and null clears it.
type changeForm struct {
	ClientName        *string         `json:"client_name"`
	ClientEmail       json.RawMessage `json:"client_email"`
	Owner             json.RawMessage `json:"owner"`
	Permissions       []string        `json:"permissions"`
	AddPermissions    []string        `json:"add_permissions"`
	RemovePermissions []string        `json:"remove_permissions"`
	Endpoints         json.RawMessage `json:"endpoints"`
	Networks          json.RawMessage `json:"networks"`
	RateLimit         json.RawMessage `json:"rate_limit"`
	Uses              json.RawMessage `json:"uses"`
	ExpiresInMS       *uint64         `json:"expires_in_ms"`
	NeverExpires      bool            `json:"never_expires"`
	Template          json.RawMessage `json:"template"`
	Metadata          json.RawMessage `json:"metadata"`
}

// edited returns what happens to a field; Form is how a vector spells its value.
func edited[Form, T any](t *testing.T, text json.RawMessage, made func(Form) (T, error)) (keystile.Edit[T], error) {
	t.Helper()
	switch {
	case text == nil:
		return keystile.Edit[T]{}, nil
	case string(text) == "null":
		return keystile.Clear[T](), nil
	}
	var form Form
	strict(t, text, &form)
	value, err := made(form)
	return keystile.Set(value), err
}

func itself[T any](value T) (T, error) { return value, nil }

func (f *changeForm) made(t *testing.T) (change keystile.KeyChange, err error) {
	t.Helper()
	var failures [8]error
	change = keystile.KeyChange{ClientName: f.ClientName, Permissions: f.Permissions, AddPermissions: f.AddPermissions,
		RemovePermissions: f.RemovePermissions, NeverExpires: f.NeverExpires}
	change.ClientEmail, failures[0] = edited(t, f.ClientEmail, itself[string])
	change.Owner, failures[1] = edited(t, f.Owner, itself[string])
	change.Metadata, failures[2] = edited(t, f.Metadata, itself[string])
	change.Uses, failures[3] = edited(t, f.Uses, itself[uint64])
	change.Endpoints, failures[4] = edited(t, f.Endpoints, func(rules []string) (*keystile.EndpointRules, error) {
		return keystile.NewEndpointRules(rules...)
	})
	change.Networks, failures[5] = edited(t, f.Networks, func(blocks []string) (*keystile.Networks, error) {
		return keystile.NewNetworks(blocks...)
	})
	change.RateLimit, failures[6] = edited(t, f.RateLimit, limitForm.made)
	change.Template, failures[7] = edited(t, f.Template, func(form json.RawMessage) (*keystile.ScopeTemplate, error) {
		return templateOf(t, form), nil
	})
	if f.ExpiresInMS != nil {
		change.Lifetime = keystile.Ptr(span(*f.ExpiresInMS))
	}
	return change, errors.Join(failures[:]...)
}

func changes(t *testing.T) {
	replay(t, "change.json", func(t *testing.T, input struct {
		Record json.RawMessage
		Change changeForm
		Now    uint64
	}) any {
		record, now := recordOf(t, input.Record), instant(input.Now)
		change, err := input.Change.made(t)
		var changed *keystile.Change
		if err == nil {
			changed, err = keystile.ChangeKey(record, change, now)
			alters, failure := change.Alters(record, now)
			if alters != (err == nil) || (failure != nil && !errors.Is(err, failure)) {
				t.Errorf("Alters returns %v and %v", alters, failure)
			}
		}
		if err != nil {
			return object{"record": nil, "event": nil, "error": kind(t, err)}
		}
		batch := changed.Batch()
		if err := batch.Check(); err != nil || len(batch.Updates) != 1 || len(batch.Events) != 1 {
			t.Errorf("the batch: %v", err)
		}
		fields := []object{}
		for _, one := range changed.Event.Changes {
			fields = append(fields, object{"field": one.Field, "from": one.From, "to": one.To})
		}
		event := object{"kind": changed.Event.Kind, "key_id": changed.Event.KeyID, "at": changed.Event.At.UnixMilli(),
			"version": changed.Event.Version, "changes": fields}
		after := json.RawMessage(must[[]byte](t)(keystile.EncodeRecord(changed.Record)))
		return object{"record": after, "event": event, "error": nil}
	})
}

// A value that was forgotten is refused, and is neither no change nor no restriction.
func TestAnEditWithoutItsValueIsRefused(t *testing.T) {
	issuer := &keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	now := instant(1_790_000_000_000)
	record := must[*keystile.Change](t)(issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, now)).Record
	for expected, change := range map[error]keystile.KeyChange{
		keystile.ErrEndpoint: {Endpoints: keystile.Set[*keystile.EndpointRules](nil)},
		keystile.ErrNetwork:  {Networks: keystile.Set[*keystile.Networks](nil)},
		keystile.ErrAbsent:   {Template: keystile.Set[*keystile.ScopeTemplate](nil)},
		keystile.ErrLimit:    {RateLimit: keystile.Set(keystile.RateLimit{})},
		keystile.ErrTime:     {NeverExpires: true, Lifetime: keystile.Ptr(time.Hour)},
	} {
		change.Owner = keystile.Set("tenant")
		if _, err := keystile.ChangeKey(record, change, now); !errors.Is(err, expected) {
			t.Errorf("%v, not %v", err, expected)
		}
	}
	if _, err := keystile.ChangeKey(record, keystile.KeyChange{Lifetime: keystile.Ptr(-time.Hour)}, now); !errors.Is(err, keystile.ErrTime) {
		t.Errorf("a negative lifetime: %v", err)
	}
}
