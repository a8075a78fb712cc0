package keystile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

func ExampleRecord() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	digest := strings.TrimPrefix(record.Digest.Text(), "sha256:")
	shown := string(keystile.Must(json.Marshal(record)))
	fmt.Println(strings.Contains(shown, "Acme Ltd"), strings.Contains(shown, digest))

	// As a store holds it.
	whole := keystile.Must(keystile.EncodeRecord(record))
	restored := keystile.Must(keystile.DecodeRecord(whole))
	fmt.Println(restored.Digest.Equal(record.Digest), restored.IsLive(now), restored.IsLive(now.AddDate(0, 0, 90)))

	// A copy whose fields contradict each other is refused.
	restored.ReplacedBy = keystile.Must(keystile.ParseKeyID("1QJ4bo0RE6F7ptpH"))
	fmt.Println(errors.Is(restored.Check(), keystile.ErrRecord))
	// Output:
	// true false
	// true true false
	// true
}

func ExampleState() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	states := []keystile.State{record.State}
	suspended := keystile.Must(keystile.Suspend(record, now)).Record
	states = append(states, suspended.State)
	fmt.Println(states, suspended.IsLive(now))
	_, err := keystile.Suspend(suspended, now)
	fmt.Println(errors.Is(err, keystile.ErrState))
	// Output:
	// [active suspended] false
	// true
}

func ExampleChange() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	var issued *keystile.Change = keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	rotated := keystile.Must(issuer.Rotate(issued.Record, nil, keystile.DefaultRotationPolicy(), now))
	for _, change := range []*keystile.Change{issued, rotated} {
		batch := change.Batch()
		fmt.Println(change.Event.Kind, len(batch.Inserts), len(batch.Updates), len(batch.Events))
	}
	// Output:
	// issued 1 0 1
	// rotated 1 1 1
}

func ExampleBatch() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	changed := record.Clone() // goroutines may share the record
	changed.Version++
	changed.ClientName = ""
	batch := keystile.Batch{Updates: []*keystile.Record{changed}}
	fmt.Println(errors.Is(batch.Check(), keystile.ErrRecord))
	changed.ClientName = "Acme Limited"
	fmt.Println(errors.Is(batch.Check(), keystile.ErrWithoutEvent))
	batch.Events = []keystile.Event{{
		Kind:    keystile.EventChanged,
		KeyID:   changed.ID,
		At:      now,
		Version: changed.Version,
		Changes: []keystile.FieldChange{{Field: "client_name"}},
	}}
	fmt.Println(batch.Check())
	// Output:
	// true
	// true
	// <nil>
}

func ExampleUpkeep() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	upkeep := keystile.Upkeep{KeyID: record.ID, Version: record.Version + 1, OverlapUntil: &now}
	fmt.Println(upkeep.Field())
	batch := keystile.Batch{Upkeep: []keystile.Upkeep{upkeep}}
	fmt.Println(errors.Is(batch.Check(), keystile.ErrWithoutEvent))
	// Output:
	// overlap_until
	// true
}

func ExampleEvent() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	var event *keystile.Event = keystile.Must(keystile.Revoke(record, "leaked in a log", now)).Event
	fmt.Println(event.Kind, event.KeyID == record.ID, *event.Reason, event.At)

	// A reason that could forge a line of a log is refused.
	_, err := keystile.Revoke(record, "leaked\nkey 7 revoked", now)
	fmt.Println(errors.Is(err, keystile.ErrRecord))
	// Output:
	// revoked true leaked in a log 2026-09-21 14:13:20 +0000 UTC
	// true
}

func ExampleEventKind() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	revoked := keystile.Must(keystile.Revoke(issued.Record, "leaked", now))
	count := map[keystile.EventKind]int{}
	for _, event := range []*keystile.Event{issued.Event, revoked.Event} {
		count[event.Kind]++
	}
	fmt.Println(count[keystile.EventIssued], count[keystile.EventRevoked], count[keystile.EventRotated])
	// Output: 1 1 0
}

func ExampleUsage() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	change := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(1))}, now))

	var usage keystile.Usage = keystile.UsageOf(change.Record) // or as the store holds it, for the record's lineage
	for range 2 {
		before := usage
		decision, err := verifier.Verify(change.Key.Expose(), change.Record, keystile.Request{}, &usage, now)
		fmt.Println(decision, err, usage.Equal(before)) // a refusal spends nothing
	}
	// Output:
	// allowed <nil> false
	// uses_spent <nil> true
}

func ExampleLookup() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	change := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	var lookup keystile.Lookup = keystile.Must(verifier.Lookup(change.Key.Expose()))
	fmt.Println(lookup.KeyID == change.Record.ID, len(lookup.Digests))

	// No store is asked for a text that is not a key.
	_, err := verifier.Lookup("acme_invented")
	fmt.Println(errors.Is(err, keystile.ErrInvalidKey))
	// Output:
	// true 0
	// true
}

func ExampleRotationPolicy() {
	policy := keystile.DefaultRotationPolicy()
	policy.Overlap = 24 * time.Hour
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	old := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	change := keystile.Must(issuer.Rotate(old, nil, policy, now))
	fmt.Println(change.Records[1].OverlapUntil.Sub(now), change.Record.ExpiresAt.Sub(now))

	policy.MaxAge = 365 * 24 * time.Hour
	_, err := issuer.Rotate(old, nil, policy, now)
	fmt.Println(errors.Is(err, keystile.ErrTime))
	// Output:
	// 24h0m0s 2160h0m0s
	// true
}

func ExamplePlanItem() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	describe := func(item keystile.PlanItem) string {
		actions := map[keystile.PlanAction]string{
			keystile.PlanNotice:  fmt.Sprintf("notify the owner, %s ahead", item.Lead),
			keystile.PlanRotate:  "rotate the key",
			keystile.PlanCleanUp: "delete the record",
		}
		return actions[item.Action]
	}
	for _, day := range []int{1, 76, 90 + 30} {
		items := keystile.Must(keystile.Plan([]*keystile.Record{record}, keystile.DefaultRotationPolicy(), now.AddDate(0, 0, day)))
		for _, item := range items {
			fmt.Println(day, describe(item))
		}
	}
	// Output:
	// 76 notify the owner, 336h0m0s ahead
	// 120 delete the record
}
