package keystile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A decision is a value: one that was just returned, or is in a map, can be asked.
func TestADecisionIsAValue(t *testing.T) {
	decisions := map[string]keystile.Decision{"x": keystile.Refuse(keystile.CauseRevoked)}
	if keystile.Refuse(keystile.CauseRevoked).Allowed() || decisions["x"].Allowed() || decisions["y"].Allowed() {
		t.Error("refusals")
	}
	if decisions["x"].Code() != "key_revoked" || !errors.Is(decisions["x"].Err(), keystile.ErrKeyRevoked) {
		t.Error(decisions["x"].Err())
	}
}

func TestAFormatPrintsWhatItsKeysLookLike(t *testing.T) {
	structured := keystile.Must(keystile.StructuredFormat("acme"))
	issued := keystile.Must((&keystile.Issuer{Format: structured}).Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	opaque := keystile.Must(keystile.OpaqueFormat("dt"))
	other := keystile.Must((&keystile.Issuer{Format: opaque}).Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	for want, formats := range map[string][]*keystile.KeyFormat{
		"acme_{environment}_{id}_{secret}": {structured, keystile.Must(structured.WithChecksumKey(bytes.Repeat([]byte{7}, 16))),
			keystile.Must(keystile.FormatLike(issued.Record))},
		"dt_{secret}":                          {opaque, keystile.Must(opaque.WithRandomBytes(16)), keystile.Must(keystile.FormatLike(other.Record))},
		"{prefix}_{environment}_{id}_{secret}": {keystile.Must(keystile.AnyStructuredFormat())},
		"{prefix}_{secret}":                    {keystile.Must(keystile.AnyOpaqueFormat())},
		"no format":                            {nil, {}},
	} {
		for _, format := range formats {
			if got := fmt.Sprintf("%v|%+v|%#v|%s", format, format, format, format); got != strings.Join([]string{want, want, want, want}, "|") {
				t.Errorf("%q for %q", got, want)
			}
			if format.IsStructured() != strings.Contains(want, "{id}") {
				t.Errorf("%q is structured: %v", want, format.IsStructured())
			}
		}
	}
}

// Errors that are several are on one line, as logs need it.
func TestErrorsAreOnOneLine(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	reason := errors.Join(errors.New("connection refused"), errors.New("and again"))
	world.store.before = func(context.Context) error { return reason }
	_, err := world.authenticator.Check(context.Background(), world.key, keystile.Request{})
	if err == nil || strings.ContainsAny(err.Error(), "\r\n") || !strings.Contains(err.Error(), "connection refused; and again") ||
		!errors.Is(err, keystile.ErrStoreUnavailable) || !errors.Is(err, reason) || keystile.ErrorCode(err) != "store_unavailable" {
		t.Errorf("%v", err)
	}
}

// A store that says "not found" by an error has answered: the key is not valid, and not unknown.
func TestNotFoundIsAnAnswer(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	world.store.before = func(context.Context) error { return fmt.Errorf("the table: %w", keystile.ErrNotFound) }
	for range 2 {
		decision, err := world.authenticator.Check(context.Background(), world.key, keystile.Request{})
		if err != nil || !errors.Is(decision.Err(), keystile.ErrInvalidKey) {
			t.Errorf("%v, %v", decision, err)
		}
	}
	if finds := world.store.finds.Load(); finds != 1 {
		t.Errorf("%d fetches: that there is no such key is remembered", finds)
	}
	if _, err := world.authenticator.Record(context.Background(), world.record.ID); !errors.Is(err, keystile.ErrNotFound) {
		t.Error(err)
	}
}

// A service closes its authenticator with the context that told it to stop.
func TestCloseWritesWithAContextThatHasEnded(t *testing.T) {
	store := keystile.NewMemoryStore()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	keys := keystile.Must(keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, issuer.Format)),
		keystile.Options{FlushInterval: time.Hour}))
	ctx, stop := context.WithCancel(context.Background())
	change := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	if decision, err := keys.Check(ctx, change.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
		t.Fatal(decision, err)
	}
	lookup := keystile.Lookup{KeyID: change.Record.ID}
	if used := keystile.Must(store.Find(context.Background(), lookup)).LastUsedAt; !used.IsZero() {
		t.Fatalf("used at %v, which is not to be written before the end", used)
	}
	stop()
	if err := keys.Close(ctx); err != nil {
		t.Error(err)
	}
	if used := keystile.Must(store.Find(context.Background(), lookup)).LastUsedAt; used.IsZero() {
		t.Error("the last use was lost")
	}
}

// A store that hangs does not keep a service from ending.
func TestCloseEndsThoughTheStoreHangs(t *testing.T) {
	store := &hanging{MemoryStore: keystile.NewMemoryStore()}
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	keys := keystile.Must(keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, issuer.Format)),
		keystile.Options{FlushInterval: time.Hour, StoreTimeout: 20 * time.Millisecond, PollInterval: -1}))
	ctx, stop := context.WithCancel(context.Background())
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	if err := store.Commit(ctx, change.Batch()); err != nil {
		t.Fatal(err)
	}
	for isAllowed := false; !isAllowed; {
		// A slow machine may take longer than the timeout.
		decision, _ := keys.Check(ctx, change.Key.Expose(), keystile.Request{})
		isAllowed = decision.Allowed()
	}
	stop()
	if err := keys.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

type hanging struct{ *keystile.MemoryStore }

func (h *hanging) NoteUses(ctx context.Context, _ []keystile.Use) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestTheJSONOfPolicies(t *testing.T) {
	for text, value := range map[string]any{
		`{"max_age_ms":7776000000,"overlap_ms":604800000,"end_on_first_use":false,"notice_leads_ms":[1209600000,604800000,86400000],"retention_ms":2592000000}`: &keystile.RotationPolicy{},
		`{"limit":100,"window_ms":60000,"burst":7}`: &keystile.RateLimit{},
		`"read AND (write OR admin)"`:               &keystile.Requirement{},
	} {
		if err := json.Unmarshal([]byte(text), value); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if back, err := json.Marshal(value); err != nil || string(back) != text {
			t.Errorf("%s for %s, %v", back, text, err)
		}
	}
	if text := keystile.Must(json.Marshal(keystile.DefaultRotationPolicy())); !bytes.Contains(text, []byte(`"max_age_ms":7776000000`)) {
		t.Errorf("%s", text)
	}
	var policy keystile.RotationPolicy
	var limit keystile.RateLimit
	var requirement keystile.Requirement
	for _, one := range []struct {
		text  string
		value any
		want  error
	}{
		{`{"max_age_ms":7776000000}`, &policy, keystile.ErrJSON},
		{`{"max_age_ms":1,"overlap_ms":0,"end_on_first_use":true,"notice_leads_ms":[],"retention_ms":0}`, &policy, keystile.ErrTime},
		{`{"max_age_ms":7776000000,"overlap_ms":0,"end_on_first_use":true,"notice_leads_ms":[],"retention_ms":0,"more":1}`, &policy, keystile.ErrJSON},
		{`{"limit":1,"burst":1}`, &limit, keystile.ErrLimit},
		{`{"limit":1,"window_ms":60000,"burst":1,"per":"minute"}`, &limit, keystile.ErrJSON},
		{`{"limit":1,"window_ms":60000,"burst":1,"limit":9}`, &limit, keystile.ErrJSON},
		{`{"LIMIT":1,"window_ms":60000,"burst":1}`, &limit, keystile.ErrJSON},
		{`{"max_age_ms":7776000000,"overlap_ms":0,"end_on_first_use":true,"notice_leads_ms":[],"Retention_ms":0}`, &policy, keystile.ErrJSON},
		{`{"max_age_ms":7776000000,"overlap_ms":0,"end_on_first_use":true,"notice_leads_ms":[],"retention_ms":0,"overlap_ms":9}`, &policy, keystile.ErrJSON},
		{`"read AND"`, &requirement, keystile.ErrPermission},
		{`"*"`, &requirement, keystile.ErrPermission},
	} {
		if err := json.Unmarshal([]byte(one.text), one.value); !errors.Is(err, one.want) {
			t.Errorf("%s: %v, not %v", one.text, err, one.want)
		}
	}
	// A decoder passes on a single value; others may not.
	for _, value := range []json.Unmarshaler{&policy, &limit} {
		if err := value.UnmarshalJSON([]byte(`{"limit":1,"window_ms":60000,"burst":1} {}`)); !errors.Is(err, keystile.ErrJSON) {
			t.Error(err)
		}
	}
}

func TestPartsOfARecordAndOfTemplates(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000).UTC()
	record := &keystile.Record{ExpiresAt: now.Add(time.Hour)}
	if record.EndsAt() != now.Add(time.Hour) {
		t.Error(record.EndsAt())
	}
	record.OverlapUntil = now
	if record.EndsAt() != now || !(&keystile.Record{}).EndsAt().IsZero() {
		t.Error(record.EndsAt())
	}
	for _, name := range keystile.Presets() {
		if preset, err := keystile.PresetTemplate(name); err != nil || preset.Name() != name {
			t.Error(name, err)
		}
	}
	seen := map[keystile.KeyID]bool{}
	for range 100 {
		seen[keystile.Must(keystile.RandomKeyID(nil))] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d ids of 100", len(seen))
	}
	if _, err := keystile.RandomKeyID(strings.NewReader("too short")); !errors.Is(err, keystile.ErrRandomness) {
		t.Error(err)
	}
	if id := keystile.Must(keystile.RandomKeyID(bytes.NewReader(append(bytes.Repeat([]byte{255}, 16), make([]byte, 16)...)))); id.String() != "1000000000000000" {
		t.Error(id)
	}
}
