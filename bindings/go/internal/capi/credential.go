package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Header is a header field.
type Header struct{ Name, Value string }

// Extractor is keystile_credential_extractor.
type Extractor struct {
	p *C.keystile_credential_extractor
}

// Sources are the fields of keystile_credential_sources.
type Sources struct {
	Headers, Schemes       []string
	Basic, WithoutDefaults bool
}

// NewExtractor returns an extractor for the formats of a verifier, or for any text if it is nil.
func NewExtractor(verifier *Verifier, sources *Sources) (*Extractor, *Failure) {
	var why C.keystile_error
	var p *C.keystile_credential_extractor
	var pinned pins
	defer pinned.Unpin()
	asked := &C.keystile_credential_sources{basic: flag(sources.Basic), without_defaults: flag(sources.WithoutDefaults)}
	asked.struct_size = C.size_t(unsafe.Sizeof(*asked))
	asked.headers, asked.headers_len = pinned.texts(sources.Headers)
	asked.schemes, asked.schemes_len = pinned.texts(sources.Schemes)
	for _, list := range []*C.keystile_str{asked.headers, asked.schemes} {
		if list != nil {
			pinned.Pin(list)
		}
	}
	pinned.Pin(asked)
	var known *C.keystile_verifier
	if verifier != nil {
		known = verifier.p
	}
	status := Status(C.keystile_credential_extractor_new(known, asked, &p, &why))
	runtime.KeepAlive(verifier)
	if status != OK {
		return nil, failed(status, &why)
	}
	extractor := &Extractor{p}
	runtime.AddCleanup(extractor, func(p *C.keystile_credential_extractor) { C.keystile_credential_extractor_free(p) }, p)
	collect()
	return extractor, nil
}

// ExtractOne reads the credential of one header field.
func (r *Extractor) ExtractOne(name, value string, decision *Decision) (string, Status) {
	var credential C.keystile_credential
	nameData, nameLen := borrow(name)
	valueData, valueLen := borrow(value)
	status := Status(C.ks_extract_one(r.p, nameData, nameLen, valueData, valueLen,
		(*C.keystile_decision)(unsafe.Pointer(decision)), &credential))
	runtime.KeepAlive(r)
	if status != OK {
		return "", status
	}
	return out(&credential, value), OK
}

// Extract reads the one credential among header fields.
func (r *Extractor) Extract(headers []Header, decision *Decision) (string, Status) {
	var credential C.keystile_credential
	var pinned pins
	defer pinned.Unpin()
	list := make([]C.keystile_header, len(headers))
	for at, header := range headers {
		list[at] = C.keystile_header{name: pinned.text(header.Name), value: pinned.text(header.Value)}
	}
	collect()
	status := Status(C.keystile_credential_extract(r.p, unsafe.SliceData(list), C.size_t(len(list)),
		(*C.keystile_decision)(unsafe.Pointer(decision)), &credential))
	runtime.KeepAlive(r)
	if status != OK {
		return "", status
	}
	return out(&credential, ""), OK
}

// out copies a credential, or returns the end of the value that it was read from without a
// copy.
func out(credential *C.keystile_credential, value string) string {
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&credential.text[0])), int(credential.len))
	text := ""
	if start := len(value) - len(bytes); start >= 0 && value[start:] == string(bytes) {
		text = value[start:]
	} else {
		text = string(bytes)
	}
	C.keystile_credential_wipe(credential)
	return text
}

// Response is the result of keystile_respond.
type Response struct {
	Status  int
	Headers []Header
	Body    string
}

// Respond returns the response to a refusal, or the header fields for an allowed request.
func Respond(decision *Decision, policy, fields uint32, requirement *Requirement, extractor *Extractor, now uint64) (Response, Status) {
	var p *C.keystile_response
	var reads *C.keystile_credential_extractor
	if extractor != nil {
		reads = extractor.p
	}
	collect()
	status := Status(C.keystile_respond((*C.keystile_decision)(unsafe.Pointer(decision)), C.uint32_t(policy), C.uint32_t(fields),
		requirement.pointer(), reads, C.uint64_t(now), &p))
	runtime.KeepAlive(requirement)
	runtime.KeepAlive(extractor)
	if status != OK {
		return Response{}, status
	}
	defer C.keystile_response_free(p)
	response := Response{Status: int(C.keystile_response_status(p))}
	count := C.keystile_response_header_count(p)
	response.Headers = make([]Header, 0, int(count))
	for index := C.size_t(0); index < count; index++ {
		var name, value C.keystile_str
		if status := Status(C.keystile_response_header_at(p, index, &name, &value)); status != OK {
			return Response{}, status
		}
		response.Headers = append(response.Headers, Header{copied(name), copied(value)})
	}
	var body C.keystile_str
	if status := Status(C.keystile_response_body(p, &body)); status != OK {
		return Response{}, status
	}
	response.Body = copied(body)
	return response, OK
}
