package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// shelf is what a custom store needs so that keys can be exported from it and imported to it, beside
// the methods of a [keystile.Store].
type shelf struct {
	keystile.Store
	keys    []keystile.PortableKey
	removed []keystile.RemovedKey
}

var _ keystile.PortableStore = &shelf{}

func (s *shelf) LastEvent(context.Context) (uint64, error) { return 0, nil }

func (s *shelf) Export(context.Context, keystile.Filter, keystile.Page) (keystile.Exported, error) {
	return keystile.Exported{Keys: s.keys}, nil
}

func (s *shelf) RemovedKeys(context.Context, string, int) (keystile.RemovedKeys, error) {
	return keystile.RemovedKeys{Keys: s.removed}, nil
}

// Known answers with all that there is; a store with more keys selects those that are asked for.
func (s *shelf) Known(_ context.Context, _ keystile.Asked) (keystile.Known, error) {
	known := keystile.Known{Removed: s.removed}
	for _, key := range s.keys {
		known.Records = append(known.Records, key.Record)
		known.Uses = append(known.Uses, keystile.LineageUses{Lineage: key.Record.Lineage, Left: key.Record.RemainingUses})
		for _, digest := range key.FormerDigests {
			known.FormerDigests = append(known.FormerDigests, keystile.FormerDigest{Digest: digest, KeyID: key.Record.ID})
		}
	}
	return known, nil
}

// Commit writes what an import adds. A real store compares all that the batch relies on.
func (s *shelf) Commit(_ context.Context, batch keystile.Batch) error {
	var with keystile.Imported = batch.Imported
	for at, record := range batch.Inserts {
		var rate keystile.LineageRate = with.Rates[at]
		s.keys = append(s.keys, keystile.PortableKey{Record: record, Rate: rate.State})
	}
	s.removed = append(s.removed, with.Removed...)
	return batch.Check()
}

func ExamplePortableStore() {
	ctx := context.Background()
	issuer := keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, time.Now())).Record
	key := &keystile.PortableLine{Key: &keystile.PortableKey{Record: record}}
	gone := &keystile.PortableLine{Removed: &keystile.RemovedKey{KeyID: keystile.Must(keystile.ParseKeyID("1QJ4bo0RE6F7ptpH")),
		Version: 4, RevokedAt: time.Now(), RevokedReason: "leaked", Digests: []keystile.DigestBytes{{1}}}}
	end := keystile.ExportEnd{Keys: 1, RemovedKeys: 1}
	file := fmt.Sprintf("%s\n%s\n%s\n", keystile.Must(key.Text()), keystile.Must(gone.Text()), end.Text())

	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(&shelf{}, verifier, keystile.Options{PollInterval: -1}))
	defer keys.Close(ctx)
	for range 2 {
		fmt.Printf("%+v\n", keystile.Must(keys.Import(ctx, strings.NewReader(file), keystile.ImportOptions{})))
	}
	var exported strings.Builder
	keystile.Must(keys.Export(ctx, &exported, keystile.ExportOptions{WithDigests: true}))
	fmt.Println(exported.String() == file)

	// Without its digest, a line shows a key and cannot become one.
	_, err := keystile.ParsePortableLine(keystile.Must(key.Key.PublicText()))
	var problem *keystile.LineProblem
	fmt.Println(errors.As(err, &problem), problem)
	// Output:
	// {Imported:2 Present:0 Conflict:0 Refused:0 Whole:true}
	// {Imported:0 Present:2 Conflict:0 Refused:0 Whole:true}
	// true
	// true digest: must be a digest; export the keys with their digests
}
