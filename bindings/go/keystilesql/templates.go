package keystilesql

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var _ keystile.TemplateStore = (*Store)(nil)

// Template returns the template with this name, or nil.
func (s *Store) Template(ctx context.Context, name string) (*keystile.StoredTemplate, error) {
	if err := s.made(); err != nil {
		return nil, err
	}
	rows, err := s.cells(ctx, s.db, s.templates()+"WHERE name = $1::text", name)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0].template()
}

// ListTemplates returns templates in the order of their names.
func (s *Store) ListTemplates(ctx context.Context, after string, limit int) (keystile.ListedTemplates, error) {
	if err := s.made(); err != nil {
		return keystile.ListedTemplates{}, err
	}
	var listed keystile.ListedTemplates
	most := limited(min(limit, keystile.TemplatesPageMax))
	rows, err := s.cells(ctx, s.db, s.templates()+"WHERE name > $1::text ORDER BY name LIMIT $2::bigint", after, most)
	if err != nil {
		return listed, err
	}
	for at := range rows {
		template, err := rows[at].template()
		var damaged *keystile.CorruptRow
		switch {
		case err == nil:
			listed.Templates = append(listed.Templates, template)
		case errors.As(err, &damaged):
			listed.Damaged = append(listed.Damaged, damaged)
		default:
			return keystile.ListedTemplates{}, err
		}
	}
	if len(rows) > 0 && int64(len(rows)) == most {
		listed.Next = (&reader{cells: &rows[len(rows)-1]}).must("name")
	}
	return listed, nil
}

// SaveTemplate inserts a template, or replaces the version before.
func (s *Store) SaveTemplate(ctx context.Context, template *keystile.StoredTemplate) error {
	if err := s.made(); err != nil {
		return err
	}
	if err := template.Check(); err != nil {
		return err
	}
	former, err := json.Marshal(append([]keystile.FormerTemplate{}, template.Former...))
	if err != nil {
		return err
	}
	permissions, err := json.Marshal(append([]string{}, template.Template.Permissions().Strings()...))
	if err != nil {
		return err
	}
	var endpoints, limit, window, burst, lifetime any
	if rules := template.Template.Endpoints(); rules != nil {
		text, err := json.Marshal(append([]string{}, rules.Strings()...))
		if err != nil {
			return err
		}
		endpoints = string(text)
	}
	if rate := template.Template.RateLimit(); rate != nil {
		limit, window = int64(rate.Limit()), rate.Window().Milliseconds()
		if rate.Burst() != rate.Limit() {
			burst = int64(rate.Burst())
		}
	}
	if template.Lifetime != 0 {
		lifetime = template.Lifetime.Milliseconds()
	}
	statement, refused := insertTemplate, keystile.ErrTemplateExists
	if template.Version > 1 {
		statement, refused = updateTemplate, keystile.ErrStale
	}
	return s.write(ctx, func(tx execer) error {
		statement, created := statement, s.dialect.instant(template.CreatedAt)
		if template.Version > 1 {
			condition, written, err := s.added(ctx, tx, template, "$10")
			if err != nil {
				return err
			}
			statement, created = statement+condition, written
		}
		changed, err := s.exec(ctx, tx, statement, template.Template.Name(), string(permissions), endpoints, limit,
			window, burst, lifetime, string(former), int64(template.Version), created,
			s.dialect.instant(template.ChangedAt))
		if err == nil && changed == 0 {
			err = refused
		}
		return err
	})
}

const (
	insertTemplate = `INSERT INTO api_key_templates (name, permissions, allowed_endpoints, rate_limit, rate_window_ms,
		rate_burst, lifetime_ms, former, version, created_at, changed_at)
		VALUES ($1::text, $2::text::jsonb, $3::text::jsonb, $4::bigint, $5::bigint, $6::bigint, $7::bigint,
		$8::text::jsonb, $9::bigint, $10::timestamptz, $11::timestamptz) ON CONFLICT (name) DO NOTHING`
	updateTemplate = `UPDATE api_key_templates SET permissions = $2::text::jsonb, allowed_endpoints = $3::text::jsonb,
		rate_limit = $4::bigint, rate_window_ms = $5::bigint, rate_burst = $6::bigint, lifetime_ms = $7::bigint,
		former = $8::text::jsonb, version = $9::bigint, changed_at = $11::timestamptz
		WHERE name = $1::text AND version = $9::bigint - 1`
)

// added is the condition that a template was added at the instant in a parameter, and the value of
// that. Instants are compared as they are read: other code may have written one in another form, and
// then SQLite has to compare what the row has. It returns [keystile.ErrStale] if it is another one.
func (s *Store) added(ctx context.Context, tx execer, read *keystile.StoredTemplate, param string) (string, any, error) {
	if s.dialect == &postgres {
		return " AND date_trunc('milliseconds', created_at) = " + param + "::timestamptz", s.dialect.instant(read.CreatedAt), nil
	}
	rows, err := s.cells(ctx, tx, s.templates()+"WHERE name = $1::text", read.Template.Name())
	if err != nil {
		return "", nil, err
	}
	if len(rows) == 0 || !(&reader{cells: &rows[0]}).instant("created_at").Equal(read.CreatedAt) {
		return "", nil, keystile.ErrStale
	}
	return " AND created_at = " + param + "::text", rows[0].values["created_at"], nil
}

// relyOnTemplate fails unless this is the version of the template, and locks its row until the
// transaction ends: a change of the template waits for it.
func (s *Store) relyOnTemplate(ctx context.Context, tx execer, relied *keystile.TemplateVersion) error {
	if relied == nil {
		return nil
	}
	// In PostgreSQL, others may rely on it at the same time.
	lock := "WHERE name = $1::text FOR SHARE"
	if s.dialect == &sqlite {
		// A transaction that has read before it writes can fail.
		lock = "WHERE name = $1::text"
		if _, err := s.exec(ctx, tx, "UPDATE api_key_templates SET version = version WHERE name = $1::text", relied.Name); err != nil {
			return err
		}
	}
	rows, err := s.cells(ctx, tx, s.templates()+lock, relied.Name)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return keystile.ErrTemplateChanged
	}
	reader := reader{cells: &rows[0]}
	version, created := reader.count("version"), reader.instant("created_at")
	// What cannot be read is not what was read.
	if version == nil || *version != relied.Version || created.UnixMilli() != relied.CreatedAt.UnixMilli() {
		return keystile.ErrTemplateChanged
	}
	return nil
}

// RemoveTemplate removes a template.
func (s *Store) RemoveTemplate(ctx context.Context, name string, only *keystile.StoredTemplate) error {
	if err := s.made(); err != nil {
		return err
	}
	return s.write(ctx, func(tx execer) error {
		statement, params, refused := "DELETE FROM api_key_templates WHERE name = $1::text", []any{name}, keystile.ErrNoTemplate
		if only != nil {
			if only.Version > math.MaxInt64 {
				return keystile.ErrStale
			}
			condition, created, err := s.added(ctx, tx, only, "$3")
			if err != nil {
				return err
			}
			statement += " AND version = $2::bigint" + condition
			params = append(params, int64(only.Version), created)
			refused = keystile.ErrStale
		}
		removed, err := s.exec(ctx, tx, statement, params...)
		if err == nil && removed == 0 {
			err = refused
		}
		return err
	})
}

// templates selects templates, each column as a plain value.
func (s *Store) templates() string {
	if s.dialect == &sqlite {
		return "SELECT rowid AS row, name, +permissions AS permissions, +allowed_endpoints AS allowed_endpoints, " +
			"+rate_limit AS rate_limit, +rate_window_ms AS rate_window_ms, +rate_burst AS rate_burst, " +
			"+lifetime_ms AS lifetime_ms, +former AS former, +version AS version, +created_at AS created_at, " +
			"+changed_at AS changed_at FROM api_key_templates "
	}
	return "SELECT 0::bigint AS row, name, permissions::text AS permissions, allowed_endpoints::text AS allowed_endpoints, " +
		"rate_limit, rate_window_ms, rate_burst, lifetime_ms, former::text AS former, version, " +
		millis("t", "created_at changed_at") + " FROM api_key_templates t "
}

// template returns the template of a row. A value that cannot be read is an error, and never one
// that grants more.
func (c *cells) template() (*keystile.StoredTemplate, error) {
	reader := reader{cells: c}
	name := reader.must("name")
	permissions := list(&reader, "permissions", keystile.NewPermissionSet)
	if permissions == nil {
		reader.fail("permissions", "a value")
	}
	endpoints := list(&reader, "allowed_endpoints", keystile.NewEndpointRules)
	limit := reader.rateLimit()
	stored := &keystile.StoredTemplate{CreatedAt: reader.instant("created_at"), ChangedAt: reader.instant("changed_at")}
	if lifetime := reader.count("lifetime_ms"); lifetime != nil {
		if *lifetime == 0 || *lifetime > uint64(math.MaxInt64/int64(time.Millisecond)) {
			reader.fail("lifetime_ms", "a number that is 1 or greater")
		} else {
			stored.Lifetime = time.Duration(*lifetime) * time.Millisecond
		}
	}
	if version := reader.count("version"); version != nil {
		stored.Version = *version
	}
	former := reader.must("former")
	if reader.err != nil {
		return nil, reader.err
	}
	if stored.CreatedAt.IsZero() || stored.ChangedAt.IsZero() {
		return nil, c.damage("created_at", "a value")
	}
	var err error
	if stored.Template, err = keystile.NewScopeTemplate(name, permissions, endpoints, limit); err != nil {
		return nil, c.damage("name", "a template's name")
	}
	if err := json.Unmarshal([]byte(former), &stored.Former); err != nil || stored.Former == nil {
		return nil, c.damage("former", "a JSON array of what the template was")
	}
	if len(stored.Former) == 0 {
		stored.Former = nil
	}
	switch err := stored.Check(); {
	case errors.Is(err, keystile.ErrPresetTemplate):
		return nil, c.damage("name", "no name of a preset")
	case err != nil && stored.Version == 0:
		return nil, c.damage("version", "a number that is 1 or greater")
	case err != nil:
		return nil, c.damage("former", "a JSON array of what the template was")
	}
	return stored, nil
}
