// Package keystile issues API keys, recognises them, decides what they may do, and ends
// them.
//
// A service needs four values: how its keys are spelled, which of them it accepts, where
// their records are, and an authenticator, which answers:
//
//	format, err := keystile.StructuredFormat("acme")
//	verifier, err := keystile.NewVerifier(nil, format)
//	authenticator, err := keystile.NewAuthenticator(store, verifier, keystile.Options{})
//
//	decision, err := authenticator.Check(ctx, key, keystile.Request{Requirement: write})
//	if !decision.Allowed() { … }
//
// The package keystilehttp asks about each HTTP request, and keystilesql is a store in
// SQLite or PostgreSQL, on the same tables as keystile's other languages. The package
// storetest holds a store of your own to what is asked of one.
//
// # What is where
//
//   - [KeyFormat], [PepperRing], [Digest]: how a key is spelled, and what is kept of it
//   - [Issuer], [Revoke], [Suspend], [Resume], [Plan]: the verbs, pure functions over
//     a [Record]; [Authenticator] has them over a [Store]
//   - [PermissionSet], [Requirement], [EndpointRules], [Networks], [RateLimit],
//     [ScopeTemplate]: what a key may do
//   - [Verifier], [Authenticator], [Check]: the decision, as a [Decision]
//   - [CredentialExtractor], [Decision.Respond]: where a key is read from, and what is answered
//
// # What this does not do
//
// It opens no socket and starts no server; it hides a key's text, but whoever shows it on
// issuing has to pass it on safely; it identifies services, not people.
//
// # Goroutines
//
// Every value of this package may be shared by any number of goroutines, and none of them
// changes once it is made, but for a [Authenticator], which may be shared all the same, and what
// is passed by pointer to be changed, as a [RateState].
//
// # Secrets
//
// [APIKey] and [Credential] print as a constant under every verb, in JSON and in logs. No
// error holds key text. Go's memory cannot be wiped reliably: what is kept of a key in a
// authenticator, a keyed tag of 128 bits, is kept by the library, outside of it.
//
// # Errors
//
// Compare errors with [errors.Is]: [ErrKeyRevoked], [ErrPermission], [ErrStoreUnavailable].
// A decision alone says whether a request may go on; an error never comes with an allow.
//
// # Building
//
// The module calls a C library, and so needs cgo and a C compiler. A release brings the
// library for Linux and macOS on amd64 and arm64 as a static archive. In a checkout,
// "cargo xtask go-lib" builds it. With the build tag keystile_pkgconfig the one that
// pkg-config knows is linked.
package keystile
