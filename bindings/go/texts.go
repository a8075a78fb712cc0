package keystile

import (
	"encoding/json"
	"strings"
)

// readTexts parses a JSON array of strings that the library wrote.
func readTexts(array string) ([]string, error) {
	texts := []string{}
	if err := json.Unmarshal([]byte(array), &texts); err != nil {
		return nil, ErrInternal
	}
	return texts, nil
}

func joined(texts []string) string { return strings.Join(texts, " ") }
