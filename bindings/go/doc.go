// Package keystile issues, verifies, authorizes, rotates and revokes API keys.
//
// A service needs a key format, a verifier for keys of that format, a store for records,
// and an authenticator over them, which decides about each request:
//
//	format, err := keystile.StructuredFormat("acme")
//	verifier, err := keystile.NewVerifier(nil, format)
//	authenticator, err := keystile.NewAuthenticator(store, verifier, keystile.Options{})
//
//	decision, err := authenticator.Check(ctx, key, keystile.Request{Requirement: write})
//	if !decision.Allowed() { … }
//
// The package keystilehttp checks HTTP requests. The package keystilesql is a store in
// SQLite or PostgreSQL, on the same tables as keystile in other languages; keystilepgx is that
// of PostgreSQL which is told of changes by the server. [MemoryStore] is for tests. The package
// storetest tests custom stores.
//
// Each process counts rate limits for itself, unless [Options.Limits] count them for all: in the
// store with [StoredLimits], or on a Redis server with the module keystileredis.
//
// # Types
//
//   - [KeyFormat], [PepperRing], [Digest]: the text of a key, and what a store holds of it
//   - [Issuer], [ChangeKey], [Revoke], [Suspend], [Resume], [Plan]: pure functions that change
//     a [Record]; [Authenticator] has them as methods over a [Store], which reach the keys that
//     derive from a key too, and change or remove many keys: [Authenticator.Delegate],
//     [Authenticator.RevokeAll], [Authenticator.Prune]
//   - [PermissionSet], [Requirement], [EndpointRules], [Networks], [RateLimit],
//     [ScopeTemplate]: what a key may do
//   - [Verifier], [Authenticator], [Check]: decide about a request, with a [Decision]
//   - [CredentialExtractor], [Decision.Respond]: read a key from headers, and respond to a
//     request
//
// # What this does not do
//
// It opens no socket and starts no server. It hides the text of a key, but the program that
// issues one must pass it on safely. It identifies services, not people.
//
// # Goroutines
//
// Any number of goroutines may use an [Authenticator] at once, and share any other value of
// this package as long as none of them changes it. Values behind pointers and opaque
// structs never change after they were created. Values that a function changes through a
// pointer, such as [RateState] and [Usage], need a lock.
//
// # Secrets
//
// [APIKey] and [Credential] print as a constant with every verb, in JSON and in logs. No
// error contains any part of a key. Go's memory cannot be wiped reliably; what an
// authenticator caches of a key, a keyed tag of 128 bits, is outside of it, in the C
// library.
//
// # Errors
//
// Compare errors with [errors.Is]: [ErrKeyRevoked], [ErrPermission], [ErrStoreUnavailable].
// Only the decision says whether a request may go on; an error never comes with an allow.
//
// # Building
//
// The module calls a C library, so it needs cgo and a C compiler. A release contains the
// library for Linux and macOS on amd64 and arm64 as a static archive, for glibc, or for musl
// with the build tag musl. In a checkout, "cargo xtask go-lib" builds it. With the build tag
// keystile_pkgconfig, the library that pkg-config finds is linked. The module can be vendored.
package keystile
