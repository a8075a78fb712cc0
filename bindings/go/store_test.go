package keystile_test

import (
	"context"
	"sync"
	"sync/atomic"

	keystile "github.com/keystile/keystile/bindings/go"
)

// mapStore is a minimal store.
type mapStore struct {
	mutex   sync.RWMutex
	records map[keystile.KeyID]*keystile.Record
	finds   atomic.Int64
	// before is called by Find if it is set; Find returns its error.
	before func(context.Context) error
}

func newMapStore() *mapStore {
	return &mapStore{records: map[keystile.KeyID]*keystile.Record{}}
}

func (s *mapStore) put(records ...*keystile.Record) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, record := range records {
		s.records[record.ID] = record
	}
}

func (s *mapStore) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	s.finds.Add(1)
	s.mutex.RLock()
	found := s.records[lookup.KeyID]
	for _, record := range s.records {
		for _, digest := range lookup.Digests {
			if digest.Equal(record.Digest) {
				found = record
			}
		}
	}
	before := s.before
	s.mutex.RUnlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return nil, err
		}
	}
	return found, nil
}
