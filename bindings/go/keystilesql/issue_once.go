package keystilesql

import (
	"context"
	"encoding/hex"

	keystile "github.com/keystile/keystile/bindings/go"
)

var _ keystile.RequestStore = (*Store)(nil)

// IssueAnswer returns what is remembered of a request.
func (s *Store) IssueAnswer(ctx context.Context, request *keystile.IssueOnce) (*keystile.IssueAnswer, error) {
	if err := s.made(); err != nil {
		return nil, err
	}
	if request.Caller() == "" {
		return nil, keystile.ErrIdempotencyKey
	}
	digest := request.Request()
	rows, err := s.cells(ctx, s.db, "SELECT 0 AS row, body, key_id, "+s.dialect.plainInstant("at")+
		" FROM api_key_issue_requests t WHERE caller = $1::text AND request = $2::text", request.Caller(), hex.EncodeToString(digest[:]))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	reader := reader{cells: &rows[0]}
	answer := &keystile.IssueAnswer{KeyID: reader.id("key_id"), At: reader.instant("at")}
	body, is := digestOf(reader.must("body"))
	if !is {
		reader.fail("body", "64 lower-case hex digits")
	}
	answer.Body = body
	if answer.KeyID.IsZero() {
		reader.fail("key_id", "a value")
	}
	if answer.At.IsZero() {
		reader.fail("at", "a value")
	}
	if reader.err != nil {
		return nil, reader.err
	}
	return answer, nil
}

// answer notes the answer of a request, if it has none of less than a day ago, and removes old ones. Of
// two at the same time the second waits here, and then finds the first one's.
func (s *Store) answer(ctx context.Context, tx execer, note *keystile.IssueNote) error {
	if note == nil {
		return nil
	}
	request, body, since := note.Request.Request(), note.Request.Body(), s.instant(note.RememberedSince())
	err := oneUpdated(s.exec(ctx, tx, "INSERT INTO api_key_issue_requests (caller, request, body, key_id, at)"+
		" VALUES ($1::text, $2::text, $3::text, $4::text, $5::timestamptz) ON CONFLICT (caller, request) DO UPDATE SET"+
		" body = excluded.body, key_id = excluded.key_id, at = excluded.at WHERE api_key_issue_requests.at <= $6::timestamptz",
		note.Request.Caller(), hex.EncodeToString(request[:]), hex.EncodeToString(body[:]), note.KeyID.String(), s.instant(note.At), since))
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, tx, s.dialect.oldRequests, since)
	return err
}
