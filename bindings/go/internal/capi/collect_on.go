//go:build cgo && keystile_gc

package capi

import "runtime"

// collect collects garbage: with the tag keystile_gc that happens before each call of the
// library, and all the time beside them, so that a handle or text that is let go of too
// early is gone at once.
func collect() { runtime.GC() }

func init() {
	go func() {
		for {
			runtime.GC()
			runtime.Gosched()
		}
	}()
}
