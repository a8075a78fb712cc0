package keystile

// Outcome is what [Authenticator.Revoke], [Authenticator.Suspend] or [Authenticator.Resume]
// did: either way, the key now has the requested state.
type Outcome struct {
	// Record is the record as it is now; nil if its row cannot be read.
	Record *Record
	// Damaged is where the row is damaged, if it cannot be read: the key is then refused in any
	// case. It has the key's state and version from now on.
	Damaged *CorruptRow
	// Changed reports whether the key was changed and an event was written. It is false
	// if the key already had the state.
	Changed bool
}
