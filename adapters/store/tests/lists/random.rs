//! Random keys and filters, and what a list of them has to be.

use keystile::{
    Digest, Environment, Event, EventKind, KeyId, KeyRecord, Status, TemplateName, UnixMillis,
};
use keystile_store::{Batch, CorruptRow, Filter, KeyStatus, Page, Sort, Store};

/// A generator of numbers; the same ones for the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % limit
    }

    fn is(&mut self, parts: u64) -> bool {
        self.below(parts) == 0
    }

    fn one<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[usize::try_from(self.below(texts.len() as u64)).unwrap()]
    }

    /// One of few instants, so that many are equal.
    pub(crate) fn instant(&mut self) -> UnixMillis {
        at(self.below(12))
    }

    pub(crate) fn record(&mut self, number: u64) -> KeyRecord {
        let digits = b"059AZaz";
        let mut id = String::from("1");
        for _ in 0..5 {
            let digit = digits[usize::try_from(self.below(7)).unwrap()];
            id.push(char::from(digit));
        }
        id.push_str(&format!("{number:010}"));
        let mut record = KeyRecord::new(
            id.parse().unwrap(),
            Digest::sha256(&number.to_be_bytes()),
            "acme_1000",
            self.one(&CLIENTS),
            self.instant(),
        )
        .unwrap();
        record.owner = (!self.is(3)).then(|| self.one(&OWNERS).into());
        let environment = (!self.is(3)).then(|| self.one(&ENVIRONMENTS));
        record.environment = environment.map(|name| Environment::new(name).unwrap());
        let template = (!self.is(3)).then(|| self.one(&TEMPLATES));
        record.scope_type = template.map(|name| TemplateName::new(name).unwrap());
        record.expires_at = (!self.is(3)).then(|| self.instant());
        record.last_used_at = self.is(2).then(|| self.instant());
        if self.is(3) {
            record.replaced_by = Some("1AbCdEfGhIjKlMnO".parse().unwrap());
            record.overlap_until = Some(self.instant());
        }
        match self.below(5) {
            0 => record.status = Status::Suspended,
            1 => {
                record.status = Status::Revoked {
                    at: self.instant(),
                    reason: "leaked".into(),
                };
            }
            _ => {}
        }
        record
    }

    pub(crate) fn filter(&mut self) -> Filter {
        let mut filter = Filter::default();
        // Mostly one or two fields.
        for _ in 0..=self.below(2) {
            match self.below(11) {
                0 => filter.owner = Some(self.one(&OWNERS).into()),
                1 => filter.without_owner = true,
                2 => filter.client_name = Some(self.one(&CLIENTS).into()),
                3 | 4 => {
                    let status = KeyStatus::ALL[usize::try_from(self.below(6)).unwrap()];
                    filter.status = Some((status, self.instant()));
                }
                5 => filter.environment = Some(Environment::new(self.one(&ENVIRONMENTS)).unwrap()),
                6 => filter.template = Some(TemplateName::new(self.one(&TEMPLATES)).unwrap()),
                7 => filter.id_prefix = Some(self.one(&PREFIXES).into()),
                8 => filter.ending = Some((self.instant(), self.instant())),
                9 => filter.unused_since = Some(self.instant()),
                _ => {
                    filter.issued_from = self.is(2).then(|| self.instant());
                    filter.issued_before = self.is(2).then(|| self.instant());
                }
            }
        }
        filter
    }

    pub(crate) fn sort(&mut self) -> Option<Sort> {
        let sort = Sort::ALL[usize::try_from(self.below(5)).unwrap()];
        self.is(2).then_some(sort)
    }
}

const OWNERS: [&str; 3] = ["acme", "ACME", "a%"];
const CLIENTS: [&str; 4] = ["Acme", "acme", "Ac_e", "\u{e9}"];
const ENVIRONMENTS: [&str; 2] = ["live", "test"];
const TEMPLATES: [&str; 2] = ["admin", "monitoring"];
const PREFIXES: [&str; 7] = ["1", "10", "1a", "1A", "1z9", "%", "2"];

/// 2026-09-21T14:13:20Z, and more milliseconds.
pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

/// Random keys, which are inserted in this order.
pub(crate) fn records(random: &mut Random, count: u64) -> Vec<KeyRecord> {
    (0..count).map(|number| random.record(number)).collect()
}

pub(crate) async fn insert(store: &impl Store, records: &[KeyRecord]) {
    let mut batch = Batch::new();
    for record in records {
        batch.inserts.push(record.clone());
        let event = Event::new(EventKind::Imported, record.id, record.created_at);
        batch.events.push(event.with_version(record.version));
    }
    store.commit(&batch).await.unwrap();
}

/// All pages of a list.
pub(crate) async fn pages(
    store: &impl Store,
    filter: &Filter,
    sort: Option<Sort>,
    size: usize,
) -> (Vec<KeyRecord>, Vec<CorruptRow>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    let mut page = Page::first(size);
    page.sort = sort;
    loop {
        let listed = store.list(filter, page).await.unwrap();
        records.extend(listed.records);
        damaged.extend(listed.damaged);
        let Some(next) = listed.next else {
            return (records, damaged);
        };
        // As a client gives it back, or as the store gave it.
        let text = next.to_string().parse().unwrap();
        page = page.after(if size.is_multiple_of(2) { text } else { next });
    }
}

pub(crate) fn ids(records: &[KeyRecord]) -> Vec<KeyId> {
    records.iter().map(|record| record.id).collect()
}

/// Each list has the records that the filter shows of all records, each once; and each row that
/// cannot be read at most once. Returns how often a row was named by a filter with instants only.
pub(crate) async fn shows_what_the_filter_shows(store: &impl Store, random: &mut Random) -> usize {
    let (all, all_damaged) = pages(store, &Filter::default(), None, 1_000).await;
    let mut named = 0;
    for _ in 0..400 {
        let (filter, sort) = (random.filter(), random.sort());
        let size = usize::try_from(1 + random.below(200)).unwrap();
        let (records, damaged) = pages(store, &filter, sort, size).await;
        let mut listed = ids(&records);
        listed.sort_unstable();
        let shown = all.iter().filter(|record| filter.shows(record));
        let mut expected: Vec<_> = shown.map(|record| record.id).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{filter:?} by {sort:?}, pages of {size}");
        let mut rows: Vec<i64> = damaged.iter().map(|row| row.row).collect();
        rows.sort_unstable();
        assert!(rows.is_sorted_by(|a, b| a < b), "{filter:?}: {rows:?}");
        let has = |row: &CorruptRow| rows.contains(&row.row);
        let (mut by_issue, mut by_end) = (Filter::default(), Filter::default());
        (by_issue.issued_from, by_issue.issued_before) = (filter.issued_from, filter.issued_before);
        by_end.ending = filter.ending;
        let selects = |instants: &Filter| filter == *instants && filter != Filter::default();
        let (by_issue, by_end) = (selects(&by_issue), selects(&by_end));
        for row in &all_damaged {
            let must = match row.column {
                "created_at" => by_issue,
                "expires_at" | "overlap_until" => by_end && row.status != Some("revoked"),
                _ => false,
            };
            assert!(!must || has(row), "{filter:?} by {sort:?} names {row:?}");
            named += usize::from(must);
        }
        if filter == Filter::default() {
            assert_eq!(rows.len(), all_damaged.len(), "{sort:?} names all");
        }
    }
    named
}

/// Each list of the one store is that of the other, in the same order.
pub(crate) async fn are_alike(one: &impl Store, other: &impl Store, random: &mut Random) {
    for _ in 0..300 {
        let (filter, sort) = (random.filter(), random.sort());
        let size = usize::try_from(1 + random.below(60)).unwrap();
        let (records, _) = pages(one, &filter, sort, size).await;
        let (expected, _) = pages(other, &filter, sort, 1_000).await;
        assert_eq!(
            ids(&records),
            ids(&expected),
            "{filter:?} by {sort:?}: {size}"
        );
    }
}
