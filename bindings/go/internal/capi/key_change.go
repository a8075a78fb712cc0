package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// FieldChange is keystile_field_change; a value is nil if there is none.
type FieldChange struct {
	Field    string
	From, To *string
}

// takeFields copies the fields that the event of a change names.
func takeFields(p *C.keystile_change) ([]FieldChange, Status) {
	var fields []FieldChange
	for index := C.size_t(0); index < C.keystile_change_field_count(p); index++ {
		var field C.keystile_field_change
		if status := Status(C.keystile_change_field_at(p, index, &field)); status != OK {
			return nil, status
		}
		fields = append(fields, FieldChange{copied(field.field), orNil(field.from), orNil(field.to)})
	}
	return fields, OK
}

func orNil(text C.keystile_str) *string {
	if text.data == nil {
		return nil
	}
	own := copied(text)
	return &own
}

// KeyChange is keystile_key_change: what is nil and not cleared stays as it is.
type KeyChange struct {
	ClientName, ClientEmail, Owner, Metadata       *string
	Template                                       *Template
	Permissions, AddPermissions, RemovePermissions *Permissions
	Endpoints                                      *Endpoints
	Networks                                       *Networks
	RateLimit                                      *RateLimit
	Uses                                           *uint64
	LifetimeMillis                                 *uint64
	NeverExpires                                   bool
	ClearClientEmail, ClearOwner, ClearMetadata    bool
	ClearScopeTemplate                             bool
	ClearEndpoints, ClearNetworks                  bool
	ClearRateLimit, ClearUses                      bool
	Lifetimes                                      *Lifetimes
}

func (k *KeyChange) in(pinned *pins) *C.keystile_key_change {
	change := &C.keystile_key_change{
		client_name:             pinned.optional(k.ClientName),
		client_email:            pinned.optional(k.ClientEmail),
		owner:                   pinned.optional(k.Owner),
		metadata:                pinned.optional(k.Metadata),
		scope_template:          k.Template.pointer(),
		permissions:             k.Permissions.pointer(),
		add_permissions:         k.AddPermissions.pointer(),
		remove_permissions:      k.RemovePermissions.pointer(),
		allowed_endpoints:       k.Endpoints.pointer(),
		allowed_networks:        k.Networks.pointer(),
		never_expires:           flag(k.NeverExpires),
		clear_client_email:      flag(k.ClearClientEmail),
		clear_owner:             flag(k.ClearOwner),
		clear_metadata:          flag(k.ClearMetadata),
		clear_scope_template:    flag(k.ClearScopeTemplate),
		clear_allowed_endpoints: flag(k.ClearEndpoints),
		clear_allowed_networks:  flag(k.ClearNetworks),
		clear_rate_limit:        flag(k.ClearRateLimit),
		clear_uses:              flag(k.ClearUses),
		lifetimes:               pinned.lifetimes(k.Lifetimes),
	}
	change.struct_size = C.size_t(unsafe.Sizeof(*change))
	if k.RateLimit != nil {
		change.rate_limit = *(*C.keystile_rate_limit)(unsafe.Pointer(k.RateLimit))
		change.has_rate_limit = 1
	}
	if k.Uses != nil {
		change.uses, change.has_uses = C.uint64_t(*k.Uses), 1
	}
	if k.LifetimeMillis != nil {
		change.lifetime_millis, change.has_lifetime = C.uint64_t(*k.LifetimeMillis), 1
	}
	collect()
	return change
}

func flag(set bool) C.uint8_t {
	if set {
		return 1
	}
	return 0
}

// RecordChange changes a key.
func RecordChange(record *Record, requested *KeyChange, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	var pinned pins
	defer pinned.Unpin()
	status := Status(C.keystile_record_change(record.p, requested.in(&pinned), C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	runtime.KeepAlive(requested)
	return take(p, failed(status, &why))
}

// RecordWouldChange reports whether a change would change a field of the key.
func RecordWouldChange(record *Record, requested *KeyChange, now uint64) (bool, *Failure) {
	var why C.keystile_error
	var alters C.bool
	var pinned pins
	defer pinned.Unpin()
	status := Status(C.keystile_record_would_change(record.p, requested.in(&pinned), C.uint64_t(now), &alters, &why))
	runtime.KeepAlive(record)
	runtime.KeepAlive(requested)
	return bool(alters), failed(status, &why)
}
