package keystile_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilepgx"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// zeroValues are the zero values of all exported types that are no interfaces.
var zeroValues = []any{
	keystile.APIKey{}, keystile.Authenticator{}, keystile.Batch{}, keystile.BulkEnded{}, keystile.BulkFailure{},
	keystile.BulkOptions{}, keystile.By{}, keystile.Cause(0), keystile.Change{}, keystile.Checked{}, keystile.CorruptRow{},
	keystile.Credential{}, keystile.CredentialExtractor{}, keystile.CredentialSources{}, keystile.Cursor{},
	keystile.Decision{}, keystile.DerivedState{}, keystile.Digest{}, keystile.DigestKind(0), keystile.Edit[string]{},
	keystile.EndpointRules{}, keystile.Ended{}, keystile.Error{}, keystile.Event{}, keystile.EventFilter{}, keystile.EventKind(""),
	keystile.ExceedingError{}, keystile.ExplainedCheck{}, keystile.Explanation{}, keystile.FieldChange{}, keystile.Filter{},
	keystile.Finding(0), keystile.FormerTemplate{}, keystile.HeaderField{}, keystile.Inspection{},
	keystile.IssueRequest{}, keystile.Issuer{}, keystile.KeyChange{}, keystile.KeyFormat{}, keystile.KeyID{},
	keystile.KeyStatus(""), keystile.KeyVersion{}, keystile.LifetimePolicy{}, keystile.Listed{}, keystile.ListedTemplates{},
	keystile.Lookup{}, keystile.MemoryStore{}, keystile.Networks{}, keystile.NeverMatches(0), keystile.NeverMatching{}, keystile.NumberedEvent{}, keystile.OfDerived(""),
	keystile.Options{}, keystile.Outcome{}, keystile.Page{}, keystile.PathProfile(0), keystile.PepperRing{},
	keystile.PermissionSet{}, keystile.Permit(nil), keystile.PlanAction(""), keystile.PlanItem{}, keystile.Quota{},
	keystile.RateLimit{}, keystile.RateLimitFields(0), keystile.RateNote{}, keystile.RateState(0), keystile.Reach(0),
	keystile.Record{}, keystile.Request{}, keystile.Requirement{}, keystile.Response{}, keystile.ResponsePolicy{},
	keystile.RotationPolicy{}, keystile.ScopeTemplate{}, keystile.Sort(""), keystile.SpendRequest{}, keystile.State(""),
	keystile.Stats{}, keystile.StatusPolicy(0), keystile.StoredTemplate{}, keystile.StoredUsage{}, keystile.TakenUses{},
	keystile.Upkeep{}, keystile.UpkeepStatus{}, keystile.Usage{}, keystile.Use{}, keystile.Verifier{},
	keystile.DigestBytes{}, keystile.PortableKey{}, keystile.RemovedKey{}, keystile.RemovedKeys{}, keystile.Exported{},
	keystile.Asked{}, keystile.Known{}, keystile.FormerDigest{}, keystile.LineageUses{}, keystile.LineageRate{},
	keystile.Imported{}, keystile.ExportEnd{}, keystile.ExportOptions{}, keystile.ImportOptions{}, keystile.ExportSummary{},
	keystile.ImportSummary{}, keystile.LineProblem{}, keystile.LineResult(""), keystile.LineReport{}, keystile.PortableLine{},
	keystile.IssueOnce{}, keystile.IssueNote{}, keystile.IssueAnswer{}, keystile.OnceIssued{}, keystile.ApplyOptions{},
	keystile.Applied{}, keystile.Take{}, keystile.Taken{}, keystile.Rest{}, keystile.MemoryLimits{}, keystile.StoredLimits{},
	keystile.Leases{}, keystile.TemplateVersion{},
	keystilehttp.Guard{}, keystilehttp.Options{}, keystilehttp.VerifiedKey{},
	keystilepgx.Store{}, keystilesql.Store{},
}

// functions are all exported functions but generic ones.
var functions = map[string]any{
	"keystile.ActorOf": keystile.ActorOf, "keystile.AnyOpaqueFormat": keystile.AnyOpaqueFormat,
	"keystile.AnyStructuredFormat": keystile.AnyStructuredFormat, "keystile.ChangeKey": keystile.ChangeKey,
	"keystile.Check": keystile.Check, "keystile.CursorAt": keystile.CursorAt, "keystile.CursorOf": keystile.CursorOf,
	"keystile.DecodeRecord": keystile.DecodeRecord, "keystile.DefaultRotationPolicy": keystile.DefaultRotationPolicy,
	"keystile.DerivedStateOf": keystile.DerivedStateOf, "keystile.EncodeRecord": keystile.EncodeRecord,
	"keystile.EndOverlap": keystile.EndOverlap, "keystile.ErrorCode": keystile.ErrorCode,
	"keystile.Expire": keystile.Expire, "keystile.FindTemplate": keystile.FindTemplate,
	"keystile.FormatLike": keystile.FormatLike, "keystile.IsCanonicalPath": keystile.IsCanonicalPath,
	"keystile.IsMethod": keystile.IsMethod, "keystile.NewAuthenticator": keystile.NewAuthenticator,
	"keystile.NewCredentialExtractor": keystile.NewCredentialExtractor, "keystile.NewDigest": keystile.NewDigest,
	"keystile.NewEndpointRules": keystile.NewEndpointRules, "keystile.NewMemoryStore": keystile.NewMemoryStore,
	"keystile.NewNetworks": keystile.NewNetworks, "keystile.NewPepperRing": keystile.NewPepperRing,
	"keystile.NewPermissionSet": keystile.NewPermissionSet, "keystile.NewRateLimit": keystile.NewRateLimit,
	"keystile.NewRateLimitWithBurst": keystile.NewRateLimitWithBurst,
	"keystile.NewScopeTemplate":      keystile.NewScopeTemplate, "keystile.NewStoredTemplate": keystile.NewStoredTemplate,
	"keystile.NewIssueOnce": keystile.NewIssueOnce, "keystile.ParseExportEnd": keystile.ParseExportEnd,
	"keystile.ParsePortableLine": keystile.ParsePortableLine,
	"keystile.NewVerifier":       keystile.NewVerifier, "keystile.OpaqueFormat": keystile.OpaqueFormat,
	"keystile.ParseCursor": keystile.ParseCursor, "keystile.ParseDigest": keystile.ParseDigest,
	"keystile.ParseKeyID": keystile.ParseKeyID, "keystile.ParseRequirement": keystile.ParseRequirement,
	"keystile.Plan": keystile.Plan, "keystile.PresetTemplate": keystile.PresetTemplate,
	"keystile.Refuse": keystile.Refuse, "keystile.Removal": keystile.Removal, "keystile.RandomKeyID": keystile.RandomKeyID, "keystile.Presets": keystile.Presets, "keystile.Resume": keystile.Resume,
	"keystile.Revoke": keystile.Revoke, "keystile.SpendRequestOf": keystile.SpendRequestOf,
	"keystile.StatusOf": keystile.StatusOf, "keystile.StructuredFormat": keystile.StructuredFormat,
	"keystile.Suspend": keystile.Suspend, "keystile.UsageOf": keystile.UsageOf, "keystile.Version": keystile.Version,
	"keystile.WithActor": keystile.WithActor, "keystilehttp.ConnectionPeer": keystilehttp.ConnectionPeer,
	"keystilehttp.KeyFrom": keystilehttp.KeyFrom, "keystilehttp.New": keystilehttp.New,
	"keystilehttp.SentPath": keystilehttp.SentPath, "keystilepgx.PostgreSQL": keystilepgx.PostgreSQL,
	"keystilesql.PostgreSQL": keystilesql.PostgreSQL, "keystilesql.SQLite": keystilesql.SQLite,
	"keystilesql.SQLiteDSN": keystilesql.SQLiteDSN, "keystile.NewMemoryLimits": keystile.NewMemoryLimits,
	"keystile.NewMemoryLimitsWithClock": keystile.NewMemoryLimitsWithClock,
	"keystile.NewStoredLimits":          keystile.NewStoredLimits, "keystile.NewStoredLimitsWithClock": keystile.NewStoredLimitsWithClock,
}

// Nothing panics on the zero value of a type, or on nil, and nothing of it is allowed: each method
// of each exported type, and each exported function. No decision that they return allows, and no
// handler that they return passes a request on.
func TestNothingPanicsOnNothing(t *testing.T) {
	for _, value := range zeroValues {
		kind := reflect.TypeOf(value)
		pointer := reflect.PointerTo(kind)
		for number := range pointer.NumMethod() {
			method := pointer.Method(number)
			for _, fill := range fillers(t) {
				fill.call(kind.String()+"{}."+method.Name, reflect.New(kind).Method(number))
				// A nil pointer has no value to call a method of a value with, but it should have those of
				// what it points to.
				if _, isOfValue := kind.MethodByName(method.Name); !isOfValue || embedsPointer(kind) {
					fill.call("(*"+kind.String()+")(nil)."+method.Name, reflect.Zero(pointer).Method(number))
				}
			}
		}
	}
	// Also with nothing given to what was made as it should be.
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	receivers := append(fillers(t)[2].made, keystile.Must(keystile.NewAuthenticator(keystile.NewMemoryStore(), verifier, keystile.Options{})),
		keystile.NewMemoryStore(), keystile.Must(keystile.NewCredentialExtractor(verifier, keystile.CredentialSources{})))
	for _, receiver := range receivers {
		value := reflect.ValueOf(receiver)
		if !strings.Contains(value.Type().String(), "keystile") {
			continue
		}
		for number := range value.NumMethod() {
			for _, fill := range fillers(t)[:2] {
				fill.call(value.Type().String()+"."+value.Type().Method(number).Name, value.Method(number))
			}
		}
	}
	for name, function := range functions {
		for _, fill := range fillers(t) {
			fill.call(name, reflect.ValueOf(function))
		}
	}
}

func embedsPointer(kind reflect.Type) bool {
	if kind.Kind() != reflect.Struct {
		return false
	}
	for number := range kind.NumField() {
		if field := kind.Field(number); field.Anonymous && field.Type.Kind() == reflect.Pointer {
			return true
		}
	}
	return false
}

// Delegation by hand forgets nothing.
func TestTheStoreOfKeystilepgxHasEachMethodOfTheOther(t *testing.T) {
	own, other := reflect.TypeFor[*keystilepgx.Store](), reflect.TypeFor[*keystilesql.Store]()
	for number := range other.NumMethod() {
		want := other.Method(number)
		got, has := own.MethodByName(want.Name)
		if !has || got.Type.NumIn() != want.Type.NumIn() || got.Type.NumOut() != want.Type.NumOut() {
			t.Errorf("%s is not delegated", want.Name)
		}
	}
	if own.NumMethod() != other.NumMethod()+1 {
		t.Errorf("%d methods, not those of the other and Listen", own.NumMethod())
	}
}

// Each exported type and function is called above.
func TestNoTypeEscapesTheTestOfNothing(t *testing.T) {
	known := map[string]bool{}
	for _, value := range zeroValues {
		name, _, _ := strings.Cut(reflect.TypeOf(value).String(), "[")
		known[name] = true
	}
	for name := range functions {
		known[name] = true
	}
	found := 0
	for _, folder := range []string{".", "keystilehttp", "keystilesql", "keystilepgx"} {
		for _, path := range must[[]string](t)(filepath.Glob(filepath.Join(folder, "*.go"))) {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			source := must[[]byte](t)(os.ReadFile(path))
			file := must[*ast.File](t)(parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution))
			for _, name := range called(file) {
				found++
				if !known[file.Name.Name+"."+name] {
					t.Errorf("%s.%s is not among what is called with nothing", file.Name.Name, name)
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("found only %d", found)
	}
}

// No one has to remember which of two such names is which.
func TestNoTwoNamesDifferOnlyInCase(t *testing.T) {
	found := 0
	for _, folder := range []string{".", "keystilehttp", "keystilesql", "keystilepgx", "storetest"} {
		names := map[string]string{}
		for _, path := range must[[]string](t)(filepath.Glob(filepath.Join(folder, "*.go"))) {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			source := must[[]byte](t)(os.ReadFile(path))
			file := must[*ast.File](t)(parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution))
			ast.Inspect(file, func(node ast.Node) bool {
				name, isName := node.(*ast.Ident)
				if !isName || !name.IsExported() {
					return true
				}
				found++
				folded := strings.ToLower(name.Name)
				if other, isKnown := names[folded]; isKnown && other != name.Name {
					t.Errorf("%s: %s and %s", path, other, name.Name)
				}
				names[folded] = name.Name
				return true
			})
		}
	}
	if found < 1_000 {
		t.Errorf("found only %d names", found)
	}
}

// called returns the exported types of a file that are no interfaces, and its functions.
func called(file *ast.File) (names []string) {
	for _, declaration := range file.Decls {
		switch declared := declaration.(type) {
		case *ast.FuncDecl:
			if declared.Recv == nil && declared.Type.TypeParams == nil && declared.Name.IsExported() {
				names = append(names, declared.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range declared.Specs {
				own, isType := spec.(*ast.TypeSpec)
				if !isType || !own.Name.IsExported() {
					continue
				}
				if _, isInterface := own.Type.(*ast.InterfaceType); !isInterface {
					names = append(names, own.Name.Name)
				}
			}
		}
	}
	return names
}

// filler makes arguments: nil, values that hold zero values, or what is made as it should be.
type filler struct {
	t     *testing.T
	what  string
	holds bool
	made  []any
}

func fillers(t *testing.T) []filler {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	issuer := &keystile.Issuer{Format: format}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	made := []any{format, issuer, issued, issued.Record, *issued.Record, issued.Record.ID, keystile.Lookup{KeyID: issued.Record.ID},
		issued.Batch(), keystile.Must(keystile.NewVerifier(nil, format)), keystile.Must(keystile.ParseRequirement("read")),
		keystile.Must(keystile.PresetTemplate("monitoring")), keystile.DefaultRotationPolicy(), time.Now(),
		keystile.Must(keystile.NewPermissionSet("read")), new(keystile.Usage), issued.Key.Expose(), 9,
		keystile.Must(keystile.NewRateLimit(5, time.Minute)), keystile.Must(keystile.NewIssueOnce("ana", "k", nil))}
	return []filler{{t, "nil", false, nil}, {t, "zero values", true, nil}, {t, "made", true, made}}
}

// mayPanic are the functions that document that they panic.
var mayPanic = map[string]bool{"keystilehttp.Guard{}.Require": true, "(*keystilehttp.Guard)(nil).Require": true}

func (f filler) call(name string, function reflect.Value) {
	defer func() {
		if reason := recover(); reason != nil && !mayPanic[name] {
			f.t.Errorf("%s panics, with arguments that are %s: %v", name, f.what, reason)
		}
	}()
	kind := function.Type()
	var arguments []reflect.Value
	for number := range kind.NumIn() {
		if kind.IsVariadic() && number == kind.NumIn()-1 {
			if f.holds {
				arguments = append(arguments, f.value(kind.In(number).Elem(), 3))
			}
			continue
		}
		arguments = append(arguments, f.value(kind.In(number), 3))
	}
	for _, result := range function.Call(arguments) {
		f.look(name, result)
	}
}

// look fails if a result allows anything.
func (f filler) look(name string, result reflect.Value) {
	switch got := result.Interface().(type) {
	case keystile.Decision:
		if got.Allowed() {
			f.t.Errorf("%s allows", name)
		}
	case http.Handler:
		if result.IsNil() {
			return
		}
		answer := httptest.NewRecorder()
		got.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
		if answer.Code < 400 {
			f.t.Errorf("%s answers %d", name, answer.Code)
		}
	case func(http.Handler) http.Handler:
		f.look(name, reflect.ValueOf(got(f.behind())))
	}
}

// behind is what a guard must not reach.
func (f filler) behind() http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { f.t.Error("a handler was reached without a key") })
}

func (f filler) value(kind reflect.Type, depth int) reflect.Value {
	for _, known := range append([]any{context.Background(), http.ResponseWriter(httptest.NewRecorder()), httptest.NewRequest("GET", "/", nil),
		f.behind(), printer{io.Discard}}, f.made...) {
		is := reflect.TypeOf(known)
		if is == kind || kind.Kind() == reflect.Interface && kind.NumMethod() > 0 && kind.PkgPath() != "" && is.Implements(kind) {
			return reflect.ValueOf(known)
		}
	}
	value := reflect.New(kind).Elem()
	if !f.holds || depth == 0 {
		return value
	}
	switch kind.Kind() {
	case reflect.Pointer:
		if strings.Contains(kind.Elem().PkgPath(), "keystile") || kind.Elem().PkgPath() == "" {
			value.Set(reflect.New(kind.Elem()))
			value.Elem().Set(f.value(kind.Elem(), depth-1))
		}
	case reflect.Struct:
		for number := range kind.NumField() {
			if field := value.Field(number); field.CanSet() {
				field.Set(f.value(field.Type(), depth-1))
			}
		}
	case reflect.Slice:
		value.Set(reflect.Append(value, f.value(kind.Elem(), depth-1)))
	case reflect.Func:
		value.Set(reflect.MakeFunc(kind, func([]reflect.Value) (results []reflect.Value) {
			for number := range kind.NumOut() {
				results = append(results, reflect.Zero(kind.Out(number)))
			}
			return results
		}))
	case reflect.Interface:
		if store := reflect.TypeFor[*keystile.MemoryStore](); store.Implements(kind) && kind.NumMethod() > 0 {
			value.Set(reflect.New(store.Elem()))
		}
	}
	return value
}

// printer is a fmt.State.
type printer struct{ io.Writer }

func (printer) Width() (int, bool)     { return 0, false }
func (printer) Precision() (int, bool) { return 0, false }
func (printer) Flag(int) bool          { return false }

var _ fmt.State = printer{new(bytes.Buffer)}
