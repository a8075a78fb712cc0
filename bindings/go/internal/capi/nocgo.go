//go:build !cgo

package capi

// Without cgo the build stops here; the name says what to do.
var _ = keystile_needs_CGO_ENABLED_1_and_a_C_compiler
