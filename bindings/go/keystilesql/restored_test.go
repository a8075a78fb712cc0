package keystilesql_test

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A restore by the program is read as any other change: by events, and by versions that are
// higher than any that was cached.
func TestARestoreIsNoticed(t *testing.T) {
	own, folder, ctx := program(t), t.TempDir(), context.Background()
	database := filepath.Join(folder, "keys.db")
	store := openSQLite(t, database)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	// What this one does, the other must read.
	writer := authenticatorOver(t, store, nil, issuer.Format)
	reader := authenticatorOver(t, openSQLite(t, database), nil, issuer.Format)
	issue := func() *keystile.Change {
		return must[*keystile.Change](t)(writer.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	}
	call := func(words ...string) {
		t.Helper()
		command := exec.Command(own, append([]string{"--store", "sqlite:" + database}, words...)...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s, %v", out, err)
		}
	}
	becomes := func(what string, key *keystile.Change, expected error) {
		t.Helper()
		eventually(t, what, func() bool {
			decision, _ := reader.Check(ctx, key.Key.Expose(), keystile.Request{})
			return errors.Is(decision.Err(), expected)
		})
	}

	kept, revoked, suspended := issue(), issue(), issue()
	backup := filepath.Join(folder, "backup.db")
	call("backup", backup)
	lost := issue()
	if _, err := writer.Revoke(ctx, revoked.Record.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := writer.Suspend(ctx, suspended.Record.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Resume(ctx, suspended.Record.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := writer.Suspend(ctx, suspended.Record.ID); err != nil {
		t.Fatal(err)
	}
	becomes("a revocation", revoked, keystile.ErrKeyRevoked)
	becomes("a suspension", suspended, keystile.ErrKeySuspended)
	becomes("a key after the backup", lost, nil)
	becomes("a key before it", kept, nil)

	call("restore", backup)
	becomes("a key that is lost", lost, keystile.ErrInvalidKey)
	becomes("a key that is active again", suspended, nil)
	for _, end := range []struct {
		key      *keystile.Change
		expected error
	}{{revoked, keystile.ErrKeyRevoked}, {kept, nil}} {
		if decision, _ := reader.Check(ctx, end.key.Key.Expose(), keystile.Request{}); !errors.Is(decision.Err(), end.expected) {
			t.Errorf("%v, expected %v", decision, end.expected)
		}
	}
	call("restore", backup, "--forget-revocations")
	becomes("a key that was revived", revoked, nil)
}
