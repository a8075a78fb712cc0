package keystile_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

var rightsReplays = map[string]func(*testing.T){
	"permissions": permissions, "requirements": requirements, "endpoints": endpoints, "never_matching": neverMatching,
	"paths": paths, "path_sweeps": pathSweeps, "networks": networks, "grants": grants,
}

func permissions(t *testing.T) {
	replay(t, "permissions.json", func(t *testing.T, input struct {
		Granted []string
		Wanted  string
	}) any {
		set, err := keystile.NewPermissionSet(input.Granted...)
		if err != nil {
			return object{"granted": nil, "error": kind(t, err)}
		}
		return object{"granted": set.Grants(input.Wanted), "error": nil}
	})
}

func requirements(t *testing.T) {
	replay(t, "requirements.json", func(t *testing.T, input struct {
		Requirement string
		Granted     []string
	}) any {
		granted := must[*keystile.PermissionSet](t)(keystile.NewPermissionSet(input.Granted...))
		asked, err := keystile.ParseRequirement(input.Requirement)
		if err != nil {
			return object{"met": nil, "missing": nil, "error": kind(t, err)}
		}
		missing := append([]string{}, asked.Missing(granted)...)
		return object{"met": asked.IsSatisfiedBy(granted), "missing": missing, "error": nil}
	})
}

func endpoints(t *testing.T) {
	replay(t, "endpoints.json", func(t *testing.T, input struct {
		Rules        []string
		Method, Path string
	}) any {
		rules, err := keystile.NewEndpointRules(input.Rules...)
		if err != nil {
			return object{"allowed": nil, "error": kind(t, err)}
		}
		return object{"allowed": rules.Allows(input.Method, input.Path), "error": nil}
	})
}

func neverMatching(t *testing.T) {
	replay(t, "never_matching.json", func(t *testing.T, input struct{ Rules []string }) any {
		found := []object{}
		for _, one := range must[*keystile.EndpointRules](t)(keystile.NewEndpointRules(input.Rules...)).NeverMatching() {
			if one.Why.Message() == "" || one.Why.Hint() == "" {
				t.Error("a warning has texts for people")
			}
			found = append(found, object{"rule": one.Rule, "why": one.Why.String()})
		}
		return object{"never_matching": found}
	})
}

func paths(t *testing.T) {
	all := must[*keystile.EndpointRules](t)(keystile.NewEndpointRules("/*"))
	replay(t, "paths.json", func(t *testing.T, input struct {
		Path       *string `json:"path"`
		PathHex    *string `json:"path_hex"`
		PathRepeat *repeat `json:"path_repeat"`
	}) any {
		path := bytesOf(t, input.Path, input.PathHex, input.PathRepeat)
		canonical := keystile.IsCanonicalPath(path)
		if all.Allows("GET", path) != canonical {
			t.Error("P3: there is one view of a path")
		}
		return object{"canonical": canonical, "with_encoded_slash": keystile.PathEncodedSlashIsData.Accepts(path)}
	})
}

func pathSweeps(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes thousands of texts")
	}
	replay(t, "path_sweeps.json", func(t *testing.T, input struct{ Before, Fill, Behind string }) any {
		canonical := []byte{}
		for value := range 256 {
			fill := map[string]string{
				"raw":           string([]byte{byte(value)}),
				"percent_upper": fmt.Sprintf("%%%02X", value),
				"percent_lower": fmt.Sprintf("%%%02x", value),
				"percent_twice": fmt.Sprintf("%%25%02X", value),
			}[input.Fill]
			if keystile.IsCanonicalPath(input.Before + fill + input.Behind) {
				canonical = append(canonical, byte(value))
			}
		}
		return object{"canonical_hex": hex.EncodeToString(canonical)}
	})
}

func networks(t *testing.T) {
	replay(t, "networks.json", func(t *testing.T, input struct {
		Networks []string
		Address  netip.Addr
	}) any {
		networks, err := keystile.NewNetworks(input.Networks...)
		if err != nil {
			return object{"contained": nil, "error": kind(t, err)}
		}
		return object{"contained": networks.Contains(input.Address), "error": nil}
	})
}

type ask struct {
	Template     json.RawMessage `json:"template"`
	Owner        string          `json:"owner"`
	Environment  string          `json:"environment"`
	Permissions  []string        `json:"permissions"`
	Endpoints    *[]string       `json:"endpoints"`
	Networks     *[]string       `json:"networks"`
	RateLimit    *limitForm      `json:"rate_limit"`
	Uses         *uint64         `json:"uses"`
	ExpiresInMS  *uint64         `json:"expires_in_ms"`
	NeverExpires bool            `json:"never_expires"`
}

func (a ask) made(t *testing.T) (keystile.IssueRequest, error) {
	t.Helper()
	request := keystile.IssueRequest{ClientName: "Acme Ltd", Owner: a.Owner,
		Environment: a.Environment, Permissions: a.Permissions, Uses: a.Uses, NeverExpires: a.NeverExpires}
	var err error
	if a.Template != nil {
		request.Template = templateOf(t, a.Template)
	}
	if a.Endpoints != nil {
		if request.Endpoints, err = keystile.NewEndpointRules(*a.Endpoints...); err != nil {
			return request, err
		}
	}
	if a.Networks != nil {
		if request.Networks, err = keystile.NewNetworks(*a.Networks...); err != nil {
			return request, err
		}
	}
	if a.RateLimit != nil {
		limit, err := a.RateLimit.made()
		if err != nil {
			return request, err
		}
		request.RateLimit = &limit
	}
	if a.ExpiresInMS != nil {
		request.Lifetime = keystile.Ptr(span(*a.ExpiresInMS))
	}
	return request, nil
}

func templateOf(t *testing.T, text json.RawMessage) *keystile.ScopeTemplate {
	t.Helper()
	var name string
	if json.Unmarshal(text, &name) == nil {
		return must[*keystile.ScopeTemplate](t)(keystile.PresetTemplate(name))
	}
	var form struct {
		Name        string     `json:"name"`
		Permissions []string   `json:"permissions"`
		RateLimit   *limitForm `json:"rate_limit"`
		Endpoints   *[]string  `json:"allowed_endpoints"`
	}
	strict(t, text, &form)
	permissions := must[*keystile.PermissionSet](t)(keystile.NewPermissionSet(form.Permissions...))
	var endpoints *keystile.EndpointRules
	if form.Endpoints != nil {
		endpoints = must[*keystile.EndpointRules](t)(keystile.NewEndpointRules(*form.Endpoints...))
	}
	var limit *keystile.RateLimit
	if form.RateLimit != nil {
		limit = keystile.Ptr(must[keystile.RateLimit](t)(form.RateLimit.made()))
	}
	return must[*keystile.ScopeTemplate](t)(keystile.NewScopeTemplate(form.Name, permissions, endpoints, limit))
}

func grants(t *testing.T) {
	issuer := keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	replay(t, "grants.json", func(t *testing.T, input struct {
		Ask    ask
		Source json.RawMessage
		Now    uint64
	}) any {
		request, err := input.Ask.made(t)
		var change *keystile.Change
		if source := recordOf(t, input.Source); err == nil && source != nil {
			change, err = issuer.Delegate(source, request, instant(input.Now))
			if err == nil && !change.Record.IsWithin(source) {
				t.Error("expected a derived key to be within its source")
			}
		} else if err == nil {
			change, err = issuer.Issue(request, instant(input.Now))
		}
		if err != nil {
			return object{"rights": nil, "error": kind(t, err)}
		}
		var whole map[string]any
		if err := json.Unmarshal(must[[]byte](t)(json.Marshal(change.Record)), &whole); err != nil {
			t.Fatal(err)
		}
		rights := object{}
		for _, name := range []string{"owner", "environment", "permissions", "allowed_endpoints",
			"allowed_networks", "rate_limit", "remaining_uses", "scope_type", "expires_at"} {
			rights[name] = whole[name]
		}
		if change.Record.AllowedNetworks != nil {
			// Networks compare as blocks, and are expected as in the request.
			rights["allowed_networks"] = asAsked(change.Record.AllowedNetworks, input.Ask.Networks)
		}
		return object{"rights": rights, "error": nil}
	})
}

// asAsked returns networks as they are written in the request, if they are the same.
func asAsked(networks *keystile.Networks, asked *[]string) []string {
	own := networks.Strings()
	if asked != nil {
		if again, err := keystile.NewNetworks(*asked...); err == nil && again.Equal(networks) {
			return *asked
		}
	}
	return own
}

// recordOf returns the record of a case, or nil.
func recordOf(t *testing.T, text json.RawMessage) *keystile.Record {
	t.Helper()
	if text == nil || string(text) == "null" {
		return nil
	}
	return must[*keystile.Record](t)(keystile.DecodeRecord(text))
}
