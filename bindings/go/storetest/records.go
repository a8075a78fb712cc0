package storetest

import (
	"fmt"
	"math"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var recordsCases = map[string]func(*suite){
	"nothing is found in an empty store": emptyStore,
	"records come back as they were":     roundTrips,
	"text is data":                       textIsData,
	"what no store can keep is refused":  impossible,
}

func emptyStore(s *suite) {
	s.is(s.find(id(1)) == nil, "no record by an id")
	record, err := s.store.Find(ctx, keystile.Lookup{Digests: []keystile.Digest{digest(1)}})
	s.is(err == nil && record == nil, "no record by a digest")
	s.is(len(s.lineage(id(1))) == 0, "no record in a lineage")
	s.is(len(s.list(keystile.Filter{}, keystile.Page{Limit: 10})) == 0, "no record in a list")
	s.is(len(s.allEvents()) == 0, "no events")
	s.is(s.usage(id(1)).Equal(keystile.Usage{}), "no usage")
	s.is(!s.spend(keystile.SpendRequestOf(plain(1), keystile.Usage{}, keystile.Usage{})), "nothing is spent of what is not there")
	use := keystile.Use{KeyID: id(1), LastUsedAt: at(0), Count: 1}
	s.fine(s.store.NoteUses(ctx, []keystile.Use{use}), "a use of an unknown key is passed over")
	s.refused(s.store.Commit(ctx, updates(next(plain(1)))), keystile.ErrStale, "no record is updated into being")
	s.is(s.find(id(1)) == nil, "and none of these made one")
}

func roundTrips(s *suite) {
	changed := func(record *keystile.Record, change func(*keystile.Record)) *keystile.Record {
		change(record)
		return record
	}
	records := []*keystile.Record{
		plain(1), full(10),
		changed(plain(20), func(r *keystile.Record) {
			r.AllowedEndpoints = keystile.Must(keystile.NewEndpointRules())
		}),
		changed(plain(21), func(r *keystile.Record) { r.AllowedNetworks = keystile.Must(keystile.NewNetworks()) }),
		changed(full(22), func(r *keystile.Record) {
			r.State, r.RevokedAt, r.RevokedReason = keystile.StateSuspended, time.Time{}, ""
		}),
		changed(plain(23), func(r *keystile.Record) { r.RemainingUses = keystile.Ptr(uint64(0)) }),
		changed(plain(24), func(r *keystile.Record) {
			r.RemainingUses, r.Version = keystile.Ptr(uint64(math.MaxInt64)), math.MaxInt64
		}),
		changed(plain(25), func(r *keystile.Record) {
			r.Digest = keystile.NewDigest(keystile.DigestHMACSHA256, 0, [32]byte{0xA5, 1})
		}),
	}
	number := 30
	add := func(change func(*keystile.Record)) {
		records = append(records, changed(plain(number), change))
		number++
	}
	for _, limit := range []struct {
		limit, burst uint32
		window       time.Duration
	}{{0, 0, time.Millisecond}, {1, 1, time.Second}, {1000, 1000, time.Hour}, {5, 1, 366 * 24 * time.Hour}} {
		rateLimit, err := keystile.NewRateLimitWithBurst(limit.limit, limit.window, limit.burst)
		s.fine(err, "a limit")
		add(func(r *keystile.Record) { r.RateLimit = &rateLimit })
	}
	// The longest window for the largest limit.
	for _, window := range []time.Duration{366 * 24 * time.Hour, 100 * 24 * time.Hour, 24 * time.Hour} {
		if rateLimit, err := keystile.NewRateLimit(math.MaxUint32, window); err == nil {
			add(func(r *keystile.Record) { r.RateLimit = &rateLimit })
			break
		}
	}
	for _, instant := range []time.Time{time.UnixMilli(100_000_000_000).UTC(), time.UnixMilli(253_402_300_799_999).UTC()} {
		extreme := full(number)
		number++
		extreme.CreatedAt, extreme.LastUsedAt, extreme.ExpiresAt, extreme.OverlapUntil = instant, instant, instant, instant
		extreme.RevokedAt, extreme.RevokedReason = instant, ""
		records = append(records, extreme)
	}
	for _, record := range records {
		s.insert(record)
	}
	listed := s.list(keystile.Filter{}, keystile.Page{Limit: 100})
	s.is(len(listed) == len(records), "each record is listed once")
	for at, record := range records {
		s.same(s.find(record.ID), record, "found by its id")
		s.same(listed[at], record, "listed")
		s.same(s.lineage(record.Lineage)[0], record, "in its lineage")
	}
}

// L2, L3: no text is interpreted as a command or a pattern.
func textIsData(s *suite) {
	texts := []string{"'", "''", "\"", "`", ";", "--", "/*", "*/", "\\", "%", "_", "?", "?1", ":key_id",
		"$1", "@p1", "{}", "'; DROP TABLE api_keys; --", "' OR '1'='1", "') OR 1=1 --", "\" OR \"\"=\"",
		"Robert'); DELETE FROM api_key_events WHERE ('a'='a", "NULL", "null", "true", "0", "007", "1.0",
		"-1", "1e5", "  padded  ", "ünïcödé", "İstanbul", "ﬀ", "e\u0301", "\u202ereversed", "🔑", "\ufeff", "a\u00adb"}
	for at_, text := range texts {
		number := at_ + 1
		record := plain(number)
		record.ClientName, record.ClientEmail, record.Owner = text, &text, &text
		record.KeyPrefix = string([]rune(text)[:min(10, len([]rune(text)))])
		record.Metadata = &text
		record.State, record.RevokedAt, record.RevokedReason = keystile.StateRevoked, at(0), text
		noted := event(number)
		noted.Reason = &text
		batch := inserts(record)
		batch.Events = append(batch.Events, noted)
		s.fine(s.store.Commit(ctx, batch), "any text is accepted as data: "+text)
		s.same(s.find(record.ID), record, text)
		all := s.allEvents()
		s.sameEvents(all[len(all)-1:], batch.Events[1:], "a reason comes back: "+text)
		for _, filter := range []keystile.Filter{{Owner: &text}, {ClientName: &text}} {
			listed := s.list(filter, keystile.Page{Limit: 100})
			s.is(len(listed) == 1, "a filter matches the one record with the text %s", text)
			s.same(listed[0], record, text)
		}
	}
	longest := fmt.Sprintf("%q", strings.Repeat("x", 16*1024-2))
	for at, text := range []string{"", " ", "0", "00", "1.0", " 1", "\t-1", "+1", ".5", "1e400", "9223372036854775808",
		"\"text\"", "[ ]", "{ }", "null", "{\"a\":1,\"a\":2}", "not JSON", "line\nfeed", "nul\x00nul", "1\x00", longest} {
		record := plain(200 + at)
		record.Metadata = &text
		s.insert(record)
		s.same(s.find(record.ID), record, fmt.Sprintf("metadata %.20q", text))
	}
}

func impossible(s *suite) {
	for _, change := range []func(*keystile.Record){
		func(r *keystile.Record) { r.ClientName = "" },
		func(r *keystile.Record) { r.ReplacedBy = id(2) },
		func(r *keystile.Record) { r.Metadata = keystile.Ptr(strings.Repeat("x", 16*1024+1)) },
		func(r *keystile.Record) { r.CreatedAt = time.Time{} },
		func(r *keystile.Record) { r.ExpiresAt = time.Unix(0, 0) },
		func(r *keystile.Record) { r.Version = 0 },
	} {
		record := plain(1)
		change(record)
		s.refused(s.store.Commit(ctx, inserts(record)), keystile.ErrRecord, "no such record")
	}
	countless := plain(1)
	countless.RemainingUses = keystile.Ptr(uint64(math.MaxInt64) + 1)
	s.refused(s.store.Commit(ctx, inserts(countless)), keystile.ErrOutOfRange, "out of range")
	s.is(s.find(id(1)) == nil, "what was refused is not there")
}
