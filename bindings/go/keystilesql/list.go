package keystilesql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

const indexedBy = "INDEXED BY "

// rowsBeyond are the rows that a page reads beyond its limit, if not each of them is shown.
const rowsBeyond = 100

// List returns records in the order of page.Sort.
func (s *Store) List(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Listed, error) {
	if err := s.made(); err != nil {
		return keystile.Listed{}, err
	}
	if !page.Sort.IsKnown() {
		return keystile.Listed{}, fmt.Errorf("keystilesql: unknown order %q", page.Sort)
	}
	if filter.Now.IsZero() {
		// One instant for the statement and for what is read.
		filter.Now = time.Now()
	}
	order, sort := filter.Order(), page.Sort
	if sort == "" {
		sort = order
	}
	if !sort.Streams(filter) {
		all, err := s.listIn(ctx, filter, keystile.Page{Limit: keystile.PageMax}, order, nil)
		if err != nil {
			return keystile.Listed{}, err
		}
		return all.Arranged(sort, page)
	}
	return s.listIn(ctx, filter, page, sort, nil)
}

// listQuery is the query of a page without what differs in its spans.
type listQuery struct {
	store        *Store
	filter       keystile.Filter
	sort         keystile.Sort
	place, index string
	// equal is the column and its value that the index begins with.
	equal           [2]string
	selected, shown []string
	params          []any
}

func (q *listQuery) param(value any, cast string) string {
	q.params = append(q.params, value)
	return fmt.Sprintf("$%d::%s", len(q.params), cast)
}

// listIn reads a page in an order that has an index. Unless it is nil, also reads what else a list needs of
// each row whose record can be read; its error is that of the record.
func (s *Store) listIn(ctx context.Context, filter keystile.Filter, page keystile.Page, sort keystile.Sort, also func(*cells) error) (keystile.Listed, error) {
	row, id, err := s.start(ctx, page.After, sort)
	if err != nil {
		return keystile.Listed{}, err
	}
	query := &listQuery{store: s, filter: filter, sort: sort, place: "0", params: []any{nil}}
	fields := query.fields()
	limit := limited(page.Limit)
	rows := limit
	switch {
	case limit == 0:
	case !filter.UnusedSince.IsZero():
		rows = keystile.PageMax
	case len(query.shown) > 0 || fields:
		rows += rowsBeyond
	}
	spans := []span{{row: row}}
	switch sort {
	case keystile.SortID:
		query.ids(id)
	case keystile.SortIssued, keystile.SortEnds:
		query.place = s.dialect.places(sort)
		place, known := page.After.Place()
		if !page.After.IsZero() && !known {
			return keystile.Listed{}, keystile.ErrNotFound
		}
		spans = query.spans(known, place, row)
	}
	var listed keystile.Listed
	count, last := int64(0), keystile.Cursor{}
	left := func() int64 {
		if int64(len(listed.Records)+len(listed.Damaged)) >= limit {
			return 0
		}
		return rows - count
	}
	for _, span := range spans {
		if left() == 0 {
			break
		}
		sql, params := query.of(span)
		params[0] = left()
		found, err := s.cells(ctx, s.db, sql, params...)
		if err != nil && strings.Contains(sql, indexedBy) && strings.Contains(err.Error(), "no such index") {
			// Without the index, which someone has dropped, it takes longer.
			before, after, _ := strings.Cut(sql, indexedBy)
			_, after, _ = strings.Cut(after, " ")
			found, err = s.cells(ctx, s.db, before+after, params...)
		}
		if err != nil {
			return keystile.Listed{}, err
		}
		for at := range found {
			if left() == 0 {
				break
			}
			count++
			if last, err = found[at].cursor(sort); err != nil {
				return keystile.Listed{}, err
			}
			if found[at].values["shown"] != int64(1) {
				continue
			}
			record, err := found[at].record()
			if err == nil && !filter.Shows(record) {
				// Compared again: an adopted column may ignore case, and a row whose instants
				// the index does not know is read by each list.
				continue
			}
			if err == nil && also != nil {
				err = also(&found[at])
			}
			if err := add(&listed, record, err); err != nil {
				return keystile.Listed{}, err
			}
		}
	}
	if left() == 0 {
		listed.Next = last
	}
	return listed, nil
}

// add adds what was read of a row.
func add(listed *keystile.Listed, record *keystile.Record, err error) error {
	var damaged *keystile.CorruptRow
	switch {
	case err == nil:
		listed.Records = append(listed.Records, record)
	case errors.As(err, &damaged):
		listed.Damaged = append(listed.Damaged, damaged)
	default:
		return err
	}
	return nil
}

// cursor returns the place of a row in an order.
func (c *cells) cursor(sort keystile.Sort) (keystile.Cursor, error) {
	id, _ := c.values["key_id"].(string)
	key, _ := keystile.ParseKeyID(id)
	cursor := keystile.CursorAt(c.row, key)
	if sort != keystile.SortIssued && sort != keystile.SortEnds {
		return cursor, nil
	}
	place, err := c.number("place")
	return cursor.At(place), err
}

// fields adds the conditions of the filter: those that select rows by the index, and the others.
// It reports whether there are some that only a record decides.
func (q *listQuery) fields() bool {
	filter := q.filter
	column := func(index, expression string, text *string, drives bool) {
		if text == nil {
			return
		}
		value := q.param(*text, "text")
		if drives {
			q.index, q.equal = "api_keys_of_"+index, [2]string{expression, value}
		} else {
			q.shown = append(q.shown, expression+" = "+value)
		}
	}
	ended := filter.Status == keystile.StatusSuspended || filter.Status == keystile.StatusRevoked
	free := q.sort == keystile.SortInserted
	switch q.sort {
	case keystile.SortID:
		q.index = "api_keys_key_id"
	case keystile.SortIssued:
		q.index = "api_keys_by_issue"
	case keystile.SortEnds:
		q.index = "api_keys_by_end"
	}
	drives := func(is bool) bool {
		chosen := free && is
		free = free && !is
		return chosen
	}
	column("owner", "k.owner", filter.Owner, drives(filter.Owner != nil))
	column("client", q.store.dialect.exactClient, filter.ClientName, drives(filter.ClientName != nil))
	replaced := q.sort == keystile.SortEnds &&
		(filter.Status == keystile.StatusRetiring || filter.Status == keystile.StatusReplaced)
	if state := storedStatus(filter.Status); state != nil {
		// Fixed words: the indexes are of rows with some of them.
		switch is := "k.status = '" + *state + "'"; {
		case drives(ended):
			q.index = "api_keys_ended"
			q.equal = [2]string{"k.status", "'" + *state + "'"}
			q.selected = append(q.selected, "k.status <> 'active'")
		case replaced:
			q.index = "api_keys_replaced_by_end"
			q.selected = append(q.selected, is, "k.replaced_by IS NOT NULL")
		default:
			q.shown = append(q.shown, is)
		}
	}
	column("template", "k.scope_type", filter.Template, drives(filter.Template != nil))
	column("environment", "k.environment", filter.Environment, drives(filter.Environment != nil))
	if filter.IDPrefix != "" && q.sort != keystile.SortID {
		prefix := q.param(filter.IDPrefix, "text")
		q.shown = append(q.shown, "substr(k.key_id, 1, length("+prefix+")) = "+prefix)
	}
	issued := !filter.IssuedFrom.IsZero() || !filter.IssuedBefore.IsZero()
	return replaced || issued && q.sort != keystile.SortIssued ||
		!filter.EndsBefore.IsZero() && q.sort != keystile.SortEnds
}

// ids selects ids after one, and with the prefix.
func (q *listQuery) ids(after string) {
	if prefix := q.filter.IDPrefix; prefix != "" {
		// The last text that begins with it.
		q.selected = append(q.selected, "k.key_id <= "+q.param(prefix+"\U0010FFFF", "text"))
		// Of two lower limits, a database may begin at the wrong one.
		if after < prefix {
			q.selected = append(q.selected, "k.key_id >= "+q.param(prefix, "text"))
			return
		}
	}
	if after != "" {
		q.selected = append(q.selected, "k.key_id > "+q.param(after, "text"))
	}
}

// of returns the query of a span. The first parameter is the limit.
func (q *listQuery) of(part span) (string, []any) {
	own := *q
	own.params = slices.Clone(q.params)
	selected := slices.Clone(q.selected)
	row := "k." + q.store.dialect.rowID
	order := row
	placed := row
	if q.store.dialect == &postgres {
		// As the indexes of lists have it.
		placed = "(k.id + 0)"
	}
	equal := func(column, value string) {
		// SQLite would sort by a place that is the same in all rows.
		order = placed
		selected = append(selected, column+" = "+value+" AND "+placed+" > "+own.param(part.row, "bigint"))
	}
	switch {
	case q.sort == keystile.SortID:
		order = "k.key_id"
	case q.sort == keystile.SortInserted && q.equal[0] != "":
		equal(q.equal[0], q.equal[1])
	case q.sort == keystile.SortInserted:
		selected = append(selected, row+" > "+own.param(part.row, "bigint"))
	case part.at:
		equal(q.place, own.param(part.from, "bigint"))
	default:
		order = q.place + ", " + placed
		selected = append(selected, q.place+" >= "+own.param(part.from, "bigint"),
			q.place+" <= "+own.param(part.to, "bigint"))
	}
	columns, from, _ := strings.Cut(q.store.dialect.records(), " FROM api_keys k ")
	by := ""
	if q.index != "" && q.store.dialect == &sqlite {
		// Otherwise it takes the table itself if many rows have the same text, and reads all others.
		by = indexedBy + q.index + " "
	}
	sql := columns + ", " + q.place + " AS place, CASE WHEN " + allOf(q.shown) + " THEN 1 ELSE 0 END AS shown" +
		" FROM api_keys k " + by + from + "WHERE " + allOf(selected) + " ORDER BY " + order + " LIMIT $1::bigint"
	return sql, own.params
}

func allOf(conditions []string) string {
	if len(conditions) == 0 {
		return "TRUE"
	}
	return strings.Join(conditions, " AND ")
}

// start returns the number of the row that a cursor names, and the id in it if the list is
// ordered by ids.
func (s *Store) start(ctx context.Context, after keystile.Cursor, sort keystile.Sort) (int64, string, error) {
	if after.IsZero() {
		return math.MinInt64, "", nil
	}
	if sort != keystile.SortID {
		row, err := s.rowOf(ctx, after)
		return row, "", err
	}
	if !after.KeyID().IsZero() {
		return 0, after.KeyID().String(), nil
	}
	row, _ := after.Row()
	found, err := s.cells(ctx, s.db, "SELECT "+s.dialect.rowID+" AS row, key_id FROM api_keys WHERE "+
		s.dialect.rowID+" = $1::bigint", row)
	if err != nil {
		return 0, "", err
	}
	for _, cells := range found {
		if id, is := cells.values["key_id"].(string); is {
			return row, id, nil
		}
	}
	return 0, "", keystile.ErrNotFound
}

// rowOf returns the number of the row that a cursor names, also if the row was deleted.
func (s *Store) rowOf(ctx context.Context, cursor keystile.Cursor) (int64, error) {
	if row, known := cursor.Row(); known {
		return row, nil
	}
	// One after the other: a role may have no right to the second table.
	for _, sql := range []string{
		"SELECT " + s.dialect.rowID + " AS row FROM api_keys WHERE key_id = $1::text",
		"SELECT place AS row FROM api_key_deleted WHERE key_id = $1::text AND place IS NOT NULL",
	} {
		rows, err := s.cells(ctx, s.db, sql, cursor.KeyID().String())
		if err != nil {
			return 0, err
		}
		if len(rows) > 0 {
			return rows[0].row, nil
		}
	}
	return 0, keystile.ErrNotFound
}

// storedStatus returns the stored state of records with a status.
func storedStatus(status keystile.KeyStatus) *string {
	switch status {
	case "":
		return nil
	case keystile.StatusSuspended, keystile.StatusRevoked:
		return keystile.Ptr(string(status))
	}
	return keystile.Ptr(string(keystile.StateActive))
}
