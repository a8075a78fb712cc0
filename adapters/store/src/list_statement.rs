//! The statements of a list, for both databases.
//!
//! One field of the filter selects rows by its index. The others are compared in a column
//! `shown`, not in the condition: so a statement reads no more rows than its limit, and the page
//! after a row that is not shown starts after it.

use crate::adoption::list_indexes;
use crate::list_plan::{Driver, ListPlan, Span};
use crate::sort::Sort;

/// What is between the columns of a record and the usage of its lineage.
const KEYS: &str = " FROM api_keys k";

/// How a database spells a list.
pub(crate) trait ListSpelling {
    /// The number of a row, and as the indexes of lists have it.
    const ROW: &'static str;
    const PLACED_ROW: &'static str;
    /// The order of rows without an owner, as the index of owners has them.
    const UNOWNED_ORDER: &'static str;
    /// The columns of a record, and where they are from.
    const RECORD: &'static str;

    /// A column of text, to be compared byte by byte.
    fn exact(column: &'static str) -> String;
    /// The parameter with this number.
    fn text(number: usize) -> String;
    fn number(number: usize) -> String;
    /// The index that a statement has to use, if the database can be told so.
    fn by(index: &str) -> String;
    /// Whether the id begins with a text.
    fn begins(text: &str) -> String;
    /// The place of a row by its instant of issuing, and by its end: the expressions of the
    /// indexes.
    fn issued() -> &'static str;
    fn ends() -> &'static str;
}

/// A value of a statement.
pub(crate) enum Value {
    Number(i64),
    Text(String),
}

/// The values of a statement, after the limit.
struct Values(Vec<Value>);

impl Values {
    fn text<S: ListSpelling>(&mut self, text: &str) -> String {
        self.0.push(Value::Text(text.to_owned()));
        S::text(self.0.len().saturating_add(1))
    }

    fn number<S: ListSpelling>(&mut self, number: i64) -> String {
        self.0.push(Value::Number(number));
        S::number(self.0.len().saturating_add(1))
    }
}

/// The conditions of a filter.
struct Fields {
    /// The column, and its value, that the index begins with.
    equal: Option<(String, String)>,
    /// Others by which the index selects rows.
    selected: Vec<String>,
    /// Those that are compared row by row.
    shown: Vec<String>,
}

/// The expression of an index of lists, so that the index serves them.
pub(crate) fn indexed(migrations: &[(&str, &'static str)], name: &str) -> String {
    let mut indexes = migrations.iter().flat_map(|(_, file)| list_indexes(file));
    let columns = indexes.find(|(index, _)| *index == name);
    let columns = columns.and_then(|(_, columns)| columns.strip_prefix("ON api_keys ("));
    let columns = columns.and_then(|columns| columns.strip_suffix(')'));
    let columns = columns.unwrap_or_default();
    columns
        .strip_suffix(", (id + 0)")
        .unwrap_or(columns)
        .to_owned()
}

fn all_of(conditions: &[String]) -> String {
    match conditions {
        [] => "TRUE".to_owned(),
        _ => conditions.join(" AND "),
    }
}

impl ListPlan<'_> {
    /// The statements, and their values without the limit, which is the first one.
    pub(crate) fn statements<S: ListSpelling>(
        &self,
    ) -> impl Iterator<Item = (String, Vec<Value>)> + '_ {
        self.spans.iter().map(|span| self.statement::<S>(span))
    }

    fn statement<S: ListSpelling>(&self, span: &Span) -> (String, Vec<Value>) {
        let mut values = Values(Vec::new());
        let Fields {
            equal,
            mut selected,
            shown,
        } = self.fields::<S>(span, &mut values);
        let (row, placed) = (S::ROW, S::PLACED_ROW);
        let place = match self.sort {
            Sort::Issued => S::issued(),
            Sort::Ends => S::ends(),
            _ => "CAST(0 AS BIGINT)",
        };
        let order = match span {
            Span::After(after) => {
                let after = values.number::<S>(*after);
                match (equal, self.driver) {
                    (Some((column, value)), _) => {
                        selected.push(format!("{column} = {value} AND {placed} > {after}"));
                        placed.to_owned()
                    }
                    (None, Driver::WithoutOwner) => {
                        selected.push(format!("k.owner IS NULL AND {placed} > {after}"));
                        S::UNOWNED_ORDER.to_owned()
                    }
                    (None, _) => {
                        selected.push(format!("{row} > {after}"));
                        row.to_owned()
                    }
                }
            }
            Span::At { place: at, after } => {
                let (at, after) = (values.number::<S>(*at), values.number::<S>(*after));
                selected.push(format!("{place} = {at} AND {placed} > {after}"));
                // SQLite would sort by a place that is the same in all rows.
                placed.to_owned()
            }
            Span::Places { first, last } => {
                selected.push(format!("{place} >= {}", values.number::<S>(*first)));
                selected.push(format!("{place} <= {}", values.number::<S>(*last)));
                format!("{place}, {placed}")
            }
            Span::Ids { after } => {
                if let Some(after) = after {
                    selected.push(format!("k.key_id > {}", values.text::<S>(after)));
                }
                "k.key_id".to_owned()
            }
        };
        let (columns, from) = S::RECORD.split_once(KEYS).unwrap_or((S::RECORD, ""));
        let by = self.index().map(S::by).unwrap_or_default();
        let sql = format!(
            "{columns}, {place} AS place, {} AS shown{KEYS}{by}{from} WHERE {} \
             ORDER BY {order} LIMIT {}",
            all_of(&shown),
            all_of(&selected),
            S::number(1)
        );
        (sql, values.0)
    }

    /// The conditions of the fields: those that select rows by the index, and the others.
    fn fields<S: ListSpelling>(&self, span: &Span, values: &mut Values) -> Fields {
        let (mut selected, mut shown) = (Vec::new(), Vec::new());
        let mut equal = None;
        for (column, text) in self.filter.columns() {
            let is_driver = match self.driver {
                Driver::Owner => column == "owner",
                Driver::Client => column == "client_name",
                Driver::Template => column == "scope_type",
                Driver::Environment => column == "environment",
                Driver::Status | Driver::Replaced => column == "status",
                Driver::WithoutOwner | Driver::Order => false,
            };
            let exact = S::exact(column);
            if !is_driver {
                shown.push(format!("{exact} = {}", values.text::<S>(text)));
            } else if column != "status" {
                equal = Some((exact, values.text::<S>(text)));
            // Fixed words: the indexes are of rows with some of them.
            } else if self.driver == Driver::Status {
                equal = Some((exact, format!("'{text}'")));
            } else {
                selected.push(format!("{exact} = '{text}'"));
            }
        }
        match self.driver {
            Driver::Status => selected.push("k.status <> 'active'".to_owned()),
            Driver::Replaced => selected.push("k.replaced_by IS NOT NULL".to_owned()),
            _ => {}
        }
        if self.filter.without_owner && self.driver != Driver::WithoutOwner {
            shown.push("k.owner IS NULL".to_owned());
        }
        match (&self.filter.id_prefix, span) {
            (None, _) => {}
            (Some(prefix), Span::Ids { after }) => {
                // Of two lower limits, a database may begin at the wrong one.
                let is_past = after.as_deref().is_some_and(|after| after >= &**prefix);
                if !is_past {
                    selected.push(format!("k.key_id >= {}", values.text::<S>(prefix)));
                }
                // The last text that begins with it.
                let last = format!("{prefix}{}", char::MAX);
                selected.push(format!("k.key_id <= {}", values.text::<S>(&last)));
            }
            (Some(prefix), _) => {
                let begins = values.text::<S>(prefix);
                shown.push(S::begins(&begins));
            }
        }
        Fields {
            equal,
            selected,
            shown,
        }
    }
}

/// The statements of a page in its filter's order, each with its values, for tests of their
/// plans. Its cursor must have the number of its row.
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod plans {
    use super::{ListPlan, ListSpelling};
    use crate::error::StoreError;
    use crate::filter::Filter;
    use crate::list::Page;

    /// A value of a statement.
    ///
    /// ```
    /// # use keystile_store::list_plans::Value;
    /// assert!(!matches!(Value::Number(7), Value::Text(_)));
    /// ```
    #[derive(Clone, Debug)]
    #[expect(clippy::exhaustive_enums, reason = "no part of the public interface")]
    pub enum Value {
        /// A number of 64 bits.
        Number(i64),
        /// A text.
        Text(String),
    }

    impl From<super::Value> for Value {
        fn from(value: super::Value) -> Self {
            match value {
                super::Value::Number(number) => Self::Number(number),
                super::Value::Text(text) => Self::Text(text),
            }
        }
    }

    /// In SQLite.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the cursor is of another order.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(filter: &Filter, page: Page) -> Result<Vec<(String, Vec<Value>)>, StoreError> {
        of::<crate::sqlite::Sqlite>(filter, page)
    }

    /// In PostgreSQL.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the cursor is of another order.
    #[cfg(feature = "postgres")]
    pub fn postgres(filter: &Filter, page: Page) -> Result<Vec<(String, Vec<Value>)>, StoreError> {
        of::<crate::postgres::Postgres>(filter, page)
    }

    fn of<S: ListSpelling>(
        filter: &Filter,
        page: Page,
    ) -> Result<Vec<(String, Vec<Value>)>, StoreError> {
        let row = page.after.and_then(|cursor| cursor.row());
        let id = page.after.and_then(|cursor| cursor.key_id().copied());
        let id = id.map(|id| id.to_string());
        let plan = ListPlan::new(filter, page, row.unwrap_or(i64::MIN), id)?;
        let limit = i64::try_from(plan.rows).map_err(|_| StoreError::OutOfRange)?;
        let with_limit = |(sql, values): (String, Vec<super::Value>)| {
            let values = values.into_iter().map(Value::from);
            (
                sql,
                [Value::Number(limit)].into_iter().chain(values).collect(),
            )
        };
        Ok(plan.statements::<S>().map(with_limit).collect())
    }
}
