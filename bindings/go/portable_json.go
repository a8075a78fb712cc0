package keystile

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// Lines are read as strictly as Rust reads them. The package encoding/json accepts members that are
// there twice or have another case, and replaces what is no text.

// jsonObject returns the members of a JSON object, of those with the same name the last one; once is
// whether no name is there twice.
func jsonObject(text []byte) (members map[string]json.RawMessage, once, is bool) {
	if !utf8.Valid(text) || !json.Valid(text) || hasLoneSurrogate(text) {
		return nil, false, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, false, false
	}
	members, once = map[string]json.RawMessage{}, true
	for decoder.More() {
		token, err := decoder.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return nil, false, false
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, false, false
		}
		if _, is := members[name]; is {
			once = false
		}
		members[name] = value
	}
	return members, once, true
}

// hasLoneSurrogate reports whether a JSON text escapes a half of a pair, which is no character.
func hasLoneSurrogate(text []byte) bool {
	unit := func(at int) uint64 {
		if at+6 > len(text) || text[at] != '\\' || text[at+1] != 'u' {
			return 0
		}
		value, err := strconv.ParseUint(string(text[at+2:at+6]), 16, 16)
		if err != nil {
			return 0
		}
		return value
	}
	for at := 0; at < len(text); at++ {
		if text[at] != '\\' {
			continue
		}
		switch value := unit(at); {
		case value >= 0xD800 && value <= 0xDBFF:
			if low := unit(at + 6); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			at += 11
		case value >= 0xDC00 && value <= 0xDFFF:
			return true
		default:
			at++
		}
	}
	return false
}

// jsonText returns a JSON string.
func jsonText(text json.RawMessage) (*string, bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, false
	}
	var value string
	if json.Unmarshal(text, &value) != nil {
		return nil, false
	}
	return &value, true
}

// jsonTexts returns a JSON array of strings, never nil.
func jsonTexts(text json.RawMessage) ([]string, bool) {
	var values []*string
	if len(text) == 0 || text[0] != '[' || json.Unmarshal(text, &values) != nil {
		return nil, false
	}
	texts := make([]string, 0, len(values))
	for _, value := range values {
		if value == nil {
			return nil, false
		}
		texts = append(texts, *value)
	}
	return texts, true
}

// plainJSON returns a value without members that are there twice: the last one counts.
func plainJSON(text json.RawMessage) json.RawMessage {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil
	}
	plain, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return plain
}
