//! Adopts an application's table, under short locks and in short transactions.

use core::time::Duration;

use deadpool_postgres::{Client, ClientWrapper};
use tokio::time::sleep;
use tokio_postgres::Row;

use super::adoption::{KEY_ID, OPTIONAL, as_adopted, columns, metadata, missing, problems, read};
use super::fault::{Fault, Reason};
use super::migration::{self, MIGRATIONS};
use crate::adoption::{
    AdoptionPlan, AdoptionProgress, AdoptionStep, MetadataEndpoints, Planned, list_indexes,
    without_list_indexes,
};
use crate::error::StoreError;
use crate::tables::Tables;

const BEGIN: &str = include_str!("adoption/begin.sql");

/// The rows that are adopted in one transaction.
const BATCH_ROWS: u32 = 2_000;

/// Others wait in a queue behind a lock that is waited for, readers too: so it is given up after
/// a second, and tried again after a pause.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";
const PAUSE: Duration = Duration::from_secs(2);
/// For about five minutes.
const TRIES_MAX: u32 = 100;

/// The indexes of 0001_tables.sql, which are built while the application writes. The triggers
/// need the first two, so these are built before the rows are adopted.
const FIRST_INDEXES: [(&str, &str); 2] = [
    (UNIQUE, "ON api_keys (key_id)"),
    ("api_keys_lineage", "ON api_keys (lineage)"),
];

/// The one that is unique.
const UNIQUE: &str = "api_keys_key_id";

/// The other one, and those of lists.
fn last_indexes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let client = ("idx_api_keys_client", "ON api_keys (client_name)");
    let lists = MIGRATIONS.iter().flat_map(|(_, file)| list_indexes(file));
    [client].into_iter().chain(lists)
}

/// Without statistics of tables that were empty a moment ago, the server reads all of their rows
/// for the statements of the triggers.
const ANALYZE: &str = "ANALYZE api_keys, api_key_usage, api_key_events";

const REFERENCE: &str = "DO $$
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM pg_constraint
            WHERE conrelid = 'api_keys'::regclass AND conname = 'api_keys_lineage_fkey')
        THEN
            ALTER TABLE api_keys ADD CONSTRAINT api_keys_lineage_fkey
                FOREIGN KEY (lineage) REFERENCES api_key_usage (lineage) NOT VALID;
        END IF;
    END
    $$";

const CONSTRAINTS: [&str; 4] = [
    "api_keys_rate_limit_wide_check",
    "api_keys_status_check",
    "api_keys_version_check",
    "api_keys_lineage_fkey",
];

/// An adoption on a connection of its own, which ends with it: so the lock that keeps other
/// adoptions away ends too, also if the caller stops waiting.
struct Adoption<'p, R> {
    client: ClientWrapper,
    plan: &'p AdoptionPlan,
    report: R,
    rows: u64,
}

pub(super) async fn run(
    mut client: Client,
    plan: &AdoptionPlan,
    report: impl FnMut(AdoptionProgress) + Send,
) -> Result<u64, Fault> {
    plan.require_accepted()?;
    let tables = migration::tables(&client).await?;
    plan.planned().require_tables(tables)?;
    if tables.require_own().is_ok() {
        migration::run(&mut client).await?;
        return Ok(0);
    }
    let mut adoption = Adoption {
        client: Client::take(client),
        plan,
        report,
        rows: 0,
    };
    adoption.run().await?;
    Ok(adoption.rows)
}

impl<R: FnMut(AdoptionProgress) + Send> Adoption<'_, R> {
    async fn run(&mut self) -> Result<(), Fault> {
        // Each statement that takes long holds only locks that readers and writers of rows do
        // not wait for.
        let session = "SET statement_timeout = 0; SET lock_timeout = 0";
        self.client.batch_execute(session).await?;
        self.exclude_others().await?;
        self.at(AdoptionStep::Tables);
        let snapshot = self.client.transaction().await?;
        let tables = migration::tables(&snapshot).await?;
        let columns = columns(&snapshot).await?;
        self.plan.planned().require_tables(tables)?;
        let endpoints = self.plan.options.metadata_endpoints;
        let later = metadata::keep(endpoints);
        match tables {
            Tables::NotAdopted => {
                Planned::require_no_problem(&problems(&snapshot, &columns).await?)?;
                drop(snapshot);
                let begin = begin(&missing(&columns));
                self.locked(&format!("{begin}; {later}")).await?;
            }
            Tables::HalfAdopted => {
                // Changing a trigger needs the table's lock.
                let are_kept = metadata::are_kept(&snapshot, endpoints).await?;
                drop(snapshot);
                if !are_kept {
                    self.locked(&later).await?;
                }
            }
            // Another adoption was finished while this one waited.
            _ => return Ok(()),
        }
        self.indexes(FIRST_INDEXES).await?;
        self.at(AdoptionStep::Rows);
        self.adopt_rows().await?;
        self.indexes(last_indexes()).await?;
        self.at(AdoptionStep::Constraints);
        self.locked(REFERENCE).await?;
        for name in CONSTRAINTS {
            let validate = format!("ALTER TABLE api_keys VALIDATE CONSTRAINT {name}");
            self.client.batch_execute(&validate).await?;
        }
        self.client.batch_execute(ANALYZE).await?;
        self.locked(&finish()).await
    }

    fn at(&mut self, step: AdoptionStep) {
        (self.report)(AdoptionProgress {
            step,
            rows: self.rows,
            total: self.plan.rows,
        });
    }

    async fn pause(&mut self, tries: &mut u32) -> Result<(), Fault> {
        *tries = tries.saturating_add(1);
        if *tries > TRIES_MAX {
            return Err(StoreError::from(Reason::Locked).into());
        }
        self.at(AdoptionStep::Waiting);
        sleep(PAUSE).await;
        Ok(())
    }

    /// Waits until no other program adopts or migrates. The server may need a moment to notice
    /// that an interrupted one is gone.
    async fn exclude_others(&mut self) -> Result<(), Fault> {
        let lock = "SELECT pg_try_advisory_lock(1802728557, hashtext(current_schema()))";
        let mut tries = 0;
        while !self.client.query_one(lock, &[]).await?.try_get(0)? {
            self.pause(&mut tries).await?;
        }
        Ok(())
    }

    /// Runs statements in one transaction, again if a lock is not free.
    async fn locked(&mut self, sql: &str) -> Result<(), Fault> {
        let sql = format!("BEGIN; {LOCK_TIMEOUT}; {sql}; COMMIT");
        let mut tries = 0;
        loop {
            let Err(error) = self.client.batch_execute(&sql).await else {
                return Ok(());
            };
            let fault = Fault::from(error);
            self.client.batch_execute("ROLLBACK").await?;
            if !fault.is_lock() {
                return Err(fault);
            }
            self.pause(&mut tries).await?;
        }
    }

    /// Adopts all rows. Rows that another transaction has locked are skipped, and adopted in a
    /// later pass: so this waits for no row, and cannot be part of a deadlock.
    async fn adopt_rows(&mut self) -> Result<(), Fault> {
        let is_done = "SELECT NOT EXISTS (SELECT 1 FROM api_keys WHERE key_id IS NULL)";
        let mut tries = 0;
        let mut analyzed = 0_u64;
        loop {
            let mut last = Some(i64::MIN);
            while let Some(after) = last {
                match self.batch(after).await {
                    Ok(next) => last = next,
                    Err(fault) if fault.is_lock() => self.pause(&mut tries).await?,
                    Err(fault) => return Err(fault),
                }
                if self.rows > analyzed.saturating_mul(2) {
                    self.client.batch_execute(ANALYZE).await?;
                    analyzed = self.rows;
                }
                self.at(AdoptionStep::Rows);
            }
            if self.client.query_one(is_done, &[]).await?.try_get(0)? {
                return Ok(());
            }
            self.pause(&mut tries).await?;
        }
    }

    /// Adopts the next rows after this one, and returns the last of them unless there are no
    /// more.
    async fn batch(&mut self, after: i64) -> Result<Option<i64>, Fault> {
        let plan = self.plan;
        let transaction = self.client.transaction().await?;
        // Rows are adopted before any program reads events, so none has to be notified of each.
        // The events get their numbers here. This lock is first, while nothing is held that
        // another transaction could wait for.
        let quiet = format!(
            "{LOCK_TIMEOUT}; ALTER TABLE api_key_events \
                 DISABLE TRIGGER api_key_events_number, DISABLE TRIGGER api_key_events_numbered"
        );
        transaction.batch_execute(&quiet).await?;
        // By the numbers only, for which there is an index: the server does not know yet how
        // many rows have no key_id.
        let next = "SELECT id::bigint FROM api_keys WHERE id > $1::bigint ORDER BY id LIMIT $2";
        let limit = i64::from(BATCH_ROWS);
        let ids = numbers(transaction.query(next, &[&after, &limit]).await?)?;
        let Some(last) = ids.last().copied() else {
            return Ok(None);
        };
        let lock = "SELECT id::bigint FROM api_keys
             WHERE id = ANY ($1::bigint[]) AND key_id IS NULL FOR NO KEY UPDATE SKIP LOCKED";
        let ids = numbers(transaction.query(lock, &[&ids]).await?)?;
        // The plan may have read these rows before they were changed or inserted. From here on
        // no other transaction can change them.
        let again = format!(
            "{} WHERE id = ANY ($1::bigint[]) ORDER BY id",
            as_adopted(&[], plan.options)
        );
        let mut found = plan.planned().rows();
        for row in transaction.query(&again, &[&ids]).await? {
            let (facts, record) = read(&row)?;
            found.note(facts, record)?;
        }
        found.require_accepted_rows()?;
        let updated = transaction.query(&update(plan), &[&ids]).await?;
        let updated = updated
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let mut keys = updated.collect::<Result<Vec<(i64, &str)>, Fault>>()?;
        keys.sort_unstable();
        let keys: Vec<&str> = keys.into_iter().map(|(_, key)| key).collect();
        let lineages = "INSERT INTO api_key_usage (lineage) SELECT unnest($1::text[])";
        transaction.execute(lineages, &[&keys]).await?;
        let events = "INSERT INTO api_key_events (number, kind, key_id, at)
             SELECT nextval('api_key_event_numbers'), 'imported', key_id,
                 date_trunc('milliseconds', now())
             FROM unnest($1::text[]) AS key_id";
        transaction.execute(events, &[&keys]).await?;
        let again = "ALTER TABLE api_key_events ENABLE ALWAYS TRIGGER api_key_events_number, \
             ENABLE ALWAYS TRIGGER api_key_events_numbered";
        transaction.batch_execute(again).await?;
        transaction.commit().await?;
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.rows = self.rows.saturating_add(count);
        Ok(Some(last))
    }

    async fn indexes(
        &mut self,
        indexes: impl IntoIterator<Item = (&'static str, &'static str)>,
    ) -> Result<(), Fault> {
        self.at(AdoptionStep::Indexes);
        for (name, columns) in indexes {
            // One that was interrupted is there, and is not used.
            let invalid = "SELECT EXISTS (SELECT 1 FROM pg_index
                WHERE indexrelid = to_regclass(format('%I.%I', current_schema(), $1::text))
                    AND NOT indisvalid)";
            let found = self.client.query_one(invalid, &[&name]).await?;
            if found.try_get(0)? {
                let drop = format!("DROP INDEX CONCURRENTLY {name}");
                self.client.batch_execute(&drop).await?;
            }
            let unique = if name == UNIQUE { "UNIQUE " } else { "" };
            let create =
                format!("CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {name} {columns}");
            self.client.batch_execute(&create).await?;
        }
        Ok(())
    }
}

fn numbers(rows: Vec<Row>) -> Result<Vec<i64>, Fault> {
    let numbers = rows.iter().map(|row| row.try_get(0));
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Creates everything but the rows. From then on, triggers adopt what other code inserts.
fn begin(missing: &[&str]) -> String {
    let mut sql = String::new();
    for (name, _, kind) in OPTIONAL.iter().filter(|(name, ..)| missing.contains(name)) {
        sql.push_str(&format!("ALTER TABLE api_keys ADD COLUMN {name} {kind};\n"));
    }
    sql.push_str(BEGIN);
    for (_, file) in MIGRATIONS.iter().skip(1) {
        sql.push_str(without_list_indexes(file));
    }
    // Without a version, no program takes the table for a store.
    sql.push_str("DELETE FROM keystile_migrations");
    sql
}

/// As the UPDATE in 0001_tables.sql, which has the reasons.
fn update(plan: &AdoptionPlan) -> String {
    let mut sql = format!(
        "UPDATE api_keys SET
             (key_id, lineage) = (SELECT new_id, new_id FROM (SELECT {KEY_ID} AS new_id) AS made),
             created_at = coalesce(created_at, date_trunc('milliseconds', now())),
             is_active = coalesce(is_active, FALSE),
             status = CASE WHEN is_active THEN 'active' ELSE 'revoked' END,
             revoked_at = CASE WHEN is_active THEN NULL
                 ELSE date_trunc('milliseconds', now()) END,
             revoke_reason = CASE WHEN is_active THEN NULL
                 ELSE 'inactive when it was adopted' END,
             rate_limit = coalesce(rate_limit, 1000),
             rate_window_ms = 3600000"
    );
    if plan.options.infinity_is_never {
        sql.push_str(", expires_at = nullif(expires_at, 'infinity')");
    }
    if plan.options.metadata_endpoints == MetadataEndpoints::Enforce {
        let rules = metadata::rules("metadata");
        sql.push_str(&format!(
            ", allowed_endpoints = {rules},
             scope_type = CASE WHEN ({rules}) IS NOT NULL THEN {} END",
            metadata::SCOPE_TYPE
        ));
    }
    sql.push_str(" WHERE id = ANY ($1::bigint[]) RETURNING id::bigint, key_id");
    sql
}

/// Records the version, so that the table is a store.
fn finish() -> String {
    let rows = MIGRATIONS.iter().zip(1_u32..);
    let rows: Vec<_> = rows
        .map(|((name, _), number)| format!("({number}, '{name}')"))
        .collect();
    format!(
        "INSERT INTO keystile_migrations (version, name) VALUES {}",
        rows.join(", ")
    )
}
