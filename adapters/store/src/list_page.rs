//! What a page of a list takes from the rows of its statements.

use keystile::{KeyId, KeyRecord};

use crate::error::StoreError;
use crate::list::{Cursor, Listed};
use crate::list_plan::ListPlan;
use crate::sort::Sort;

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

impl<'p> PageReader<'p> {
    pub(crate) fn new(plan: &'p ListPlan<'p>) -> Self {
        Self {
            plan,
            listed: Listed::default(),
            count: 0,
            last: None,
        }
    }

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
