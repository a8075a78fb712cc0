package keystile

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"
	"unicode/utf8"
)

// FormerTemplatesMax is how many earlier states of a template are kept.
const FormerTemplatesMax = 16

// TemplatesPageMax is the maximum number of templates in a page. They are large: each has its
// earlier states.
const TemplatesPageMax = 50

// Errors about stored templates. Compare with [errors.Is].
var (
	// ErrNoTemplate means that there is no template with this name.
	ErrNoTemplate = errors.New("keystile: there is no template with this name")
	// ErrTemplateExists means that a template with this name exists already.
	ErrTemplateExists = errors.New("keystile: a template with this name exists already")
	// ErrPresetTemplate means that a template has the name of a preset, which cannot be changed
	// or removed.
	ErrPresetTemplate = errors.New("keystile: monitoring, integration and admin are presets, which cannot be changed or removed")
)

// StoredTemplate is a template that is stored: the rights of the keys that are issued from it,
// how long they live, and its earlier rights. The presets are always there, and are not stored.
type StoredTemplate struct {
	// Template is its name, and the rights of its keys.
	Template *ScopeTemplate
	// Lifetime is how long a key lives whose request has no lifetime, and the longest that a
	// request may ask for; zero for that of a key without a template, and any.
	Lifetime time.Duration
	// Former is what it was before, the latest last: at most [FormerTemplatesMax]. A key that
	// is like one of them, and was issued before that one ended, has no rights of its own.
	Former []FormerTemplate
	// Version is 1 when it is new, and one more after each change; 0 is a preset.
	Version uint64
	// CreatedAt is when it was added, and ChangedAt when it was changed for the last time, to
	// the millisecond.
	CreatedAt, ChangedAt time.Time
}

// FormerTemplate is an earlier state of a template. Its JSON form is that of the store.
type FormerTemplate struct {
	// Template is what it was.
	Template *ScopeTemplate
	// Until is when it was changed, to the millisecond.
	Until time.Time
}

// ErrTemplateChanged means that a batch relies on a template, see [Batch.TemplateUnchanged], that was
// changed or removed meanwhile. It is an [ErrStale], and to read the record again does not help.
var ErrTemplateChanged error = templateChanged{}

type templateChanged struct{}

func (templateChanged) Error() string {
	return "keystile: the template was changed or removed meanwhile"
}

// Is makes it an [ErrStale].
func (templateChanged) Is(target error) bool { return target == ErrStale }

// TemplateVersion is a version of a template.
type TemplateVersion struct {
	Name    string
	Version uint64
	// CreatedAt is when it was added: one that was removed and added again has the same versions.
	CreatedAt time.Time
}

// Unchanged returns the version of the template as it was read, for [Batch.TemplateUnchanged]. It
// returns nil for a preset, which never changes.
func (t *StoredTemplate) Unchanged() *TemplateVersion {
	if t == nil || t.Template == nil || t.Version == 0 {
		return nil
	}
	return &TemplateVersion{t.Template.Name(), t.Version, t.CreatedAt}
}

// TemplateStore is a [RecordFinder] that keeps templates. The store of keystilesql is one.
type TemplateStore interface {
	// Template returns the template with this name, or nil and no error if there is none; a
	// [CorruptRow] if its row cannot be read. It knows no presets: see [FindTemplate].
	Template(ctx context.Context, name string) (*StoredTemplate, error)
	// ListTemplates returns templates in the byte order of their names, starting after a name;
	// at most limit and [TemplatesPageMax]. A row that cannot be read is named, and is no error.
	ListTemplates(ctx context.Context, after string, limit int) (ListedTemplates, error)
	// SaveTemplate inserts a template of version 1, or replaces the one with the version before
	// and the same CreatedAt. It returns the error of [StoredTemplate.Check],
	// [ErrTemplateExists], or [ErrStale] if there is no such version.
	SaveTemplate(ctx context.Context, template *StoredTemplate) error
	// RemoveTemplate removes a template, also one whose row cannot be read; unless only is nil,
	// if it is still that one. The keys that were issued from it stay as they are. It returns
	// [ErrNoTemplate], or [ErrStale] if only is another one.
	RemoveTemplate(ctx context.Context, name string, only *StoredTemplate) error
}

// ListedTemplates is a page of templates.
type ListedTemplates struct {
	// Templates are those that can be read, without the presets.
	Templates []*StoredTemplate
	// Damaged are the rows that cannot be read.
	Damaged []*CorruptRow
	// Next is the name that the next page starts after; empty if this is the last one.
	Next string
}

// NewStoredTemplate returns a new template; a lifetime of zero is that of a key without one.
func NewStoredTemplate(template *ScopeTemplate, lifetime time.Duration, now time.Time) *StoredTemplate {
	now = now.UTC().Truncate(time.Millisecond)
	return &StoredTemplate{Template: template, Lifetime: lifetime, Version: 1, CreatedAt: now, ChangedAt: now}
}

// Changed returns the template with other rights and another lifetime, and the next version.
// It returns [ErrName] if the name is another one.
func (t *StoredTemplate) Changed(template *ScopeTemplate, lifetime time.Duration, now time.Time) (*StoredTemplate, error) {
	if t == nil || t.Template.isUninitialized() || template.isUninitialized() {
		return nil, ErrAbsent
	}
	if template.Name() != t.Template.Name() {
		return nil, ErrName
	}
	changed := *t
	changed.Template, changed.Lifetime = template, lifetime
	changed.Version, changed.ChangedAt = t.Version+1, now.UTC().Truncate(time.Millisecond)
	own := templateText(t.Template)
	if templateText(template) != own {
		changed.Former = nil
		for _, former := range t.Former {
			if templateText(former.Template) != own {
				changed.Former = append(changed.Former, former)
			}
		}
		changed.Former = append(changed.Former, FormerTemplate{Template: t.Template, Until: changed.ChangedAt})
		if excess := len(changed.Former) - FormerTemplatesMax; excess > 0 {
			changed.Former = changed.Former[excess:]
		}
	}
	return &changed, nil
}

// Check returns an error if a store must not keep the template: [ErrPresetTemplate] for the
// name of a preset, and [ErrOutOfRange] if its version is 0, its lifetime is not a number of
// milliseconds, or it has too many earlier states or one of another name. A store calls it
// before it writes.
func (t *StoredTemplate) Check() error {
	if t == nil || t.Template.isUninitialized() {
		return ErrAbsent
	}
	name := t.Template.Name()
	if _, err := PresetTemplate(name); err == nil {
		return ErrPresetTemplate
	}
	if t.Version == 0 || t.Version > math.MaxInt64 || t.Lifetime < 0 || t.Lifetime%time.Millisecond != 0 ||
		len(t.Former) > FormerTemplatesMax {
		return ErrOutOfRange
	}
	for _, former := range t.Former {
		if former.Template.isUninitialized() || former.Template.Name() != name {
			return ErrOutOfRange
		}
	}
	return nil
}

// Request returns the request for a key of this template. It returns [ErrExceeds] if the
// request asks for a longer life.
func (t *StoredTemplate) Request(request IssueRequest) (IssueRequest, error) {
	if t == nil || t.Template.isUninitialized() {
		return request, ErrAbsent
	}
	request.Template = t.Template
	if t.Lifetime == 0 {
		return request, nil
	}
	if request.NeverExpires || (request.Lifetime != nil && *request.Lifetime > t.Lifetime) {
		return request, ErrExceeds
	}
	if request.Lifetime == nil {
		request.Lifetime = Ptr(t.Lifetime)
	}
	return request, nil
}

// FindTemplate returns the template with this name: a preset, which is in every store, or a
// stored one. It returns [ErrNoTemplate] if there is none.
func FindTemplate(ctx context.Context, store TemplateStore, name string) (*StoredTemplate, error) {
	if preset, err := PresetTemplate(name); err == nil {
		return &StoredTemplate{Template: preset}, nil
	}
	if store == nil {
		return nil, uninitialized("TemplateStore")
	}
	found, err := store.Template(ctx, name)
	if err == nil && found == nil {
		err = ErrNoTemplate
	}
	return found, err
}

// IssueFrom issues a key from a template of the store, which must be a [TemplateStore], or from
// a preset, and stores its record. The request may only narrow the template. It returns the
// errors of [FindTemplate], [StoredTemplate.Request] and [Authenticator.Issue].
func (a *Authenticator) IssueFrom(ctx context.Context, template string, issuer *Issuer, request IssueRequest) (*Change, error) {
	if err := a.issuable(issuer); err != nil {
		return nil, err
	}
	store, _ := a.store.(TemplateStore)
	var found *StoredTemplate
	if preset, err := PresetTemplate(template); err == nil {
		found = &StoredTemplate{Template: preset}
	} else if store == nil {
		return nil, ErrNoTemplate
	} else if found, err = FindTemplate(ctx, store, template); err != nil {
		return nil, err
	}
	request, err := found.Request(request)
	if err != nil {
		return nil, err
	}
	return a.Issue(ctx, issuer, request)
}

// templateForm is the JSON form of a template, which is the same in all languages.
type templateForm struct {
	Name             string     `json:"name"`
	Permissions      []string   `json:"permissions"`
	RateLimit        *limitForm `json:"rate_limit"`
	AllowedEndpoints *[]string  `json:"allowed_endpoints"`
}

// MarshalJSON writes the template as Rust does.
func (t *ScopeTemplate) MarshalJSON() ([]byte, error) {
	if t.isUninitialized() {
		return nil, ErrAbsent
	}
	form := templateForm{Name: t.Name(), Permissions: t.Permissions().Strings()}
	if form.Permissions == nil {
		form.Permissions = []string{}
	}
	if endpoints := t.Endpoints(); endpoints != nil {
		rules := append([]string{}, endpoints.Strings()...)
		form.AllowedEndpoints = &rules
	}
	if limit := t.RateLimit(); limit != nil {
		form.RateLimit = &limitForm{Limit: limit.limit.Limit, WindowMS: limit.limit.WindowMillis, Burst: limit.limit.Burst}
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads what [ScopeTemplate.MarshalJSON] writes. It returns [ErrJSON], or the
// error of a part that is not well formed.
func (t *ScopeTemplate) UnmarshalJSON(text []byte) error {
	if t == nil {
		return ErrAbsent
	}
	if !utf8.Valid(text) {
		return ErrNotUTF8
	}
	var form templateForm
	if err := json.Unmarshal(text, &form); err != nil || form.Permissions == nil {
		return ErrJSON
	}
	permissions, err := NewPermissionSet(form.Permissions...)
	if err != nil {
		return err
	}
	var endpoints *EndpointRules
	if form.AllowedEndpoints != nil {
		if endpoints, err = NewEndpointRules(*form.AllowedEndpoints...); err != nil {
			return err
		}
	}
	var limit *RateLimit
	if form.RateLimit != nil {
		if form.RateLimit.WindowMS > uint64(math.MaxInt64/int64(time.Millisecond)) {
			return ErrLimit
		}
		window := time.Duration(form.RateLimit.WindowMS) * time.Millisecond
		read, err := NewRateLimitWithBurst(form.RateLimit.Limit, window, form.RateLimit.Burst)
		if err != nil {
			return err
		}
		limit = &read
	}
	read, err := NewScopeTemplate(form.Name, permissions, endpoints, limit)
	if err != nil {
		return err
	}
	*t = *read
	return nil
}

// formerForm is the JSON form of an earlier state, which is the same in all languages.
type formerForm struct {
	UntilMS  *int64         `json:"until"`
	Template *ScopeTemplate `json:"template"`
}

// MarshalJSON writes the state as Rust does.
func (f FormerTemplate) MarshalJSON() ([]byte, error) {
	return json.Marshal(formerForm{UntilMS: Ptr(f.Until.UnixMilli()), Template: f.Template})
}

// UnmarshalJSON reads what [FormerTemplate.MarshalJSON] writes. It returns [ErrJSON], or the error
// of a part that is not well formed.
func (f *FormerTemplate) UnmarshalJSON(text []byte) error {
	if f == nil {
		return ErrAbsent
	}
	var form formerForm
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	if form.UntilMS == nil || *form.UntilMS < 0 || form.Template == nil {
		return ErrJSON
	}
	f.Template, f.Until = form.Template, time.UnixMilli(*form.UntilMS).UTC()
	return nil
}

// templateText is a template as a text, to compare it.
func templateText(template *ScopeTemplate) string {
	text, _ := template.MarshalJSON()
	return string(text)
}
