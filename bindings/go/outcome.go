package keystile

// Outcome is what [Authenticator.Revoke], [Authenticator.Suspend] or [Authenticator.Resume]
// did: either way, the key now has the requested state.
type Outcome struct {
	// Record is the record as it is now.
	Record *Record
	// Changed reports whether the record was changed and an event was written. It is false
	// if the key already had the state.
	Changed bool
}
