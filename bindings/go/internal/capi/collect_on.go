//go:build cgo && keystile_gc

package capi

import "runtime"

// collect collects garbage before each call of the library if the tag keystile_gc is set,
// so that a handle or text that is released too early is gone at once.
func collect() { runtime.GC() }

func init() {
	go func() {
		for {
			runtime.GC()
			runtime.Gosched()
		}
	}()
}
