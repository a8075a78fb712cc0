// Service is the example API in Go: GET /api/profile for any valid key, and POST /api/data
// for keys with the permission "write", with the keys in an embedded SQLite database.
//
//	go run ./examples/service keys.db issue Acme read write   # prints a key, once
//	go run ./examples/service keys.db serve localhost:8080
//	curl -H "X-API-Key: $KEY" localhost:8080/api/profile
//	curl -H "Authorization: Bearer $KEY" -X POST localhost:8080/api/data
//	go run ./examples/service keys.db revoke $ID
//	go run ./examples/service keys.db change $ID -write limit=1000
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

const usage = `usage: service DATABASE issue CLIENT [PERMISSION...] [limit=N]
       service DATABASE revoke ID
       service DATABASE change ID [-PERMISSION...] [limit=N]
       service DATABASE serve ADDRESS`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, words []string) (err error) {
	if len(words) < 3 {
		return errors.New(usage)
	}
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(words[0]))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store := keystilesql.SQLite(db)
	if _, err := store.Migrate(ctx); err != nil {
		return err
	}
	format, err := keystile.StructuredFormat("acme")
	if err != nil {
		return err
	}
	verifier, err := keystile.NewVerifier(nil, format)
	if err != nil {
		return err
	}
	authenticator, err := keystile.NewAuthenticator(store, verifier, keystile.Options{Logger: slog.Default()})
	if err != nil {
		return err
	}
	// It writes the last uses, also if an interrupt has ended the context.
	defer func() { err = errors.Join(err, authenticator.Close(ctx)) }()
	switch words[1] {
	case "issue":
		issuer := &keystile.Issuer{Format: format}
		limit, permissions, err := asked(words[3:])
		if err != nil {
			return err
		}
		change, err := authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: words[2], Permissions: permissions, RateLimit: limit})
		if err != nil {
			return err
		}
		// The only time that the key is shown.
		fmt.Println(change.Key.Expose())
		return nil
	case "revoke":
		id, err := keystile.ParseKeyID(words[2])
		if err != nil {
			return err
		}
		_, err = authenticator.Revoke(ctx, id, "by hand")
		return err
	case "change":
		id, err := keystile.ParseKeyID(words[2])
		if err != nil {
			return err
		}
		limit, removed, err := asked(words[3:])
		if err != nil {
			return err
		}
		change := keystile.KeyChange{RemovePermissions: removed}
		if limit != nil {
			change.RateLimit = keystile.Set(*limit)
		}
		_, err = authenticator.Change(ctx, id, change)
		return err
	case "serve":
		return serve(ctx, words[2], authenticator)
	default:
		return errors.New(usage)
	}
}

// asked returns a limit of so many requests an hour, if one is given, and the permissions.
func asked(words []string) (limit *keystile.RateLimit, permissions []string, err error) {
	for _, word := range words {
		count, isLimit := strings.CutPrefix(word, "limit=")
		if !isLimit {
			permissions = append(permissions, strings.TrimPrefix(word, "-"))
			continue
		}
		number, err := strconv.ParseUint(count, 10, 32)
		if err != nil {
			return nil, nil, fmt.Errorf("limit must be a number: %q", count)
		}
		hourly, err := keystile.NewRateLimit(uint32(number), time.Hour)
		if err != nil {
			return nil, nil, err
		}
		limit = &hourly
	}
	return limit, permissions, nil
}

// routes returns the two routes of the API.
func routes(authenticator *keystile.Authenticator) (http.Handler, error) {
	guard, err := keystilehttp.New(authenticator, keystilehttp.Options{Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /api/profile", guard.Handler(http.HandlerFunc(profile)))
	mux.Handle("POST /api/data", guard.Require("write")(http.HandlerFunc(data)))
	return mux, nil
}

func profile(w http.ResponseWriter, r *http.Request) {
	reply(w, r, http.StatusOK, func(record *keystile.Record) any {
		return map[string]any{"client": record.ClientName, "permissions": record.Permissions.Strings()}
	})
}

func data(w http.ResponseWriter, r *http.Request) {
	reply(w, r, http.StatusCreated, func(record *keystile.Record) any {
		return map[string]any{"message": "Data created successfully", "client": record.ClientName}
	})
}

// reply responds with parts of the key's record.
func reply(w http.ResponseWriter, r *http.Request, status int, about func(*keystile.Record) any) {
	key, _ := keystilehttp.KeyFrom(r.Context())
	record, err := key.Record(r.Context())
	if err != nil {
		http.Error(w, "the key's record cannot be read", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(about(record))
}

func serve(ctx context.Context, address string, authenticator *keystile.Authenticator) error {
	handler, err := routes(authenticator)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("serving on", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}
}
