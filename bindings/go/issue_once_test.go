package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// lossy is a store whose answers to some commits are lost, after they were written.
type lossy struct {
	*keystile.MemoryStore
	loses bool
}

var errLost = errors.New("the connection broke")

func (l *lossy) Commit(ctx context.Context, batch keystile.Batch) error {
	err := l.MemoryStore.Commit(ctx, batch)
	if err == nil && l.loses {
		return errLost
	}
	return err
}

// A key whose text was never shown is not one that was issued before.
func TestAKeyWhoseCommitIsNotAnsweredIsShown(t *testing.T) {
	ctx, store := context.Background(), &lossy{MemoryStore: keystile.NewMemoryStore()}
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	keys := keystile.Must(keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, issuer.Format)), keystile.Options{}))
	defer func() { _ = keys.Close(ctx) }()
	asked := keystile.IssueRequest{ClientName: "Acme"}
	source := keystile.Must(keys.Issue(ctx, issuer, asked)).Record.ID
	verbs := map[string]func(context.Context) (*keystile.Change, error){
		"issue":    func(ctx context.Context) (*keystile.Change, error) { return keys.Issue(ctx, issuer, asked) },
		"delegate": func(ctx context.Context) (*keystile.Change, error) { return keys.Delegate(ctx, source, issuer, asked) },
		"rotate": func(ctx context.Context) (*keystile.Change, error) {
			return keys.Rotate(ctx, issuer, source, keystile.DefaultRotationPolicy())
		},
		"commit": func(ctx context.Context) (*keystile.Change, error) {
			change := keystile.Must(issuer.Issue(asked, time.Now()))
			return change, keys.Commit(ctx, change)
		},
		"two": func(ctx context.Context) (*keystile.Change, error) {
			store.loses = false
			if _, err := keys.Issue(ctx, issuer, asked); err != nil {
				return nil, err
			}
			return keys.Issue(ctx, issuer, asked)
		},
	}
	for name, verb := range verbs {
		request := keystile.Must(keystile.NewIssueOnce("ana", name, nil))
		store.loses = true
		once, err := keys.Once(ctx, request, verb)
		store.loses = false
		if err != nil || once.Change == nil || !once.Before.IsZero() {
			t.Errorf("%s: %+v, %v", name, once, err)
			continue
		}
		if decision, err := keys.Check(ctx, once.Change.Key.Expose(), keystile.Request{}); !decision.Allowed() {
			t.Errorf("%s: %v, %v", name, decision, err)
		}
		again, err := keys.Once(ctx, request, verb)
		if err != nil || again.Change != nil || again.Before != once.Change.Record.ID {
			t.Errorf("%s again: %s, %v", name, fmt.Sprint(again), err)
		}
	}
	// What was not written is not shown.
	request := keystile.Must(keystile.NewIssueOnce("ana", "never", nil))
	once, err := keys.Once(ctx, request, func(context.Context) (*keystile.Change, error) { return nil, errLost })
	if !errors.Is(err, errLost) || once.Change != nil || !once.Before.IsZero() {
		t.Errorf("%+v, %v", once, err)
	}
}
