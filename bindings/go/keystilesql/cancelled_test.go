package keystilesql_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

func TestContextsThatEndAmidWritesOnSQLite(t *testing.T) {
	endsAmidWrites(t, openSQLite(t, filepath.Join(t.TempDir(), "keys.db")), 200*time.Microsecond)
}

func TestContextsThatEndAmidWritesOnPostgreSQL(t *testing.T) {
	source, _ := startPostgres(t).database(t)
	endsAmidWrites(t, openPostgres(t, source), 2*time.Millisecond)
}

// endsAmidWrites cancels requests at any moment: acknowledged changes are stored, and no
// connection is left in a transaction.
func endsAmidWrites(t *testing.T, store *keystilesql.Store, step time.Duration) {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	var mutex sync.Mutex
	acknowledged, failed := 0, 0
	var running sync.WaitGroup
	for worker := range 4 {
		running.Add(1)
		go func() {
			defer running.Done()
			for round := range 50 {
				change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: fmt.Sprintf("%d of %d", round, worker)}, time.Now()))
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(round%25)*step)
				err := store.Commit(ctx, change.Batch())
				cancel()
				found, readErr := store.Find(context.Background(), keystile.Lookup{KeyID: change.Record.ID})
				mutex.Lock()
				switch {
				case readErr != nil:
					t.Error(readErr)
				case err == nil && found == nil:
					t.Error("what was acknowledged is there")
				case err != nil && !errors.Is(err, keystile.ErrStoreUnavailable):
					t.Error(err)
				case err == nil:
					acknowledged++
				default:
					failed++
				}
				mutex.Unlock()
			}
		}()
	}
	running.Wait()
	if failed == 0 {
		t.Error("no context ended in time to be of interest")
	}
	for range 30 {
		change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "after it"}, time.Now()))
		if err := store.Commit(context.Background(), change.Batch()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged, %d not", acknowledged, failed)
}
