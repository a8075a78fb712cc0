package keystile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var authenticatorReplays = map[string]func(*testing.T){"authenticator": authenticators}

type scenario struct {
	Keys         []scenarioKey
	Peppers      []*pepperForm
	BoundMS      uint64  `json:"bound_ms"`
	ServeStaleMS *uint64 `json:"serve_stale_ms"`
	Steps        []json.RawMessage
}

type scenarioKey struct {
	Label, Text string
	Stored      bool
	Record      json.RawMessage
	record      *keystile.Record
}

// scenarioStep has the fields of all steps; each has only those of its own.
type scenarioStep struct {
	Do            string
	Process       int
	MS            uint64
	Key           string
	Name          string
	What          string
	Verb          string
	Successor     string
	Requires      *string
	Open          bool
	OverlapMS     uint64 `json:"overlap_ms"`
	EndOnFirstUse bool   `json:"end_on_first_use"`
	Permissions   []string
}

// protocol is a store, and the processes over it.
type protocol struct {
	t       *testing.T
	store   *scripted
	input   scenario
	keys    map[string]*scenarioKey
	peppers *keystile.PepperRing
	// millis is the clock, which the background reads too.
	millis    atomic.Int64
	processes map[int]*keystile.Authenticator
	begun     map[string]chan string
	heldFrom  int64
}

const scenarioStart = 1_790_000_000_000

func authenticators(t *testing.T) {
	replay(t, "authenticator.json", func(t *testing.T, input scenario) any {
		own := &protocol{t: t, store: newScripted(t), input: input, keys: map[string]*scenarioKey{},
			processes: map[int]*keystile.Authenticator{}, begun: map[string]chan string{}}
		own.millis.Store(scenarioStart)
		own.peppers = must[*keystile.PepperRing](t)(ringOf(t, input.Peppers))
		for at := range input.Keys {
			key := &input.Keys[at]
			if !bytes.Equal(key.Record, []byte("null")) {
				key.record = recordOf(t, key.Record)
			}
			own.keys[key.Label] = key
		}
		own.restore()
		outcomes := []any{}
		for _, text := range input.Steps {
			var step scenarioStep
			strict(t, text, &step)
			outcomes = append(outcomes, own.act(step))
		}
		for _, process := range own.processes {
			_ = process.Close(context.Background())
		}
		return object{"outcomes": outcomes}
	})
}

// restore stores the keys that are there at the beginning.
func (p *protocol) restore() {
	for _, key := range p.input.Keys {
		if key.Stored {
			p.store.insert(p.t, key.record, p.now())
		}
	}
}

func (p *protocol) now() time.Time { return instant(uint64(p.millis.Load())) }

func (p *protocol) id(label string) keystile.KeyID { return p.keys[label].record.ID }

func (p *protocol) start() *keystile.Authenticator {
	bound := span(p.input.BoundMS)
	// The background does nothing by itself while a scenario runs, but flush.
	options := keystile.Options{RevocationBound: bound, PollInterval: bound / 2, FlushInterval: time.Hour,
		Clock: p.now}
	if p.input.ServeStaleMS != nil {
		options.ServeStale = span(*p.input.ServeStaleMS)
	}
	options = keystile.WithLeaseClock(options, func() uint64 {
		return uint64(p.now().Sub(instant(scenarioStart)) + time.Hour)
	})
	format := must[*keystile.KeyFormat](p.t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](p.t)(keystile.NewVerifier(p.peppers, format))
	before := p.store.polls.Load()
	process := must[*keystile.Authenticator](p.t)(keystile.NewAuthenticator(p.store, verifier, options))
	until(p.t, func() bool { return p.store.polls.Load() > before })
	keystile.Poll(process)
	return process
}

// answer returns how a check was answered: allow, or the code of a refusal.
func (p *protocol) answer(process int, label string, requires *string) string {
	var request keystile.Request
	if requires != nil {
		request.Requirement = must[*keystile.Requirement](p.t)(keystile.ParseRequirement(*requires))
	}
	// What the process reads by itself is not counted, such as the pair whose overlap ends.
	ctx := context.WithValue(context.Background(), checked{}, true)
	decision, err := p.processes[process].Check(ctx, p.keys[label].Text, request)
	if decision.Allowed() {
		if err != nil {
			p.t.Errorf("an error comes with an allow: %v", err)
		}
		return "allow"
	}
	return decision.Code()
}

// begin begins a check, and waits until it waits for a fetch.
func (p *protocol) begin(label, name string) {
	waiting := func() int64 {
		return p.store.finds.Load() + int64(p.processes[1].Stats().Shared)
	}
	before, done := waiting(), make(chan string, 1)
	p.begun[name] = done
	go func() { done <- p.answer(1, label, nil) }()
	until(p.t, func() bool { return waiting() > before })
}

// elsewhere does what another process does.
func (p *protocol) elsewhere(step scenarioStep) {
	ctx, tables := context.Background(), p.store.tables()
	record := p.store.find(p.t, p.id(step.Key))
	var change *keystile.Change
	var err error
	switch step.Do {
	case "revoke":
		change, err = keystile.Revoke(record, "", p.now())
	case "suspend":
		change, err = keystile.Suspend(record, p.now())
	case "resume":
		change, err = keystile.Resume(record, p.now())
	case "change":
		record = record.Clone()
		record.Permissions = must[*keystile.PermissionSet](p.t)(keystile.NewPermissionSet(step.Permissions...))
		record.Version++
		event := &keystile.Event{Kind: keystile.EventChanged, KeyID: record.ID, At: p.now(), Version: record.Version}
		change = &keystile.Change{Record: record, Records: []*keystile.Record{record}, Event: event}
	case "rotate":
		policy := keystile.DefaultRotationPolicy()
		policy.Overlap, policy.EndOnFirstUse = span(step.OverlapMS), step.EndOnFirstUse
		issuer := keystile.Issuer{Format: must[*keystile.KeyFormat](p.t)(keystile.StructuredFormat("acme"))}
		if change, err = issuer.Rotate(record, nil, policy, p.now()); err == nil {
			p.keys[step.Successor] = &scenarioKey{Text: change.Key.Expose(), record: change.Record}
		}
	}
	if err == nil {
		err = tables.Commit(ctx, change.Batch())
	}
	if err != nil {
		p.t.Fatalf("%s: %v", step.Do, err)
	}
}

func (p *protocol) recorded(label string) any {
	record := p.store.find(p.t, p.id(label))
	stored := must[keystile.StoredUsage](p.t)(p.store.tables().Usage(context.Background(), record.Lineage))
	var remaining, fullAt any
	if record.RemainingUses != nil {
		remaining = *record.RemainingUses
	}
	if stored.Rate != 0 {
		fullAt = stored.Rate.FullAt().UnixMilli()
	}
	digest := record.Digest.Text()
	return object{"version": record.Version, "digest": digest[:strings.LastIndex(digest, ":")],
		"last_used_at": timeOrNull(record.LastUsedAt), "remaining_uses": remaining, "full_at": fullAt}
}

func (p *protocol) act(step scenarioStep) any {
	ctx := context.Background()
	switch step.Do {
	case "start":
		p.processes[step.Process] = p.start()
	case "stop":
		if p.processes[step.Process].Close(ctx) != nil {
			return object{"outcome": "failed"}
		}
		return object{"outcome": "done"}
	case "clock":
		p.millis.Add(int64(step.MS))
	case "pause":
		p.millis.Add(5_000)
	case "check":
		before := p.store.finds.Load()
		answer := p.answer(step.Process, step.Key, step.Requires)
		return object{"answer": answer, "finds": p.store.finds.Load() - before}
	case "hold":
		p.heldFrom = p.store.finds.Load()
		p.store.hold()
	case "begin":
		p.begin(step.Key, step.Name)
	case "release":
		finds := p.store.finds.Load() - p.heldFrom
		p.store.release()
		return object{"finds": finds}
	case "end":
		answer := <-p.begun[step.Name]
		if step.Open {
			return nil
		}
		return object{"answer": answer}
	case "trouble":
		var ids []keystile.KeyID
		if step.What == "lags" {
			for label := range p.keys {
				ids = append(ids, p.id(label))
			}
		}
		p.store.set(p.t, step.What, ids...)
	case "poll":
		keystile.Poll(p.processes[1])
		return object{"lease_age_ms": p.processes[1].Stats().LeaseAge.Milliseconds()}
	case "flush":
		for _, process := range p.processes {
			_ = keystile.Flush(process)
		}
	case "settle":
		for _, process := range p.processes {
			until(p.t, func() bool { return keystile.IsSettled(process) })
		}
		return object{"commits": p.store.commits.Swap(0)}
	case "recorded":
		return p.recorded(step.Key)
	case "verb":
		id, process := p.id(step.Key), p.processes[1]
		var outcome keystile.Outcome
		var err error
		switch step.Verb {
		case "revoke":
			outcome, err = process.Revoke(ctx, id, "")
		case "suspend":
			outcome, err = process.Suspend(ctx, id)
		case "resume":
			outcome, err = process.Resume(ctx, id)
		}
		if err != nil {
			p.t.Fatal(err)
		}
		return object{"changed": outcome.Changed}
	case "invalidate":
		p.processes[1].Invalidate(p.id(step.Key))
	case "issue":
		p.store.insert(p.t, p.keys[step.Key].record, p.now())
	case "gone":
		p.store.lose(p.id(step.Key))
	case "event":
		event := keystile.Event{Kind: keystile.EventChanged, At: p.now()}
		if err := p.store.tables().Commit(ctx, keystile.Batch{Events: []keystile.Event{event}}); err != nil {
			p.t.Fatal(err)
		}
	case "restore":
		p.store.empty(p.t)
		p.restore()
	case "revoke", "suspend", "resume", "change", "rotate":
		p.elsewhere(step)
	default:
		p.t.Fatalf("no such step: %s", step.Do)
	}
	return nil
}
