package keystile

import (
	"strings"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Credential is what a request presented as its key. It prints as a constant with every
// verb, in JSON and in logs; only [Credential.Expose] returns its text.
type Credential struct{ secret }

// CredentialExtractor reads a key from headers: always X-API-Key and Authorization: Bearer.
type CredentialExtractor struct {
	extractor *capi.Extractor
	names     []string
}

// NewCredentialExtractor returns an extractor without a further header and without Basic.
func NewCredentialExtractor() (*CredentialExtractor, error) { return newRules(nil, false) }

// NewCredentialExtractorWith returns an extractor that also reads another header, if its
// name is not empty, and the user name of Authorization: Basic, if basic is set. It returns
// [ErrName] for a name that no header can have, or that must not carry keys.
func NewCredentialExtractorWith(header string, basic bool) (*CredentialExtractor, error) {
	if header == "" {
		return newRules(nil, basic)
	}
	return newRules(&header, basic)
}

func newRules(header *string, basic bool) (*CredentialExtractor, error) {
	raw, status := capi.NewExtractor(header, basic)
	if err := failure(status); err != nil {
		return nil, err
	}
	extractor := &CredentialExtractor{extractor: raw, names: []string{"X-Api-Key", "Authorization"}}
	if header != nil {
		extractor.names = append(extractor.names, *header)
	}
	return extractor, nil
}

// Names returns the headers that are read.
func (r *CredentialExtractor) Names() []string { return append([]string{}, r.names...) }

// Extract returns the one credential among the header fields of a request. Pass at least
// those that [CredentialExtractor.Names] returns, and repeated fields too. If there is
// none, or two different ones, or one that cannot be a key, the decision refuses; otherwise
// ignore it.
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
