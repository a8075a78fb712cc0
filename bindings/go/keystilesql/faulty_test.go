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

// faults are the faults, each with a case of the suite that must fail because of it.
var faults = map[string]string{
	"stale writes seem to be done":          "an update needs the version before",
	"duplicates seem to be done":            "ids and digests are taken once",
	"every claim is accepted":               "usage is exchanged only over what was judged",
	"usage is forgotten":                    "a lineage has one usage",
	"an empty list is no restriction":       "records come back as they were",
	"the case of owners does not matter":    "filters compare whole texts",
	"a page has no bound":                   "a page has a bound",
	"events come backwards":                 "events come back in order",
	"the first record of a lineage is lost": "a lineage is told apart and in order",
	"a use is not noted":                    "the latest use is noted",
	"counts are dropped":                    "counted uses are exact",
	"half of a batch stays":                 "a batch is written whole or not at all",
	"a full page is the last one":           "pages are complete and in order",
	"an unknown page is an empty one":       "pages are complete and in order",
	"a change without an event is accepted": "a record without an event is refused",
	"upkeep is dropped":                     "upkeep writes one field",
	"states are dropped":                    "states are only raised",
	"states are lowered":                    "states are only raised",
	"a wrong state is kept":                 "a state far ahead is held",
	"any state is replaced":                 "one of replacements at once wins",
	"a replaced state takes the uses":       "a state is replaced only over itself",
	"the clock of the store is ignored":     "a state far ahead is held",
	"a status is ignored":                   "each filter selects",
	"a prefix is ignored":                   "each filter selects",
	"an end is ignored":                     "each filter selects",
	"a last use is ignored":                 "each filter selects",
	"uses that are set are dropped":         "a raise by a change is in force",
	"each update sets the uses":             "a change of other fields leaves uses",
	"values of changes are dropped":         "a key is changed with an event",
	"taken uses are dropped":                "uses are taken off the source",
	"reliance on versions is dropped":       "a batch may rely on what was read",
	"reliance on derived keys is dropped":   "a batch may rely on what was read",
	"removals are dropped":                  "a key is removed",
}

// derivedFaults are faults of finding derived keys, which need a store that does.
var derivedFaults = map[string]string{
	"derived keys are forgotten":           "derived keys are found",
	"ended keys are derived":               "derived keys are found",
	"only direct keys are derived":         "derived keys are found",
	"an ended key is not counted":          "derived keys are found",
	"versions of derived keys are dropped": "a permit is asked about the state that is replaced",
}

// templateFaults are faults of relying on templates, which need a store that keeps them.
var templateFaults = map[string]string{
	"reliance on templates is dropped": "a batch may rely on a template",
	"templates are compared before":    "no batch is written after its template was changed",
	"the age of a template is ignored": "a batch may rely on a template",
	"a changed template is only stale": "a batch may rely on a template",
}

// faultyTemplates is a store that keeps templates, with one fault.
type faultyTemplates struct {
	faulty
	keystile.TemplateStore
}

func (f faultyTemplates) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	return f.faulty.Find(ctx, lookup)
}

func (f faultyTemplates) Commit(ctx context.Context, batch keystile.Batch) error {
	relied := batch.TemplateUnchanged
	if relied == nil {
		return f.faulty.Commit(ctx, batch)
	}
	switch f.fault {
	case "reliance on templates is dropped":
		if batch.Check() == nil {
			batch.TemplateUnchanged = nil
		}
	case "templates are compared before":
		if err := batch.Check(); err != nil {
			return err
		}
		stored, err := f.Template(ctx, relied.Name)
		if err != nil || stored == nil || *stored.Unchanged() != *relied {
			return errors.Join(err, keystile.ErrTemplateChanged)
		}
		batch.TemplateUnchanged = nil
	case "the age of a template is ignored":
		if stored, err := f.Template(ctx, relied.Name); err == nil && stored != nil {
			batch.TemplateUnchanged = &keystile.TemplateVersion{Name: relied.Name, Version: relied.Version, CreatedAt: stored.CreatedAt}
		}
	case "a changed template is only stale":
		if err := f.faulty.Commit(ctx, batch); !errors.Is(err, keystile.ErrTemplateChanged) {
			return err
		}
		return keystile.ErrStale
	}
	return f.faulty.Commit(ctx, batch)
}

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

func (f faulty) ReplaceRate(ctx context.Context, lineage keystile.KeyID, before, after keystile.RateState) (bool, error) {
	if f.fault == "any state is replaced" {
		usage, err := f.Store.Usage(ctx, lineage)
		if err != nil {
			return false, err
		}
		before = usage.Rate
	}
	replaced, err := f.Store.ReplaceRate(ctx, lineage, before, after)
	record, _ := f.Store.Find(ctx, keystile.Lookup{KeyID: lineage})
	if replaced && record != nil && f.fault == "a replaced state takes the uses" {
		own := keystile.Usage{Rate: after, Remaining: record.RemainingUses}
		return f.Store.Spend(ctx, keystile.SpendRequestOf(record, own, keystile.Usage{Rate: after}))
	}
	return replaced, err
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
		if _, derives := derivedFaults[fault]; derives {
			return faultyDerived{faulty{store, fault}, store}
		}
		if _, relies := templateFaults[fault]; relies {
			return faultyTemplates{faulty{store, fault}, store}
		}
		// It does not find derived keys itself, so that all records are read.
		return faulty{store, fault}
	})
}

func TestTheSuiteFindsFaults(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it runs the suite on many stores")
	}
	run := func(fault, tests string) (string, error) {
		run := exec.Command(os.Args[0], "-test.v", "-test.run", tests)
		run.Env = append(os.Environ(), faultToRun+"="+fault)
		out, err := run.CombinedOutput()
		return string(out), err
	}
	for _, table := range []map[string]string{faults, derivedFaults, templateFaults} {
		for fault, finder := range table {
			t.Run(fault, func(t *testing.T) {
				t.Parallel()
				out, err := run(fault, "^TestOneFault$/^"+finder+"$")
				failed := "--- FAIL: TestOneFault/" + strings.ReplaceAll(finder, " ", "_")
				if err == nil || !strings.Contains(out, failed) {
					t.Errorf("%q: %v: %.400s", finder, err, out)
				}
			})
		}
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		out, err := run("none", "^TestOneFault$")
		if err != nil || !strings.Contains(out, "--- PASS: TestOneFault ") {
			t.Errorf("%v: %.400s", err, out)
		}
	})
}
