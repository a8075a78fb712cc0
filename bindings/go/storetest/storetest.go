// Package storetest is the suite that every implementation of [keystile.Store] must pass.
// Call it in the implementation's tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) keystile.Store { return openMine(t) })
//	}
//
// [RunTemplates], [RunPortable] and [RunRequests] are for what a store may implement beside it.
//
// If several processes can use a store, run the suite also with an open function that
// returns one of two handles on the same database. The cases are those of the Rust suite.
package storetest

import (
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Run tests a store for everything that [keystile.Store] documents. Open must return a new,
// empty store each time. Some cases use one key from many goroutines: -race finds more.
func Run(t *testing.T, open func(t *testing.T) keystile.Store) {
	for _, group := range []map[string]func(*suite){
		recordsCases, identityCases, changesCases, usageCases, limitsCases, replacedRatesCases, listsCases, filtersCases, sortsCases, auditCases, lifecycleCases, changeCases, relianceCases, templateRelianceCases, derivedCases, derivedChangeCases, meanwhileCases, removalCases,
	} {
		for name, act := range group {
			t.Run(name, func(t *testing.T) { act(&suite{T: t, store: open(t)}) })
		}
	}
}
