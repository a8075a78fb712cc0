//go:build !keystile_pkgconfig

package capi

// `cargo xtask go-lib` builds the archive; releases contain it. If the linker does not find
// it, run that command on this platform.

/*
#cgo CFLAGS: -I${SRCDIR}/include
#cgo linux,amd64 LDFLAGS: ${SRCDIR}/lib/linux_amd64/libkeystile.a
#cgo linux,arm64 LDFLAGS: ${SRCDIR}/lib/linux_arm64/libkeystile.a
#cgo darwin,amd64 LDFLAGS: ${SRCDIR}/lib/darwin_amd64/libkeystile.a
#cgo darwin,arm64 LDFLAGS: ${SRCDIR}/lib/darwin_arm64/libkeystile.a
#cgo linux LDFLAGS: -lpthread -lm -ldl
*/
import "C"
