//! What a page of a list takes from the rows of its statements.

use std::collections::HashSet;

use keystile::{KeyId, KeyRecord};

use crate::error::{CorruptRow, StoreError};
use crate::list::{Cursor, Listed};
use crate::list_plan::ListPlan;
use crate::sort::Sort;

/// What a page was read as: a list reads records, and an export more.
pub(crate) struct Rows<T> {
    pub(crate) sound: Vec<T>,
    pub(crate) damaged: Vec<CorruptRow>,
    pub(crate) next: Option<Cursor>,
}

impl Rows<KeyRecord> {
    pub(crate) fn listed(self) -> Listed {
        let mut listed = Listed::of(self.sound, self.next);
        listed.damaged = self.damaged;
        listed
    }
}

/// What was read of the rows of a page, and the damaged ones.
pub(crate) struct PageReader<'p, T> {
    plan: &'p ListPlan<'p>,
    sound: Vec<T>,
    damaged: Vec<CorruptRow>,
    count: usize,
    /// The rows that were read. The statements of a page are no snapshot: a row whose end is moved
    /// meanwhile can be in two of them.
    taken: HashSet<i64>,
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

impl<'p, T> PageReader<'p, T> {
    pub(crate) fn new(plan: &'p ListPlan<'p>) -> Self {
        Self {
            plan,
            sound: Vec::new(),
            damaged: Vec::new(),
            count: 0,
            taken: HashSet::new(),
            last: None,
        }
    }

    /// How many more rows may be read; none if the page is full.
    pub(crate) fn rows_left(&self) -> usize {
        if self.sound.len().saturating_add(self.damaged.len()) >= self.plan.limit {
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
        self.taken.insert(row.number) && row.is_shown
    }

    /// Adds what was read of the row that was taken, which has this record.
    pub(crate) fn add(
        &mut self,
        read: Result<T, StoreError>,
        record: impl Fn(&T) -> &KeyRecord,
    ) -> Result<(), StoreError> {
        match read {
            // Compared again: an adopted column may ignore case, and a row whose instants the
            // index does not know is read by each list.
            Ok(read) if self.plan.filter.shows(record(&read)) => self.sound.push(read),
            Ok(_) => {}
            Err(StoreError::Corrupt(damaged)) => self.damaged.push(damaged),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Rows<T> {
        let next = self.last.filter(|_| self.rows_left() == 0);
        Rows {
            sound: self.sound,
            damaged: self.damaged,
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ListRow, PageReader};
    use crate::filter::Filter;
    use crate::list::Page;
    use crate::list_plan::ListPlan;

    #[test]
    fn a_row_that_moves_is_on_a_page_once() {
        let filter = Filter::default();
        let plan = ListPlan::new(&filter, Page::first(10), i64::MIN, None).unwrap();
        let mut reader: PageReader<'_, ()> = PageReader::new(&plan);
        let row = |number, place| ListRow {
            number,
            place,
            is_shown: true,
            key_id: None,
        };
        assert!(reader.takes(&row(1, 5)));
        assert!(!reader.takes(&row(1, 6)));
        assert!(reader.takes(&row(2, 6)));
    }
}
