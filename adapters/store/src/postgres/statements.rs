//! The statements of a batch for PostgreSQL.

use std::sync::LazyLock;

use crate::batch::Batch;
use crate::columns::Kind;
use crate::error::StoreError;
use crate::statement::Statement;
use crate::statements::{Spelling, Texts};

static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::new::<Postgres>);

/// How PostgreSQL spells parameters.
pub(super) struct Postgres;

impl Spelling for Postgres {
    // Waits for no one: what another transaction holds, a later one removes.
    const OLD_REQUESTS: &'static str = "DELETE FROM api_key_issue_requests WHERE ctid = ANY \
         (ARRAY(SELECT ctid FROM api_key_issue_requests WHERE at <= $1::text::timestamptz \
         ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED))";

    const HOLD_DIGESTS: Option<&'static str> =
        Some("SELECT keystile_hold_digests(current_schema()::text)");

    fn value(kind: Kind, number: usize) -> String {
        match kind {
            Kind::Text => format!("${number}::text"),
            Kind::Number => format!("${number}::text::bigint"),
            Kind::Flag => format!("${number}::text::boolean"),
            Kind::Instant => format!("${number}::text::timestamptz"),
            Kind::Json => format!("${number}::text::jsonb"),
            // As hex digits: a text cannot have a NUL.
            Kind::Verbatim => format!("decode(${number}::text, 'hex')"),
        }
    }

    fn verbatim(text: String) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn record(name: &'static str, kind: Kind, number: usize) -> Vec<(&'static str, String)> {
        let value = Self::value(kind, number);
        match name {
            // An adopted column is an INTEGER.
            "rate_limit" => vec![
                (
                    name,
                    format!(
                        "CASE WHEN {value} > {0} THEN {0} ELSE {value} END",
                        i32::MAX
                    ),
                ),
                (
                    "rate_limit_wide",
                    format!("CASE WHEN {value} > {} THEN {value} END", i32::MAX),
                ),
            ],
            "metadata" => vec![
                ("metadata_text", value.clone()),
                (name, format!("keystile_jsonb({value})")),
            ],
            _ => vec![(name, value)],
        }
    }

    fn exact(column: &str) -> String {
        format!("{column}::text COLLATE \"C\"")
    }
}

impl Batch {
    /// The statements that write the batch to PostgreSQL, for a transaction of yours: see
    /// [`Statement`]. `PostgresStore` runs the same.
    ///
    /// Other processes are notified when the transaction commits.
    /// [`last_event`](Self::last_event) is not among them.
    ///
    /// # Errors
    /// Those of a store for a batch that cannot be written: [`StoreError::Refused`],
    /// [`StoreError::OutOfRange`], [`StoreError::WithoutEvent`].
    pub fn postgres_statements(&self) -> Result<Vec<Statement>, StoreError> {
        TEXTS.of::<Postgres>(self)
    }
}
