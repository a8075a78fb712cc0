package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

var acme = &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}

// process returns an authenticator whose clock is ahead.
func process(t *testing.T, store keystile.RecordFinder, ahead time.Duration, options keystile.Options) *keystile.Authenticator {
	t.Helper()
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, acme.Format))
	options.Clock = func() time.Time { return time.Now().Add(ahead) }
	return must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
}

// kept returns the text of a new key in a store.
func kept(t *testing.T, store keystile.Store, request keystile.IssueRequest) *keystile.Change {
	t.Helper()
	request.ClientName = "Acme Ltd"
	change := must[*keystile.Change](t)(acme.Issue(request, time.Now()))
	if err := store.Commit(context.Background(), change.Batch()); err != nil {
		t.Fatal(err)
	}
	return change
}

func tenAnHour() keystile.IssueRequest {
	return keystile.IssueRequest{RateLimit: keystile.Ptr(keystile.Must(keystile.NewRateLimit(10, time.Hour)))}
}

func passes(t *testing.T, authenticator *keystile.Authenticator, key *keystile.Change, requests int) (passed int) {
	t.Helper()
	for range requests {
		decision := must[keystile.Decision](t)(authenticator.Check(context.Background(), key.Key.Expose(), keystile.Request{}))
		if decision.Allowed() {
			passed++
		} else if decision.Cause() != keystile.CauseRateLimit {
			t.Fatal(decision)
		}
	}
	return passed
}

// A limit survives restarts, on machines with other clocks too if the store has its own.
func TestALimitSurvivesRestarts(t *testing.T) {
	restarts := func(t *testing.T, store keystile.Store, least int, clocks ...time.Duration) {
		key, all := kept(t, store, tenAnHour()), 0
		for _, ahead := range clocks {
			own := process(t, store, ahead, keystile.Options{})
			all += passes(t, own, key, 6)
			if err := own.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if all < least || all > 10 {
			t.Errorf("a limit of 10 an hour passes %d over restarts", all)
		}
	}
	t.Run("SQLite", func(t *testing.T) { restarts(t, ledger(t), 10, 0, 0, 0, 0) })
	t.Run("PostgreSQL", func(t *testing.T) {
		source, _ := startPostgres(t).database(t)
		// The time that a query takes counts as spent: that may cost the last request.
		restarts(t, openPostgres(t, source), 9, 3*time.Minute, 0, 24*time.Hour, 3*time.Minute)
	})
}

// counting records how often states are written.
type counting struct {
	*keystilesql.Store
	rates atomic.Int64
	fails atomic.Bool
}

func (c *counting) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	if c.fails.Load() {
		return errors.New("not now")
	}
	c.rates.Add(1)
	return c.Store.NoteRates(ctx, rates, now)
}

// A process that ends without closing gives away only what was not written yet.
func TestWhatIsSpentIsWrittenWhileAProcessRuns(t *testing.T) {
	store := &counting{Store: ledger(t)}
	key := kept(t, store, tenAnHour())
	crashes := process(t, store, 0, keystile.Options{FlushInterval: 5 * time.Millisecond})
	defer func() { _ = crashes.Close(context.Background()) }()
	if passed := passes(t, crashes, key, 8); passed != 8 {
		t.Fatal(passed)
	}
	eventually(t, "the state is written", func() bool {
		stored := must[keystile.StoredUsage](t)(store.Usage(context.Background(), key.Record.ID))
		return stored.Rate.FullAt().After(time.Now().Add(45 * time.Minute)) // each request is six
	})
	next := process(t, store, 0, keystile.Options{})
	if passed := passes(t, next, key, 10); passed != 2 {
		t.Errorf("%d pass after a crash, of the 2 that were left", passed)
	}
	store.fails.Store(true)
	if err := next.Close(context.Background()); err == nil {
		t.Error("states that cannot be written must be reported")
	}
	store.fails.Store(false)
	if err := next.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if passed := passes(t, process(t, store, 0, keystile.Options{}), key, 5); passed != 0 {
		t.Errorf("%d pass", passed)
	}
}

// A limit that is free again within two seconds is written only at the end.
func TestALimitThatIsFreeSoonIsWrittenAtTheEnd(t *testing.T) {
	store := &counting{Store: ledger(t)}
	fast := keystile.IssueRequest{RateLimit: keystile.Ptr(keystile.Must(keystile.NewRateLimit(1_000, time.Second)))}
	key := kept(t, store, fast)
	own := process(t, store, 0, keystile.Options{FlushInterval: time.Millisecond})
	passes(t, own, key, 900)
	time.Sleep(20 * time.Millisecond) // many intervals
	if store.rates.Load() != 0 {
		t.Error("a write that would be too late")
	}
	passes(t, own, key, 900)
	if err := own.Close(context.Background()); err != nil || store.rates.Load() != 1 {
		t.Errorf("%v, %d writes", err, store.rates.Load())
	}
}

// gated holds the first claim, and reports until when the second one may go on.
type gated struct {
	*keystilesql.Store
	claims  atomic.Int64
	arrived chan struct{}
	gate    chan struct{}
	ends    chan time.Time
}

func (g *gated) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	// Each of the two requests reads it once for the record, before it claims.
	switch g.claims.Add(1) {
	case 2:
		g.arrived <- struct{}{}
		<-g.gate
	case 4:
		end, _ := ctx.Deadline()
		g.ends <- end
	}
	return g.Store.Usage(ctx, lineage)
}

// A claim that has waited for its turn has as long as any other: otherwise it would be cut off
// after its write was sent.
func TestAClaimHasTimeOfItsOwn(t *testing.T) {
	ctx, limit := context.Background(), time.Minute
	store := &gated{Store: ledger(t), arrived: make(chan struct{}), gate: make(chan struct{}), ends: make(chan time.Time, 1)}
	key := kept(t, store.Store, keystile.IssueRequest{Uses: keystile.Ptr(uint64(10))})
	own := process(t, store, 0, keystile.Options{StoreTimeout: limit})
	defer func() { _ = own.Close(ctx) }()
	var asking sync.WaitGroup
	ask := func() {
		defer asking.Done()
		if decision, err := own.Check(ctx, key.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
			t.Error(decision, err)
		}
	}
	asking.Add(2)
	go ask()
	<-store.arrived
	go ask()
	for store.claims.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	// The second one waits, or is about to.
	time.Sleep(20 * time.Millisecond)
	begun := time.Now()
	close(store.gate)
	if end := <-store.ends; end.Before(begun.Add(limit)) {
		t.Errorf("it is cut off %s too early", begun.Add(limit).Sub(end))
	}
	asking.Wait()
}

// A process that has only the key with the higher limit gives the other one nothing back:
// neither when it reads what was spent, nor when it writes its own.
func TestASlowerLimitOfALineageIsKept(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	key := kept(t, store, tenAnHour())
	rotated := must[*keystile.Change](t)(acme.Rotate(key.Record, nil, keystile.DefaultRotationPolicy(), time.Now()))
	fast := rotated.Record
	fast.RateLimit = keystile.Ptr(keystile.Must(keystile.NewRateLimit(1000, time.Second)))
	if err := store.Commit(ctx, rotated.Batch()); err != nil {
		t.Fatal(err)
	}
	own := process(t, store, 0, keystile.Options{})
	if passed := passes(t, own, key, 12); passed != 10 {
		t.Fatal(passed)
	}
	if err := own.Close(ctx); err != nil {
		t.Fatal(err)
	}
	before := must[keystile.StoredUsage](t)(store.Usage(ctx, key.Record.ID))
	own = process(t, store, 0, keystile.Options{})
	for passes(t, own, rotated, 1) == 0 {
		time.Sleep(time.Millisecond)
	}
	// Its limit of this process is free again only after the close.
	passes(t, own, rotated, 900)
	if err := own.Close(ctx); err != nil {
		t.Fatal(err)
	}
	after := must[keystile.StoredUsage](t)(store.Usage(ctx, key.Record.ID))
	if !after.Usage.Equal(before.Usage) {
		t.Errorf("%+v, and was %+v", after.Usage, before.Usage)
	}
}

// What another process writes while a note waits for its row is not brought back, though it is
// further ahead of the clock at which the note arrived than the limit can move a state.
func TestANoteThatWaitsForALockLowersNothing(t *testing.T) {
	ctx := context.Background()
	source, _ := startPostgres(t).database(t)
	store := openPostgres(t, source)
	key, now := kept(t, store, tenAnHour()), time.Now()
	other := must[*sql.DB](t)(sql.Open("pgx", source))
	defer other.Close()
	lock := must[*sql.Tx](t)(other.BeginTx(ctx, nil))
	if _, err := lock.ExecContext(ctx, "SELECT 1 FROM api_key_usage FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	var state keystile.RateState
	if _, _, err := key.Record.RateLimit.Admit(&state, now); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- store.NoteRates(ctx, []keystile.RateNote{{Lineage: key.Record.ID, State: state, Reach: time.Hour}}, now)
	}()
	for waiting := 0; waiting == 0; {
		row := other.QueryRowContext(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted")
		if err := row.Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// So that the clock has moved on.
	time.Sleep(50 * time.Millisecond)
	var written int64
	full := lock.QueryRowContext(ctx, "UPDATE api_key_usage SET rate_state ="+
		" (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 3600000) << 20 RETURNING rate_state")
	if err := errors.Join(full.Scan(&written), lock.Commit(), <-done); err != nil {
		t.Fatal(err)
	}
	if stored := must[keystile.StoredUsage](t)(store.Usage(ctx, key.Record.ID)); stored.Rate != keystile.RateState(written) {
		t.Errorf("%d was written, and %d is stored", written, stored.Rate)
	}
}

// A foreign write lock delays only writes, and none is written after its caller is gone.
func TestAForeignWriteLockDelaysOnlyWrites(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "keys.db")
	store := openSQLite(t, path)
	var counted, plain []*keystile.Change
	for range 30 {
		counted = append(counted, kept(t, store, keystile.IssueRequest{Uses: keystile.Ptr(uint64(10))}))
		plain = append(plain, kept(t, store, keystile.IssueRequest{}))
	}
	own := process(t, store, 0, keystile.Options{StoreTimeout: 2 * time.Second, Fetches: 4})
	other := must[*sql.DB](t)(sql.Open("sqlite", keystilesql.SQLiteDSN(path)))
	defer other.Close()
	lock := must[*sql.Conn](t)(other.Conn(ctx))
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var claims sync.WaitGroup
	for _, key := range append(counted, counted...) {
		claims.Add(1)
		go func() {
			defer claims.Done()
			if decision, err := own.Check(ctx, key.Key.Expose(), keystile.Request{}); err == nil {
				t.Error("a claim passes a lock:", decision)
			}
		}()
	}
	for _, key := range plain {
		if decision, err := own.Check(ctx, key.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
			t.Error(decision, err)
		}
	}
	claims.Wait()
	if _, err := lock.ExecContext(ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	kept(t, store, keystile.IssueRequest{})
	for _, key := range counted {
		if left := must[keystile.StoredUsage](t)(store.Usage(ctx, key.Record.ID)).Remaining; *left != 10 {
			t.Errorf("%d are left of 10: a write that no one waits for", *left)
		}
	}
	if err := own.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A state that a wrong clock has left costs one burst, also if the record is fetched again
// before that is free.
func TestAWrongStateInTheStoreCostsOneBurst(t *testing.T) {
	ctx, store, begin := context.Background(), ledger(t), time.Now()
	daily := keystile.Must(keystile.NewRateLimit(1, 24*time.Hour))
	key := kept(t, store, keystile.IssueRequest{RateLimit: &daily})
	var far keystile.RateState
	if _, _, err := daily.Admit(&far, begin.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	request := keystile.SpendRequestOf(key.Record, keystile.Usage{}, keystile.Usage{Rate: far})
	if spent, err := store.Spend(ctx, request); !spent {
		t.Fatal(err)
	}
	var after atomic.Int64
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, acme.Format))
	options := keystile.Options{Clock: func() time.Time { return begin.Add(time.Duration(after.Load())) }}
	own := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	defer func() { _ = own.Close(ctx) }()
	for _, step := range []struct {
		after time.Duration
		want  int
		// The time of a fetch counts as spent, so a minute more than a day.
	}{{0, 0}, {12 * time.Hour, 0}, {23 * time.Hour, 0}, {24*time.Hour + time.Minute, 1}, {25 * time.Hour, 0}} {
		after.Store(int64(step.after))
		if passed := passes(t, own, key, 1); passed != step.want {
			t.Errorf("%d pass after %v", passed, step.after)
		}
	}
}
