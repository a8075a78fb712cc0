package keystilesql_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// importVectors are lines of an import, and what Rust does with them.
type importVectors struct {
	Description string `json:"description"`
	Lines       []struct {
		Name     string `json:"name"`
		Line     string `json:"line"`
		Expected struct {
			KeyID   *string `json:"key_id"`
			Text    *string `json:"text"`
			Field   *string `json:"field"`
			Problem *string `json:"problem"`
		} `json:"expected"`
	} `json:"lines"`
	Imports []importCase `json:"imports"`
}

// importCase is imports, one after the other into one store, and what it then exports.
type importCase struct {
	Name   string       `json:"name"`
	Steps  []importStep `json:"steps"`
	Export []string     `json:"export"`
}

type importStep struct {
	Lines     []string `json:"lines"`
	Part      int      `json:"part"`
	LongestMS *int64   `json:"longest_ms"`
	DryRun    bool     `json:"dry_run"`
	Expected  struct {
		Reports []importReport `json:"reports"`
		Whole   bool           `json:"whole"`
	} `json:"expected"`
}

type importReport struct {
	Line    uint64  `json:"line"`
	KeyID   *string `json:"key_id"`
	Result  string  `json:"result"`
	Field   *string `json:"field"`
	Problem *string `json:"problem"`
}

func readImportVectors(t *testing.T) importVectors {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash("../../../tests/vectors/store/import.json"))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var vectors importVectors
	if err := decoder.Decode(&vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Lines) < 200 || len(vectors.Imports) < 25 {
		t.Fatalf("only %d lines and %d imports", len(vectors.Lines), len(vectors.Imports))
	}
	return vectors
}

func TestLinesAreReadAsInRust(t *testing.T) {
	for _, vector := range readImportVectors(t).Lines {
		var id, text, field, problem *string
		line, err := keystile.ParsePortableLine([]byte(vector.Line))
		var why *keystile.LineProblem
		switch {
		case errors.As(err, &why):
			field, problem = &why.Field, &why.Expected
		case err != nil:
			t.Errorf("%s: %v", vector.Name, err)
			continue
		default:
			id, text = keystile.Ptr(line.KeyID().String()), keystile.Ptr(string(keystile.Must(line.Text())))
		}
		want := vector.Expected
		for _, pair := range [][2]*string{{id, want.KeyID}, {text, want.Text}, {field, want.Field}, {problem, want.Problem}} {
			if shown(pair[0]) != shown(pair[1]) {
				t.Errorf("%s: %s, want %s", vector.Name, shown(pair[0]), shown(pair[1]))
			}
		}
		if err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s repeats the line: %v", vector.Name, err)
		}
	}
	long := []byte(strings.Repeat(" ", keystile.LineBytesMax) + "{}")
	if _, err := keystile.ParsePortableLine(long); err == nil || err.Error() != "line: must be at most 1 MiB long" {
		t.Error(err)
	}
}

func shown(text *string) string {
	if text == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *text)
}

func TestImportsAreJudgedAsInRustOnSQLite(t *testing.T) {
	importedAsInRust(t, func(t *testing.T) keystile.Store {
		return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	})
}

func TestImportsAreJudgedAsInRustOnPostgreSQL(t *testing.T) {
	server := startPostgres(t)
	importedAsInRust(t, func(t *testing.T) keystile.Store {
		source, _ := server.database(t)
		return openPostgres(t, source)
	})
}

func importedAsInRust(t *testing.T, open func(*testing.T) keystile.Store) {
	for _, vector := range readImportVectors(t).Imports {
		t.Run(vector.Name, func(t *testing.T) {
			store := open(t)
			for _, step := range vector.Steps {
				step.play(t, store)
			}
			mover := moverOf(t, store, keystile.LifetimePolicy{})
			var text strings.Builder
			if _, err := mover.Export(context.Background(), &text, keystile.ExportOptions{WithDigests: true}); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(text.String()), "\n")
			if lines = lines[:len(lines)-1]; !slices.Equal(lines, vector.Export) {
				t.Errorf("exported\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(vector.Export, "\n"))
			}
		})
	}
}

// moverOf returns an authenticator to move keys with, at the instant of the vectors.
func moverOf(t *testing.T, store keystile.Store, lifetimes keystile.LifetimePolicy) *keystile.Authenticator {
	t.Helper()
	now := time.UnixMilli(1_790_000_000_100)
	verifier := keystile.Must(keystile.NewVerifier(nil, keystile.Must(keystile.StructuredFormat("acme"))))
	mover, err := keystile.NewAuthenticator(store, verifier, keystile.Options{Lifetimes: lifetimes, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mover.Close(context.Background()) })
	return mover
}

func (s *importStep) play(t *testing.T, store keystile.Store) {
	t.Helper()
	var lifetimes keystile.LifetimePolicy
	if s.LongestMS != nil {
		lifetimes.Longest = time.Duration(*s.LongestMS) * time.Millisecond
	}
	var reports []importReport
	options := keystile.ImportOptions{DryRun: s.DryRun, BatchLines: s.Part, Report: func(report keystile.LineReport) {
		one := importReport{Line: report.Line, Result: string(report.Result)}
		if !report.KeyID.IsZero() {
			one.KeyID = keystile.Ptr(report.KeyID.String())
		}
		if report.Problem != nil {
			one.Field, one.Problem = &report.Problem.Field, &report.Problem.Expected
		}
		reports = append(reports, one)
	}}
	summary, err := moverOf(t, store, lifetimes).Import(context.Background(), strings.NewReader(strings.Join(s.Lines, "\n")), options)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(reports, func(a, b importReport) int { return int(a.Line) - int(b.Line) })
	found, _ := json.Marshal(append([]importReport{}, reports...))
	want, _ := json.Marshal(append([]importReport{}, s.Expected.Reports...))
	if string(found) != string(want) || summary.Whole != s.Expected.Whole {
		t.Errorf("%s, whole %v\nwant\n%s, whole %v", found, summary.Whole, want, s.Expected.Whole)
	}
}
