package keystile

import (
	"strconv"
	"strings"
)

// Page is a part of a list.
type Page struct {
	// After is where the page before it ended: the Next of its [Listed]; zero for the start.
	After Cursor
	// Limit is the maximum number of rows; never more than [PageMax] are returned.
	Limit int
	// Sort is the order; zero is that of the filter's index. All pages of a list have the same.
	Sort Sort
}

// Listed holds the records of a page, and the rows among them that cannot be read: one
// damaged row does not keep the others from being listed.
type Listed struct {
	// Records are in the order of the list.
	Records []*Record
	// Damaged are the rows that cannot be read, in the same order. They count towards the
	// limit of the page.
	Damaged []*CorruptRow
	// Next is where the next page starts; zero if this is the last one. A page with a
	// next one can be shorter than its limit, and the next page can be empty.
	Next Cursor
}

// Cursor is where a page of a list ends. It stays valid if that row is changed or deleted.
//
// Its text is the id of the key in that row, so it tells nothing about other keys. If the id
// cannot be read, it is the row's number. In an order by time, the number of that time comes
// before it.
type Cursor struct {
	row      int64
	hasRow   bool
	key      KeyID
	place    int64
	hasPlace bool
}

// cursorRow comes before the number of a row in the text of a cursor.
const cursorRow = "row-"

// CursorAt returns the cursor of the row with this number, and of the key in it; the zero id
// if that cannot be read. The numbers of rows increase in the order of their insertion.
func CursorAt(row int64, key KeyID) Cursor { return Cursor{row: row, hasRow: true, key: key} }

// CursorOf returns the cursor of the row of a key. A store looks up its number, also if the
// row was deleted.
func CursorOf(key KeyID) Cursor { return Cursor{key: key} }

// ParseCursor parses the text of a cursor. It returns [ErrKeyID] if it is not one.
func ParseCursor(text string) (Cursor, error) {
	if number, rest, is := strings.Cut(text, "."); is && !strings.Contains(rest, ".") {
		if place, err := strconv.ParseInt(number, 10, 64); err == nil {
			cursor, err := ParseCursor(rest)
			return cursor.At(place), err
		}
	}
	if number, is := strings.CutPrefix(text, cursorRow); is {
		if row, err := strconv.ParseInt(number, 10, 64); err == nil {
			return CursorAt(row, KeyID{}), nil
		}
	}
	key, err := ParseKeyID(text)
	return CursorOf(key), err
}

// At returns the cursor with the key's place in an order by time: a number by which the list is
// ordered before it is by insertion.
func (c Cursor) At(place int64) Cursor {
	c.place, c.hasPlace = place, true
	return c
}

// Place returns the place in an order by time; false if the list has another order.
func (c Cursor) Place() (int64, bool) { return c.place, c.hasPlace }

// Row returns the number of the row; false if only the key is known.
func (c Cursor) Row() (int64, bool) { return c.row, c.hasRow }

// KeyID returns the key in the row; the zero id if it cannot be read.
func (c Cursor) KeyID() KeyID { return c.key }

// IsZero reports whether the cursor is that of the start.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// String returns the text of the cursor; "" for the start.
func (c Cursor) String() string {
	place := ""
	if c.hasPlace {
		place = strconv.FormatInt(c.place, 10) + "."
	}
	switch {
	case !c.key.IsZero():
		return place + c.key.String()
	case c.hasRow:
		return place + cursorRow + strconv.FormatInt(c.row, 10)
	}
	return ""
}
