//! The SQL of a batch, for a database's spelling of parameters and casts.

use std::collections::HashMap;

use keystile::KeyRecord;

use crate::batch::{Batch, Upkeep, UpkeepField};
use crate::columns::{self, EVENT, Kind, RECORD};
use crate::error::StoreError;
use crate::issue_once::remembered_since;
use crate::portable::to_hex;
use crate::statement::Statement;

/// How a database spells a parameter that is text, as a value of a column.
pub(crate) trait Spelling {
    /// The value of a column from its parameter.
    fn value(kind: Kind, number: usize) -> String;

    /// A text that is kept to the byte, as the parameter holds it.
    fn verbatim(text: String) -> String {
        text
    }

    /// A column of text, to be compared byte by byte.
    fn exact(column: &str) -> String;

    /// Removes answers of requests until an instant, at most 100: so many that fewer are added.
    const OLD_REQUESTS: &'static str;

    /// What comes first in a batch that remembers digests or removed keys, if others may insert
    /// such a key at the same time.
    const HOLD_DIGESTS: Option<&'static str> = None;

    /// Adds a row with these columns and their values, which are made from so many parameters.
    fn insert(table: &str, _parameters: usize, columns: Vec<(&str, String)>) -> String {
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        format!("INSERT INTO {table} ({names}) VALUES ({values})")
    }

    /// The columns that are written for one of a record, and their values.
    fn record(name: &'static str, kind: Kind, number: usize) -> Vec<(&'static str, String)> {
        vec![(name, Self::value(kind, number))]
    }
}

/// The statements' texts, made once for each database.
pub(crate) struct Texts {
    usage: String,
    uses: String,
    take_uses: String,
    unchanged: String,
    derived: String,
    insert: String,
    update: String,
    digest: String,
    overlap_until: String,
    ends_at_first_use: String,
    status: String,
    delete: String,
    event: String,
    issue_request: String,
    old_requests: &'static str,
    hold_digests: Option<&'static str>,
    former_digest: String,
    removed: String,
    removed_digest: String,
}

impl Texts {
    pub(crate) fn new<S: Spelling>() -> Self {
        let (text, count) = (
            |number| S::value(Kind::Text, number),
            |number| S::value(Kind::Number, number),
        );
        let upkeep = |columns: &[(&str, Kind)]| {
            let set = columns.iter().zip(3..);
            let set: Vec<_> = set
                .map(|((name, kind), number)| format!("{name} = {}", S::value(*kind, number)))
                .collect();
            format!(
                "UPDATE api_keys SET {}, version = {} WHERE key_id = {} AND version = {} - 1 \
                 AND status <> 'revoked'",
                set.join(", "),
                count(2),
                text(1),
                count(2)
            )
        };
        Self {
            usage: usage::<S>(),
            uses: format!(
                "UPDATE api_key_usage SET remaining_uses = {} WHERE lineage = {}",
                count(2),
                text(1)
            ),
            take_uses: format!(
                "UPDATE api_key_usage SET remaining_uses = remaining_uses - {0} \
                 WHERE lineage = {1} AND remaining_uses >= {0}",
                count(2),
                text(1)
            ),
            unchanged: format!(
                "UPDATE api_keys SET version = version WHERE key_id = {} AND version = {}",
                text(1),
                count(2)
            ),
            derived: derived(&text(1), &text(2), &text(3)),
            insert: insert::<S>(),
            update: update::<S>(),
            digest: upkeep(&[("key_hash", Kind::Text), ("digest_pepper", Kind::Number)]),
            overlap_until: upkeep(&[("overlap_until", Kind::Instant)]),
            ends_at_first_use: upkeep(&[("ends_at_first_use", Kind::Text)]),
            status: upkeep(&[
                ("status", Kind::Text),
                ("is_active", Kind::Flag),
                ("revoked_at", Kind::Instant),
                ("revoke_reason", Kind::Text),
            ]),
            delete: format!(
                "DELETE FROM api_keys WHERE key_id = {} AND version = {} - 1",
                text(1),
                count(2)
            ),
            event: event::<S>(),
            // Of two at the same time the second waits here, and then finds the first one's.
            issue_request: format!(
                "INSERT INTO api_key_issue_requests (caller, request, body, key_id, at) \
                 VALUES ({}, {}, {}, {}, {}) ON CONFLICT (caller, request) DO UPDATE SET \
                 body = excluded.body, key_id = excluded.key_id, at = excluded.at \
                 WHERE api_key_issue_requests.at <= {}",
                text(1),
                text(2),
                text(3),
                text(4),
                S::value(Kind::Instant, 5),
                S::value(Kind::Instant, 6)
            ),
            old_requests: S::OLD_REQUESTS,
            hold_digests: S::HOLD_DIGESTS,
            // Changes a row unless another key has or had the digest.
            former_digest: format!(
                "INSERT INTO api_key_former_digests (key_hash, key_id) SELECT {0}, {1} \
                 WHERE NOT EXISTS (SELECT 1 FROM api_keys \
                 WHERE key_hash = {0} AND (key_id IS NULL OR key_id <> {1})) \
                 ON CONFLICT (key_hash) DO UPDATE SET key_id = excluded.key_id \
                 WHERE api_key_former_digests.key_id = excluded.key_id",
                text(1),
                text(2)
            ),
            removed: format!(
                "INSERT INTO api_key_deleted (key_id, version, revoked_at, revoke_reason, owner) \
                 SELECT {0}, {1}, {2}, {3}, {4} \
                 WHERE NOT EXISTS (SELECT 1 FROM api_keys WHERE key_id = {0}) \
                 ON CONFLICT DO NOTHING",
                text(1),
                count(2),
                S::value(Kind::Instant, 3),
                text(4),
                text(5)
            ),
            // Changes a row unless a key that is not revoked has or had the digest, which would stay
            // valid. Another revoked key may have or have had it.
            removed_digest: format!(
                "INSERT INTO api_key_former_digests (key_hash, key_id) SELECT {0}, {1} \
                 WHERE NOT EXISTS (SELECT 1 FROM api_keys \
                 WHERE key_hash = {0} AND status <> 'revoked') \
                 ON CONFLICT (key_hash) DO UPDATE SET key_id = api_key_former_digests.key_id \
                 WHERE api_key_former_digests.key_id = excluded.key_id OR EXISTS \
                 (SELECT 1 FROM api_key_revoked_digests r WHERE r.key_hash = excluded.key_hash)",
                text(1),
                text(2)
            ),
        }
    }

    /// What a batch writes, in order. It does not check [`Batch::last_event`] and
    /// [`Batch::template_unchanged`].
    pub(crate) fn of<S: Spelling>(
        &'static self,
        batch: &Batch,
    ) -> Result<Vec<Statement>, StoreError> {
        batch.check()?;
        let mut statements = Vec::new();
        let imported = &batch.imported;
        let remembers = !imported.former_digests.is_empty() || !imported.removed.is_empty();
        if let Some(hold) = self.hold_digests.filter(|_| remembers) {
            statements.push(Statement::new(hold, Vec::new()));
        }
        if let Some(note) = &batch.issue_request {
            let since = Some(crate::instant::format(remembered_since(note.at)));
            let values = vec![
                Some(note.request.caller.to_string()),
                Some(to_hex(&note.request.request)),
                Some(to_hex(&note.request.body)),
                Some(note.key_id.to_string()),
                Some(crate::instant::format(note.at)),
                since.clone(),
            ];
            statements.push(Statement::new(&self.issue_request, values).changes_a_row());
            statements.push(Statement::new(self.old_requests, vec![since]));
        }
        // First: a change that has no event yet is one by other code, to 0003_changes.sql.
        for event in &batch.events {
            statements.push(Statement::new(&self.event, columns::of_event(event)?));
        }
        let rates: HashMap<_, _> = batch.imported.rates.iter().rev().copied().collect();
        for record in &batch.inserts {
            let remaining = record.remaining_uses.map(columns::number).transpose()?;
            // Any 64 bits are a state, and the column is signed.
            let rate = rates.get(&record.lineage).copied().unwrap_or_default();
            let rate = rate.to_bits().cast_signed().to_string();
            let usage = vec![Some(record.lineage.to_string()), remaining, Some(rate)];
            statements.push(Statement::new(&self.usage, usage));
            let mut values = values::<S>(record)?;
            values.push(record.last_used_at.map(crate::instant::format));
            statements.push(Statement::new(&self.insert, values));
        }
        for (digest, key_id) in &batch.imported.former_digests {
            let values = vec![Some(to_hex(digest)), Some(key_id.to_string())];
            statements.push(Statement::new(&self.former_digest, values).changes_a_row());
        }
        for key in &batch.imported.removed {
            let revoked = key.revoked.as_ref();
            let values = vec![
                Some(key.key_id.to_string()),
                Some(columns::number(key.version)?),
                revoked.map(|(at, _)| crate::instant::format(*at)),
                revoked.map(|(_, reason)| reason.to_string()),
                key.owner.as_deref().map(str::to_owned),
            ];
            statements.push(Statement::new(&self.removed, values).changes_a_row());
            for digest in &key.digests {
                let values = vec![Some(to_hex(digest)), Some(key.key_id.to_string())];
                statements.push(Statement::new(&self.removed_digest, values).changes_a_row());
            }
        }
        // Before the keys, as all other code locks the two. The trigger on this table finds the
        // event of the next version, and leaves the versions to the updates.
        for (lineage, uses) in &batch.take_uses {
            let values = vec![Some(lineage.to_string()), Some(columns::number(*uses)?)];
            statements.push(Statement::new(&self.take_uses, values).changes_a_row());
        }
        for record in batch.uses() {
            let remaining = record.remaining_uses.map(columns::number).transpose()?;
            let values = vec![Some(record.lineage.to_string()), remaining];
            statements.push(Statement::new(&self.uses, values).changes_a_row());
        }
        let mut updates = Vec::new();
        for (key_id, version) in &batch.unchanged {
            let values = vec![Some(key_id.to_string()), Some(columns::number(*version)?)];
            // It locks the row: two batches of which one changes it and the other relies on it
            // wait for each other.
            let statement = Statement::new(&self.unchanged, values);
            updates.push((*key_id, statement.changes_a_row()));
        }
        for record in &batch.updates {
            let statement = Statement::new(&self.update, values::<S>(record)?);
            updates.push((record.id, statement.changes_a_row()));
        }
        for upkeep in &batch.upkeep {
            updates.push((upkeep.key_id, self.upkeep(upkeep)?.changes_a_row()));
        }
        for (id, version) in &batch.deletes {
            let values = vec![Some(id.to_string()), Some(columns::number(*version)?)];
            updates.push((*id, Statement::new(&self.delete, values).changes_a_row()));
        }
        // All transactions lock rows in the same order, so that deadlocks are rare. A stable
        // sort: updates of the same key stay in order.
        updates.sort_by_key(|(id, _)| *id);
        statements.extend(updates.into_iter().map(|(_, statement)| statement));
        // After the locks: who adds a key to those that derive from another has locked that one.
        for state in &batch.derived {
            let sum = format!("{},{}", state.keys, state.versions);
            let key = Some(state.key_id.to_string());
            let values = vec![Some(state.lineage.to_string()), Some(sum), key];
            statements.push(Statement::new(&self.derived, values).changes_a_row());
        }
        Ok(statements)
    }

    fn upkeep(&'static self, upkeep: &Upkeep) -> Result<Statement, StoreError> {
        let sql = match upkeep.field {
            UpkeepField::Digest(_) => &self.digest,
            UpkeepField::OverlapUntil(_) => &self.overlap_until,
            UpkeepField::EndsAtFirstUse(_) => &self.ends_at_first_use,
            UpkeepField::Suspended | UpkeepField::Revoked { .. } => &self.status,
        };
        let version = columns::number(upkeep.version)?;
        let mut values = vec![Some(upkeep.key_id.to_string()), Some(version)];
        values.extend(columns::of_upkeep(upkeep)?);
        Ok(Statement::new(sql, values))
    }
}

fn values<S: Spelling>(record: &KeyRecord) -> Result<Vec<Option<String>>, StoreError> {
    let values = columns::of_record(record)?.into_iter().zip(RECORD);
    let values = values.map(|(value, (_, kind))| match kind {
        Kind::Verbatim => value.map(S::verbatim),
        _ => value,
    });
    Ok(values.collect())
}

/// Each column of a record with its value, from the first parameter on.
fn record<S: Spelling>() -> impl Iterator<Item = (&'static str, String)> {
    (1..)
        .zip(RECORD)
        .flat_map(|(number, (name, kind))| S::record(name, kind, number))
}

/// The keys that derive from a lineage are still those: their number and the sum of their
/// versions. Changes the row of the source if so, to what it is.
fn derived(lineage: &str, sum: &str, key: &str) -> String {
    format!(
        "WITH RECURSIVE {} \
         UPDATE api_keys SET version = version WHERE key_id = {key} AND {sum} = \
         (SELECT CAST({KEYS} AS TEXT) || ',' || CAST({VERSIONS} AS TEXT) {DERIVED})",
        sources(lineage)
    )
}

/// The number of the keys that derive from a lineage, and the sum of their versions.
pub(crate) fn derived_sums(lineage: &str) -> String {
    format!(
        "WITH RECURSIVE {} SELECT {KEYS}, {VERSIONS} {DERIVED}",
        sources(lineage)
    )
}

/// Also of ended keys, and of revoked ones: so that they only grow, and no change cancels another.
const KEYS: &str = "CAST(count(*) AS BIGINT)";
const VERSIONS: &str = "CAST(coalesce(sum(CAST(k.version AS BIGINT)), 0) AS BIGINT)";
const DERIVED: &str = "FROM api_keys k JOIN sources s ON k.derived_lineage = s.lineage";

/// The lineages that a lineage is the source of, and itself, as a common table expression.
pub(crate) fn sources(lineage: &str) -> String {
    // From the table and not from the parameter: PostgreSQL wants the same collation.
    format!(
        "sources (lineage) AS (SELECT u.lineage FROM api_key_usage u \
         WHERE u.lineage = {lineage} UNION SELECT k.lineage FROM api_keys k \
         JOIN sources s ON k.derived_lineage = s.lineage)"
    )
}

/// The usage of a lineage, unless it has one.
fn usage<S: Spelling>() -> String {
    let columns = vec![
        ("lineage", S::value(Kind::Text, 1)),
        ("remaining_uses", S::value(Kind::Number, 2)),
        ("rate_state", S::value(Kind::Number, 3)),
    ];
    let insert = S::insert("api_key_usage", 3, columns);
    format!("{insert} ON CONFLICT (lineage) DO NOTHING")
}

fn insert<S: Spelling>() -> String {
    let count = RECORD.len().saturating_add(1);
    let last_used = S::value(Kind::Instant, count);
    let columns = record::<S>().chain([("last_used_at", last_used)]);
    S::insert("api_keys", count, columns.collect())
}

fn update<S: Spelling>() -> String {
    let set: Vec<_> = record::<S>()
        .filter(|(name, _)| !matches!(*name, "key_id" | "lineage"))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let [id, lineage, version, status, at, reason] = [1, 2, 3, 4, 5, 6].map(|number: usize| {
        let kind = RECORD.get(number.saturating_sub(1));
        kind.map_or_else(String::new, |(_, kind)| S::value(*kind, number))
    });
    format!(
        "UPDATE api_keys SET {} WHERE key_id = {id} AND lineage = {lineage} \
         AND version = {version} - 1 AND (status <> 'revoked' OR (status = {status} \
         AND revoked_at = {at} AND revoke_reason = {reason}))",
        set.join(", ")
    )
}

fn event<S: Spelling>() -> String {
    let columns = (1..).zip(EVENT);
    let columns = columns.map(|(number, (name, kind))| (name, S::value(kind, number)));
    S::insert("api_key_events", EVENT.len(), columns.collect())
}

/// The texts that add rows of which a batch can have many, in their order.
#[cfg(feature = "postgres")]
pub(crate) fn adding<S: Spelling>() -> [String; 3] {
    [event::<S>(), usage::<S>(), insert::<S>()]
}
