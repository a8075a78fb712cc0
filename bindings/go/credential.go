package keystile

import (
	"strings"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Credential is what a request presented as its key. It prints as a constant under every
// verb, in JSON and in logs; [Credential.Expose] is the one way out.
type Credential struct{ secret }

// CredentialExtractor are where a key is read from: X-API-Key and Authorization: Bearer always.
// They never change, and goroutines may share them.
type CredentialExtractor struct {
	rules *capi.Rules
	names []string
}

// NewCredentialExtractor are the rules without a header of one's own and without Basic.
func NewCredentialExtractor() (*CredentialExtractor, error) { return newRules(nil, false) }

// NewCredentialExtractorWith reads another header too, where its name is not empty, and the user
// name of Authorization: Basic, where that is asked for. A name that no header can have, or
// that should not carry keys, is [ErrName].
func NewCredentialExtractorWith(header string, basic bool) (*CredentialExtractor, error) {
	if header == "" {
		return newRules(nil, basic)
	}
	return newRules(&header, basic)
}

func newRules(header *string, basic bool) (*CredentialExtractor, error) {
	rules, status := capi.NewRules(header, basic)
	if err := failure(status); err != nil {
		return nil, err
	}
	extractor := &CredentialExtractor{rules: rules, names: []string{"X-Api-Key", "Authorization"}}
	if header != nil {
		extractor.names = append(extractor.names, *header)
	}
	return extractor, nil
}

// Names are the headers that are read.
func (r *CredentialExtractor) Names() []string { return append([]string{}, r.names...) }

// Extract is the one credential among the header fields of a request, each as often as it
// was sent: at least those that [CredentialExtractor.Names] names. Where there is none, or two
// different ones, or none that could be a key, the decision refuses; else it is of no
// meaning.
func (r *CredentialExtractor) Extract(fields []HeaderField) (Credential, Decision) {
	key, decision := r.extract(fields)
	if decision.status != capi.OK {
		return Credential{}, decision
	}
	return Credential{conceal(key)}, Decision{}
}

// ExtractFrom is [CredentialExtractor.Extract] for the headers of an [net/http] request. It
// gives the key as a plain text: nothing is allocated for one that stands in its header.
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

func (r *CredentialExtractor) reads(name string) bool {
	for _, known := range r.names {
		if len(name) == len(known) && strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}

func (r *CredentialExtractor) extract(fields []HeaderField) (string, Decision) {
	var decision Decision
	var key string
	if len(fields) == 1 {
		key, decision.status = r.rules.ExtractOne(fields[0].Name, fields[0].Value, &decision.raw)
	} else {
		raw := make([]capi.Header, len(fields))
		for at, field := range fields {
			raw[at] = capi.Header(field)
		}
		key, decision.status = r.rules.Extract(raw, &decision.raw)
	}
	if decision.status != capi.OK && !decision.status.IsRefusal() {
		return "", Refuse(CauseMalformed)
	}
	return key, decision
}
