//! Which records a list contains.

use core::fmt;

use keystile::{Environment, KeyRecord, Status, TemplateName, UnixMillis};

use crate::sort::Sort;

/// Which records a list contains. A field that is `None` does not restrict it; the default
/// lists all. All fields that are set apply together.
///
/// SQLite and PostgreSQL have an index for each field but `unused_since`. If several fields are
/// set, one of them selects the rows by its index and the others are compared row by row: see
/// [`order`](Self::order). A store reads at most 100 rows more than the limit of a page, and for
/// `unused_since` at most [`PAGE_MAX`](crate::PAGE_MAX). PostgreSQL may read all rows that an index
/// selects if it takes them for few. So a page can have fewer records than its limit, or none, and
/// a next page.
///
/// A row that cannot be read is named, unless one of the columns that are compared can be read
/// and excludes it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use keystile::{issue, IssueRequest, KeyFormat, PepperRing, SysRng, UnixMillis};
/// use keystile_store::{Filter, KeyStatus, MemoryStore, Page, Store, save_issued};
///
/// let store = MemoryStore::new();
/// let format = KeyFormat::structured("acme")?;
/// let now = UnixMillis::new(1_790_000_000_000)?;
/// let request = IssueRequest::new("Acme Ltd")?.owner("account-7")?;
/// let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
///
/// let page = Page::first(100);
/// assert_eq!(store.list(&Filter::of_owner("account-7"), page).await?.records.len(), 1);
/// assert_eq!(store.list(&Filter::of_client("Acme Ltd"), page).await?.records.len(), 1);
/// assert!(store.list(&Filter::of_owner("account"), page).await?.records.is_empty());
///
/// let active = Filter::of_owner("account-7").status(KeyStatus::Active, now);
/// assert_eq!(store.list(&active, page).await?.records.len(), 1);
/// let expired = Filter::of_owner("account-7").status(KeyStatus::Expired, now);
/// assert!(store.list(&expired, page).await?.records.is_empty());
/// # Ok::<(), keystile_store::StoreError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// Only records of this owner.
    pub owner: Option<Box<str>>,
    /// Only records that belong to no owner.
    pub without_owner: bool,
    /// Only records of this client.
    pub client_name: Option<Box<str>>,
    /// Only records that have this status at this instant.
    pub status: Option<(KeyStatus, UnixMillis)>,
    /// Only records of this environment.
    pub environment: Option<Environment>,
    /// Only records that were issued from a template with this name.
    pub template: Option<TemplateName>,
    /// Only records whose id begins with this text.
    pub id_prefix: Option<Box<str>>,
    /// Only records that have not ended at the first instant, and end before the second one:
    /// by their expiry, or by the end of their overlap. A revoked record has ended.
    pub ending: Option<(UnixMillis, UnixMillis)>,
    /// Only records that were issued before this instant, and were not used at it or later.
    pub unused_since: Option<UnixMillis>,
    /// Only records that were issued at this instant or later.
    pub issued_from: Option<UnixMillis>,
    /// Only records that were issued before this instant.
    pub issued_before: Option<UnixMillis>,
}

impl Filter {
    /// The records of this owner.
    #[must_use]
    pub fn of_owner(owner: &str) -> Self {
        Self {
            owner: Some(owner.into()),
            ..Self::default()
        }
    }

    /// The records of this client.
    #[must_use]
    pub fn of_client(client_name: &str) -> Self {
        Self {
            client_name: Some(client_name.into()),
            ..Self::default()
        }
    }

    /// Only the ones that have this status at `now`.
    #[must_use]
    pub const fn status(mut self, status: KeyStatus, now: UnixMillis) -> Self {
        self.status = Some((status, now));
        self
    }

    /// Only the ones of this environment.
    #[must_use]
    pub const fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Only the ones that were issued from a template with this name.
    #[must_use]
    pub fn template(mut self, template: TemplateName) -> Self {
        self.template = Some(template);
        self
    }

    /// Only the ones whose id begins with this text. Case matters.
    #[must_use]
    pub fn id_prefix(mut self, prefix: &str) -> Self {
        self.id_prefix = Some(prefix.into());
        self
    }

    /// Only the ones that have not ended at `now`, and will end before `before`.
    #[must_use]
    pub const fn ending(mut self, now: UnixMillis, before: UnixMillis) -> Self {
        self.ending = Some((now, before));
        self
    }

    /// Only the ones that were issued before this instant, and were not used at it or later.
    ///
    /// A use is stored a moment after it happens: see [`Store::note_uses`](crate::Store::note_uses).
    #[must_use]
    pub const fn unused_since(mut self, since: UnixMillis) -> Self {
        self.unused_since = Some(since);
        self
    }

    /// Only the ones that were issued at this instant or later.
    #[must_use]
    pub const fn issued_from(mut self, from: UnixMillis) -> Self {
        self.issued_from = Some(from);
        self
    }

    /// Only the ones that were issued before this instant.
    #[must_use]
    pub const fn issued_before(mut self, before: UnixMillis) -> Self {
        self.issued_before = Some(before);
        self
    }

    /// Whether it selects by something that a key is given: so not all keys are meant.
    pub(crate) const fn selects_some(&self) -> bool {
        self.owner.is_some()
            || self.client_name.is_some()
            || self.environment.is_some()
            || self.template.is_some()
            || self.id_prefix.is_some()
    }

    /// Whether the list contains this record. Texts are compared byte by byte.
    #[must_use]
    pub fn shows(&self, record: &KeyRecord) -> bool {
        let issued = |wanted: Option<UnixMillis>, compare: fn(UnixMillis, UnixMillis) -> bool| {
            wanted.is_none_or(|instant| compare(record.created_at, instant))
        };
        is(&self.owner, &record.owner)
            && (!self.without_owner || record.owner.is_none())
            && self
                .client_name
                .as_ref()
                .is_none_or(|name| record.client_name == *name)
            && is(&self.environment, &record.environment)
            && is(&self.template, &record.scope_type)
            && self
                .id_prefix
                .as_ref()
                .is_none_or(|prefix| record.id.as_str().starts_with(&**prefix))
            && self
                .status
                .is_none_or(|(status, now)| KeyStatus::of(record, now) == status)
            && self.ending.is_none_or(|(now, before)| {
                let revoked = matches!(record.status, Status::Revoked { .. });
                let end = record.ends_at();
                !revoked && end.is_some_and(|end| now < end && end < before)
            })
            && self.unused_since.is_none_or(|since| {
                record.created_at < since && record.last_used_at.is_none_or(|used| used < since)
            })
            && issued(self.issued_from, |at, from| at >= from)
            && issued(self.issued_before, |at, before| at < before)
    }

    /// The order in which a list has the keys, unless the page asks for another one. Each is
    /// that of an index, so that a page reads no more rows than it has, if only one field is set.
    ///
    /// | filter | order |
    /// |---|---|
    /// | owner, no owner, client | insertion |
    /// | prefix of the id | id |
    /// | suspended, revoked | insertion |
    /// | a status that depends on the time, `ending` | end |
    /// | `issued_from`, `issued_before` | instant of issuing |
    /// | template, environment, `unused_since`, none | insertion |
    ///
    /// If several fields are set, the first one in the table decides, and the others are compared
    /// row by row.
    ///
    /// ```
    /// use keystile::UnixMillis;
    /// use keystile_store::{Filter, Sort};
    ///
    /// let ending = Filter::default().ending(UnixMillis::MIN, UnixMillis::MAX);
    /// assert_eq!(ending.order(), Sort::Ends);
    /// assert_eq!(Filter::of_owner("account-7").order(), Sort::Inserted);
    /// ```
    #[must_use]
    pub const fn order(&self) -> Sort {
        let is_stored = matches!(
            self.status,
            Some((KeyStatus::Suspended | KeyStatus::Revoked, _))
        );
        if self.owner.is_some() || self.without_owner || self.client_name.is_some() {
            Sort::Inserted
        } else if self.id_prefix.is_some() {
            Sort::Id
        } else if is_stored {
            Sort::Inserted
        } else if self.selects_by_end() {
            Sort::Ends
        } else if self.issued_from.is_some() || self.issued_before.is_some() {
            Sort::Issued
        } else {
            Sort::Inserted
        }
    }

    /// Whether an end in a part of all time is among what it selects by.
    pub(crate) const fn selects_by_end(&self) -> bool {
        let depends_on_time = match &self.status {
            Some((status, _)) => status.depends_on_time(),
            None => false,
        };
        depends_on_time || self.ending.is_some()
    }

    /// The texts that a database compares, each with its column. The prefix of the id is not
    /// among them.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn columns(&self) -> Vec<(&'static str, &str)> {
        let columns = [
            ("owner", self.owner.as_deref()),
            ("client_name", self.client_name.as_deref()),
            (
                "environment",
                self.environment.as_ref().map(Environment::as_str),
            ),
            (
                "scope_type",
                self.template.as_ref().map(TemplateName::as_str),
            ),
            ("status", self.status.map(|(status, _)| status.stored())),
        ];
        let set = columns.into_iter();
        set.filter_map(|(column, text)| Some((column, text?)))
            .collect()
    }
}

fn is<T: PartialEq>(wanted: &Option<T>, value: &Option<T>) -> bool {
    wanted.is_none() || wanted == value
}

/// The status of a key at an instant, in one word, as lists show it. It says more than
/// [`Status`], which does not depend on the time.
///
/// ```
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, SysRng, UnixMillis, suspend};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use keystile_store::KeyStatus;
///
/// assert_eq!(KeyStatus::of(&issued.record, now), KeyStatus::Active);
/// let much_later = now.plus(Millis::from_days(10_000))?;
/// assert_eq!(KeyStatus::of(&issued.record, much_later).as_str(), "expired");
/// let suspended = suspend(&issued.record, now)?.record;
/// assert_eq!(KeyStatus::of(&suspended, much_later).as_str(), "suspended");
///
/// assert_eq!(KeyStatus::from_name("expired"), Some(KeyStatus::Expired));
/// assert_eq!(KeyStatus::from_name("Expired"), None);
/// # Ok::<(), keystile::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStatus {
    /// Accepted, and has no successor.
    Active,
    /// Accepted until its overlap ends: it has a successor.
    Retiring,
    /// Refused because its overlap has ended.
    Replaced,
    /// Refused because it has expired.
    Expired,
    /// Refused until it is resumed.
    Suspended,
    /// Refused permanently.
    Revoked,
}

impl KeyStatus {
    /// Each status.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Retiring,
        Self::Replaced,
        Self::Expired,
        Self::Suspended,
        Self::Revoked,
    ];

    /// The status of a key at `now`. A key that is both expired and past its overlap is
    /// expired; a suspended or revoked one is that at any time.
    #[must_use]
    pub fn of(record: &KeyRecord, now: UnixMillis) -> Self {
        let past = |instant: Option<UnixMillis>| instant.is_some_and(|instant| now >= instant);
        match record.status {
            Status::Revoked { .. } => Self::Revoked,
            Status::Active if past(record.expires_at) => Self::Expired,
            Status::Active if past(record.overlap_until) => Self::Replaced,
            Status::Active if record.replaced_by.is_some() => Self::Retiring,
            Status::Active => Self::Active,
            // A status that is not known here never shows as one that is accepted.
            _ => Self::Suspended,
        }
    }

    /// The word: `active`, `retiring`, `replaced`, `expired`, `suspended` or `revoked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Replaced => "replaced",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
        }
    }

    /// The status with this word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// The stored status of a record that has this one.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    const fn stored(self) -> &'static str {
        match self {
            Self::Suspended | Self::Revoked => self.as_str(),
            _ => Self::Active.as_str(),
        }
    }

    const fn depends_on_time(self) -> bool {
        !matches!(self, Self::Suspended | Self::Revoked)
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
