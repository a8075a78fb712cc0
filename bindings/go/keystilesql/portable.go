package keystilesql

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
)

var _ keystile.PortableStore = (*Store)(nil)

// Export returns a page of keys in the order of their insertion.
//
// The digests are read after the records. A key whose digest is renewed in between may have its present
// digest among the former ones, which are left out.
func (s *Store) Export(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Exported, error) {
	if err := s.made(); err != nil {
		return keystile.Exported{}, err
	}
	var rates []keystile.RateState
	listed, err := s.listIn(ctx, filter, page, keystile.SortInserted, func(row *cells) error {
		// Any 64 bits are a valid state of the limit.
		rate, err := row.number("rate_state")
		var damaged *keystile.CorruptRow
		if errors.As(err, &damaged) {
			reader := reader{cells: row}
			damaged.KeyID, damaged.Owner = reader.id("key_id"), reader.text("owner")
			return damaged
		}
		rates = append(rates, keystile.RateState(uint64(rate)))
		return err
	})
	if err != nil {
		return keystile.Exported{}, err
	}
	exported := keystile.Exported{Damaged: listed.Damaged, Next: listed.Next}
	ids := make([]string, len(listed.Records))
	for at, record := range listed.Records {
		ids[at] = record.ID.String()
	}
	former, err := s.formerDigests(ctx, ids)
	if err != nil {
		return keystile.Exported{}, err
	}
	for at, record := range listed.Records {
		key := keystile.PortableKey{Record: record, Rate: rates[at], FormerDigests: former[ids[at]]}
		key.FormerDigests = slices.DeleteFunc(key.FormerDigests, func(digest keystile.DigestBytes) bool { return digest == record.Digest.Bytes() })
		exported.Keys = append(exported.Keys, key)
	}
	return exported, nil
}

// removedColumns are those of removed keys.
func (s *Store) removedColumns() string {
	return "SELECT 0 AS row, key_id, version, " + s.dialect.plainInstant("revoked_at") + ", revoke_reason, owner FROM api_key_deleted t "
}

// RemovedKeys returns what is remembered of removed keys.
func (s *Store) RemovedKeys(ctx context.Context, after string, limit int) (keystile.RemovedKeys, error) {
	var page keystile.RemovedKeys
	if err := s.made(); err != nil {
		return page, err
	}
	most := limited(limit)
	rows, err := s.cells(ctx, s.db, s.removedColumns()+"WHERE key_id > $1::text ORDER BY key_id LIMIT $2::bigint", after, most)
	if err != nil {
		return page, err
	}
	ids := make([]string, len(rows))
	for at := range rows {
		ids[at], _ = rows[at].values["key_id"].(string)
		rows[at].row = int64(at) + 1
	}
	former, err := s.formerDigests(ctx, ids)
	if err != nil {
		return page, err
	}
	for at := range rows {
		removed, err := rows[at].removed()
		var damaged *keystile.CorruptRow
		switch {
		case err == nil:
			removed.Digests = former[ids[at]]
			page.Keys = append(page.Keys, removed)
		case errors.As(err, &damaged):
			page.Damaged = append(page.Damaged, damaged)
		default:
			return keystile.RemovedKeys{}, err
		}
	}
	if len(rows) > 0 && int64(len(rows)) == most {
		page.Next = ids[len(ids)-1]
	}
	return page, nil
}

// Known returns what the store knows of what an import asks about.
func (s *Store) Known(ctx context.Context, asked keystile.Asked) (keystile.Known, error) {
	var known keystile.Known
	if err := s.made(); err != nil {
		return known, err
	}
	ids, lineages, digests := textsOf(asked.IDs), textsOf(asked.Lineages), make([]string, len(asked.Digests))
	for at, digest := range asked.Digests {
		digests[at] = hex.EncodeToString(digest[:])
	}
	for _, selected := range []struct {
		column string
		values []string
	}{{"key_id", ids}, {"lineage", lineages}, {"key_hash", digests}} {
		rows, err := s.among(ctx, s.dialect.records()+"WHERE ", "k."+selected.column, "", selected.values)
		if err != nil {
			return known, err
		}
		for at := range rows {
			record, err := rows[at].record()
			var damaged *keystile.CorruptRow
			switch {
			case err == nil:
				known.Records = append(known.Records, record)
			case errors.As(err, &damaged):
				known.Damaged = append(known.Damaged, damaged)
			default:
				return known, err
			}
		}
	}
	if err := s.knownRemoved(ctx, &known, ids); err != nil {
		return known, err
	}
	rows, err := s.among(ctx, "SELECT 0 AS row, key_hash, key_id FROM api_key_former_digests WHERE ", "key_hash", "", digests)
	if err != nil {
		return known, err
	}
	for at := range rows {
		reader := reader{cells: &rows[at]}
		if digest, is := digestOf(reader.must("key_hash")); is {
			id, _ := keystile.ParseKeyID(reader.must("key_id"))
			known.FormerDigests = append(known.FormerDigests, keystile.FormerDigest{Digest: digest, KeyID: id})
		}
	}
	if rows, err = s.among(ctx, "SELECT 0 AS row, lineage, remaining_uses FROM api_key_usage WHERE ", "lineage", "", lineages); err != nil {
		return known, err
	}
	for at := range rows {
		lineage, err := keystile.ParseKeyID((&reader{cells: &rows[at]}).must("lineage"))
		if err != nil {
			continue
		}
		// A number that cannot be read is taken as uses that are not counted, which no line exceeds.
		left := (&reader{cells: &rows[at]}).count("remaining_uses")
		known.Uses = append(known.Uses, keystile.LineageUses{Lineage: lineage, Left: left})
	}
	return known, nil
}

func (s *Store) knownRemoved(ctx context.Context, known *keystile.Known, ids []string) error {
	rows, err := s.among(ctx, s.removedColumns()+"WHERE ", "key_id", "", ids)
	if err != nil || len(rows) == 0 {
		return err
	}
	found := make([]string, len(rows))
	for at := range rows {
		found[at], _ = rows[at].values["key_id"].(string)
	}
	former, err := s.formerDigests(ctx, found)
	if err != nil {
		return err
	}
	for at := range rows {
		id, err := keystile.ParseKeyID(found[at])
		if err != nil {
			continue
		}
		removed, err := rows[at].removed()
		if err != nil && !errors.Is(err, keystile.ErrCorrupt) {
			return err
		}
		if err != nil {
			// No line is the same.
			removed = keystile.RemovedKey{KeyID: id}
		}
		removed.Digests = former[found[at]]
		known.Removed = append(known.Removed, removed)
	}
	return nil
}

// removed returns what is remembered of a removed key, without its digests.
func (c *cells) removed() (keystile.RemovedKey, error) {
	reader := reader{cells: c}
	removed := keystile.RemovedKey{KeyID: reader.id("key_id"), RevokedAt: reader.instant("revoked_at"), Owner: reader.text("owner")}
	if removed.KeyID.IsZero() {
		reader.fail("key_id", "a value")
	}
	if version := reader.count("version"); version != nil {
		removed.Version = *version
	} else {
		reader.fail("version", "a value")
	}
	reason := reader.text("revoke_reason")
	if !removed.RevokedAt.IsZero() {
		removed.RevokedReason = "unspecified"
		if reason != nil {
			removed.RevokedReason = *reason
		}
	}
	return removed, reader.err
}

// formerDigests returns the digests that are remembered of these keys, in ascending order. A text that
// is none is of no key either.
func (s *Store) formerDigests(ctx context.Context, ids []string) (map[string][]keystile.DigestBytes, error) {
	rows, err := s.among(ctx, "SELECT 0 AS row, key_id, key_hash FROM api_key_former_digests WHERE ", "key_id", " ORDER BY key_hash", ids)
	former := map[string][]keystile.DigestBytes{}
	for at := range rows {
		reader := reader{cells: &rows[at]}
		if digest, is := digestOf(reader.must("key_hash")); is {
			id := reader.must("key_id")
			former[id] = append(former[id], digest)
		}
	}
	return former, err
}

// among returns the rows of a query whose column has one of the values.
func (s *Store) among(ctx context.Context, query, column, order string, values []string) ([]cells, error) {
	if len(values) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return s.cells(ctx, s.db, query+strings.Replace(s.dialect.among, "{column}", column, 1)+order, string(text))
}

// holdDigests keeps others from inserting what a batch is to remember as revoked or removed.
func (s *Store) holdDigests(ctx context.Context, tx execer, imported keystile.Imported) error {
	if s.dialect.holdDigests == "" || len(imported.FormerDigests) == 0 && len(imported.Removed) == 0 {
		return nil
	}
	_, err := s.exec(ctx, tx, s.dialect.holdDigests)
	return err
}

// ratesOf returns the states of the rate limits of lineages.
func ratesOf(imported keystile.Imported) map[string]keystile.RateState {
	rates := map[string]keystile.RateState{}
	for _, rate := range imported.Rates {
		if _, is := rates[rate.Lineage.String()]; !is {
			rates[rate.Lineage.String()] = rate.State
		}
	}
	return rates
}

const (
	// formerDigest changes a row unless another key has or had the digest.
	formerDigest = `INSERT INTO api_key_former_digests (key_hash, key_id) SELECT $1::text, $2::text
		WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE key_hash = $1::text AND (key_id IS NULL OR key_id <> $2::text))
		ON CONFLICT (key_hash) DO UPDATE SET key_id = excluded.key_id WHERE api_key_former_digests.key_id = excluded.key_id`
	removedKey = `INSERT INTO api_key_deleted (key_id, version, revoked_at, revoke_reason, owner)
		SELECT $1::text, $2::bigint, $3::timestamptz, $4::text, $5::text
		WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE key_id = $1::text) ON CONFLICT DO NOTHING`
	// removedDigest changes a row unless a key that is not revoked has or had the digest, which would stay
	// valid. Another revoked key may have or have had it.
	removedDigest = `INSERT INTO api_key_former_digests (key_hash, key_id) SELECT $1::text, $2::text
		WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE key_hash = $1::text AND status <> 'revoked')
		ON CONFLICT (key_hash) DO UPDATE SET key_id = api_key_former_digests.key_id
		WHERE api_key_former_digests.key_id = excluded.key_id OR EXISTS
		(SELECT 1 FROM api_key_revoked_digests r WHERE r.key_hash = excluded.key_hash)`
)

// remember writes what an import has beside records.
func (s *Store) remember(ctx context.Context, tx execer, imported keystile.Imported) error {
	for _, former := range imported.FormerDigests {
		if err := oneUpdated(s.exec(ctx, tx, formerDigest, hex.EncodeToString(former.Digest[:]), former.KeyID.String())); err != nil {
			return err
		}
	}
	for _, removed := range imported.Removed {
		if removed.Version > math.MaxInt64 {
			return keystile.ErrOutOfRange
		}
		id := removed.KeyID.String()
		var reason any
		if !removed.RevokedAt.IsZero() {
			reason = removed.RevokedReason
		}
		err := oneUpdated(s.exec(ctx, tx, removedKey, id, int64(removed.Version), s.instant(removed.RevokedAt), reason, textOrNull(removed.Owner)))
		if err != nil {
			return err
		}
		for _, digest := range removed.Digests {
			if err := oneUpdated(s.exec(ctx, tx, removedDigest, hex.EncodeToString(digest[:]), id)); err != nil {
				return err
			}
		}
	}
	return nil
}

func textsOf(ids []keystile.KeyID) []string {
	texts := make([]string, len(ids))
	for at, id := range ids {
		texts[at] = id.String()
	}
	return texts
}

// digestOf returns the digest with these lower-case hex digits.
func digestOf(text string) (digest keystile.DigestBytes, is bool) {
	for at := range len(text) {
		if digit := text[at]; (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return digest, false
		}
	}
	count, err := hex.Decode(digest[:], []byte(text[:min(len(text), 64)]))
	return digest, err == nil && count == len(digest) && len(text) == 64
}
