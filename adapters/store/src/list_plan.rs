//! How a page of a list is read: which field of the filter selects rows by its index, which parts
//! of the order are read, and how many rows.

use keystile::UnixMillis;

use crate::error::StoreError;
use crate::filter::{Filter, KeyStatus};
use crate::list::{PAGE_MAX, Page};
use crate::sort::{NEVER, Sort, UNREAD};

/// The rows that a page reads beyond its limit, if not each of them is shown.
const ROWS_BEYOND: usize = 100;

/// How a page of a list is read.
pub(crate) struct ListPlan<'f> {
    pub(crate) filter: &'f Filter,
    pub(crate) sort: Sort,
    pub(crate) driver: Driver,
    pub(crate) spans: Vec<Span>,
    pub(crate) limit: usize,
    pub(crate) rows: usize,
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

    /// The index that serves it; `None` is the one of the numbers of rows.
    pub(crate) const fn index(&self) -> Option<&'static str> {
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
}

/// A part of the rows in the order of a list, which one statement reads.
pub(crate) enum Span {
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
pub(crate) enum Driver {
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

/// The places in the order of the list that a filter can select, from the first to the last one
/// of each part.
fn places(filter: &Filter, sort: Sort) -> Vec<(i64, i64)> {
    let number = |at: UnixMillis| i64::try_from(at.get()).unwrap_or(NEVER);
    let before = |at: UnixMillis| number(at).saturating_sub(1);
    let after = |at: UnixMillis| number(at).saturating_add(1);
    let (mut first, mut last) = (1, NEVER);
    match sort {
        Sort::Issued if filter.issued_from.is_some() || filter.issued_before.is_some() => {
            first = filter.issued_from.map_or(first, number);
            last = filter.issued_before.map_or(last, before);
        }
        Sort::Ends if filter.selects_by_end() => {
            if let Some((now, end)) = filter.ending {
                (first, last) = (after(now), before(end));
            }
            match filter.status {
                Some((KeyStatus::Active | KeyStatus::Retiring, now)) => {
                    first = first.max(after(now));
                }
                Some((KeyStatus::Expired | KeyStatus::Replaced, now)) => {
                    last = last.min(number(now));
                }
                _ => {}
            }
        }
        _ => return vec![(i64::MIN, NEVER)],
    }
    vec![(UNREAD, UNREAD), (first, last)]
}
