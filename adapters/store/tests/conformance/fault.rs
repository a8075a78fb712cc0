//! What can be wrong with a store.

/// What is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Accepts an update of any version.
    IgnoresVersions,
    /// Finds an id in another case.
    FoldsCase,
    /// Accepts a change of a revoked record's status.
    Unrevokes,
    /// Writes inserts and updates one by one.
    WritesHalves,
    ForgetsEvents,
    /// Lists events of any kind.
    IgnoresEventKinds,
    /// Lists events of any time.
    IgnoresEventTimes,
    /// Lists events of any owner.
    IgnoresEventOwners,
    /// Keeps keys that are removed.
    KeepsRemovedKeys,
    /// Removes events that are not old enough.
    PrunesLaterEvents,
    /// Removes events so that a reader does not notice it.
    PrunesWithoutMark,
    /// Exports no former digests.
    ForgetsFormerDigests,
    /// Imports no states of limits.
    DropsImportedRates,
    /// Imports no removed keys.
    DropsRemovedKeys,
    /// Tells an import of no removed keys.
    KnowsNoRemovedKeys,
    /// Remembers no requests.
    ForgetsRequests,
    /// Writes a second answer to a request.
    AnswersTwice,
    /// Ignores which version of a template a batch relies on.
    IgnoresTemplateVersions,
    /// Compares the version of a template before the transaction that writes.
    ComparesTemplatesTooSoon,
    /// Tells an import of no usage.
    KnowsNoUses,
    /// Accepts a change without an event.
    TakesSilentChanges,
    /// Writes the other fields of upkeep, as they were read earlier, too.
    WidensUpkeep,
    /// Ignores upkeep.
    DropsUpkeep,
    /// Does not set uses with an update.
    DropsSetUses,
    /// Reads an empty list as none.
    NowhereIsAnywhere,
    /// Replaces usage without comparing it.
    SpendsBlindly,
    /// Spends for an older version of the record.
    SpendsForStaleDecisions,
    /// Lets an older use replace a later one.
    NotesAnyUse,
    /// Treats `%` in a filter as a wildcard.
    SearchesPatterns,
    /// Lists keys of any status.
    IgnoresStatus,
    /// Lists keys of any environment and template.
    IgnoresLabels,
    /// Lists keys with any id.
    IgnoresIdPrefixes,
    /// Lists keys that end at any time.
    IgnoresEnds,
    /// Lists keys whatever their last use is.
    IgnoresLastUses,
    /// Lists keys that were issued at any time.
    IgnoresIssueTimes,
    /// Starts a page with the record that it should start after.
    RepeatsRecords,
    /// Returns pages of any size.
    HasNoBound,
    SortsByTime,
    /// Lists in one order, whichever is asked for.
    IgnoresSorts,
    /// Takes a page that is full for the last one.
    ForgetsNextPages,
    /// Lets a successor replace the number of remaining uses.
    RefillsLineages,
    RoundsToSeconds,
    /// Treats an insert of a known id as an update.
    Overwrites,
    /// Counts the peppers of revoked keys too.
    KeepsPeppersOfRevokedKeys,
    /// Writes a batch whatever the last event is.
    IgnoresTheLastEvent,
    /// Forgets what a process has counted against a limit.
    DropsRates,
    /// Replaces the state of a limit by a lower one.
    LowersRates,
    /// Keeps a state that is a year ahead until then.
    KeepsWrongRates,
    /// Replaces the state of a limit without comparing it.
    ReplacesAnyRate,
    /// Replaces the remaining uses together with the state of a limit.
    ReplacesUsesToo,
    /// Has a clock of its own, three minutes behind, and writes states by the caller's.
    IgnoresItsClock,
    /// Replaces a template whatever its version is.
    OverwritesTemplates,
    /// Accepts a template with the name of a preset.
    ReplacesPresets,
    /// Forgets what a template was before.
    ForgetsFormerTemplates,
    /// Removes a template of any version.
    RemovesAnyTemplate,
    /// Starts a page of templates with the one that it should start after.
    RepeatsTemplates,
    /// Finds a record without what its lineage has spent.
    FindsNoUsage,
    /// Finds some record whatever is looked up.
    FindsAnyRecord,
    /// Refuses to note a use of an unknown key.
    RefusesUnknownUses,
    /// Accepts what cannot be kept, and drops it.
    AcceptsAnything,
    /// Finds no derived keys.
    FindsNoDerivedKeys,
    /// Finds only the keys that derive directly.
    FindsChildrenOnly,
    /// Finds derived keys that have expired.
    FindsExpiredDerivedKeys,
    /// Finds no lineage.
    LosesLineages,
    /// Writes a batch whatever has changed of what it relies on.
    IgnoresReliance,
    /// Tells an import of no stored records.
    KnowsNoRecords,
    /// Refuses an insert of a revoked record.
    RefusesRevokedInserts,
    /// Refuses a version above 2^62.
    KeepsLowVersions,
    /// Tells an import of no digests that keys had before.
    KnowsNoFormerDigests,
    /// Accepts a revocation, and drops it.
    DropsRevocations,
    /// Removes all old events at once.
    PrunesAtOnce,
}
