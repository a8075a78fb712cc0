module github.com/keystile/keystile/bindings/go/keystileredis

go 1.26.0

// A module of its own, so that no service that uses keystile without Redis gets its client on the
// list of what it depends on.
require (
	github.com/keystile/keystile/bindings/go v0.0.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace github.com/keystile/keystile/bindings/go => ../
