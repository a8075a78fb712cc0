// Package capi calls libkeystile. All the cgo and all the unsafe code of this module
// stand here; what it exports are plain numbers, texts and handles.
//
// A handle frees what it holds once nobody can reach it any more. Its methods may be
// called by any goroutines at once, as the C library allows.
package capi
