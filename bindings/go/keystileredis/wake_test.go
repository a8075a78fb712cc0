package keystileredis_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
)

func openWake(s *server, name string) *keystileredis.Wake {
	wake := must(keystileredis.OpenWake(s.options(), name))
	s.Cleanup(func() { _ = wake.Close() })
	return wake
}

// subscribed waits until so many listen to a channel.
func (s *server) subscribed(channel string, count int64) {
	s.Helper()
	s.eventually("they subscribe", func() bool { return s.do("PUBSUB", "NUMSUB", channel).([]any)[1].(int64) >= count })
}

func (s *server) eventually(what string, happened func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatal("this does not happen: ", what)
		}
	}
}

func TestARevocationIsInForceInAnotherProcessAfterTheMessage(t *testing.T) {
	server := start(t)
	store, format := keystile.NewMemoryStore(), must(keystile.StructuredFormat("acme"))
	verifier := must(keystile.NewVerifier(nil, format))
	process := func(wake keystile.Wake) *keystile.Authenticator {
		// It polls once in a time that is long beyond any test.
		options := keystile.Options{Wake: wake, PollInterval: 10 * time.Hour, RevocationBound: 24 * time.Hour, TTL: 24 * time.Hour}
		process := must(keystile.NewAuthenticator(store, verifier, options))
		t.Cleanup(func() { _ = process.Close(ctx) })
		return process
	}
	one, other, apart := process(openWake(server, "keys")), process(openWake(server, "keys")), process(openWake(server, "others"))
	allowed := func(keys *keystile.Authenticator, issued *keystile.Change) bool {
		decision, err := keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
		if err != nil {
			t.Fatal(err)
		}
		return decision.Allowed()
	}
	// Also after the server was away.
	for round := range 2 {
		server.subscribed("keystile:wake:keys", 2)
		server.subscribed("keystile:wake:others", 1)
		// A subscription is a reason to read too: not until that is done is this about the message.
		time.Sleep(300 * time.Millisecond)
		issued := must(one.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
		for _, keys := range []*keystile.Authenticator{one, other, apart} {
			if !allowed(keys, issued) {
				t.Fatal("refused")
			}
		}
		must(one.Revoke(ctx, issued.Record.ID, "left"))
		server.eventually("the other process refuses", func() bool { return !allowed(other, issued) })
		if !allowed(apart, issued) {
			t.Error("a process without a message has read the change, so this is no test of messages")
		}
		if round == 0 {
			server.kill()
			// A change does not wait for a message, and does not fail with it.
			must(one.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
			server.run()
		}
	}
}

func TestChangesShareMessages(t *testing.T) {
	server := start(t)
	wake := openWake(server, "keys")
	var notified atomic.Int64
	listening, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- wake.Listen(listening, func() { notified.Add(1) }) }()
	server.eventually("the subscription is a reason to read", func() bool { return notified.Load() == 1 })
	for range 1000 {
		wake.Changed()
	}
	server.eventually("a message comes", func() bool { return notified.Load() > 1 })
	time.Sleep(100 * time.Millisecond)
	if count := notified.Load(); count > 500 {
		t.Errorf("%d messages", count)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() { ended <- wake.Listen(ctx, func() { notified.Add(1000) }) }()
	server.eventually("it listens again", func() bool { return notified.Load() > 1000 })
	if err := wake.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("it listens after it was closed")
	}
	wake.Changed()
}
