// Package capi calls libkeystile. All cgo and all unsafe code of this module is in this
// package; it exports only plain numbers, texts and handles. A handle is freed when it is
// no longer reachable. Any goroutines may call its methods at once, as the C library
// allows.
package capi
