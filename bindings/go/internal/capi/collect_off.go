//go:build cgo && !keystile_gc

package capi

// collect does nothing; see the build tag keystile_gc.
func collect() {}
