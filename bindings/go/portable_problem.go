package keystile

import "encoding/json"

// LineProblem is why a line is no key, or is left out by an import: the member, and what is expected
// of it. It repeats nothing of the line, which may have digests, or a key in a wrong place.
type LineProblem struct {
	// Field is the member, or "line".
	Field string
	// Expected is what is expected.
	Expected string
}

// Error returns the field and what is expected of it.
func (p *LineProblem) Error() string {
	if p == nil {
		return "no problem"
	}
	return p.Field + ": " + p.Expected
}

func versionProblem() *LineProblem {
	return &LineProblem{"keystile_export", "must be 1, the version of the format"}
}

const instantExpected = "must be an instant in milliseconds since 1970"

// lineFields are the fields of a record in a line, whether they may be left out, and what is expected
// of them: the same as in Rust.
var lineFields = []struct {
	name     string
	optional bool
	expected string
}{
	{"id", false, "must be the id of a key"},
	{"digest", false, "must be a digest; export the keys with their digests"},
	{"key_prefix", false, "must be a text of at most 40 bytes"},
	{"client_name", false, "must be a text of 1 to 255 bytes"},
	{"client_email", false, "must be a text of at most 255 bytes, or null"},
	{"owner", false, "must be a text of at most 255 bytes, or null"},
	{"environment", false, "must be 1 to 12 of a-z and 0-9, or null"},
	{"permissions", false, "must be an array of permissions"},
	{"allowed_endpoints", false, "must be an array of endpoint rules, or null"},
	{"allowed_networks", false, "must be an array of networks, or null"},
	{"rate_limit", false, "must have limit, window_ms and burst, or be null"},
	{"remaining_uses", false, "must be a whole number, or null"},
	{"scope_type", false, "must be the name of a template, or null"},
	{"metadata", false, "must be a text of at most 16 KiB, or null"},
	{"derived_from", true, "must have key_id and lineage"},
	{"created_at", false, instantExpected},
	{"last_used_at", false, instantExpected},
	{"expires_at", false, instantExpected},
	{"lifetime_ms", true, "must be a whole number of milliseconds"},
	{"status", false, "must have state, and at and reason if it is revoked"},
	{"suspended_with", true, "must be the id of another key"},
	{"lineage", false, "must be the id of a key"},
	{"replaced_by", false, "must be the id of another key, or null"},
	{"overlap_until", false, instantExpected},
	{"ends_at_first_use", false, "must be the id of another key, or null"},
	{"version", false, "must be a whole number from 1 to 4611686018427387904"},
}

// sampleRecord has none of the fields that depend on each other, to try one field in.
const sampleRecord = `{"id":"1zzzzzzzzzzzzzzz","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000",` +
	`"key_prefix":"a","client_name":"a","client_email":null,"owner":null,"environment":null,"permissions":[],"allowed_endpoints":null,` +
	`"allowed_networks":null,"rate_limit":null,"remaining_uses":null,"scope_type":null,"metadata":null,"created_at":1790000000000,` +
	`"last_used_at":null,"expires_at":null,"status":{"state":"active"},"lineage":"1zzzzzzzzzzzzzzz","replaced_by":null,` +
	`"overlap_until":null,"ends_at_first_use":null,"version":1}`

func isLineMember(name string) bool {
	switch name {
	case "keystile_export", "key", "rate_state", "former_digests", "removed_key":
		return true
	}
	return false
}

// diagnose returns why the members of a line of this version cannot be read.
func diagnose(members map[string]json.RawMessage) *LineProblem {
	for name := range members {
		if !isLineMember(name) {
			return &LineProblem{"line", "has a member that is not known"}
		}
	}
	given := func(name string) (json.RawMessage, bool) {
		value, is := members[name]
		return value, is && string(value) != "null"
	}
	if record, is := given("key"); is {
		if problem := diagnoseRecord(record); problem != nil {
			return problem
		}
	}
	if removed, is := given("removed_key"); is {
		if _, is := removedFormOf(removed, false); !is {
			return &LineProblem{"removed_key", "must have exactly key_id, version, revoked_at, revoke_reason, owner and digests"}
		}
	}
	if rate, is := members["rate_state"]; is {
		if _, is := jsonText(rate); !is {
			return &LineProblem{"rate_state", "must be a whole number of 64 bits, as text"}
		}
	}
	if former, is := members["former_digests"]; is {
		if _, is := jsonTexts(former); !is {
			return &LineProblem{"former_digests", "must be an array of digests"}
		}
	}
	return &LineProblem{"line", "must not have a member twice"}
}

// diagnoseRecord returns why a record cannot be read; nil if only because a member is there twice.
func diagnoseRecord(text json.RawMessage) *LineProblem {
	record, _, is := jsonObject(text)
	if !is {
		return &LineProblem{"key", "must be an object"}
	}
	known := map[string]bool{}
	for _, field := range lineFields {
		known[field.name] = true
	}
	for name := range record {
		if !known[name] {
			return &LineProblem{"key", "has a field that is not known"}
		}
	}
	for _, field := range lineFields {
		fits := field.optional
		if value, is := record[field.name]; is {
			// With the other fields of the sample, null is right wherever it may be.
			fits = fitsRecord(field.name, value)
		}
		if !fits {
			return &LineProblem{field.name, field.expected}
		}
	}
	if _, err := DecodeRecord(plainJSON(text)); err == nil {
		return nil
	}
	// Each field is right, so some do not belong together.
	return &LineProblem{"key", together(record)}
}

// fitsRecord reports whether a record can have this value of a field.
func fitsRecord(field string, value json.RawMessage) bool {
	var sample map[string]json.RawMessage
	if json.Unmarshal([]byte(sampleRecord), &sample) != nil {
		return false
	}
	sample[field] = plainJSON(value)
	// These two are set together.
	if isNull := string(value) == "null"; field == "replaced_by" && !isNull {
		sample["overlap_until"] = json.RawMessage("1790000000000")
	} else if field == "overlap_until" && !isNull {
		sample["replaced_by"] = json.RawMessage(`"1yyyyyyyyyyyyyyy"`)
	}
	text, err := json.Marshal(sample)
	if err != nil {
		return false
	}
	_, err = DecodeRecord(text)
	return err == nil
}

// together returns which fields of a record do not belong together, in the words of Rust.
func together(record map[string]json.RawMessage) string {
	text := func(value json.RawMessage) string {
		text, is := jsonText(value)
		if !is {
			return ""
		}
		return *text
	}
	source, _, _ := jsonObject(record["derived_from"])
	switch id := text(record["id"]); id {
	case text(record["replaced_by"]):
		return "replaced_by: replaced_by and ends_at_first_use must be ids of other keys"
	case text(record["ends_at_first_use"]):
		return "ends_at_first_use: replaced_by and ends_at_first_use must be ids of other keys"
	case text(record["suspended_with"]):
		return "suspended_with: derived_from and suspended_with must be ids of other keys"
	case text(source["key_id"]):
		return "derived_from: derived_from and suspended_with must be ids of other keys"
	}
	return "overlap_until: overlap_until must be set exactly when replaced_by is set"
}
