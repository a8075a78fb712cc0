package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Record is keystile_record.
type Record struct{ p *C.keystile_record }

// RecordFromJSON parses the JSON form of a record.
func RecordFromJSON(json []byte) (*Record, *Failure) {
	var why C.keystile_error
	var p *C.keystile_record
	collect()
	data := (*C.char)(unsafe.Pointer(unsafe.SliceData(json)))
	if status := Status(C.keystile_record_from_json(data, C.size_t(len(json)), &p, &why)); status != OK {
		return nil, failed(status, &why)
	}
	record := &Record{p}
	runtime.AddCleanup(record, func(p *C.keystile_record) { C.keystile_record_free(p) }, p)
	collect()
	return record, nil
}

// JSON returns the record as JSON text.
func (r *Record) JSON() (string, Status) {
	collect()
	defer runtime.KeepAlive(r)
	return recordJSON(r.p)
}

func recordJSON(p *C.keystile_record) (string, Status) {
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_record_to_json(p, buffer, len, needed))
	})
}

// IsLive reports whether the key is active, not expired and not past its overlap.
func (r *Record) IsLive(now uint64) (bool, Status) {
	var live C.bool
	collect()
	status := Status(C.keystile_record_is_live(r.p, C.uint64_t(now), &live))
	runtime.KeepAlive(r)
	return bool(live), status
}

// IsWithin reports whether the key may do no more than another.
func (r *Record) IsWithin(source *Record) (bool, Status) {
	var within C.bool
	collect()
	status := Status(C.keystile_record_is_within(r.p, source.p, &within))
	runtime.KeepAlive(r)
	runtime.KeepAlive(source)
	return bool(within), status
}

func (r *Record) pointer() *C.keystile_record {
	if r == nil {
		return nil
	}
	return r.p
}

func recordPointers(records []*Record) (**C.keystile_record, C.size_t) {
	list := make([]*C.keystile_record, len(records))
	for at, record := range records {
		list[at] = record.p
	}
	collect()
	return unsafe.SliceData(list), C.size_t(len(list))
}
