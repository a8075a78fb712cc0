package keystile

// Outcome is what [Authenticator.Revoke], [Authenticator.Suspend], [Authenticator.Resume]
// or [Authenticator.Change] did: either way, the key is now as requested.
type Outcome struct {
	// Record is the record as it is now; nil if its row cannot be read.
	Record *Record
	// Damaged is where the row is damaged, if it cannot be read: the key is then refused in any
	// case. It has the key's state and version from now on.
	Damaged *CorruptRow
	// Changed reports whether the key was changed and an event was written. It is false
	// if the key was as requested already.
	Changed bool
}
