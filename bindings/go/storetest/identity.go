package storetest

import (
	"bytes"
	"fmt"

	keystile "github.com/keystile/keystile/bindings/go"
)

var identityCases = map[string]func(*suite){
	"ids differ in case":                     idsDifferInCase,
	"opaque keys are found by their digests": opaqueKeys,
	"ids and digests are taken once":         takenOnce,
}

// L1: an id or digest that differs in case is another one.
func idsDifferInCase(s *suite) {
	lower, upper := plain(1), plain(2)
	lower.ID = keystile.Must(keystile.ParseKeyID("1aAaAaAaAaAaAaAa"))
	upper.ID = keystile.Must(keystile.ParseKeyID("1AaAaAaAaAaAaAaA"))
	lower.Lineage, upper.Lineage = lower.ID, upper.ID
	lower.Owner, upper.Owner = keystile.Ptr("Tenant"), keystile.Ptr("tENANT")

	batch := inserts(lower)
	batch.Events = append(batch.Events, keystile.Event{Kind: keystile.EventIssued, KeyID: lower.ID, At: at(1)})
	s.fine(s.store.Commit(ctx, batch), "a record")
	s.is(s.find(upper.ID) == nil, "an id in another case is not there")
	s.is(len(s.lineage(upper.ID)) == 0, "nor is a lineage")
	s.is(len(s.events(upper.ID, 0, 9)) == 0, "nor an event of it")
	request := keystile.SpendRequestOf(lower, keystile.Usage{}, keystile.Usage{})
	request.KeyID = upper.ID
	s.is(!s.spend(request), "nor can it spend")
	s.is(len(s.list(keystile.Filter{Owner: upper.Owner}, keystile.Page{Limit: 9})) == 0, "nor an owner")
	s.insert(upper)
	s.same(s.find(lower.ID), lower, "beside one in another case")
	s.same(s.find(upper.ID), upper, "beside one in another case")
}

func opaque(number int) string { return fmt.Sprintf("dt_%064x", number) }

func opaqueKeys(s *suite) {
	secret := func(version byte) []byte { return bytes.Repeat([]byte{version}, 32) }
	var none *keystile.PepperRing
	old := keystile.Must(keystile.NewPepperRing(1, secret(1)))
	ring := keystile.Must(keystile.Must(keystile.NewPepperRing(2, secret(2))).WithRetired(1, secret(1)))
	of := func(ring *keystile.PepperRing, number int) keystile.Digest {
		return keystile.Must(ring.Digest(opaque(number)))
	}
	plain_, retired, current, mislabelled := plain(1), plain(2), plain(3), plain(4)
	plain_.Digest, retired.Digest, current.Digest = of(none, 1), of(old, 2), of(ring, 3)
	// The right bytes with another kind: another digest.
	mislabelled.Digest = keystile.NewDigest(keystile.DigestHMACSHA256, 2, of(none, 4).Bytes())
	s.insert(plain_, retired, current, mislabelled)

	found := func(number int, ring *keystile.PepperRing) *keystile.Record {
		format := keystile.Must(keystile.OpaqueFormat("dt"))
		lookup := keystile.Must(keystile.Must(keystile.NewVerifier(ring, format)).Lookup(opaque(number)))
		record, err := s.store.Find(ctx, lookup)
		s.fine(err, "looking up digests does not fail")
		return record
	}
	for number, record := range []*keystile.Record{plain_, retired, current} {
		s.same(found(number+1, ring), record, "found by one of its digests")
	}
	for _, absent := range []struct {
		number int
		ring   *keystile.PepperRing
	}{{2, none}, {3, none}, {3, old}, {4, none}, {4, ring}, {5, ring}} {
		s.is(found(absent.number, absent.ring) == nil, "key %d has no digest that is asked for", absent.number)
	}
}

func takenOnce(s *suite) {
	first, ended := plain(1), plain(2)
	ended.State, ended.RevokedAt = keystile.StateRevoked, at(0)
	s.insert(first, ended)
	before := s.allEvents()
	for _, taken := range []*keystile.Record{first, ended} {
		sameID, sameDigest := plain(3), plain(4)
		sameID.ID, sameID.Lineage = taken.ID, taken.ID
		sameDigest.Digest = taken.Digest
		for _, record := range []*keystile.Record{sameID, sameDigest, taken} {
			batch := inserts(record)
			batch.Events = append(batch.Events, event(3))
			s.refused(s.store.Commit(ctx, batch), keystile.ErrDuplicate, "taken once")
		}
	}
	s.refused(s.store.Commit(ctx, inserts(plain(5), plain(5))), keystile.ErrDuplicate, "not twice in a batch either")
	sameDigest := next(first)
	sameDigest.Digest = ended.Digest
	s.refused(s.store.Commit(ctx, updates(sameDigest)), keystile.ErrDuplicate, "an update takes no other's digest")
	s.sameEvents(s.allEvents(), before, "what was refused left no event")
	for number := 3; number < 6; number++ {
		s.is(s.find(id(number)) == nil, "what was refused is not there")
	}
	s.same(s.find(first.ID), first, "after refusals")
	s.same(s.find(ended.ID), ended, "after refusals")
}
