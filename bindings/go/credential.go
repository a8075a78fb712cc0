package keystile

import (
	"strings"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Credential is what a request presented as its key. It prints as a constant with every
// verb, in JSON and in logs; only [Credential.Expose] returns its text.
type Credential struct{ secret }

// CredentialSources are the header fields that a key is read from. The zero value is X-API-Key
// and Authorization: Bearer. The query is never read.
type CredentialSources struct {
	// Headers are further headers whose value is the key and nothing else; at most 8.
	Headers []string
	// Schemes are further schemes of Authorization, such as "Api-Key", in any case; at most 8.
	Schemes []string
	// Basic reads the user name of Authorization: Basic too, as curl -u KEY: sends it.
	Basic bool
	// WithoutDefaults reads only what is named here.
	WithoutDefaults bool
}

// CredentialExtractor reads a key from headers. It knows the formats of the keys: a value
// without the shape of one, such as a user's token in Authorization, may be beside the key.
type CredentialExtractor struct {
	extractor *capi.Extractor
	names     []string
}

// NewCredentialExtractor returns an extractor for keys of a verifier's formats; if the verifier
// is nil, any visible text is taken for a key. It returns [ErrName] for a header or a scheme
// that cannot carry a key, such as Cookie or Basic.
func NewCredentialExtractor(verifier *Verifier, sources CredentialSources) (*CredentialExtractor, error) {
	var known *capi.Verifier
	if verifier != nil {
		if verifier.isUninitialized() {
			return nil, uninitialized("Verifier")
		}
		known = verifier.verifier
	}
	raw, status := capi.NewExtractor(known, &capi.Sources{
		Headers: sources.Headers, Schemes: sources.Schemes,
		Basic: sources.Basic, WithoutDefaults: sources.WithoutDefaults,
	})
	if err := failure(status); err != nil {
		return nil, err
	}
	var names []string
	if !sources.WithoutDefaults {
		names = append(names, "X-Api-Key")
	}
	if !sources.WithoutDefaults || sources.Basic || len(sources.Schemes) > 0 {
		names = append(names, "Authorization")
	}
	return &CredentialExtractor{raw, append(names, sources.Headers...)}, nil
}

// Names returns the headers that are read.
func (r *CredentialExtractor) Names() []string {
	if r == nil {
		return []string{}
	}
	return append([]string{}, r.names...)
}

// Carries reports whether a header field presents what may be a key. If the headers of a request
// had one credential, these are the fields that carried it.
func (r *CredentialExtractor) Carries(field HeaderField) bool {
	if !r.reads(field.Name) {
		return false
	}
	_, decision := r.extract([]HeaderField{field})
	return decision.status == capi.OK
}

// Remove removes the fields that carried the key from the headers of a request, after
// [CredentialExtractor.ExtractFrom] has found one. What else is in the same headers stays.
func (r *CredentialExtractor) Remove(headers map[string][]string) {
	only, fields := "", 0
	for name, values := range headers {
		if r.reads(name) {
			only, fields = name, fields+len(values)
		}
	}
	// Nearly every request has one field that is read, so that one carried the key.
	if fields == 1 {
		delete(headers, only)
		return
	}
	for name, values := range headers {
		if !r.reads(name) {
			continue
		}
		kept := make([]string, 0, len(values))
		for _, value := range values {
			if !r.Carries(HeaderField{name, value}) {
				kept = append(kept, value)
			}
		}
		switch {
		case len(kept) == 0:
			delete(headers, name)
		case len(kept) < len(values):
			headers[name] = kept
		}
	}
}

// Extract returns the one credential among the header fields of a request. Pass at least
// those that [CredentialExtractor.Names] returns, and repeated fields too. If there is
// none, or two different ones, or only values that cannot be keys, the decision refuses;
// otherwise ignore it.
func (r *CredentialExtractor) Extract(fields []HeaderField) (Credential, Decision) {
	key, decision := r.extract(fields)
	if decision.status != capi.OK {
		return Credential{}, decision
	}
	return Credential{conceal(key)}, Decision{}
}

// ExtractFrom is [CredentialExtractor.Extract] for the headers of a [net/http] request. It
// returns the key as plain text: this allocates nothing if the key is the whole value of
// its header.
func (r *CredentialExtractor) ExtractFrom(headers map[string][]string) (key string, refusal Decision, found bool) {
	fields := make([]HeaderField, 0, 4)
	for name, values := range headers {
		if !r.reads(name) {
			continue
		}
		for _, value := range values {
			fields = append(fields, HeaderField{name, value})
		}
	}
	key, decision := r.extract(fields)
	if decision.status != capi.OK {
		return "", decision, false
	}
	return key, Decision{}, true
}

func (r *CredentialExtractor) raw() *capi.Extractor {
	if r == nil {
		return nil
	}
	return r.extractor
}

func (r *CredentialExtractor) reads(name string) bool {
	if r == nil {
		return false
	}
	for _, known := range r.names {
		if len(name) == len(known) && strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

func (r *CredentialExtractor) extract(fields []HeaderField) (string, Decision) {
	if r == nil || r.extractor == nil {
		return "", Refuse(CauseMalformed)
	}
	var decision Decision
	var key string
	if len(fields) == 1 {
		key, decision.status = r.extractor.ExtractOne(fields[0].Name, fields[0].Value, &decision.raw)
	} else {
		raw := make([]capi.Header, len(fields))
		for at, field := range fields {
			raw[at] = capi.Header(field)
		}
		key, decision.status = r.extractor.Extract(raw, &decision.raw)
	}
	if decision.status != capi.OK && !decision.status.IsRefusal() {
		return "", Refuse(CauseMalformed)
	}
	return key, decision
}
