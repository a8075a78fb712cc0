package keystile_test

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

var requestsReplays = map[string]func(*testing.T){
	"credentials": credentials, "credential_sweeps": credentialSweeps,
	"header_names": headerNames, "decisions": decisions, "explain": explanations, "responses": responses,
}

type rulesForm struct {
	Defaults         bool
	Headers, Schemes []string
	Basic            bool
	Formats          []formatForm
}

func (r *rulesForm) made(t *testing.T) *keystile.CredentialExtractor {
	t.Helper()
	var verifier *keystile.Verifier
	if r.Formats != nil {
		verifier = (&scene{Formats: r.Formats}).verifier(t)
	}
	return must[*keystile.CredentialExtractor](t)(keystile.NewCredentialExtractor(verifier, keystile.CredentialSources{
		Headers: r.Headers, Schemes: r.Schemes, Basic: r.Basic, WithoutDefaults: !r.Defaults,
	}))
}

func credentials(t *testing.T) {
	replay(t, "credentials.json", func(t *testing.T, input struct {
		Rules   rulesForm
		Headers []struct {
			Name        string  `json:"name"`
			Value       *string `json:"value"`
			ValueHex    *string `json:"value_hex"`
			ValueRepeat *repeat `json:"value_repeat"`
		}
	}) any {
		extractor := input.Rules.made(t)
		var fields []keystile.HeaderField
		asMap := map[string][]string{}
		for _, field := range input.Headers {
			value := bytesOf(t, field.Value, field.ValueHex, field.ValueRepeat)
			fields = append(fields, keystile.HeaderField{Name: field.Name, Value: value})
			asMap[field.Name] = append(asMap[field.Name], value)
		}
		credential, refusal := extractor.Extract(fields)
		key, alike, found := extractor.ExtractFrom(asMap)
		if key != credential.Expose() || found != (refusal.Cause() == 0) || alike.Cause() != refusal.Cause() {
			t.Errorf("both ways give the same: %v for %v", alike.Cause(), refusal.Cause())
		}
		if cause := refusal.Cause(); cause != 0 {
			if refusal.Allowed() || credential.Expose() != "" {
				t.Error("a refusal allows nothing")
			}
			return object{"credential": nil, "cause": cause.String(), "code": refusal.Code(),
				"carriers": nil, "mixed": false, "guess": refusal.IsGuess()}
		}
		carriers, mixed := []any{}, false
		for _, name := range extractor.Names() {
			carries, rests := 0, 0
			for _, field := range fields {
				if !strings.EqualFold(field.Name, name) {
					continue
				}
				if extractor.Carries(field) {
					carries++
				} else {
					rests++
				}
			}
			if strings.EqualFold(name, "X-API-Key") {
				name = "X-API-Key"
			}
			if carries > 0 && !slices.Contains(carriers, any(name)) {
				carriers = append(carriers, name)
				mixed = mixed || rests > 0
			}
		}
		extractor.Remove(asMap)
		for name, values := range asMap {
			for _, value := range values {
				if extractor.Carries(keystile.HeaderField{Name: name, Value: value}) {
					t.Errorf("%s still carries a key", name)
				}
			}
		}
		return object{"credential": credential.Expose(), "cause": nil, "code": nil,
			"carriers": carriers, "mixed": mixed, "guess": false}
	})
}

func credentialSweeps(t *testing.T) {
	extractor := must[*keystile.CredentialExtractor](t)(keystile.NewCredentialExtractor(nil, keystile.CredentialSources{}))
	replay(t, "credential_sweeps.json", func(t *testing.T, input struct{ Header, Before, Behind string }) any {
		part, around := []byte{}, []byte{}
		token := strings.TrimPrefix(input.Before, "Bearer ")
		for value := range 256 {
			fill := string([]byte{byte(value)})
			found, refusal := extractor.Extract([]keystile.HeaderField{{Name: input.Header, Value: input.Before + fill + input.Behind}})
			switch {
			case refusal.Cause() != 0:
				if refusal.Code() != "invalid_key" {
					t.Errorf("byte %d: %v", value, refusal.Cause())
				}
			case found.Expose() == token+input.Behind:
				around = append(around, byte(value))
			case found.Expose() == token+fill+input.Behind:
				part = append(part, byte(value))
			default:
				t.Errorf("byte %d gives another credential", value)
			}
		}
		return object{"part_hex": hex.EncodeToString(part), "around_hex": hex.EncodeToString(around)}
	})
}

func headerNames(t *testing.T) {
	replay(t, "header_names.json", func(t *testing.T, input struct{ Header string }) any {
		_, err := keystile.NewCredentialExtractor(nil, keystile.CredentialSources{Headers: []string{input.Header}})
		return object{"legal": err == nil}
	})
}

// scene is everything that a decision depends on.
type scene struct {
	Formats []formatForm
	Peppers []*pepperForm
	Key     string
	Record  json.RawMessage
	Usage   struct {
		AdmittedAt []uint64 `json:"admitted_at"`
		Remaining  *uint64  `json:"remaining"`
	}
	Request struct {
		Requires    *string `json:"requires"`
		Method      *string `json:"method"`
		Path        *string `json:"path"`
		PathHex     *string `json:"path_hex"`
		Address     *string `json:"address"`
		Environment *string `json:"environment"`
	}
	Now uint64
}

func (s *scene) verifier(t *testing.T) *keystile.Verifier {
	t.Helper()
	var formats []*keystile.KeyFormat
	for _, form := range s.Formats {
		formats = append(formats, form.made(t))
	}
	ring := must[*keystile.PepperRing](t)(ringOf(t, s.Peppers))
	return must[*keystile.Verifier](t)(keystile.NewVerifier(ring, formats[0], formats[1:]...))
}

func (s *scene) usage(t *testing.T, record *keystile.Record) keystile.Usage {
	t.Helper()
	usage := keystile.Usage{Remaining: s.Usage.Remaining}
	for _, at := range s.Usage.AdmittedAt {
		if _, admitted, err := record.RateLimit.Admit(&usage.Rate, instant(at)); !admitted || err != nil {
			t.Fatal("the requests before were admitted")
		}
	}
	return usage
}

func (s *scene) request(t *testing.T) keystile.Request {
	t.Helper()
	var request keystile.Request
	if s.Request.Requires != nil {
		request.Requirement = must[*keystile.Requirement](t)(keystile.ParseRequirement(*s.Request.Requires))
	}
	if s.Request.Method != nil {
		request.Method = *s.Request.Method
		request.Path = bytesOf(t, s.Request.Path, s.Request.PathHex, nil)
	}
	if s.Request.Address != nil {
		request.Address = must[netip.Addr](t)(netip.ParseAddr(*s.Request.Address))
	}
	if s.Request.Environment != nil {
		request.Environment = *s.Request.Environment
	}
	return request
}

func (s *scene) decide(t *testing.T) keystile.Decision {
	t.Helper()
	record := recordOf(t, s.Record)
	usage := s.usage(t, record)
	before := usage
	decision, err := s.verifier(t).Verify(s.Key, record, s.request(t), &usage, instant(s.Now))
	if err != nil {
		t.Fatal(err)
	}
	if !decision.Allowed() && !usage.Equal(before) {
		t.Error("a denial spends nothing")
	}
	return decision
}

func quotaOf(decision keystile.Decision) any {
	quota, some := decision.Quota()
	if !some {
		return nil
	}
	var wait any
	if after, ever := quota.RetryAfter(); ever {
		wait = after.Milliseconds()
	}
	return object{"remaining": quota.Remaining(), "reset_ms": quota.Reset().Milliseconds(), "retry_after_ms": wait}
}

func decisions(t *testing.T) {
	replay(t, "decisions.json", func(t *testing.T, scene scene) any {
		decision := scene.decide(t)
		if !decision.Allowed() {
			if decision.Err() == nil {
				t.Error("a denial is an error")
			}
			return object{"decision": "deny", "code": decision.Code(), "cause": decision.Cause().String(),
				"key_id": orNull(decision.KeyID()), "missing": append([]string{}, decision.Missing()...), "quota": quotaOf(decision)}
		}
		var remaining, notice any
		if left, counted := decision.RemainingUses(); counted {
			remaining = left
		}
		if by, until, some := decision.Replacement(); some {
			notice = object{"replaced_by": by.String(), "until": until.UnixMilli()}
		}
		return object{"decision": "allow", "key_id": decision.KeyID().String(), "lineage": decision.Lineage().String(),
			"remaining_uses": remaining, "quota": quotaOf(decision), "notice": notice,
			"ends_overlap_of": orNull(decision.EndsOverlapOf()), "needs_rehash": decision.NeedsRehash()}
	})
}

func explanations(t *testing.T) {
	orNil := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	replay(t, "explain.json", func(t *testing.T, scene scene) any {
		record := recordOf(t, scene.Record)
		usage := scene.usage(t, record)
		explained := must[*keystile.Explanation](t)(scene.verifier(t).Explain(record, scene.request(t), usage, instant(scene.Now)))
		if decision := scene.decide(t); decision.Allowed() != explained.Allowed() || decision.Code() != explained.Code {
			t.Errorf("the decision with the key is %q", decision.Code())
		}
		checks := []any{}
		for _, check := range explained.Checks {
			checks = append(checks, object{"check": check.Check, "passes": check.Passes, "code": orNil(check.Code), "compared": check.Compared})
		}
		return object{"decision": explained.Decision, "code": orNil(explained.Code), "refused_by": orNil(explained.RefusedBy), "checks": checks}
	})
}

func responses(t *testing.T) {
	replay(t, "responses.json", func(t *testing.T, input struct {
		Policy string
		Fields string
		Rules  *rulesForm
		Cause  *string
		Scene  *scene
	}) any {
		policy := keystile.ResponsePolicy{
			Status: map[string]keystile.StatusPolicy{"rfc9110": keystile.StatusRFC9110, "express": keystile.StatusExpress}[input.Policy],
			RateLimitFields: map[string]keystile.RateLimitFields{"6": keystile.RateLimitFieldsDraft6, "7": keystile.RateLimitFieldsDraft7,
				"8": keystile.RateLimitFieldsDraft8, "x": keystile.RateLimitFieldsX}[input.Fields],
		}
		if input.Rules != nil {
			policy.Extractor = input.Rules.made(t)
		}
		var decision keystile.Decision
		now := instant(1_790_000_000_000)
		if input.Scene != nil {
			decision, now = input.Scene.decide(t), instant(input.Scene.Now)
		} else {
			for cause := keystile.CauseMissingCredential; cause <= keystile.CauseAlien; cause++ {
				if cause.String() == *input.Cause {
					decision = keystile.Refuse(cause)
				}
			}
		}
		response := decision.Respond(policy, now)
		headers := map[string]string{}
		for _, header := range response.Headers {
			headers[header.Name] = header.Value
		}
		if len(headers) != len(response.Headers) {
			t.Error("each header stands once")
		}
		if decision.Allowed() {
			if response.Status != 200 || response.Body != "" {
				t.Error("an allowed request has no body of ours")
			}
			return object{"status": nil, "headers": headers, "code": nil, "missing": []string{}}
		}
		var body struct {
			Error, Message, Code string
			Missing              []string
		}
		strict(t, []byte(response.Body), &body)
		if body.Error == "" || body.Message == "" {
			t.Error("a body has texts for people")
		}
		return object{"status": response.Status, "headers": headers, "code": body.Code, "missing": append([]string{}, body.Missing...)}
	})
}
