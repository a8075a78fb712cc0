package keystile

import (
	"context"
	"maps"
)

// requestOf is by what an answer is found: the caller and the digest of its idempotency key.
type requestOf struct {
	caller  string
	request [32]byte
}

// IssueAnswer returns what is remembered of a request.
func (s *MemoryStore) IssueAnswer(ctx context.Context, request *IssueOnce) (answer *IssueAnswer, err error) {
	if s != nil && request.isUninitialized() {
		return nil, ErrIdempotencyKey
	}
	return answer, s.with(ctx, func(state *memoryState) error {
		if found, some := state.answers[requestOf{request.caller, request.request}]; some {
			answer = &found
		}
		return nil
	})
}

// isAnswered reports whether a request has an answer of less than a day ago.
func (s *memoryState) isAnswered(note *IssueNote) bool {
	before, some := s.answers[requestOf{note.Request.caller, note.Request.request}]
	return some && before.IsRemembered(note.At)
}

// answer notes the answer of a request, and removes old ones.
func (s *memoryState) answer(note *IssueNote) {
	maps.DeleteFunc(s.answers, func(_ requestOf, answer IssueAnswer) bool { return !answer.IsRemembered(note.At) })
	s.answers[requestOf{note.Request.caller, note.Request.request}] = IssueAnswer{note.Request.body, note.KeyID, timeOf(millisOf(note.At))}
}
