package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// NeverMatches is why an endpoint rule matches no request that it was meant for. The rule is legal
// all the same, and grants what it says and nothing else.
type NeverMatches uint32

const (
	// NeverMatchesMethod is that each method of the rule is a word for all methods in some router,
	// such as ANY, which no client sends.
	NeverMatchesMethod NeverMatches = capi.NeverMatchesMethod
	// NeverMatchesParameter is that a segment is written like the parameter of a router, such as
	// ":id". Here it stands for itself, and a path that is sent has a value in its place.
	NeverMatchesParameter NeverMatches = capi.NeverMatchesParameter
)

// String returns the reason as a word, such as "parameter".
func (n NeverMatches) String() string {
	switch n {
	case NeverMatchesMethod:
		return "method"
	case NeverMatchesParameter:
		return "parameter"
	}
	return "other"
}

// Message returns why the rule matches nothing, in a few words for people.
func (n NeverMatches) Message() string {
	message, _ := capi.NeverMatchesTexts(uint32(n))
	return message
}

// Hint returns what to write instead.
func (n NeverMatches) Hint() string { _, hint := capi.NeverMatchesTexts(uint32(n)); return hint }

// NeverMatching is an endpoint rule that hardly any request matches.
type NeverMatching struct {
	Rule string
	Why  NeverMatches
}

// NeverMatching returns the rules that hardly any request matches, for a warning when a person
// writes them.
func (e *EndpointRules) NeverMatching() (found []NeverMatching) {
	if e == nil || e.handle == nil {
		return nil
	}
	handle := e.handle()
	if handle == nil {
		return nil
	}
	for {
		rule, why, status := handle.NeverMatching(len(found))
		if status != capi.OK {
			return found
		}
		found = append(found, NeverMatching{rule, NeverMatches(why)})
	}
}
