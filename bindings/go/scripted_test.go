package keystile_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

var errDown = errors.New("down")

// scripted is a store that fails, lags and holds back as a test says. Other processes use its
// tables.
type scripted struct {
	keystile.Store
	mutex   sync.Mutex
	trouble string
	// frozen is what is found while a replica lags.
	frozen map[keystile.KeyID]*keystile.Record
	gone   map[keystile.KeyID]bool
	// gate is closed when finds of checks may go on.
	gate                                  chan struct{}
	finds, commits, spends, polls, paging atomic.Int64
}

func newScripted(t testing.TB) *scripted {
	t.Helper()
	open := make(chan struct{})
	close(open)
	store := &scripted{gate: open, frozen: map[keystile.KeyID]*keystile.Record{}, gone: map[keystile.KeyID]bool{}}
	store.empty(t)
	return store
}

// empty begins with empty tables.
func (s *scripted) empty(t testing.TB) {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	tables := keystilesql.SQLite(db)
	_ = must[int](t)(tables.Migrate(context.Background()))
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Store = tables
}

// tables is what other processes see.
func (s *scripted) tables() keystile.Store {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.Store
}

func (s *scripted) insert(t testing.TB, record *keystile.Record, at time.Time) {
	t.Helper()
	event := keystile.Event{Kind: keystile.EventIssued, KeyID: record.ID, At: at, Version: record.Version}
	batch := keystile.Batch{Inserts: []*keystile.Record{record}, Events: []keystile.Event{event}}
	if err := s.tables().Commit(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
}

func (s *scripted) find(t testing.TB, id keystile.KeyID) *keystile.Record {
	t.Helper()
	return must[*keystile.Record](t)(s.tables().Find(context.Background(), keystile.Lookup{KeyID: id}))
}

func (s *scripted) set(t testing.TB, trouble string, ids ...keystile.KeyID) {
	t.Helper()
	for _, id := range ids {
		record := s.find(t, id)
		s.mutex.Lock()
		s.frozen[id] = record
		s.mutex.Unlock()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.trouble = trouble
}

func (s *scripted) is(trouble string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.trouble == trouble
}

func (s *scripted) sound(part string) error {
	if s.is("panics") {
		panic("a bug in a store")
	}
	if s.is(part) || s.is("all") {
		return errDown
	}
	return nil
}

func (s *scripted) hold() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.gate = make(chan struct{})
}

func (s *scripted) release() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	close(s.gate)
}

// lose makes finds answer that there is no such key.
func (s *scripted) lose(id keystile.KeyID) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.gone[id] = true
}

func (s *scripted) seen(record *keystile.Record) *keystile.Record {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if record == nil || s.gone[record.ID] {
		return nil
	}
	if s.trouble == "lags" {
		return s.frozen[record.ID]
	}
	return record
}

// checked marks the contexts of checks, whose look-ups are counted.
type checked struct{}

func (s *scripted) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	record, err := s.tables().Find(ctx, lookup)
	s.mutex.Lock()
	gate := s.gate
	s.mutex.Unlock()
	if ctx.Value(checked{}) != nil {
		s.finds.Add(1)
	}
	select {
	case <-gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err == nil {
		err = s.sound("finds")
	}
	if err != nil {
		return nil, err
	}
	return s.seen(record), nil
}

func (s *scripted) Commit(ctx context.Context, batch keystile.Batch) error {
	s.commits.Add(1)
	if err := s.sound("commits"); err != nil {
		return err
	}
	return s.tables().Commit(ctx, batch)
}

func (s *scripted) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	return s.tables().Usage(ctx, lineage)
}

func (s *scripted) Spend(ctx context.Context, request keystile.SpendRequest) (bool, error) {
	s.spends.Add(1)
	if err := s.sound("spends"); err != nil {
		return false, err
	}
	// The context is not looked at.
	return s.tables().Spend(context.WithoutCancel(ctx), request)
}

func (s *scripted) ReplaceRate(ctx context.Context, lineage keystile.KeyID, before, after keystile.RateState) (bool, error) {
	if err := s.sound("spends"); err != nil {
		return false, err
	}
	return s.tables().ReplaceRate(ctx, lineage, before, after)
}

func (s *scripted) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	if err := s.sound("notes"); err != nil {
		return err
	}
	return s.tables().NoteRates(ctx, rates, now)
}

func (s *scripted) NoteUses(ctx context.Context, uses []keystile.Use) error {
	if err := s.sound("notes"); err != nil {
		return err
	}
	return s.tables().NoteUses(ctx, uses)
}

func (s *scripted) Events(ctx context.Context, key keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	s.paging.Add(1)
	if err := s.sound("events"); err != nil {
		return nil, err
	}
	if s.is("endless") {
		page := make([]keystile.NumberedEvent, limit)
		for at := range page {
			page[at] = keystile.NumberedEvent{Number: after + 1 + uint64(at)}
		}
		return page, nil
	}
	events, err := s.tables().Events(ctx, key, after, limit)
	if len(events) > 0 && s.is("damaged_page") {
		return nil, &keystile.CorruptRow{Row: 1, Column: "kind", Expected: "the name of an event kind"}
	}
	if len(events) > 0 && s.is("damaged_event") {
		last := &events[len(events)-1]
		*last = keystile.NumberedEvent{Number: last.Number,
			Damaged: &keystile.CorruptRow{Row: int64(last.Number), Column: "kind", Expected: "the name of an event kind"}}
	}
	return events, err
}

func (s *scripted) LastEvent(ctx context.Context) (uint64, error) {
	s.polls.Add(1)
	if err := s.sound("events"); err != nil {
		return 0, err
	}
	return s.tables().LastEvent(ctx)
}
