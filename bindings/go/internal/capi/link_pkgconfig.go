//go:build keystile_pkgconfig

package capi

// With the tag keystile_pkgconfig, the library of the system is linked.

// #include "hot.h"
// #cgo pkg-config: keystile
import "C"

// The module is compiled with its own header, and the system may have another version.
func init() {
	if C.keystile_abi_version() != C.KEYSTILE_ABI_VERSION {
		panic("keystile: the installed libkeystile has another ABI than this Go module; install the one of the same release")
	}
}
