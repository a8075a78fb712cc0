package keystile

import "sync"

// directory holds the records that decisions were made on, about as many as the keyring
// caches. The keyring holds only what a decision reads; the other fields are here.
//
// There are two generations: when the younger one is full, the older one is dropped and the
// younger one takes its place. A record that is used moves to the younger one.
type directory struct {
	mutex          sync.RWMutex
	younger, older map[KeyID]*Record
	capacity       int
}

func newDirectory(capacity int) *directory {
	return &directory{
		younger:  map[KeyID]*Record{},
		older:    map[KeyID]*Record{},
		capacity: max(capacity, 1),
	}
}

func (d *directory) find(id KeyID) *Record {
	d.mutex.RLock()
	record, fresh := d.younger[id]
	if !fresh {
		record = d.older[id]
	}
	d.mutex.RUnlock()
	if record != nil && !fresh {
		d.keep(record)
	}
	return record
}

// keep replaces an older version of a record, never a newer one.
func (d *directory) keep(record *Record) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, half := range []map[KeyID]*Record{d.younger, d.older} {
		if known := half[record.ID]; known != nil && known.Version > record.Version {
			record = known
		}
	}
	d.younger[record.ID] = record
	if len(d.younger) >= d.capacity {
		d.older, d.younger = d.younger, map[KeyID]*Record{}
	}
}

func (d *directory) forget(id KeyID) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	delete(d.younger, id)
	delete(d.older, id)
}

func (d *directory) forgetAll() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	clear(d.younger)
	clear(d.older)
}
