// Package storetest is the suite that every implementation of [keystile.Store] must pass.
// It belongs in an implementation's own tests:
//
//	func TestLedger(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) keystile.Store { return openMine(t) })
//	}
//
// A store that several processes use is given to it as well with an open that hands out one
// of two handles on the same place. The cases are those of the Rust suite.
package storetest

import (
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Run holds a store to what [keystile.Store] promises. Open gives a fresh, empty one each
// time. Some cases let many goroutines loose on one key: -race finds more.
func Run(t *testing.T, open func(t *testing.T) keystile.Store) {
	for _, group := range []map[string]func(*suite){
		recordsCases, identityCases, changesCases, usageCases, listsCases, auditCases, lifecycleCases,
	} {
		for name, act := range group {
			t.Run(name, func(t *testing.T) { act(&suite{T: t, store: open(t)}) })
		}
	}
}
