package keystilesql

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	keystile "github.com/keystile/keystile/bindings/go"
)

// cells are the values of a row, by the names of their columns.
type cells struct {
	row    int64
	values map[string]any
	// inMillis is set if instants are numbers; otherwise a number is not an instant.
	inMillis bool
}

// damage returns an error with the row, the column and what was expected there; never what
// was found.
func (c *cells) damage(column, expected string) error {
	return &keystile.CorruptRow{Row: c.row, Column: column, Expected: expected}
}

// record returns the record of a row. An error about the row has what can be read of it
// without the damaged column.
func (c *cells) record() (*keystile.Record, error) {
	record, err := c.wholeRecord()
	var row *keystile.CorruptRow
	if errors.As(err, &row) {
		if id := (&reader{cells: c}).must("key_id"); id != "" {
			row.KeyID, _ = keystile.ParseKeyID(id)
		}
		row.Owner = (&reader{cells: c}).text("owner")
		switch state := keystile.State((&reader{cells: c}).must("status")); state {
		case keystile.StateActive, keystile.StateSuspended, keystile.StateRevoked:
			row.State = state
		}
		if version := (&reader{cells: c}).count("version"); version != nil {
			row.Version = *version
		}
		digests := &reader{cells: c}
		if digest := digests.digest(); digests.err == nil {
			row.Digest = digest
		}
	}
	return record, err
}

func (c *cells) wholeRecord() (*keystile.Record, error) {
	reader := reader{cells: c}
	record := &keystile.Record{
		ID:             reader.id("key_id"),
		Digest:         reader.digest(),
		KeyPrefix:      reader.must("key_prefix"),
		ClientName:     reader.must("client_name"),
		ClientEmail:    reader.text("client_email"),
		Owner:          reader.text("owner"),
		Environment:    reader.text("environment"),
		RemainingUses:  reader.count("remaining_uses"),
		ScopeType:      reader.text("scope_type"),
		Metadata:       reader.metadata(),
		CreatedAt:      reader.instant("created_at"),
		LastUsedAt:     reader.instant("last_used_at"),
		ExpiresAt:      reader.instant("expires_at"),
		Lineage:        reader.id("lineage"),
		ReplacedBy:     reader.id("replaced_by"),
		OverlapUntil:   reader.instant("overlap_until"),
		EndsAtFirstUse: reader.id("ends_at_first_use"),
		DerivedFrom:    reader.id("derived_from"),
		DerivedLineage: reader.id("derived_lineage"),
		Permissions:    list(&reader, "permissions", keystile.NewPermissionSet),
	}
	record.AllowedEndpoints = list(&reader, "allowed_endpoints", keystile.NewEndpointRules)
	record.AllowedNetworks = list(&reader, "allowed_networks", keystile.NewNetworks)
	record.RateLimit = reader.rateLimit()
	reader.status(record)
	if version := reader.count("version"); version != nil {
		record.Version = *version
	}
	// One that a duration cannot hold is left out if it is the time to the expiry, as in a record.
	if length := reader.count("lifetime_ms"); length != nil && (*length <= uint64(lifetimeMillisMax) || *length != uint64(spanMillis(record))) {
		record.Lifetime = time.Duration(min(*length, uint64(lifetimeMillisMax))) * time.Millisecond
	}
	// Other code that resumes a key does not know this column.
	if record.State == keystile.StateSuspended {
		record.SuspendedWith = reader.id("suspended_with")
	}
	if record.DerivedFrom.IsZero() != record.DerivedLineage.IsZero() {
		reader.fail("derived_from", "derived_from and derived_lineage, or neither")
	}
	if record.Permissions == nil {
		reader.fail("permissions", "a value")
	}
	if record.CreatedAt.IsZero() {
		reader.fail("created_at", "a value")
	}
	if reader.text("usage_lineage") == nil {
		// Without it, counted uses would look like uses that are not counted.
		reader.fail("lineage", "a lineage that has a row of usage")
	}
	if reader.err != nil {
		return nil, reader.err
	}
	if record.Check() != nil {
		return nil, c.damage(invalidColumn(record))
	}
	return record, nil
}

// fields are what the library checks when the values of all columns have been read, with
// what it expects, and how to leave one out.
var fields = []struct {
	column, expected string
	leaveOut         func(*keystile.Record)
}{
	{"environment", "1 to 12 characters of a-z or 0-9", func(r *keystile.Record) { r.Environment = nil }},
	{"scope_type", "the name of a template", func(r *keystile.Record) { r.ScopeType = nil }},
	{"client_name", "1 to 255 bytes without control characters", func(r *keystile.Record) { r.ClientName = "-" }},
	{"client_email", "at most 255 bytes without control characters", func(r *keystile.Record) { r.ClientEmail = nil }},
	{"owner", "at most 255 bytes without control characters", func(r *keystile.Record) { r.Owner = nil }},
	{"key_prefix", "at most 40 bytes without control characters", func(r *keystile.Record) { r.KeyPrefix = "-" }},
	{"metadata", "at most 16 KiB", func(r *keystile.Record) { r.Metadata = nil }},
	{"revoke_reason", "at most 255 bytes without control characters", func(r *keystile.Record) { r.RevokedReason = "" }},
	{"ends_at_first_use", "the id of another key", func(r *keystile.Record) { r.EndsAtFirstUse = keystile.KeyID{} }},
	{"overlap_until", "a value exactly if replaced_by has one, which is the id of another key",
		func(r *keystile.Record) { r.ReplacedBy, r.OverlapUntil = keystile.KeyID{}, time.Time{} }},
}

// invalidColumn returns a column without which a record would be valid, and what is expected
// in it.
func invalidColumn(record *keystile.Record) (column, expected string) {
	known := record.Clone()
	for _, field := range fields {
		if field.leaveOut(known); known.Check() == nil {
			return field.column, field.expected
		}
	}
	return "key_id", "a row that is a record"
}

func (c *cells) usage() (keystile.StoredUsage, error) {
	reader := reader{cells: c}
	// Any 64 bits are a valid state of the limit.
	rate, err := c.number("rate_state")
	if err != nil {
		return keystile.StoredUsage{}, err
	}
	usage := keystile.Usage{Rate: keystile.RateState(uint64(rate)), Remaining: reader.count("remaining_uses")}
	stored := keystile.StoredUsage{Usage: usage}
	// NULL in SQLite: all processes read the clock of its machine.
	if clock := reader.count("clock"); clock != nil {
		stored.Clock = time.UnixMilli(int64(*clock)).UTC()
	}
	return stored, reader.err
}

func (c *cells) event() (keystile.NumberedEvent, error) {
	reader := reader{cells: c}
	event := keystile.NumberedEvent{Number: uint64(max(c.row, 0)), Event: keystile.Event{
		Kind:      keystile.EventKind(reader.must("kind")),
		At:        reader.instant("at"),
		Reason:    reader.text("reason"),
		Successor: reader.id("successor"),
		Actor:     reader.text("actor"),
		Origin:    reader.text("origin"),
	}}
	if version := reader.count("version"); version != nil {
		event.Version = *version
	}
	if changes := reader.text("changes"); changes != nil && json.Unmarshal([]byte(*changes), &event.Changes) != nil {
		reader.fail("changes", "a JSON array of changes")
	}
	id := reader.must("key_id")
	if id != manyKeys {
		event.KeyID = reader.id("key_id")
	}
	switch event.Kind {
	case keystile.EventIssued, keystile.EventRotated, keystile.EventRevoked, keystile.EventSuspended,
		keystile.EventResumed, keystile.EventExpired, keystile.EventRehashed, keystile.EventImported,
		keystile.EventChanged, keystile.EventDeleted, keystile.EventPruned:
	default:
		reader.fail("kind", "the kind of an event")
	}
	if event.KeyID.IsZero() && id != manyKeys {
		reader.fail("key_id", "a value")
	}
	if event.At.IsZero() {
		reader.fail("at", "a value")
	}
	return event, reader.err
}

// number returns an integer, which is required.
func (c *cells) number(column string) (int64, error) {
	if number, is := c.values[column].(int64); is {
		return number, nil
	}
	return 0, c.damage(column, "a whole number")
}

// reader reads one cell after the other, and remembers the first invalid one.
type reader struct {
	*cells
	err error
}

func (r *reader) fail(column, expected string) {
	if r.err == nil {
		r.err = r.damage(column, expected)
	}
}

func (r *reader) text(column string) *string {
	var text string
	switch value := r.values[column].(type) {
	case nil:
		return nil
	case string:
		text = value
	case []byte:
		text = string(value)
	default:
		r.fail(column, "text in UTF-8")
		return nil
	}
	if !utf8.ValidString(text) {
		r.fail(column, "text in UTF-8")
		return nil
	}
	return &text
}

func (r *reader) must(column string) string {
	text := r.text(column)
	if text == nil {
		r.fail(column, "a value")
		return ""
	}
	return *text
}

// metadata returns the text as it was given or, if other code wrote it, as the database
// stored it.
func (r *reader) metadata() *string {
	if text := r.text("metadata_text"); text != nil {
		return text
	}
	if number, is := r.values["metadata"].(int64); is {
		return keystile.Ptr(strconv.FormatInt(number, 10))
	}
	return r.text("metadata")
}

func (r *reader) count(column string) *uint64 {
	switch value := r.values[column].(type) {
	case nil:
		return nil
	case int64:
		if value >= 0 {
			return keystile.Ptr(uint64(value))
		}
	}
	r.fail(column, "a whole number that is not below 0")
	return nil
}

func (r *reader) small(column string) *uint32 {
	count := r.count(column)
	if count == nil {
		return nil
	}
	if *count > math.MaxUint32 {
		r.fail(column, "a number below 2^32")
		return nil
	}
	return keystile.Ptr(uint32(*count))
}

// instant never treats a time that cannot be parsed as no time.
func (r *reader) instant(column string) time.Time {
	if millis, is := r.values[column].(int64); is {
		if r.inMillis && millis >= instantMin && millis <= instantMax {
			return time.UnixMilli(millis).UTC()
		}
	} else if text := r.text(column); text == nil {
		return time.Time{}
	} else if at, is := readInstant(*text); is {
		return at
	}
	r.fail(column, "an instant from 1973 to 9999, as 2026-09-21T14:13:20.000Z")
	return time.Time{}
}

func (r *reader) id(column string) keystile.KeyID {
	text := r.text(column)
	if text == nil {
		return keystile.KeyID{}
	}
	id, err := keystile.ParseKeyID(*text)
	if err != nil {
		r.fail(column, "a key id")
	}
	return id
}

// list returns nil only for NULL; a list that cannot be parsed is an error.
func list[T any](r *reader, column string, read func(...string) (*T, error)) *T {
	text := r.text(column)
	if text == nil {
		return nil
	}
	var items []*string
	var texts []string
	err := json.Unmarshal([]byte(*text), &items)
	for _, item := range items {
		if item == nil {
			break
		}
		texts = append(texts, *item)
	}
	if err == nil && items != nil && len(texts) == len(items) {
		if value, err := read(texts...); err == nil {
			return value
		}
	}
	r.fail(column, "a JSON array of rules as a key holds them")
	return nil
}

func (r *reader) digest() keystile.Digest {
	const column = "key_hash"
	digits := r.must(column)
	for _, digit := range []byte(digits) {
		// With an upper-case digit, the same digest would have a second text, which a
		// lookup does not find.
		if (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			r.fail(column, "64 lower-case hex digits")
		}
	}
	bare, err := keystile.ParseDigest(digits)
	if err != nil {
		r.fail(column, "64 lower-case hex digits")
	}
	if pepper := r.small("digest_pepper"); pepper != nil {
		return keystile.NewDigest(keystile.DigestHMACSHA256, *pepper, bare.Bytes())
	}
	return bare
}

func (r *reader) rateLimit() *keystile.RateLimit {
	const column = "rate_limit"
	limit, window, burst := r.small(column), r.count("rate_window_ms"), r.small("rate_burst")
	if limit == nil && window == nil && burst == nil {
		return nil
	}
	if limit == nil || window == nil {
		r.fail(column, "a limit and its window, or neither")
		return nil
	}
	if burst == nil {
		burst = limit
	}
	if *window > uint64(math.MaxInt64/int64(time.Millisecond)) {
		r.fail("rate_window_ms", "a window of at most 366 days")
		return nil
	}
	rateLimit, err := keystile.NewRateLimitWithBurst(*limit, time.Duration(*window)*time.Millisecond, *burst)
	if err != nil {
		r.fail(column, "a limit that is well formed")
		return nil
	}
	return &rateLimit
}

func (r *reader) status(record *keystile.Record) {
	active := r.count("is_active")
	at, reason, status := r.instant("revoked_at"), r.text("revoke_reason"), r.must("status")
	is := func(flag uint64) bool { return active != nil && *active == flag }
	revoked := !at.IsZero() && reason != nil
	untouched := at.IsZero() && reason == nil
	switch {
	case status == "active" && is(1) && untouched:
		record.State = keystile.StateActive
	case status == "suspended" && is(0) && untouched:
		record.State = keystile.StateSuspended
	case status == "revoked" && is(0) && revoked:
		record.State, record.RevokedAt, record.RevokedReason = keystile.StateRevoked, at, *reason
	default:
		r.fail("status", "status, is_active and the revocation that agree")
	}
}
