package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// suite is one case: its store, and how it fails.
type suite struct {
	*testing.T
	store keystile.Store
}

// ctx is the context of every call: no case tests that it ends.
var ctx = context.Background()

// at returns an instant in 2026, plus milliseconds.
func at(millis int64) time.Time { return time.UnixMilli(1_790_000_000_000 + millis).UTC() }

func id(number int) keystile.KeyID {
	return keystile.Must(keystile.ParseKeyID(fmt.Sprintf("1%015d", number)))
}

func digest(number int) keystile.Digest {
	var bytes [8]byte
	binary.BigEndian.PutUint64(bytes[:], uint64(number))
	return keystile.NewDigest(keystile.DigestSHA256, 0, sha256.Sum256(bytes[:]))
}

// plain returns a record without optional fields.
func plain(number int) *keystile.Record {
	return &keystile.Record{ID: id(number), Digest: digest(number), KeyPrefix: "acme_1000",
		ClientName: "Acme Ltd", CreatedAt: at(int64(number)), State: keystile.StateActive,
		Lineage: id(number), Version: 1}
}

// full returns a record with all optional fields, first of its lineage.
func full(number int) *keystile.Record {
	record := plain(number)
	record.Digest = keystile.NewDigest(keystile.DigestHMACSHA256, 1<<32-1, digest(number).Bytes())
	record.ClientEmail = keystile.Ptr("ops@acme.example")
	record.Owner = keystile.Ptr("tenant-7")
	record.Environment = keystile.Ptr("live")
	record.Permissions = keystile.Must(keystile.NewPermissionSet("read", "invoices:*", "org:*:audit"))
	record.AllowedEndpoints = keystile.Must(keystile.NewEndpointRules("GET,HEAD /api/metrics/*", "/api/users/*/name"))
	record.AllowedNetworks = keystile.Must(keystile.NewNetworks("192.0.2.0/24", "2001:db8::/32"))
	record.RateLimit = keystile.Ptr(keystile.Must(keystile.NewRateLimitWithBurst(100, time.Minute, 7)))
	record.RemainingUses = keystile.Ptr(uint64(12))
	record.ScopeType = keystile.Ptr("monitoring")
	record.Metadata = keystile.Ptr(`{"plan": "gold", "seats": [1, 2]}`)
	record.LastUsedAt, record.ExpiresAt = at(1_001), at(9_999)
	record.State, record.RevokedAt, record.RevokedReason = keystile.StateRevoked, at(5_000), "leaked in a log"
	record.ReplacedBy, record.OverlapUntil = id(number+1), at(4_999)
	record.EndsAtFirstUse = id(number + 2)
	record.Version = 41
	return record
}

// next returns the record after a change of only its version.
func next(record *keystile.Record) *keystile.Record {
	clone := record.Clone()
	clone.Version++
	return clone
}

func revoked(record *keystile.Record, reason string) *keystile.Record {
	clone := next(record)
	clone.State, clone.RevokedAt, clone.RevokedReason = keystile.StateRevoked, at(7), reason
	return clone
}

func inserts(records ...*keystile.Record) keystile.Batch {
	return noted(keystile.Batch{Inserts: records})
}

func updates(records ...*keystile.Record) keystile.Batch {
	return noted(keystile.Batch{Updates: records})
}

// noted returns the batch with an event of each record that it writes.
func noted(batch keystile.Batch) keystile.Batch {
	note := func(id keystile.KeyID, version uint64) {
		batch.Events = append(batch.Events, keystile.Event{Kind: keystile.EventChanged, KeyID: id, At: at(0), Version: version})
	}
	for _, records := range [][]*keystile.Record{batch.Inserts, batch.Updates} {
		for _, record := range records {
			note(record.ID, record.Version)
		}
	}
	for _, upkeep := range batch.Upkeep {
		note(upkeep.KeyID, upkeep.Version)
	}
	for _, removed := range batch.Deletes {
		note(removed.KeyID, removed.Version)
	}
	return batch
}

func event(number int) keystile.Event {
	return keystile.Event{Kind: keystile.EventIssued, KeyID: id(number), At: at(int64(number))}
}

func (s *suite) insert(records ...*keystile.Record) {
	s.Helper()
	s.fine(s.store.Commit(ctx, inserts(records...)), "new records are accepted")
}

func (s *suite) find(id keystile.KeyID) *keystile.Record {
	s.Helper()
	record, err := s.store.Find(ctx, keystile.Lookup{KeyID: id})
	s.fine(err, "looking up an id does not fail")
	return record
}

func (s *suite) usage(lineage keystile.KeyID) keystile.Usage {
	s.Helper()
	return s.stored(lineage).Usage
}

func (s *suite) stored(lineage keystile.KeyID) keystile.StoredUsage {
	s.Helper()
	usage, err := s.store.Usage(ctx, lineage)
	s.fine(err, "asking for usage does not fail")
	return usage
}

func (s *suite) spend(request keystile.SpendRequest) bool {
	s.Helper()
	spent, err := s.store.Spend(ctx, request)
	s.fine(err, "spending does not fail")
	return spent
}

func (s *suite) list(filter keystile.Filter, page keystile.Page) []*keystile.Record {
	s.Helper()
	return s.listed(filter, page).Records
}

func (s *suite) listed(filter keystile.Filter, page keystile.Page) keystile.Listed {
	s.Helper()
	listed, err := s.store.List(ctx, filter, page)
	s.fine(err, "a list can be read")
	return listed
}

func (s *suite) lineage(id keystile.KeyID) []*keystile.Record {
	s.Helper()
	lineage, err := s.store.Lineage(ctx, id)
	s.fine(err, "a lineage can be read")
	return lineage.Records
}

func (s *suite) events(key keystile.KeyID, after uint64, limit int) []keystile.NumberedEvent {
	s.Helper()
	events, err := s.store.Events(ctx, key, after, limit)
	s.fine(err, "events can be read")
	return events
}

func (s *suite) allEvents() []keystile.Event {
	s.Helper()
	return bare(s.events(keystile.KeyID{}, 0, 1<<62))
}

func bare(numbered []keystile.NumberedEvent) []keystile.Event {
	events := []keystile.Event{}
	for _, one := range numbered {
		events = append(events, one.Event)
	}
	return events
}

func (s *suite) fine(err error, what string) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s *suite) is(holds bool, format string, args ...any) {
	s.Helper()
	if !holds {
		s.Fatalf(format, args...)
	}
}

func (s *suite) refused(err, expected error, what string) {
	s.Helper()
	s.is(errors.Is(err, expected), "%s: expected %v, got %v", what, expected, err)
}

// same fails with the first field that differs.
func (s *suite) same(found, expected *keystile.Record, context string) {
	s.Helper()
	s.is(found != nil, "%s: the record is there", context)
	s.is(found.Digest.Equal(expected.Digest), "%s: the digest comes back as it was", context)
	left, right := fields(s, found), fields(s, expected)
	for name := range right {
		s.is(reflect.DeepEqual(left[name], right[name]), "%s: %q comes back as it was: %v for %v", context, name, left[name], right[name])
	}
	s.is(len(left) == len(right), "%s: the record comes back as it was", context)
}

func fields(s *suite, record *keystile.Record) map[string]any {
	s.Helper()
	text, err := keystile.EncodeRecord(record)
	s.fine(err, "a record can be written")
	var fields map[string]any
	s.fine(json.Unmarshal(text, &fields), "as JSON")
	return fields
}

func (s *suite) sameEvents(found, expected []keystile.Event, what string) {
	s.Helper()
	left, _ := json.Marshal(found)
	right, _ := json.Marshal(expected)
	s.is(string(left) == string(right), "%s: %s for %s", what, left, right)
}

func ids(records []*keystile.Record) []keystile.KeyID {
	var ids []keystile.KeyID
	for _, record := range records {
		ids = append(ids, record.ID)
	}
	return ids
}

func (s *suite) sameIDs(found, expected []keystile.KeyID, what string, args ...any) {
	s.Helper()
	s.is(reflect.DeepEqual(found, expected), "%s: %v for %v", fmt.Sprintf(what, args...), found, expected)
}
