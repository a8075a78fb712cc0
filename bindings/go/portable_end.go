package keystile

import (
	"fmt"
	"math"
	"strconv"
)

// ExportEnd is the last line of an export: how many lines it has before this one. Without it, a file
// that was cut at the end of a line would look whole, and lack what a store remembers of removed keys.
type ExportEnd struct {
	// Keys are the lines that are keys, and RemovedKeys those that are removed keys.
	Keys, RemovedKeys uint64
}

// exportEndBytesMax is more than the longest.
const exportEndBytesMax = 200

// Text returns the line without an end of line.
func (e ExportEnd) Text() []byte {
	return fmt.Appendf(nil, `{"keystile_export":%s,"end":{"keys":%d,"removed_keys":%d}}`, lineVersion, e.Keys, e.RemovedKeys)
}

// ParseExportEnd reads a line; false if it is another one.
func ParseExportEnd(line []byte) (end ExportEnd, is bool) {
	if len(line) > exportEndBytesMax {
		return end, false
	}
	members, once, is := jsonObject(line)
	if !is || !once || len(members) != 2 || string(members["keystile_export"]) != lineVersion {
		return end, false
	}
	counts, once, is := jsonObject(members["end"])
	if !is || !once || len(counts) != 2 {
		return end, false
	}
	keys, err := strconv.ParseUint(string(counts["keys"]), 10, 64)
	if err != nil {
		return end, false
	}
	removed, err := strconv.ParseUint(string(counts["removed_keys"]), 10, 64)
	// No file has so many lines.
	if err != nil || keys > math.MaxInt64 || removed > math.MaxInt64 {
		return end, false
	}
	return ExportEnd{keys, removed}, true
}
