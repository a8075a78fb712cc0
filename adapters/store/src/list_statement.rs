//! The statements of a list, for both databases, and what a page takes from their rows.
//!
//! One field of the filter selects rows by its index. The others are compared in a column
//! `shown`, not in the condition: so a statement reads no more rows than its limit, and the page
//! after a row that is not shown starts after it.

use keystile::{KeyId, KeyRecord};

use crate::adoption::list_indexes;
use crate::error::StoreError;
use crate::filter::{Filter, KeyStatus};
use crate::list::{Cursor, Listed, PAGE_MAX, Page};
use crate::sort::{Sort, places};

/// What is between the columns of a record and the usage of its lineage.
const KEYS: &str = " FROM api_keys k";

/// The rows that a page reads beyond its limit, if not each of them is shown.
const ROWS_BEYOND: usize = 100;

/// How a database spells a list.
pub(crate) trait ListSpelling {
    /// The number of a row.
    const ROW: &'static str;
    /// The columns of a record, and where they are from.
    const RECORD: &'static str;

    /// A column of text, to be compared byte by byte.
    fn exact(column: &'static str) -> String;
    /// The parameter with this number.
    fn text(number: usize) -> String;
    fn number(number: usize) -> String;
    /// The index that a statement has to use, if the database can be told so.
    fn by(index: &str) -> String;
    /// The rows that have this value and come after another one, for an index of the two.
    fn equal(expression: &str, value: &str, after: &str) -> String;
    /// The order of an index of a value that is the same in all rows, and the number of the row.
    fn by_row(expression: &str) -> String;
    /// Whether the id begins with a text.
    fn begins(text: &str) -> String;
    /// The place of a row by its instant of issuing, and by its end: the expressions of the
    /// indexes.
    fn issued() -> &'static str;
    fn ends() -> &'static str;
}

/// A value of a statement.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "no part of the public interface")]
pub enum Value {
    /// A number of 64 bits.
    Number(i64),
    /// A text.
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
    columns.strip_suffix(", id").unwrap_or(columns).to_owned()
}

fn all_of(conditions: &[String]) -> String {
    match conditions {
        [] => "TRUE".to_owned(),
        _ => conditions.join(" AND "),
    }
}

/// A part of the rows in the order of a list, which one statement reads.
enum Span {
    /// The rows after this one, in the order of insertion.
    After(i64),
    /// Ids after this one, or from this text on.
    Ids { after: Option<String> },
    /// The rows after this one that have this place.
    At { place: i64, after: i64 },
    /// All rows with these places.
    Places { first: i64, last: i64 },
}

/// What selects the rows by an index. It is not compared again.
#[derive(Clone, Copy, PartialEq)]
enum Driver {
    Owner,
    WithoutOwner,
    Client,
    Template,
    Environment,
    /// A stored status other than active.
    Status,
    /// Keys that have a successor.
    Replaced,
    Order,
}

/// How a page of a list is read.
pub(crate) struct ListPlan<'f> {
    filter: &'f Filter,
    sort: Sort,
    driver: Driver,
    spans: Vec<Span>,
    limit: usize,
    rows: usize,
}

impl<'f> ListPlan<'f> {
    /// `row` is the number of the row that the cursor of the page names, and `id` the id in it.
    pub(crate) fn new(
        filter: &'f Filter,
        page: Page,
        row: i64,
        id: Option<String>,
    ) -> Result<Self, StoreError> {
        let sort = page.sort.unwrap_or(filter.order());
        let driver = driver(filter, sort);
        let limit = page.limit.min(PAGE_MAX);
        let rows = if limit == 0 {
            0
        } else if filter.unused_since.is_some() {
            PAGE_MAX
        } else if shows_all(filter, sort, driver) {
            limit
        } else {
            limit.saturating_add(ROWS_BEYOND)
        };
        let spans = match sort {
            Sort::Id => vec![Span::Ids { after: id }],
            Sort::Issued | Sort::Ends => {
                let place = page.after.map(|cursor| cursor.place());
                let place = place.map(|place| place.ok_or(StoreError::NotFound));
                spans(&places(filter, sort), place.transpose()?, row)
            }
            _ => vec![Span::After(row)],
        };
        Ok(Self {
            filter,
            sort,
            driver,
            spans,
            limit,
            rows,
        })
    }

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
        let row = S::ROW;
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
                        selected.push(S::equal(&column, &value, &after));
                        S::by_row(&column)
                    }
                    (None, Driver::WithoutOwner) => {
                        selected.push(format!("k.owner IS NULL AND {row} > {after}"));
                        S::by_row("k.owner")
                    }
                    (None, _) => {
                        selected.push(format!("{row} > {after}"));
                        row.to_owned()
                    }
                }
            }
            Span::At { place: at, after } => {
                let (at, after) = (values.number::<S>(*at), values.number::<S>(*after));
                selected.push(S::equal(place, &at, &after));
                S::by_row(place)
            }
            Span::Places { first, last } => {
                selected.push(format!("{place} >= {}", values.number::<S>(*first)));
                selected.push(format!("{place} <= {}", values.number::<S>(*last)));
                format!("{place}, {row}")
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

    /// The index that serves it; `None` is the one of the numbers of rows.
    const fn index(&self) -> Option<&'static str> {
        Some(match (self.driver, self.sort) {
            (Driver::Owner | Driver::WithoutOwner, _) => "api_keys_of_owner",
            (Driver::Client, _) => "api_keys_of_client",
            (Driver::Template, _) => "api_keys_of_template",
            (Driver::Environment, _) => "api_keys_of_environment",
            (Driver::Status, _) => "api_keys_ended",
            (Driver::Replaced, _) => "api_keys_replaced_by_end",
            (Driver::Order, Sort::Issued) => "api_keys_by_issue",
            (Driver::Order, Sort::Ends) => "api_keys_by_end",
            (Driver::Order, Sort::Id) => "api_keys_key_id",
            (Driver::Order, _) => return None,
        })
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

    /// What is taken from the rows.
    pub(crate) const fn reader(&self) -> PageReader<'_> {
        PageReader {
            plan: self,
            listed: Listed {
                records: Vec::new(),
                damaged: Vec::new(),
                next: None,
            },
            count: 0,
            last: None,
        }
    }
}

fn driver(filter: &Filter, sort: Sort) -> Driver {
    if sort == Sort::Ends {
        return match filter.status {
            Some((KeyStatus::Retiring | KeyStatus::Replaced, _)) => Driver::Replaced,
            _ => Driver::Order,
        };
    }
    if sort != Sort::Inserted {
        return Driver::Order;
    }
    if filter.owner.is_some() {
        return Driver::Owner;
    }
    if filter.without_owner {
        return Driver::WithoutOwner;
    }
    if filter.client_name.is_some() {
        return Driver::Client;
    }
    match filter.status {
        Some((KeyStatus::Suspended | KeyStatus::Revoked, _)) => Driver::Status,
        _ if filter.template.is_some() => Driver::Template,
        _ if filter.environment.is_some() => Driver::Environment,
        _ => Driver::Order,
    }
}

/// Whether each row is shown that is read, except for those whose instants the index does not
/// know.
fn shows_all(filter: &Filter, sort: Sort, driver: Driver) -> bool {
    let is_issued = filter.issued_from.is_some() || filter.issued_before.is_some();
    let fields = [
        filter.without_owner,
        filter.id_prefix.is_some(),
        filter.ending.is_some(),
        is_issued,
    ];
    let fields = fields.into_iter().filter(|is_set| *is_set).count();
    let fields = fields.saturating_add(filter.columns().len());
    let driven = match (sort, driver) {
        (Sort::Id, _) => filter.id_prefix.is_some(),
        (Sort::Issued, _) => is_issued,
        // Among those of a status there are others: suspended keys, or expired and replaced ones.
        (Sort::Ends, _) => filter.ending.is_some(),
        (_, driver) => driver != Driver::Order,
    };
    fields == usize::from(driven)
}

/// The parts after a place and a row in it.
fn spans(places: &[(i64, i64)], after: Option<i64>, row: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    for (first, last) in places.iter().copied() {
        let at = after.filter(|at| *at >= first);
        if first > last || at.is_some_and(|at| at > last) {
            continue;
        }
        let Some(at) = at else {
            spans.push(Span::Places { first, last });
            continue;
        };
        spans.push(Span::At {
            place: at,
            after: row,
        });
        if let Some(first) = at.checked_add(1).filter(|first| *first <= last) {
            spans.push(Span::Places { first, last });
        }
    }
    spans
}

/// The records, and the damaged rows, of a page.
pub(crate) struct PageReader<'p> {
    plan: &'p ListPlan<'p>,
    listed: Listed,
    count: usize,
    last: Option<Cursor>,
}

/// A row of a list.
pub(crate) struct ListRow<'r> {
    pub(crate) number: i64,
    pub(crate) place: i64,
    /// Whether the columns match that are compared by the database.
    pub(crate) is_shown: bool,
    pub(crate) key_id: Option<&'r str>,
}

impl PageReader<'_> {
    /// How many more rows may be read; none if the page is full.
    pub(crate) fn rows_left(&self) -> usize {
        if self.listed.rows() >= self.plan.limit {
            return 0;
        }
        self.plan.rows.saturating_sub(self.count)
    }

    /// Takes a row, if the page is not full, and returns whether its record has to be read.
    pub(crate) fn takes(&mut self, row: &ListRow<'_>) -> bool {
        if self.rows_left() == 0 {
            return false;
        }
        self.count = self.count.saturating_add(1);
        let id = row.key_id.and_then(|id| id.parse::<KeyId>().ok());
        let cursor = Cursor::new(row.number, id);
        self.last = Some(match self.plan.sort {
            Sort::Issued | Sort::Ends => cursor.at(row.place),
            _ => cursor,
        });
        row.is_shown
    }

    /// Adds the record of the row that was taken.
    pub(crate) fn add(&mut self, read: Result<KeyRecord, StoreError>) -> Result<(), StoreError> {
        match read {
            // Compared again: an adopted column may ignore case, and a row whose instants the
            // index does not know is read by each list.
            Ok(record) if self.plan.filter.shows(&record) => self.listed.records.push(record),
            Ok(_) => {}
            Err(StoreError::Corrupt(damaged)) => self.listed.damaged.push(damaged),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Listed {
        self.listed.next = self.last.filter(|_| self.rows_left() == 0);
        self.listed
    }
}

/// The statements of a page in its filter's order, each with its values, for tests of their
/// plans. Its cursor must have the number of its row.
#[cfg(feature = "conformance")]
#[doc(hidden)]
pub mod plans {
    use super::{ListPlan, ListSpelling, Value};
    use crate::error::StoreError;
    use crate::filter::Filter;
    use crate::list::Page;

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
        let with_limit = |(sql, mut values): (String, Vec<Value>)| {
            values.insert(0, Value::Number(limit));
            (sql, values)
        };
        Ok(plan.statements::<S>().map(with_limit).collect())
    }
}
