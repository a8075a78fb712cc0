package keystile_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var livesReplays = map[string]func(*testing.T){
	"limits": limits, "limit_runs": limitRuns, "shared_limits": sharedLimits, "policies": policies, "plans": plans,
	"records": records, "rotations": rotations,
}

func limits(t *testing.T) {
	replay(t, "limits.json", func(t *testing.T, input struct {
		Limit    limitForm
		Requests []uint64
	}) any {
		limit, err := input.Limit.made()
		if err != nil {
			return object{"steps": nil, "error": kind(t, err)}
		}
		steps := []object{}
		var state keystile.RateState
		for _, at := range input.Requests {
			before := state
			quota, admitted, err := limit.Admit(&state, instant(at))
			if err != nil || (!admitted && state != before) {
				t.Fatalf("%v; a refusal costs nothing", err)
			}
			var wait any
			if after, ever := quota.RetryAfter(); ever {
				wait = after.Milliseconds()
			}
			steps = append(steps, object{"admitted": admitted, "remaining": quota.Remaining(),
				"reset_ms": quota.Reset().Milliseconds(), "retry_after_ms": wait})
		}
		return object{"steps": steps, "error": nil}
	})
}

func limitRuns(t *testing.T) {
	replay(t, "limit_runs.json", func(t *testing.T, input struct {
		Limit   limitForm
		FirstAt uint64 `json:"first_at"`
		EveryMS uint64 `json:"every_ms"`
		Count   uint64
	}) any {
		limit := must[keystile.RateLimit](t)(input.Limit.made())
		var state keystile.RateState
		var first any
		admitted := 0
		for number := range input.Count {
			_, passes, err := limit.Admit(&state, instant(input.FirstAt+number*input.EveryMS))
			if err != nil {
				t.Fatal(err)
			}
			if passes {
				admitted++
			} else if first == nil {
				first = number
			}
		}
		return object{"admitted": admitted, "first_refused": first}
	})
}

func sharedLimits(t *testing.T) {
	lineage := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	replay(t, "shared_limits.json", func(t *testing.T, input struct {
		Limits []limitForm
		Steps  []struct {
			Verb     string
			By       int
			Tokens   uint32
			Now      uint64
			TakenAt  uint64 `json:"taken_at"`
			WithinMS uint64 `json:"within_ms"`
		}
	}) any {
		var now uint64
		ctx, counted := t.Context(), keystile.NewMemoryLimitsWithClock(func() time.Time { return instant(now) })
		steps := []any{}
		for _, step := range input.Steps {
			limit := must[keystile.RateLimit](t)(input.Limits[step.By].made())
			now = step.Now
			if step.Verb == "give" {
				rest := keystile.Rest{Lineage: lineage, Limit: limit, Tokens: step.Tokens, TakenAt: instant(step.TakenAt), Within: time.Duration(step.WithinMS) * time.Millisecond}
				if err := counted.GiveBack(ctx, []keystile.Rest{rest}); err != nil {
					t.Fatal(err)
				}
				steps = append(steps, nil)
				continue
			}
			taken := must[keystile.Taken](t)(counted.Take(ctx, keystile.Take{Lineage: lineage, Limit: limit, Tokens: step.Tokens}))
			quota := keystile.QuotaOf(limit, taken.State, taken.Clock)
			var wait any
			if after, ever := quota.RetryAfter(); ever {
				wait = after.Milliseconds()
			}
			steps = append(steps, object{"taken": taken.Tokens, "remaining": quota.Remaining(),
				"reset_ms": quota.Reset().Milliseconds(), "retry_after_ms": wait})
		}
		return object{"steps": steps}
	})
}

type policyForm struct {
	MaxAgeMS      uint64   `json:"max_age_ms"`
	OverlapMS     uint64   `json:"overlap_ms"`
	EndOnFirstUse bool     `json:"end_on_first_use"`
	NoticeLeadsMS []uint64 `json:"notice_leads_ms"`
	RetentionMS   uint64   `json:"retention_ms"`
}

func (f policyForm) made() keystile.RotationPolicy {
	policy := keystile.RotationPolicy{MaxAge: span(f.MaxAgeMS), Overlap: span(f.OverlapMS),
		Retention: span(f.RetentionMS), EndOnFirstUse: f.EndOnFirstUse}
	for _, lead := range f.NoticeLeadsMS {
		policy.NoticeLeads = append(policy.NoticeLeads, span(lead))
	}
	return policy
}

func policies(t *testing.T) {
	replay(t, "policies.json", func(t *testing.T, input struct{ Policy policyForm }) any {
		_, err := keystile.Plan(nil, input.Policy.made(), instant(1_790_000_000_000))
		if err != nil && kind(t, err) != "time" {
			t.Errorf("%v", err)
		}
		return object{"legal": err == nil}
	})
}

func plans(t *testing.T) {
	replay(t, "plans.json", func(t *testing.T, input struct {
		Policy  policyForm
		Records []json.RawMessage
		Now     uint64
	}) any {
		var records []*keystile.Record
		for _, text := range input.Records {
			records = append(records, recordOf(t, text))
		}
		found := must[[]keystile.PlanItem](t)(keystile.Plan(records, input.Policy.made(), instant(input.Now)))
		due := []object{}
		for _, one := range found {
			var lead any
			if one.Action == keystile.PlanNotice {
				lead = one.Lead.Milliseconds()
			}
			due = append(due, object{"key_id": one.KeyID.String(), "action": string(one.Action), "at": one.At.UnixMilli(), "lead_ms": lead})
		}
		return object{"due": due}
	})
}

func records(t *testing.T) {
	replay(t, "records.json", func(t *testing.T, input struct{ JSON string }) any {
		record, err := keystile.DecodeRecord([]byte(input.JSON))
		if err != nil {
			return object{"accepted": false}
		}
		same(t, json.RawMessage(input.JSON), json.RawMessage(must[[]byte](t)(keystile.EncodeRecord(record))))
		var whole map[string]any
		if err := json.Unmarshal([]byte(input.JSON), &whole); err != nil {
			t.Fatal(err)
		}
		delete(whole, "digest")
		shown := must[[]byte](t)(json.Marshal(record))
		same(t, must[[]byte](t)(json.Marshal(whole)), json.RawMessage(shown))
		again := must[*keystile.Record](t)(keystile.DecodeRecord(must[[]byte](t)(keystile.EncodeRecord(record))))
		left, right := must[[]byte](t)(keystile.EncodeRecord(record)), must[[]byte](t)(keystile.EncodeRecord(again))
		if !reflect.DeepEqual(left, right) {
			t.Error("nothing is lost or invented")
		}
		return object{"accepted": true}
	})
}

type step struct {
	At     uint64  `json:"at"`
	Do     string  `json:"do"`
	Key    string  `json:"key"`
	As     string  `json:"as"`
	Reason *string `json:"reason"`
}

// lineage is a store of one lineage: a key and its record under each label.
type lineage struct {
	issuer   keystile.Issuer
	policy   keystile.RotationPolicy
	verifier *keystile.Verifier
	labels   []string
	texts    map[string]string
	records  map[string]*keystile.Record
	usage    keystile.Usage
}

func rotations(t *testing.T) {
	replay(t, "rotations.json", func(t *testing.T, input struct {
		Format formatForm
		Policy policyForm
		Key    string
		Record json.RawMessage
		Steps  []step
	}) any {
		format, record := input.Format.made(t), recordOf(t, input.Record)
		own := &lineage{
			issuer:   keystile.Issuer{Format: format},
			policy:   input.Policy.made(),
			verifier: must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format)),
			labels:   []string{"A"},
			texts:    map[string]string{"A": input.Key},
			records:  map[string]*keystile.Record{"A": record},
			usage:    keystile.UsageOf(record),
		}
		outcomes := []object{}
		for _, step := range input.Steps {
			outcomes = append(outcomes, own.act(t, step))
			if live := own.live(instant(step.At)); len(live) > 2 {
				t.Errorf("more than two live: %v", live)
			}
		}
		return object{"outcomes": outcomes, "records": own.kept()}
	})
}

func (l *lineage) label(id keystile.KeyID) any {
	for label, record := range l.records {
		if record.ID == id {
			return label
		}
	}
	return nil
}

func (l *lineage) live(now time.Time) []string {
	live := []string{}
	for _, label := range l.labels {
		if l.records[label].IsLive(now) {
			live = append(live, label)
		}
	}
	return live
}

func (l *lineage) write(t *testing.T, records []*keystile.Record) {
	t.Helper()
	for _, record := range records {
		label := l.label(record.ID).(string)
		if record.Version != l.records[label].Version+1 {
			t.Errorf("%s: version %d over %d", label, record.Version, l.records[label].Version)
		}
		l.records[label] = record
	}
}

func (l *lineage) act(t *testing.T, step step) object {
	t.Helper()
	now, record := instant(step.At), l.records[step.Key]
	outcome := object{"outcome": "done", "keys": nil, "code": nil, "remaining_uses": nil}
	var change *keystile.Change
	var err error
	switch step.Do {
	case "live":
		outcome["outcome"], outcome["keys"] = "live", l.live(now)
		return outcome
	case "use":
		decision := must[keystile.Decision](t)(l.verifier.Verify(l.texts[step.Key], record, keystile.Request{}, &l.usage, now))
		outcome["outcome"] = "deny"
		if decision.Allowed() {
			outcome["outcome"] = "allow"
			if old := decision.EndsOverlapOf(); !old.IsZero() {
				if ended, err := keystile.EndOverlap(l.records[l.label(old).(string)], record, now); err == nil {
					l.write(t, ended.Records)
				}
			}
		} else {
			outcome["code"] = decision.Code()
		}
		if l.usage.Remaining != nil {
			outcome["remaining_uses"] = *l.usage.Remaining
		}
		return outcome
	case "rotate":
		var siblings []*keystile.Record
		for _, label := range l.labels {
			if label != step.Key {
				siblings = append(siblings, l.records[label])
			}
		}
		if change, err = l.issuer.Rotate(record, siblings, l.policy, now); err == nil {
			l.write(t, change.Records[1:])
			l.labels = append(l.labels, step.As)
			l.texts[step.As], l.records[step.As] = change.Key.Expose(), change.Record
			change.Records = nil
		}
	case "revoke":
		change, err = keystile.Revoke(record, *step.Reason, now)
	case "suspend":
		change, err = keystile.Suspend(record, now)
	case "resume":
		change, err = keystile.Resume(record, now)
	case "expire":
		_, err = keystile.Expire(record, now)
	default:
		t.Fatalf("no such verb: %s", step.Do)
	}
	if err != nil {
		outcome["outcome"], outcome["code"] = "refused", kind(t, err)
	} else if change != nil {
		l.write(t, change.Records)
	}
	return outcome
}

func (l *lineage) kept() object {
	kept := object{}
	for label, record := range l.records {
		kept[label] = object{"status": string(record.State), "replaced_by": l.label(record.ReplacedBy),
			"ends_at_first_use": l.label(record.EndsAtFirstUse), "expires_at": timeOrNull(record.ExpiresAt),
			"overlap_until": timeOrNull(record.OverlapUntil), "version": record.Version}
	}
	return kept
}
