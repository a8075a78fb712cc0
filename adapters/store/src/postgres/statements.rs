//! The statements of a batch for PostgreSQL.

use std::sync::LazyLock;

use crate::batch::Batch;
use crate::columns::Kind;
use crate::error::StoreError;
use crate::statement::Statement;
use crate::statements::{Spelling, Texts, adding};

static TEXTS: LazyLock<Texts> = LazyLock::new(Texts::new::<Postgres>);

/// How PostgreSQL spells parameters.
pub(super) struct Postgres;

impl Spelling for Postgres {
    // Waits for no one: what another transaction holds, a later one removes.
    const OLD_REQUESTS: &'static str = "DELETE FROM api_key_issue_requests WHERE ctid = ANY \
         (ARRAY(SELECT ctid FROM api_key_issue_requests WHERE at <= $1::text::timestamptz \
         ORDER BY at LIMIT 100 FOR UPDATE SKIP LOCKED))";

    // The schema of the table, as its triggers take it. It need not be the first of the search_path.
    const HOLD_DIGESTS: Option<&'static str> = Some(
        "SELECT keystile_hold_digests((SELECT n.nspname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = pg_catalog.to_regclass('api_keys')))",
    );

    fn value(kind: Kind, number: usize) -> String {
        cast(kind, &format!("${number}::text"))
    }

    fn verbatim(text: String) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn record(name: &'static str, kind: Kind, number: usize) -> Vec<(&'static str, String)> {
        record(name, Self::value(kind, number))
    }

    fn exact(column: &str) -> String {
        format!("{column}::text COLLATE \"C\"")
    }
}

/// The same with an array of texts as each parameter, for many rows at once.
struct Rows;

impl Spelling for Rows {
    const OLD_REQUESTS: &'static str = Postgres::OLD_REQUESTS;

    fn value(kind: Kind, number: usize) -> String {
        cast(kind, &format!("v.c{number}"))
    }

    fn record(name: &'static str, kind: Kind, number: usize) -> Vec<(&'static str, String)> {
        record(name, Self::value(kind, number))
    }

    fn exact(column: &str) -> String {
        Postgres::exact(column)
    }

    fn insert(table: &str, parameters: usize, columns: Vec<(&str, String)>) -> String {
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let (names, values) = (names.join(", "), values.join(", "));
        let numbers = 1..=parameters;
        let (arrays, parts): (Vec<_>, Vec<_>) = numbers
            .map(|number| (format!("${number}::text[]"), format!("c{number}")))
            .unzip();
        let (arrays, parts) = (arrays.join(", "), parts.join(", "));
        format!(
            "INSERT INTO {table} ({names}) SELECT {values} \
             FROM unnest({arrays}) WITH ORDINALITY AS v ({parts}, place) ORDER BY v.place"
        )
    }
}

/// A text as a value of a column.
fn cast(kind: Kind, text: &str) -> String {
    match kind {
        Kind::Text => text.to_owned(),
        Kind::Number => format!("{text}::bigint"),
        Kind::Flag => format!("{text}::boolean"),
        Kind::Instant => format!("{text}::timestamptz"),
        Kind::Json => format!("{text}::jsonb"),
        // As hex digits: a text cannot have a NUL.
        Kind::Verbatim => format!("decode({text}, 'hex')"),
    }
}

fn record(name: &'static str, value: String) -> Vec<(&'static str, String)> {
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

/// The texts that add one row, each with the one that adds many.
static ADDING: LazyLock<[(String, String); 3]> = LazyLock::new(|| {
    let [event, usage, insert] = adding::<Postgres>();
    let [events, usages, inserts] = adding::<Rows>();
    [(event, events), (usage, usages), (insert, inserts)]
});

/// A part of a batch.
pub(super) enum Step {
    /// Statements that are sent together.
    Statements(Vec<Statement>),
    /// Rows that are added by one statement, since the server's work for a statement is more than
    /// that for a row.
    Rows(AddedRows),
}

/// Rows of one table.
pub(super) struct AddedRows {
    pub(super) sql: &'static str,
    /// The values of each parameter.
    pub(super) columns: Vec<Vec<Option<String>>>,
}

/// The steps of a batch, in their order. Its statements add events, then usages and keys by turns:
/// all usages may be first.
pub(super) fn steps(statements: Vec<Statement>) -> Vec<Step> {
    let mut kinds: [Vec<Statement>; 3] = Default::default();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for statement in statements {
        let kind = ADDING.iter().position(|(one, _)| one == statement.sql);
        if let Some(kind) = kind.and_then(|kind| kinds.get_mut(kind)) {
            kind.push(statement);
        } else if kinds.iter().all(Vec::is_empty) {
            first.push(statement);
        } else {
            rest.push(statement);
        }
    }
    let mut steps = Vec::new();
    for (mut kind, (_, many)) in kinds.into_iter().zip(ADDING.iter()) {
        if kind.len() < 2 {
            first.append(&mut kind);
            continue;
        }
        if !first.is_empty() {
            steps.push(Step::Statements(core::mem::take(&mut first)));
        }
        steps.push(Step::Rows(AddedRows::of(many, kind)));
    }
    first.append(&mut rest);
    if !first.is_empty() {
        steps.push(Step::Statements(first));
    }
    steps
}

impl AddedRows {
    fn of(sql: &'static str, rows: Vec<Statement>) -> Self {
        let width = rows.first().map_or(0, |row| row.values.len());
        let mut columns = vec![Vec::with_capacity(rows.len()); width];
        for row in rows {
            for (column, value) in columns.iter_mut().zip(row.values) {
                column.push(value);
            }
        }
        Self { sql, columns }
    }
}

impl Batch {
    /// The statements that write the batch to PostgreSQL, for a transaction of yours: see
    /// [`Statement`]. `PostgresStore` does the same, with one statement for many rows of a kind.
    ///
    /// Other processes are notified when the transaction commits.
    /// [`last_event`](Self::last_event) and [`template_unchanged`](Self::template_unchanged) are not
    /// among them.
    ///
    /// The statements of a batch with removed keys or former digests need the isolation level
    /// READ COMMITTED. The first of them waits for open transactions that have inserted a key or
    /// changed a digest: up to `lock_timeout`, otherwise `statement_timeout`, or 10 s if both are 0.
    /// Then it fails with SQLSTATE 55P03 or 57014. Others that insert keys wait until the transaction
    /// has ended. So it sets `idle_in_transaction_session_timeout` to 10 s for the transaction if
    /// that is 0.
    ///
    /// # Errors
    /// Those of a store for a batch that cannot be written: [`StoreError::Refused`],
    /// [`StoreError::OutOfRange`], [`StoreError::WithoutEvent`].
    pub fn postgres_statements(&self) -> Result<Vec<Statement>, StoreError> {
        TEXTS.of::<Postgres>(self)
    }
}
