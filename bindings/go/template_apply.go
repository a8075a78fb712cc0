package keystile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ApplyOptions configure [Authenticator.ApplyTemplate]. The zero value of a field selects its default.
type ApplyOptions struct {
	// Reason is why, for the audit; by default "template" and its name.
	Reason string
	// DryRun changes nothing: the result has what would be changed, and refused.
	DryRun bool
	// All also changes the keys with rights of their own.
	All bool
	// OfDerived is what becomes of the derived keys that would exceed a key afterwards; by default
	// [RefuseDerived]: the key is not changed, and is in Failed.
	OfDerived OfDerived
	// Permit is asked for each key; those for which it does not agree stay as they are, and are not
	// counted. Nil always agrees.
	Permit Permit
}

// Applied is what became of the keys of a template.
type Applied struct {
	// Changed are the keys that got the rights of the template, and Derived those that derive from them
	// and were changed with them.
	Changed, Derived []KeyID
	// Current is how many keys had the template's rights already, without those of Changed.
	Current int
	// Own is how many keys have rights of their own, because they were issued narrower or changed
	// since, and Exceeding how many of these may do more than the template allows now. Unless
	// [ApplyOptions.All] is set, they stay as they are.
	Own, Exceeding int
	// Failed are the keys that could not be changed, each with the reason.
	Failed []BulkFailure
	// Damaged are the rows that cannot be read. They are not changed.
	Damaged []*CorruptRow
}

// applyPassesMax is how often the keys are gone through, for those that were issued meanwhile.
const applyPassesMax = 16

// ApplyTemplate gives the keys that were issued from a template of the store, which must be a
// [TemplateStore], or from a preset, its permissions, endpoints and rate limit, with an event each.
// Their lifetimes stay. [StoredTemplate] says which of them have no rights of their own.
//
// A key that cannot be changed stops nothing: it is in Failed. If the template is changed or removed
// meanwhile, it stops with [ErrTemplateChanged], whose text says how many keys were changed before:
// rights that someone has taken back are not written. It stops too if the store fails or the context
// ends. The result then has what was done before: that stays, and applying again goes on with what is
// left. It returns the errors of [FindTemplate], and
// [ErrRecord] if the reason is not as [By] describes, or OfDerived is none of the constants.
func (a *Authenticator) ApplyTemplate(ctx context.Context, name string, options ApplyOptions) (all Applied, err error) {
	options.OfDerived = orDefault(options.OfDerived, RefuseDerived)
	if err := options.OfDerived.check(); err != nil {
		return all, err
	}
	by, _ := ActorOf(ctx)
	by.Reason = orDefault(options.Reason, "template "+name)
	ctx = WithActor(ctx, by)
	if err := a.bulkable(ctx, BulkOptions{}); err != nil {
		return all, err
	}
	work := &applying{parts: a, options: options}
	if work.template, err = work.find(ctx, name); err != nil {
		return all, err
	}
	work.changed = map[KeyID]bool{}
	for range applyPassesMax {
		before := all
		// What is not changed is counted once.
		work.done = Applied{}
		err = work.pass(ctx)
		if all = work.done; err != nil {
			all.keep(before)
		}
		all.Changed, all.Derived = before.Changed, before.Derived
		for _, id := range work.done.Changed {
			if !work.changed[id] {
				work.changed[id] = true
				all.Changed = append(all.Changed, id)
			}
		}
		for _, id := range work.done.Derived {
			if !slices.Contains(all.Derived, id) {
				all.Derived = append(all.Derived, id)
			}
		}
		if err != nil || options.DryRun || len(work.done.Changed) == 0 {
			break
		}
	}
	if errors.Is(err, ErrTemplateChanged) {
		err = fmt.Errorf("%w; keys changed before: %d", ErrTemplateChanged, len(all.Changed))
	}
	return all, err
}

// keep keeps what the pass before one that was not completed has counted.
func (a *Applied) keep(before Applied) {
	a.Current, a.Own, a.Exceeding = max(a.Current, before.Current), max(a.Own, before.Own), max(a.Exceeding, before.Exceeding)
	settled := setOf(a.Changed)
	for _, failure := range a.Failed {
		settled[failure.KeyID] = true
	}
	for _, failure := range before.Failed {
		if !settled[failure.KeyID] {
			a.Failed = append(a.Failed, failure)
		}
	}
	rows := map[int64]bool{}
	for _, row := range a.Damaged {
		rows[row.Row] = true
	}
	for _, row := range before.Damaged {
		if !rows[row.Row] {
			a.Damaged = append(a.Damaged, row)
		}
	}
}

// applying gives the keys of a template its rights.
type applying struct {
	parts    *Authenticator
	template *StoredTemplate
	options  ApplyOptions
	// changed are the keys that the passes before have changed, and done is what this one did.
	changed map[KeyID]bool
	done    Applied
}

// find returns the template as it is now.
func (w *applying) find(ctx context.Context, name string) (*StoredTemplate, error) {
	if preset, err := PresetTemplate(name); err == nil {
		return &StoredTemplate{Template: preset}, nil
	}
	store, is := w.parts.store.(TemplateStore)
	if !is {
		return nil, ErrNoTemplate
	}
	return FindTemplate(ctx, store, name)
}

// pass goes through the keys of the template once.
func (w *applying) pass(ctx context.Context) error {
	now := w.parts.clock()
	filter := Filter{Template: Ptr(w.template.Template.Name()), Now: now}
	for page := (Page{Limit: bulkPage}); ; {
		listed, err := w.parts.store.List(ctx, filter, page)
		if err != nil {
			return err
		}
		// Also if no key has to be written.
		if !w.options.DryRun {
			if err := w.isPresent(ctx); err != nil {
				return err
			}
		}
		for _, row := range listed.Damaged {
			// Of a row that the caller may not change, it learns nothing.
			if w.permits(nil, row) {
				w.done.Damaged = append(w.done.Damaged, row)
			}
		}
		for _, record := range listed.Records {
			if err := w.one(ctx, record, now); err != nil {
				return err
			}
		}
		if listed.Next.IsZero() {
			return nil
		}
		page.After = listed.Next
	}
}

func (w *applying) permits(record *Record, damaged *CorruptRow) bool {
	return w.options.Permit == nil || w.options.Permit(record, damaged)
}

// one gives a key the rights of the template, if it is due.
func (w *applying) one(ctx context.Context, record *Record, now time.Time) error {
	if record.State == StateRevoked || !record.ReplacedBy.IsZero() || record.hasEnded(now) || !w.permits(record.Clone(), nil) {
		return nil
	}
	issued := record.CreatedAt
	if record.lineage() != record.ID && w.template.wasLike(record) {
		// A successor is as new as the rotation, but its rights are as old as the lineage.
		lineage, err := w.parts.store.Lineage(ctx, record.lineage())
		if err != nil {
			return err
		}
		for _, key := range lineage.Records {
			if key.CreatedAt.Before(issued) {
				issued = key.CreatedAt
			}
		}
	}
	place := w.template.place(record, issued)
	switch place {
	case placeCurrent:
		if !w.changed[record.ID] {
			w.done.Current++
		}
		return nil
	case placeOwn:
		w.done.Own++
		if !w.template.holds(record) {
			w.done.Exceeding++
		}
		if !w.options.All {
			return nil
		}
	}
	return w.write(ctx, record.ID, issued)
}

// write changes a key, unless it is not due any more.
func (w *applying) write(ctx context.Context, id KeyID, issued time.Time) error {
	change := KeyChange{Template: Set(w.template.Template)}.Within(w.parts.lifetimes)
	permit := func(before, _ *Record) error {
		name := w.template.Template.Name()
		isDue := w.options.All || w.template.place(before, issued) != placeOwn
		if before.ScopeType == nil || *before.ScopeType != name || !isDue || !w.permits(before, nil) {
			return ErrNotFound
		}
		return nil
	}
	var outcome Outcome
	var others []KeyID
	var err error
	if w.options.DryRun {
		var batch Batch
		batch, outcome, err = w.parts.prepareChange(ctx, id, change, w.options.OfDerived, permit, w.parts.clock())
		others = batch.othersThan(id)
	} else {
		outcome, others, err = w.parts.change(ctx, id, change, w.options.OfDerived, w.template.Unchanged(), permit)
	}
	switch {
	case err == nil:
		if outcome.Changed {
			w.done.Changed = append(w.done.Changed, id)
			w.done.Derived = append(w.done.Derived, others...)
		}
	// Not selected any more.
	case errors.Is(err, ErrNotFound):
	case ctx.Err() != nil || errors.Is(err, ErrTemplateChanged) || !isOfOneChange(err):
		return err
	default:
		w.done.Failed = append(w.done.Failed, BulkFailure{id, err})
	}
	return nil
}

// isOfOneChange reports whether an error says nothing about other keys.
func isOfOneChange(err error) bool {
	var exceeding *ExceedingError
	return isOfOneKey(err) || errors.As(err, &exceeding) || errors.Is(err, ErrExceedsSource) || errors.Is(err, ErrSourceNotLive)
}

// isPresent returns [ErrTemplateChanged] unless the template is still as it was read.
func (w *applying) isPresent(ctx context.Context) error {
	present, err := w.find(ctx, w.template.Template.Name())
	switch {
	case err != nil && !errors.Is(err, ErrNoTemplate):
		return err
	case err != nil || present.Version != w.template.Version || !present.CreatedAt.Equal(w.template.CreatedAt):
		return ErrTemplateChanged
	}
	return nil
}

// placeOf is how the rights of a key compare with those of its template.
type placeOf int

const (
	placeCurrent placeOf = iota
	// placeDue has the rights of an earlier state.
	placeDue
	// placeOwn has rights of its own.
	placeOwn
)

func (t *StoredTemplate) place(record *Record, issued time.Time) placeOf {
	if isLike(t.Template, record) {
		return placeCurrent
	}
	for _, former := range t.Former {
		if issued.Before(former.Until) && isLike(former.Template, record) {
			return placeDue
		}
	}
	return placeOwn
}

// wasLike reports whether a key is as an earlier state was, whenever it was issued.
func (t *StoredTemplate) wasLike(record *Record) bool {
	return slices.ContainsFunc(t.Former, func(former FormerTemplate) bool { return isLike(former.Template, record) })
}

// holds reports whether a key may do no more than the template allows.
func (t *StoredTemplate) holds(record *Record) bool {
	most := record.Clone()
	most.Permissions, most.AllowedEndpoints, most.RateLimit = t.Template.Permissions(), t.Template.Endpoints(), t.Template.RateLimit()
	return record.IsWithin(most)
}

// isLike reports whether a key has exactly these rights.
func isLike(template *ScopeTemplate, record *Record) bool {
	rules, limit := template.Endpoints(), template.RateLimit()
	return record.Permissions.Equal(template.Permissions()) && equalOptional(record.RateLimit, limit) &&
		(rules == nil) == (record.AllowedEndpoints == nil) && slices.Equal(rules.Strings(), record.AllowedEndpoints.Strings())
}
