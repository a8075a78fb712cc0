package keystilesql_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/storetest"
)

// faulty is a store with one fault, which the suite must find.
type faulty struct {
	keystile.Store
	fault string
}

var faults = []string{"stale writes seem to be done", "duplicates seem to be done", "every claim is accepted",
	"usage is forgotten", "an empty list is no restriction", "the case of owners does not matter", "a page has no bound",
	"events come backwards", "the first record of a lineage is lost", "a use is not noted", "counts are dropped",
	"half of a batch stays", "an unknown page is an empty one", "a change without an event is accepted", "upkeep is dropped",
	"states are dropped", "states are lowered", "a wrong state is kept", "the clock of the store is ignored", "a status is ignored",
	"a prefix is ignored", "an end is ignored", "a last use is ignored",
	"uses that are set are dropped", "each update sets the uses", "values of changes are dropped",
	"taken uses are dropped", "reliance on versions is dropped", "reliance on derived keys is dropped", "removals are dropped"}

// derivedFaults are faults of finding derived keys, which need a store that does.
var derivedFaults = []string{"derived keys are forgotten", "ended keys are derived", "only direct keys are derived",
	"an ended key is not counted", "versions of derived keys are dropped"}

// faultyDerived is a store that finds derived keys, with one fault.
type faultyDerived struct {
	faulty
	lister keystile.DerivedLister
}

func (f faultyDerived) Derived(ctx context.Context, lineage keystile.KeyID, since time.Time) (keystile.Listed, error) {
	if f.fault == "ended keys are derived" {
		since = time.UnixMilli(1_000_000_000_000)
	}
	listed, err := f.lister.Derived(ctx, lineage, since)
	switch f.fault {
	case "derived keys are forgotten":
		listed.Records = nil
	case "only direct keys are derived":
		listed.Records = slices.DeleteFunc(listed.Records, func(key *keystile.Record) bool { return key.DerivedLineage != lineage })
	}
	return listed, err
}

func (f faultyDerived) DerivedState(ctx context.Context, source *keystile.Record) (keystile.DerivedState, error) {
	state, err := f.lister.DerivedState(ctx, source)
	switch f.fault {
	case "an ended key is not counted":
		listed, _ := f.lister.Derived(ctx, state.Lineage, time.UnixMilli(1_790_000_000_000+50))
		state.Keys = uint64(len(listed.Records))
	case "versions of derived keys are dropped":
		state.Versions = state.Keys
	}
	return state, err
}

func (f faulty) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	record, err := f.Store.Find(ctx, lookup)
	if record == nil {
		return nil, err
	}
	record = record.Clone()
	switch {
	case f.fault == "an empty list is no restriction" && record.AllowedEndpoints != nil && len(record.AllowedEndpoints.Strings()) == 0:
		record.AllowedEndpoints = nil
	case f.fault == "counts are dropped":
		record.RemainingUses = nil
	}
	return record, err
}

func (f faulty) Commit(ctx context.Context, batch keystile.Batch) error {
	if f.fault == "half of a batch stays" {
		for _, record := range batch.Inserts {
			if err := f.Store.Commit(ctx, keystile.Batch{Inserts: []*keystile.Record{record}, Events: batch.Events}); err != nil {
				return err
			}
		}
		batch.Inserts = nil
	}
	if f.fault == "upkeep is dropped" && batch.Check() == nil {
		batch.Upkeep = nil
	}
	switch f.fault {
	case "uses that are set are dropped":
		batch.SetUses = nil
	case "taken uses are dropped":
		batch.TakeUses = nil
	case "reliance on versions is dropped":
		batch.Unchanged = nil
	case "reliance on derived keys is dropped":
		batch.Derived = nil
	case "removals are dropped":
		if batch.Check() == nil {
			batch.Deletes = nil
		}
	case "each update sets the uses":
		for _, record := range batch.Updates {
			batch.SetUses = append(batch.SetUses, record.ID)
		}
	case "values of changes are dropped":
		batch.Events = slices.Clone(batch.Events)
		for at := range batch.Events {
			changes := slices.Clone(batch.Events[at].Changes)
			for one := range changes {
				changes[one] = keystile.FieldChange{Field: changes[one].Field}
			}
			batch.Events[at].Changes = changes
		}
	}
	err := f.Store.Commit(ctx, batch)
	if f.fault == "a change without an event is accepted" && errors.Is(err, keystile.ErrWithoutEvent) {
		for _, record := range slices.Concat(batch.Inserts, batch.Updates) {
			batch.Events = append(batch.Events, keystile.Event{Kind: keystile.EventChanged, KeyID: record.ID, At: record.CreatedAt, Version: record.Version})
		}
		err = f.Store.Commit(ctx, batch)
	}
	if (f.fault == "stale writes seem to be done" && errors.Is(err, keystile.ErrStale)) ||
		(f.fault == "duplicates seem to be done" && errors.Is(err, keystile.ErrDuplicate)) {
		return nil
	}
	return err
}

func (f faulty) Spend(ctx context.Context, request keystile.SpendRequest) (bool, error) {
	done, err := f.Store.Spend(ctx, request)
	return done || f.fault == "every claim is accepted", err
}

func (f faulty) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	if f.fault == "usage is forgotten" {
		return keystile.StoredUsage{}, nil
	}
	usage, err := f.Store.Usage(ctx, lineage)
	if f.fault == "the clock of the store is ignored" {
		usage.Clock = time.UnixMilli(1_790_000_000_000 - 180_000)
	}
	return usage, err
}

func (f faulty) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	for _, note := range rates {
		before, err := f.Store.Usage(ctx, note.Lineage)
		record, _ := f.Store.Find(ctx, keystile.Lookup{KeyID: note.Lineage})
		if err != nil || record == nil {
			continue
		}
		after := before.Usage
		switch f.fault {
		case "states are dropped":
			return nil
		case "states are lowered":
			after.Rate = note.State
		case "a wrong state is kept":
			after.Rate = max(before.Rate, note.State)
		default:
			return f.Store.NoteRates(ctx, rates, now)
		}
		if _, err := f.Store.Spend(ctx, keystile.SpendRequestOf(record, before.Usage, after)); err != nil {
			return err
		}
	}
	return nil
}

func (f faulty) NoteUses(ctx context.Context, uses []keystile.Use) error {
	if f.fault == "a use is not noted" {
		return nil
	}
	return f.Store.NoteUses(ctx, uses)
}

func (f faulty) Lineage(ctx context.Context, lineage keystile.KeyID) (keystile.Listed, error) {
	listed, err := f.Store.Lineage(ctx, lineage)
	if f.fault == "the first record of a lineage is lost" && len(listed.Records) > 0 {
		listed.Records = listed.Records[1:]
	}
	return listed, err
}

func (f faulty) List(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Listed, error) {
	switch f.fault {
	case "a status is ignored":
		filter.Status = ""
	case "a prefix is ignored":
		filter.IDPrefix = ""
	case "an end is ignored":
		filter.EndsBefore = time.Time{}
	case "a last use is ignored":
		filter.UnusedSince = time.Time{}
	case "the case of owners does not matter":
		if filter.Owner != nil {
			filter.Owner = keystile.Ptr(strings.ToLower(*filter.Owner))
		}
	case "a page has no bound":
		listed, err := f.Store.List(ctx, filter, page)
		if page.Limit > keystile.PageMax && len(listed.Records) == keystile.PageMax {
			page.After = listed.Next
			rest, _ := f.Store.List(ctx, filter, page)
			listed.Records, listed.Next = append(listed.Records, rest.Records...), rest.Next
		}
		return listed, err
	case "a full page is the last one":
		listed, err := f.Store.List(ctx, filter, page)
		listed.Next = keystile.Cursor{}
		return listed, err
	case "an unknown page is an empty one":
		listed, err := f.Store.List(ctx, filter, page)
		if errors.Is(err, keystile.ErrNotFound) {
			err = nil
		}
		return listed, err
	}
	return f.Store.List(ctx, filter, page)
}

func (f faulty) Events(ctx context.Context, key keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	events, err := f.Store.Events(ctx, key, after, limit)
	if f.fault == "events come backwards" {
		slices.Reverse(events)
	}
	return events, err
}

const faultToRun = "KEYSTILE_FAULT"

// This runs the suite on a store with a fault, in a separate process.
func TestOneFault(t *testing.T) {
	fault := os.Getenv(faultToRun)
	if fault == "" {
		t.Skip("it is run by TestTheSuiteFindsFaults")
	}
	storetest.Run(t, func(t *testing.T) keystile.Store {
		store := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
		if slices.Contains(derivedFaults, fault) {
			return faultyDerived{faulty{store, fault}, store}
		}
		// It does not find derived keys itself, so that all records are read.
		return faulty{store, fault}
	})
}

func TestTheSuiteFindsFaults(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it runs the suite many times")
	}
	for _, fault := range slices.Concat([]string{"none"}, faults, derivedFaults) {
		run := exec.Command(os.Args[0], "-test.run", "^TestOneFault$", "-test.failfast")
		run.Env = append(os.Environ(), faultToRun+"="+fault)
		out, err := run.CombinedOutput()
		if (err == nil) != (fault == "none") || !strings.Contains(string(out), map[bool]string{true: "PASS", false: "FAIL"}[fault == "none"]) {
			t.Errorf("%s: %v: %.400s", fault, err, out)
		}
	}
}
