package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// usualLifetime is the lifetime of a key whose request has none.
const usualLifetime = 90 * 24 * time.Hour

// LifetimePolicy is how long the keys of a service live: see [Options.Lifetimes] and
// [Issuer.Lifetimes]. Of several policies the shortest counts; the zero one is none.
type LifetimePolicy struct {
	// Default is the lifetime of a key whose request has none, 1 ms or more; 0 for 90 days, or
	// for the longest if that is shorter.
	Default time.Duration
	// Longest is the longest lifetime, 1 ms or more; 0 for any. If there is one, a key that never
	// expires is refused. A lifetime that a successor gets from its predecessor is cut to it.
	Longest time.Duration
}

// Check returns [ErrTime] if a lifetime is out of its range, or the default is longer than the
// longest.
func (p LifetimePolicy) Check() error {
	for _, length := range []time.Duration{p.Default, p.Longest} {
		if length < 0 || length > 0 && length < time.Millisecond {
			return ErrTime
		}
	}
	if p.Longest != 0 && p.Default > p.Longest {
		return ErrTime
	}
	return nil
}

// within returns a policy under another one. The zero policy is none.
func (p LifetimePolicy) within(other LifetimePolicy) LifetimePolicy {
	switch (LifetimePolicy{}) {
	case p:
		return other
	case other:
		return p
	}
	longest := p.Longest
	if longest == 0 || other.Longest != 0 && other.Longest < longest {
		longest = other.Longest
	}
	return LifetimePolicy{Default: min(p.usual(), other.usual()), Longest: longest}
}

// usual returns the default lifetime.
func (p LifetimePolicy) usual() time.Duration {
	switch {
	case p.Default != 0:
		return p.Default
	case p.Longest != 0:
		return min(usualLifetime, p.Longest)
	}
	return usualLifetime
}

func (p LifetimePolicy) raw() (*capi.Lifetimes, error) {
	if err := p.Check(); err != nil || p == (LifetimePolicy{}) {
		return nil, err
	}
	return &capi.Lifetimes{DefaultMillis: spanMillis(p.Default), LongestMillis: spanMillis(p.Longest)}, nil
}
