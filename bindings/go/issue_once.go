package keystile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// IdempotencyKeyBytesMax is the maximum length of an idempotency key.
	IdempotencyKeyBytesMax = 255
	// RequestRememberedFor is how long a request is remembered.
	RequestRememberedFor = 24 * time.Hour
	// callerBytesMax is the maximum length of the name of a caller.
	callerBytesMax = 300
)

// Errors about requests with an idempotency key. Compare with [errors.Is].
var (
	// ErrAnotherRequest means that the caller has used the idempotency key for another request
	// within a day.
	ErrAnotherRequest = errors.New("keystile: the idempotency key was used for another request")
	// ErrIdempotencyKey means that an idempotency key, or the name of its caller, is not well formed.
	ErrIdempotencyKey = errors.New("keystile: an idempotency key must be 1 to 255 visible ASCII characters, and its caller 1 to 300 bytes without NUL")
	// errAnswered ends a verb whose request was answered meanwhile. It is no [ErrStale], or else the
	// verb would try again.
	errAnswered = errors.New("keystile: a key was issued for this request already")
)

// IssueOnce is a request to issue or rotate a key, with the idempotency key that its caller chose
// for it: see [Authenticator.Once]. A store keeps digests of that key and of the body, the same in
// all languages. The zero value is no request.
type IssueOnce struct {
	caller        string
	request, body [sha256.Size]byte
}

// NewIssueOnce returns the request of a caller, under an idempotency key of 1 to 255 visible ASCII
// characters. The body is all that the request asks for, in a form that is the same each time. It
// returns [ErrIdempotencyKey] for another idempotency key, or a caller of 0 or more than 300 bytes.
func NewIssueOnce(caller, idempotencyKey string, body []byte) (*IssueOnce, error) {
	if len(idempotencyKey) < 1 || len(idempotencyKey) > IdempotencyKeyBytesMax || len(caller) < 1 ||
		len(caller) > callerBytesMax || !utf8.ValidString(caller) {
		return nil, ErrIdempotencyKey
	}
	for at := range len(idempotencyKey) {
		if character := idempotencyKey[at]; character <= ' ' || character > '~' {
			return nil, ErrIdempotencyKey
		}
	}
	for at := range len(caller) {
		if caller[at] == 0 {
			return nil, ErrIdempotencyKey
		}
	}
	return &IssueOnce{caller, sha256.Sum256([]byte(idempotencyKey)), sha256.Sum256(body)}, nil
}

// isUninitialized reports whether the request was not made by [NewIssueOnce].
func (o *IssueOnce) isUninitialized() bool { return o == nil || o.caller == "" }

// Caller returns who sent the request; "" for the zero value.
func (o *IssueOnce) Caller() string {
	if o == nil {
		return ""
	}
	return o.caller
}

// Request returns the SHA-256 digest of the idempotency key; zeros for the zero value.
func (o *IssueOnce) Request() (digest [32]byte) {
	if o == nil {
		return digest
	}
	return o.request
}

// Body returns the SHA-256 digest of the body; zeros for the zero value.
func (o *IssueOnce) Body() (digest [32]byte) {
	if o == nil {
		return digest
	}
	return o.body
}

// IssueNote is the request that a [Batch] answers.
type IssueNote struct {
	Request *IssueOnce
	// KeyID is the key that is issued for it.
	KeyID KeyID
	At    time.Time
}

// RememberedSince returns the instant until which the answers of requests are not remembered; the
// zero time of no note.
func (n *IssueNote) RememberedSince() time.Time {
	if n == nil {
		return time.Time{}
	}
	return n.At.Add(-RequestRememberedFor)
}

// IssueAnswer is what a store remembers of a request.
type IssueAnswer struct {
	// Body is the SHA-256 digest of its body.
	Body [32]byte
	// KeyID is the key that was issued for it.
	KeyID KeyID
	At    time.Time
}

// IsRemembered reports whether this is less than a day ago.
func (a *IssueAnswer) IsRemembered(now time.Time) bool {
	return a != nil && a.At.UnixMilli() > now.UnixMilli()-RequestRememberedFor.Milliseconds()
}

// RequestStore is a [Store] that remembers requests: its Commit writes [Batch.IssueRequest]. The
// store of keystilesql is one.
type RequestStore interface {
	Store
	// IssueAnswer returns what is remembered of a request, by its caller and its idempotency key;
	// nil and no error if that is nothing. The answer may be older than a day. If it cannot be
	// read, it returns a [CorruptRow]: to issue another key would be worse. For nil or the zero
	// value it returns [ErrIdempotencyKey].
	IssueAnswer(ctx context.Context, request *IssueOnce) (*IssueAnswer, error)
}

// OnceIssued is what [Authenticator.Once] did: one of its fields is set.
type OnceIssued struct {
	// Change is what the verb returned: a key was issued now. If the verb failed after its key was
	// written, such as when the connection to the database broke, it is the change of that key.
	Change *Change
	// Before is the key that was issued for the same request before. Its text was shown then: to get
	// one that can be shown, rotate the key.
	Before KeyID
}

// onceKey is the context key of a request that a verb answers.
type onceKey struct{}

type onceNow struct {
	request *IssueOnce
	now     time.Time
	mutex   sync.Mutex
	// changes are those that the verb has tried to write, by their keys.
	changes map[KeyID]*Change
}

// trying notes a change before it is written, if it is for a request: if the answer of the store is
// lost, its key can be shown all the same.
func trying(ctx context.Context, change *Change) {
	once, is := ctx.Value(onceKey{}).(*onceNow)
	if !is || change.Record == nil || change.Key.IsZero() {
		return
	}
	once.mutex.Lock()
	defer once.mutex.Unlock()
	once.changes[change.Record.ID] = change
}

func (o *onceNow) change(id KeyID) *Change {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.changes[id]
}

// Once runs a verb that issues a key, such as [Authenticator.Issue], [Authenticator.IssueFrom],
// [Authenticator.Delegate] or [Authenticator.Rotate], unless this request had its key already. The
// verb must use the context that it gets. Of requests that arrive at the same time, in any
// processes, one is answered by a new key. If the verb fails, nothing is remembered.
//
//	once, err := keys.Once(ctx, request, func(ctx context.Context) (*keystile.Change, error) {
//		return keys.Issue(ctx, issuer, ask)
//	})
//
// It returns [ErrAnotherRequest] if the caller has used the idempotency key for another body within
// a day, the errors of the store and those of the verb; and an [errors.ErrUnsupported] if the store is
// not a [RequestStore].
func (a *Authenticator) Once(ctx context.Context, request *IssueOnce, verb func(ctx context.Context) (*Change, error)) (OnceIssued, error) {
	if request.isUninitialized() {
		return OnceIssued{}, ErrIdempotencyKey
	}
	if verb == nil {
		return OnceIssued{}, errors.New("keystile: the verb of a request must not be nil")
	}
	if err := a.writable(); err != nil {
		return OnceIssued{}, err
	}
	store, is := a.store.(RequestStore)
	if !is {
		return OnceIssued{}, fmt.Errorf("keystile: the store must implement RequestStore for requests with an idempotency key: %w", errors.ErrUnsupported)
	}
	now := timeOf(millisOf(a.clock()))
	if before, err := answered(ctx, store, request, now); err != nil || !before.IsZero() {
		return OnceIssued{Before: before}, err
	}
	once := &onceNow{request: request, now: now, changes: map[KeyID]*Change{}}
	change, err := verb(context.WithValue(ctx, onceKey{}, once))
	if err == nil {
		return OnceIssued{Change: change}, nil
	}
	// Another one was faster, and then a key may be rotated already, or its uses given away.
	before, failed := answered(ctx, store, request, now)
	switch {
	case failed != nil:
		return OnceIssued{}, failed
	case before.IsZero():
		return OnceIssued{}, err
	}
	if own := once.change(before); own != nil {
		// It was this verb: the connection broke after its key was written, or it has failed since.
		return OnceIssued{Change: own}, nil
	}
	return OnceIssued{Before: before}, nil
}

// answered returns the key that was issued for this request within a day; zero if there is none.
func answered(ctx context.Context, store RequestStore, request *IssueOnce, now time.Time) (KeyID, error) {
	answer, err := store.IssueAnswer(ctx, request)
	switch {
	case err != nil:
		return KeyID{}, err
	case !answer.IsRemembered(now):
		return KeyID{}, nil
	case answer.Body != request.body:
		return KeyID{}, ErrAnotherRequest
	}
	return answer.KeyID, nil
}

// commitBatch writes a batch, and with it the request of the context if it issues a key, and
// notifies the other processes.
func (p *parts) commitBatch(ctx context.Context, batch Batch) error {
	err := p.commitOnce(ctx, batch)
	if err == nil && p.others != nil {
		p.others.Changed()
	}
	return err
}

func (p *parts) commitOnce(ctx context.Context, batch Batch) error {
	once, is := ctx.Value(onceKey{}).(*onceNow)
	if !is || len(batch.Inserts) == 0 {
		return p.store.Commit(ctx, batch)
	}
	store, is := p.store.(RequestStore)
	if !is {
		return errors.ErrUnsupported
	}
	batch.IssueRequest = &IssueNote{once.request, batch.Inserts[0].ID, once.now}
	err := store.Commit(ctx, batch)
	if !errors.Is(err, ErrStale) {
		return err
	}
	if before, failed := answered(ctx, store, once.request, once.now); failed != nil {
		return failed
	} else if !before.IsZero() {
		return errAnswered
	}
	return err
}
