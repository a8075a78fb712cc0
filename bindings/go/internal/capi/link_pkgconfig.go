//go:build keystile_pkgconfig

package capi

// With the tag keystile_pkgconfig, the library of the system is linked.

// #cgo pkg-config: keystile
import "C"
