package keystile_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// documented are the folders of the packages that other modules import.
var documented = []string{".", "keystilehttp", "keystilesql", "keystilepgx", "storetest"}

// Each exported type has an example, or is named in one of another type of its package.
func TestEachExportedTypeIsShownInAnExample(t *testing.T) {
	count := 0
	for _, folder := range documented {
		sources := map[string]string{}
		files := must[[]string](t)(filepath.Glob(filepath.Join(folder, "*.go")))
		for _, file := range files {
			sources[file] = string(must[[]byte](t)(os.ReadFile(file)))
		}
		types, missing := withoutExample(t, sources)
		count += types
		for _, name := range missing {
			t.Errorf("%s: the type %s is in no example", folder, name)
		}
	}
	if count < 40 {
		t.Errorf("found only %d types", count)
	}
}

// The check finds a type that has no example.
func TestATypeWithoutAnExampleIsFound(t *testing.T) {
	const source = "package a\n\ntype (\n\tNamed struct{}\n\tShown int\n\tOther[T any] interface{ M() T }\n\tprivate int\n)\n"
	for examples, want := range map[string]string{
		"":                                                "Named Other Shown",
		"func ExampleNamed() {}\n":                        "Other Shown",
		"func ExampleNamed_Method() {}\n":                 "Other Shown",
		"func ExampleNamedOther() {}\n":                   "Named Other Shown",
		"func Example() { var _ a.Shown }\n":              "Named Other",
		"func Example() { var _ a.Other[int] }":           "Named Shown",
		"func TestAll(t *T) { var _ a.Shown }\n":          "Named Other Shown",
		"func Example() { var _ b.Shown }\n":              "Named Other Shown",
		"// a.Shown\nfunc Example() {}\n":                 "Named Other Shown",
		"var _ a.Shown\nfunc Example() {}\n":              "Named Other",
		"var _ a.Shown\nfunc Example() {}\nfunc a() {}\n": "Named Other Shown",
	} {
		types, missing := withoutExample(t, map[string]string{"a.go": source, "a_test.go": "package a_test\n\n" + examples})
		if got := strings.Join(missing, " "); got != want || types != 3 {
			t.Errorf("%q: %q of %d, not %q", examples, got, types, want)
		}
	}
}

// withoutExample returns how many types a package exports, and those that its examples do
// not show.
func withoutExample(t *testing.T, sources map[string]string) (types int, missing []string) {
	t.Helper()
	found, shown, name := map[string]bool{}, map[string]bool{}, ""
	var tests []*ast.File
	for path, source := range sources {
		file := must[*ast.File](t)(parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution))
		if strings.HasSuffix(path, "_test.go") {
			tests = append(tests, file)
			continue
		}
		name = file.Name.Name
		for _, declaration := range file.Decls {
			if group, is := declaration.(*ast.GenDecl); is && group.Tok == token.TYPE {
				for _, spec := range group.Specs {
					if id := spec.(*ast.TypeSpec).Name; id.IsExported() {
						found[id.Name] = true
					}
				}
			}
		}
	}
	show := func(node ast.Node) bool {
		if selector, is := node.(*ast.SelectorExpr); is {
			if from, is := selector.X.(*ast.Ident); is && from.Name == name {
				shown[selector.Sel.Name] = true
			}
		}
		return true
	}
	for _, file := range tests {
		functions, examples := 0, 0
		for _, declaration := range file.Decls {
			function, is := declaration.(*ast.FuncDecl)
			if !is || function.Recv != nil {
				continue
			}
			functions++
			if own, is := strings.CutPrefix(function.Name.Name, "Example"); is {
				examples++
				own, _, _ = strings.Cut(own, "_")
				shown[own] = true
				ast.Inspect(function.Body, show)
			}
		}
		// The documentation shows such a file whole.
		if functions == 1 && examples == 1 {
			ast.Inspect(file, show)
		}
	}
	for id := range found {
		if !shown[id] {
			missing = append(missing, id)
		}
	}
	sort.Strings(missing)
	return len(found), missing
}
