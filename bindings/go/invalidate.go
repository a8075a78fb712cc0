package keystile

// Invalidate invalidates the cached record of a key, and fetches of it in progress. Call it
// after each change that the store has accepted, and after issuing; the methods of the
// authenticator do it themselves.
func (a *Authenticator) Invalidate(id KeyID) {
	if !a.isUninitialized() {
		a.ring.Invalidate(&id.id)
	}
}

// InvalidateAt invalidates the cached record of a key as [Authenticator.Invalidate] does,
// and accepts no version before this one from now on: also if the key was not cached, and
// the next fetch is answered by a replica that lags. Call it with the version of the record
// that the store has accepted. The latest 65,536 versions are remembered; see
// [Stats.VersionsLost].
func (a *Authenticator) InvalidateAt(id KeyID, version uint64) {
	if !a.isUninitialized() {
		a.ring.InvalidateAt(&id.id, version)
	}
}

// InvalidateOwner invalidates the cached records of all keys of an owner.
func (a *Authenticator) InvalidateOwner(owner string) {
	if !a.isUninitialized() {
		a.ring.InvalidateOwner(owner)
	}
}

// InvalidateAll invalidates all cached records.
func (a *Authenticator) InvalidateAll() {
	if !a.isUninitialized() {
		a.ring.InvalidateAll()
	}
}

// Reset invalidates all cached records and forgets which versions were seen. Call it after
// the store was restored from a backup: its records are older than the cached ones, so they
// would be taken for those of a replica that lags, and each check refused. Revocations that
// the backup does not have are forgotten too.
//
// An authenticator over an [EventSource] calls it itself when there are fewer events than
// before.
func (a *Authenticator) Reset() {
	if !a.isUninitialized() {
		a.ring.Reset()
	}
}
