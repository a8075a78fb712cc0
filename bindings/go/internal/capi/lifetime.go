package capi

// #include "hot.h"
import "C"

import "unsafe"

// Lifetimes is keystile_lifetime_policy; 0 is the default.
type Lifetimes struct{ DefaultMillis, LongestMillis uint64 }

// lifetimes returns a policy that a C struct points to; nil for none.
func (p *pins) lifetimes(lifetimes *Lifetimes) *C.keystile_lifetime_policy {
	if lifetimes == nil {
		return nil
	}
	policy := &C.keystile_lifetime_policy{
		default_millis: C.uint64_t(lifetimes.DefaultMillis),
		longest_millis: C.uint64_t(lifetimes.LongestMillis),
	}
	policy.struct_size = C.size_t(unsafe.Sizeof(*policy))
	p.Pin(policy)
	return policy
}
