package keystile_test

import (
	"encoding/json"
	"errors"
	"math"
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
	Permissions       json.RawMessage `json:"permissions"`
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
	var failures [11]error
	change = keystile.KeyChange{ClientName: f.ClientName, AddPermissions: f.AddPermissions,
		RemovePermissions: f.RemovePermissions, NeverExpires: f.NeverExpires}
	// In the order of the other languages, which make the permissions first.
	change.Permissions, failures[0] = edited(t, f.Permissions, func(texts []string) ([]string, error) {
		_, err := keystile.NewPermissionSet(texts...)
		return texts, err
	})
	_, failures[1] = keystile.NewPermissionSet(f.AddPermissions...)
	_, failures[2] = keystile.NewPermissionSet(f.RemovePermissions...)
	change.ClientEmail, failures[6] = edited(t, f.ClientEmail, itself[string])
	change.Owner, failures[7] = edited(t, f.Owner, itself[string])
	change.Metadata, failures[8] = edited(t, f.Metadata, itself[string])
	change.Uses, failures[9] = edited(t, f.Uses, itself[uint64])
	change.Endpoints, failures[3] = edited(t, f.Endpoints, func(rules []string) (*keystile.EndpointRules, error) {
		return keystile.NewEndpointRules(rules...)
	})
	change.Networks, failures[4] = edited(t, f.Networks, func(blocks []string) (*keystile.Networks, error) {
		return keystile.NewNetworks(blocks...)
	})
	change.RateLimit, failures[5] = edited(t, f.RateLimit, limitForm.made)
	change.Template, failures[10] = edited(t, f.Template, func(form json.RawMessage) (*keystile.ScopeTemplate, error) {
		return templateOf(t, form), nil
	})
	if f.ExpiresInMS != nil {
		change.Lifetime = keystile.Ptr(span(*f.ExpiresInMS))
	}
	for _, failure := range failures {
		if failure != nil {
			return change, failure
		}
	}
	return change, nil
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
			if alters != (err == nil) || (failure != nil && (err == nil || err.Error() != failure.Error())) {
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
		keystile.ErrValue:    {NeverExpires: true, Lifetime: keystile.Ptr(time.Hour)},
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

// A list that was collected and has no element grants nothing, whether it is nil or empty.
func TestPermissionsThatAreSetToNothing(t *testing.T) {
	issuer := &keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	now := instant(1_790_000_000_000)
	request := keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read", "write"}}
	record := must[*keystile.Change](t)(issuer.Issue(request, now)).Record
	admin := must[*keystile.ScopeTemplate](t)(keystile.PresetTemplate("admin"))
	var kept []string
	for name, none := range map[string]keystile.Edit[[]string]{
		"nil": keystile.Set(kept), "empty": keystile.Set([]string{}), "cleared": keystile.Clear[[]string](),
	} {
		for with, change := range map[string]keystile.KeyChange{
			"alone": {Permissions: none}, "with a template": {Permissions: none, Template: keystile.Set(admin)},
		} {
			changed, err := keystile.ChangeKey(record, change, now)
			if err != nil {
				t.Errorf("%s, %s: %v", name, with, err)
			} else if held := changed.Record.Permissions.Strings(); len(held) != 0 {
				t.Errorf("%s, %s: the key has %q", name, with, held)
			}
		}
	}
}

// More uses than a store can hold are refused, and the most that it can hold are not.
func TestTheMostUses(t *testing.T) {
	issuer := &keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	now := instant(1_790_000_000_000)
	record := must[*keystile.Change](t)(issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, now)).Record
	changed, err := keystile.ChangeKey(record, keystile.KeyChange{Uses: keystile.Set(uint64(math.MaxInt64))}, now)
	if err != nil || *changed.Record.RemainingUses != math.MaxInt64 {
		t.Errorf("the most uses: %v", err)
	}
	_, err = keystile.ChangeKey(record, keystile.KeyChange{Uses: keystile.Set(uint64(math.MaxInt64 + 1))}, now)
	if !errors.Is(err, keystile.ErrLimit) {
		t.Errorf("one more: %v", err)
	}
}
