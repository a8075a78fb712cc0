package keystile

import (
	"context"
	"maps"
	"slices"
)

// Template returns the template with this name, or nil.
func (s *MemoryStore) Template(ctx context.Context, name string) (found *StoredTemplate, err error) {
	return found, s.with(ctx, func(state *memoryState) error {
		found = state.templates[name].clone()
		return nil
	})
}

// ListTemplates returns templates in the order of their names.
func (s *MemoryStore) ListTemplates(ctx context.Context, after string, limit int) (listed ListedTemplates, err error) {
	limit = min(max(limit, 0), TemplatesPageMax)
	return listed, s.with(ctx, func(state *memoryState) error {
		for _, name := range slices.Sorted(maps.Keys(state.templates)) {
			if name > after && len(listed.Templates) < limit {
				listed.Templates = append(listed.Templates, state.templates[name].clone())
			}
		}
		if count := len(listed.Templates); count > 0 && count == limit {
			listed.Next = listed.Templates[count-1].Template.Name()
		}
		return nil
	})
}

// SaveTemplate inserts a template, or replaces the version before.
func (s *MemoryStore) SaveTemplate(ctx context.Context, template *StoredTemplate) error {
	if err := template.Check(); err != nil {
		return err
	}
	return s.with(ctx, func(state *memoryState) error {
		name := template.Template.Name()
		switch stored := state.templates[name]; {
		case template.Version == 1 && stored != nil:
			return ErrTemplateExists
		case template.Version == 1:
		case stored == nil, stored.Version+1 != template.Version, !stored.CreatedAt.Equal(template.CreatedAt):
			return ErrStale
		}
		state.templates[name] = template.clone()
		return nil
	})
}

// RemoveTemplate removes a template.
func (s *MemoryStore) RemoveTemplate(ctx context.Context, name string, only *StoredTemplate) error {
	return s.with(ctx, func(state *memoryState) error {
		stored := state.templates[name]
		switch {
		case only == nil && stored == nil:
			return ErrNoTemplate
		case only != nil && (stored == nil || stored.Version != only.Version || !stored.CreatedAt.Equal(only.CreatedAt)):
			return ErrStale
		}
		delete(state.templates, name)
		return nil
	})
}

// clone returns a copy with instants as a store has them.
func (t *StoredTemplate) clone() *StoredTemplate {
	if t == nil {
		return nil
	}
	clone := *t
	clone.Former = slices.Clone(t.Former)
	clone.CreatedAt, clone.ChangedAt = timeOf(millisOf(t.CreatedAt)), timeOf(millisOf(t.ChangedAt))
	return &clone
}
