package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// borrow lends the bytes of a text to one call. The caller's argument keeps the text alive.
func borrow(text string) (*C.char, C.size_t) {
	collect()
	return (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text))
}

// bytesOf lends bytes to one call.
func bytesOf(bytes []byte) (*C.uint8_t, C.size_t) {
	collect()
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(bytes))), C.size_t(len(bytes))
}

// copied copies a text that the library lent.
func copied(text C.keystile_str) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(text.data)), int(text.len)))
}

// pins keeps Go's memory in place while a C struct points to it.
type pins struct{ runtime.Pinner }

// text returns a text, which may be empty.
func (p *pins) text(text string) C.keystile_str {
	if len(text) == 0 {
		// For no bytes any address will do; NULL would mean that there is no text.
		return C.keystile_str{data: &nothing[0], len: 0}
	}
	data := unsafe.StringData(text)
	p.Pin(data)
	return C.keystile_str{data: (*C.char)(unsafe.Pointer(data)), len: C.size_t(len(text))}
}

// optional returns a text, or none.
func (p *pins) optional(text *string) C.keystile_str {
	if text == nil {
		return C.keystile_str{}
	}
	return p.text(*text)
}

func (p *pins) texts(texts []string) (*C.keystile_str, C.size_t) {
	list := make([]C.keystile_str, len(texts))
	for at, text := range texts {
		list[at] = p.text(text)
	}
	collect()
	return unsafe.SliceData(list), C.size_t(len(list))
}

var nothing = [1]C.char{}

// filled asks for a length, and then for the text.
func filled(fill func(buffer *C.char, len C.size_t, needed *C.size_t) Status) (string, Status) {
	var needed C.size_t
	if status := fill(nil, 0, &needed); status != ErrorBufferTooSmall {
		return "", status
	}
	buffer := make([]byte, int(needed))
	status := fill((*C.char)(unsafe.Pointer(unsafe.SliceData(buffer))), needed, &needed)
	if status != OK {
		return "", status
	}
	return unsafe.String(unsafe.SliceData(buffer), len(buffer)), OK
}
