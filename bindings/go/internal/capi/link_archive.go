//go:build !keystile_pkgconfig

package capi

// `cargo xtask go-lib` builds the archive; releases contain it. If the linker does not find
// it, run that command on this platform. It is in this folder, like the header, because
// `go mod vendor` copies only folders with Go files.

/*
#include "libc.h"
#cgo linux,amd64,!musl LDFLAGS: ${SRCDIR}/libkeystile_linux_amd64.a
#cgo linux,arm64,!musl LDFLAGS: ${SRCDIR}/libkeystile_linux_arm64.a
#cgo linux,amd64,musl LDFLAGS: ${SRCDIR}/libkeystile_linux_amd64_musl.a
#cgo linux,arm64,musl LDFLAGS: ${SRCDIR}/libkeystile_linux_arm64_musl.a
#cgo darwin,amd64 LDFLAGS: ${SRCDIR}/libkeystile_darwin_amd64.a
#cgo darwin,arm64 LDFLAGS: ${SRCDIR}/libkeystile_darwin_arm64.a
#cgo linux LDFLAGS: -lpthread -lm -ldl
#cgo musl CFLAGS: -DKEYSTILE_GO_MUSL
*/
import "C"
