package keystilepgx

import (
	"context"
	"database/sql"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// shared returns the store that does all but listening. It is nil if this one was not made by
// [PostgreSQL], and its methods then return [keystile.ErrUninitialized].
func (s *Store) shared() *keystilesql.Store {
	if s == nil {
		return nil
	}
	return s.tables
}

// Commit is [keystilesql.Store.Commit].
func (s *Store) Commit(ctx context.Context, batch keystile.Batch) error {
	return s.shared().Commit(ctx, batch)
}

// CommitIn is [keystilesql.Store.CommitIn].
func (s *Store) CommitIn(ctx context.Context, tx *sql.Tx, batch keystile.Batch) error {
	return s.shared().CommitIn(ctx, tx, batch)
}

// Derived is [keystilesql.Store.Derived].
func (s *Store) Derived(ctx context.Context, lineage keystile.KeyID, since time.Time) (keystile.Listed, error) {
	return s.shared().Derived(ctx, lineage, since)
}

// DerivedState is [keystilesql.Store.DerivedState].
func (s *Store) DerivedState(ctx context.Context, source *keystile.Record) (keystile.DerivedState, error) {
	return s.shared().DerivedState(ctx, source)
}

// Events is [keystilesql.Store.Events].
func (s *Store) Events(ctx context.Context, key keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	return s.shared().Events(ctx, key, after, limit)
}

// Export is [keystilesql.Store.Export].
func (s *Store) Export(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Exported, error) {
	return s.shared().Export(ctx, filter, page)
}

// Find is [keystilesql.Store.Find].
func (s *Store) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	return s.shared().Find(ctx, lookup)
}

// IssueAnswer is [keystilesql.Store.IssueAnswer].
func (s *Store) IssueAnswer(ctx context.Context, request *keystile.IssueOnce) (*keystile.IssueAnswer, error) {
	return s.shared().IssueAnswer(ctx, request)
}

// Known is [keystilesql.Store.Known].
func (s *Store) Known(ctx context.Context, asked keystile.Asked) (keystile.Known, error) {
	return s.shared().Known(ctx, asked)
}

// LastEvent is [keystilesql.Store.LastEvent].
func (s *Store) LastEvent(ctx context.Context) (uint64, error) {
	return s.shared().LastEvent(ctx)
}

// Lineage is [keystilesql.Store.Lineage].
func (s *Store) Lineage(ctx context.Context, lineage keystile.KeyID) (keystile.Listed, error) {
	return s.shared().Lineage(ctx, lineage)
}

// List is [keystilesql.Store.List].
func (s *Store) List(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Listed, error) {
	return s.shared().List(ctx, filter, page)
}

// ListEvents is [keystilesql.Store.ListEvents].
func (s *Store) ListEvents(ctx context.Context, filter keystile.EventFilter, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	return s.shared().ListEvents(ctx, filter, after, limit)
}

// ListTemplates is [keystilesql.Store.ListTemplates].
func (s *Store) ListTemplates(ctx context.Context, after string, limit int) (keystile.ListedTemplates, error) {
	return s.shared().ListTemplates(ctx, after, limit)
}

// Migrate is [keystilesql.Store.Migrate].
func (s *Store) Migrate(ctx context.Context) (int, error) {
	return s.shared().Migrate(ctx)
}

// NoteRates is [keystilesql.Store.NoteRates].
func (s *Store) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	return s.shared().NoteRates(ctx, rates, now)
}

// NoteUses is [keystilesql.Store.NoteUses].
func (s *Store) NoteUses(ctx context.Context, uses []keystile.Use) error {
	return s.shared().NoteUses(ctx, uses)
}

// PruneEvents is [keystilesql.Store.PruneEvents].
func (s *Store) PruneEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	return s.shared().PruneEvents(ctx, before, limit)
}

// RemoveTemplate is [keystilesql.Store.RemoveTemplate].
func (s *Store) RemoveTemplate(ctx context.Context, name string, only *keystile.StoredTemplate) error {
	return s.shared().RemoveTemplate(ctx, name, only)
}

// RemovedKeys is [keystilesql.Store.RemovedKeys].
func (s *Store) RemovedKeys(ctx context.Context, after string, limit int) (keystile.RemovedKeys, error) {
	return s.shared().RemovedKeys(ctx, after, limit)
}

// ReplaceRate is [keystilesql.Store.ReplaceRate].
func (s *Store) ReplaceRate(ctx context.Context, lineage keystile.KeyID, before, after keystile.RateState) (bool, error) {
	return s.shared().ReplaceRate(ctx, lineage, before, after)
}

// RequireTables is [keystilesql.Store.RequireTables].
func (s *Store) RequireTables(ctx context.Context) error {
	return s.shared().RequireTables(ctx)
}

// SaveTemplate is [keystilesql.Store.SaveTemplate].
func (s *Store) SaveTemplate(ctx context.Context, template *keystile.StoredTemplate) error {
	return s.shared().SaveTemplate(ctx, template)
}

// Spend is [keystilesql.Store.Spend].
func (s *Store) Spend(ctx context.Context, request keystile.SpendRequest) (bool, error) {
	return s.shared().Spend(ctx, request)
}

// Template is [keystilesql.Store.Template].
func (s *Store) Template(ctx context.Context, name string) (*keystile.StoredTemplate, error) {
	return s.shared().Template(ctx, name)
}

// Usage is [keystilesql.Store.Usage].
func (s *Store) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	return s.shared().Usage(ctx, lineage)
}
