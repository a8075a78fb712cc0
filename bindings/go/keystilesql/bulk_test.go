package keystilesql_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// troubled is a store whose commits of some keys fail, or do something first.
type troubled struct {
	*keystilesql.Store
	before func(keystile.KeyID) error
}

func (s *troubled) Commit(ctx context.Context, batch keystile.Batch) error {
	for _, record := range batch.Updates {
		if s.before != nil {
			if err := s.before(record.ID); err != nil {
				return err
			}
		}
	}
	return s.Store.Commit(ctx, batch)
}

// many is keys of one owner, and an authenticator for them.
type many struct {
	*testing.T
	store         *troubled
	issuer        *keystile.Issuer
	authenticator *keystile.Authenticator
	keys          []keystile.KeyID
}

func manyKeys(t *testing.T, count int) *many {
	m := &many{T: t, store: &troubled{Store: ledger(t)}, issuer: &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}}
	m.authenticator = authenticatorOver(t, m.store, nil, m.issuer.Format)
	for range count {
		m.keys = append(m.keys, m.issue("tenant-7", "Acme"))
	}
	m.issue("tenant-8", "Bolt")
	return m
}

func (m *many) issue(owner, client string) keystile.KeyID {
	m.Helper()
	request := keystile.IssueRequest{ClientName: client, Owner: owner}
	return must[*keystile.Change](m.T)(m.authenticator.Issue(context.Background(), m.issuer, request)).Record.ID
}

// left is how many keys are active.
func (m *many) left() int {
	m.Helper()
	filter := keystile.Filter{Status: keystile.StatusActive}
	return len(must[keystile.Listed](m.T)(m.store.List(context.Background(), filter, keystile.Page{Limit: keystile.PageMax})).Records)
}

func (m *many) events() []keystile.NumberedEvent {
	m.Helper()
	return must[[]keystile.NumberedEvent](m.T)(m.store.Events(context.Background(), keystile.KeyID{}, 0, keystile.PageMax))
}

var ofTenant = keystile.Filter{Owner: keystile.Ptr("tenant-7")}

func TestADryRunChangesNothing(t *testing.T) {
	m, ctx := manyKeys(t, 3), context.Background()
	before := len(m.events())
	dry := keystile.BulkOptions{DryRun: true}
	for what, run := range map[string]func() (keystile.BulkEnded, error){
		"revoke all":   func() (keystile.BulkEnded, error) { return m.authenticator.RevokeAll(ctx, ofTenant, dry) },
		"suspend all":  func() (keystile.BulkEnded, error) { return m.authenticator.SuspendAll(ctx, ofTenant, dry) },
		"revoke each":  func() (keystile.BulkEnded, error) { return m.authenticator.RevokeEach(ctx, m.keys, dry) },
		"suspend each": func() (keystile.BulkEnded, error) { return m.authenticator.SuspendEach(ctx, m.keys, dry) },
	} {
		all, err := run()
		if err != nil || !slices.Equal(all.Changed, m.keys) || all.Count() != 3 {
			t.Errorf("%s: %v, %v", what, all, err)
		}
	}
	dry.Permit = func(record *keystile.Record, _ *keystile.CorruptRow) bool { return record.ID == m.keys[1] }
	if all, err := m.authenticator.RevokeAll(ctx, ofTenant, dry); err != nil || !slices.Equal(all.Changed, m.keys[1:2]) {
		t.Errorf("with a permit: %v, %v", all, err)
	}
	if len(m.events()) != before || m.left() != 4 {
		t.Error("something was changed")
	}
}

func TestAKeyThatFailsStopsNoOther(t *testing.T) {
	m, ctx := manyKeys(t, 5), context.Background()
	derived := must[*keystile.Change](t)(m.authenticator.Delegate(ctx, m.keys[4], m.issuer, keystile.IssueRequest{ClientName: "Shop"})).Record.ID
	m.store.before = func(id keystile.KeyID) error {
		if id == m.keys[2] {
			return keystile.ErrOutOfRange
		}
		return nil
	}
	all, err := m.authenticator.RevokeAll(ctx, ofTenant, keystile.BulkOptions{Reason: "left"})
	if err != nil || len(all.Failed) != 1 || all.Failed[0].KeyID != m.keys[2] || !errors.Is(all.Failed[0].Err, keystile.ErrOutOfRange) {
		t.Errorf("%v, %v", all, err)
	}
	// The derived key is one of the owner's too, and is counted once.
	if all.Count() != 5 || !slices.Equal(all.Derived, []keystile.KeyID{derived}) || m.left() != 2 {
		t.Errorf("%d of %v; %d left", all.Count(), all, m.left())
	}
	m.store.before = nil
	if all, err := m.authenticator.RevokeAll(ctx, ofTenant, keystile.BulkOptions{}); err != nil || !slices.Equal(all.Changed, m.keys[2:3]) {
		t.Errorf("again: %v, %v", all, err)
	}
}

// A key that is issued while the others are revoked may become visible before the place that a
// page has reached.
func TestKeysThatAreIssuedMeanwhileAreReached(t *testing.T) {
	m, ctx := manyKeys(t, 2), context.Background()
	issued := 0
	m.store.before = func(keystile.KeyID) error {
		if issued++; issued <= 3 {
			m.issue("tenant-7", "Acme")
		}
		return nil
	}
	all, err := m.authenticator.SuspendAll(ctx, ofTenant, keystile.BulkOptions{Reason: "unpaid"})
	if err != nil || all.Count() != 5 || m.left() != 1 {
		t.Errorf("%v, %v; %d left", all, err, m.left())
	}
	events := m.events()
	if last := events[len(events)-1]; last.Kind != keystile.EventSuspended || last.Reason == nil || *last.Reason != "unpaid" {
		t.Errorf("%v", last)
	}
}

func TestWhatWasDoneBeforeAnEndStays(t *testing.T) {
	m := manyKeys(t, 6)
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	m.store.before = func(keystile.KeyID) error {
		if done++; done == 4 {
			cancel()
		}
		return nil
	}
	all, err := m.authenticator.RevokeAll(ctx, ofTenant, keystile.BulkOptions{})
	if !errors.Is(err, context.Canceled) || all.Count() != 3 || len(all.Failed) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	m.store.before = nil
	again, err := m.authenticator.RevokeAll(context.Background(), ofTenant, keystile.BulkOptions{})
	if err != nil || again.Count() != 3 || m.left() != 1 {
		t.Errorf("%v, %v; %d left", again, err, m.left())
	}
	// A store that is away stops it too.
	m = manyKeys(t, 3)
	away := errors.New("away")
	m.store.before = func(id keystile.KeyID) error {
		if id == m.keys[1] {
			return away
		}
		return nil
	}
	all, err = m.authenticator.SuspendEach(context.Background(), m.keys, keystile.BulkOptions{})
	if !errors.Is(err, away) || !slices.Equal(all.Changed, m.keys[:1]) {
		t.Errorf("%v, %v", all, err)
	}
}

func TestWhichKeysAreChanged(t *testing.T) {
	m, ctx := manyKeys(t, 3), context.Background()
	template := keystile.Must(keystile.PresetTemplate("monitoring"))
	request := keystile.IssueRequest{ClientName: "Watcher", Owner: "tenant-8", Template: template}
	watcher := must[*keystile.Change](t)(m.authenticator.Issue(ctx, m.issuer, request)).Record.ID
	suspend := func(filter keystile.Filter, expected ...keystile.KeyID) {
		t.Helper()
		all, err := m.authenticator.SuspendAll(ctx, filter, keystile.BulkOptions{})
		if err != nil || !slices.Equal(all.Changed, expected) {
			t.Errorf("%v, %v", all, err)
		}
	}
	suspend(keystile.Filter{Owner: keystile.Ptr("Tenant-7")})
	suspend(keystile.Filter{Template: keystile.Ptr("monitoring")}, watcher)
	suspend(keystile.Filter{ClientName: keystile.Ptr("Acme"), IssuedBefore: time.Now().Add(-time.Hour)})
	suspend(keystile.Filter{ClientName: keystile.Ptr("Acme"), IDPrefix: m.keys[0].String()}, m.keys[0])
	// A key that leaves the filter before its turn stays as it is.
	m.store.before = func(id keystile.KeyID) error {
		if id == m.keys[1] {
			m.store.before = nil
			_, err := m.authenticator.Change(ctx, m.keys[2], keystile.KeyChange{Owner: keystile.Set("tenant-9")})
			return err
		}
		return nil
	}
	suspend(ofTenant, m.keys[1])
	if m.left() != 2 {
		t.Errorf("%d are left", m.left())
	}
	// The ids are looked up before anything is changed.
	unknown := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	before := len(m.events())
	_, err := m.authenticator.RevokeEach(ctx, []keystile.KeyID{m.keys[0], unknown}, keystile.BulkOptions{})
	if !errors.Is(err, keystile.ErrNotFound) || !strings.Contains(err.Error(), unknown.String()) || len(m.events()) != before {
		t.Error(err)
	}
	all, err := m.authenticator.RevokeEach(ctx, []keystile.KeyID{m.keys[0], m.keys[0]}, keystile.BulkOptions{})
	if err != nil || !slices.Equal(all.Changed, m.keys[:1]) {
		t.Errorf("%v, %v", all, err)
	}
}

// What no key could be changed with is refused, also if no key is selected.
func TestManyKeysAreRefused(t *testing.T) {
	m, ctx := manyKeys(t, 1), context.Background()
	none := keystile.Filter{Owner: keystile.Ptr("tenant-0")}
	long := keystile.BulkOptions{Reason: strings.Repeat("x", 256)}
	actor := keystile.WithActor(ctx, keystile.By{Actor: "a\nb"})
	for what, err := range map[string]error{
		"a long reason":       second(m.authenticator.RevokeAll(ctx, none, long)),
		"a long reason, each": second(m.authenticator.SuspendEach(ctx, nil, long)),
		"an actor":            second(m.authenticator.SuspendAll(actor, none, keystile.BulkOptions{})),
		"no filter":           second(m.authenticator.SuspendAll(ctx, keystile.Filter{Status: keystile.StatusActive}, keystile.BulkOptions{})),
	} {
		if !errors.Is(err, keystile.ErrRecord) {
			t.Errorf("%s: %v", what, err)
		}
	}
	finder := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(onlyFinds{m.store}, keystile.Must(keystile.NewVerifier(nil, m.issuer.Format)), keystile.Options{}))
	defer finder.Close(ctx)
	for what, err := range map[string]error{
		"revoke": second(finder.RevokeAll(ctx, ofTenant, keystile.BulkOptions{})), "prune": second(finder.Prune(ctx, time.Now())),
		"prune events": second(finder.PruneEvents(ctx, time.Now())), "delegate": second(finder.Delegate(ctx, m.keys[0], m.issuer, keystile.IssueRequest{ClientName: "x"})),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// onlyFinds is a store that cannot be written to.
type onlyFinds struct{ store keystile.Store }

func (s onlyFinds) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	return s.store.Find(ctx, lookup)
}

func TestOldEventsAreRemovedInSteps(t *testing.T) {
	m, ctx := manyKeys(t, 3), context.Background()
	removed, err := m.authenticator.PruneEvents(keystile.WithActor(ctx, keystile.By{Actor: "ana"}), time.Now().Add(time.Hour))
	events := m.events()
	if err != nil || removed != 4 || len(events) != 1 || events[0].Kind != keystile.EventPruned || *events[0].Actor != "ana" {
		t.Errorf("%d, %v: %v", removed, err, events)
	}
}

// keepsKeys is a store from before there were removals, which ignores them.
type keepsKeys struct{ *keystilesql.Store }

func (s keepsKeys) Commit(ctx context.Context, batch keystile.Batch) error {
	batch.Deletes = nil
	return s.Store.Commit(ctx, batch)
}

func TestAStoreThatRemovesNoKeysIsNoticed(t *testing.T) {
	ctx, issuer := context.Background(), &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	authenticator := authenticatorOver(t, keepsKeys{ledger(t)}, nil, issuer.Format)
	id := must[*keystile.Change](t)(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"})).Record.ID
	_ = must[keystile.Outcome](t)(authenticator.Revoke(ctx, id, "left"))
	if _, err := authenticator.Delete(ctx, id); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	// Its clock may not have gone on since the revocation.
	eventually(t, "the key has ended before now", func() bool {
		return must[int](t)(authenticator.CountEnded(ctx, time.Now())) == 1
	})
	if _, err := authenticator.Prune(ctx, time.Now()); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
