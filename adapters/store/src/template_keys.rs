//! The keys of a template, and giving them its rights after it was changed.

use std::collections::HashMap;

use keystile::{KeyChange, KeyId, KeyRecord, UnixMillis};

use crate::bulk::BulkEnded;
use crate::bulk_change::{Asked, can_change};
use crate::derived::OfDerived;
use crate::error::{CorruptRow, StoreError};
use crate::filter::Filter;
use crate::list::{Cursor, Page};
use crate::store::Store;
use crate::template::{StoredTemplate, TemplateProblem};
use crate::template_verbs::find_template;
use crate::template_version::TemplateVersion;

/// A page of the keys that were issued from a template and can be changed, by what a change of the
/// template means for them.
///
/// A key that was issued narrower than the template, or was changed by hand, has rights of its own.
/// It keeps them, unless [`take_own`](Self::take_own) is called: what someone has set for one
/// customer is not lost when a plan changes. A key has no rights of its own if it is exactly as the
/// template is, or was at one of its last [`FORMER_TEMPLATES_MAX`](crate::FORMER_TEMPLATES_MAX)
/// changes, and was issued before that state ended: so one that was issued narrower today stays,
/// even if the template was like it once. But an older key that someone changes by hand to exactly
/// an earlier state counts as one that follows the template.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Millis, PermissionSet, RateLimit};
/// # use keystile::{ScopeTemplate, SysRng, TemplateName, UnixMillis};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
/// use keystile_store::{
///     add_template, change_template, record, save_issued, MemoryStore, OfDerived, Page, Store,
///     StoreError, TemplateKeys,
/// };
///
/// let store = MemoryStore::new();
/// let rights = ScopeTemplate::new(TemplateName::new("pro")?, PermissionSet::new(["read"])?);
/// let pro = add_template(&store, rights, None, now).await?;
/// let usual = pro.request(IssueRequest::new("Acme")?)?;
/// let slower = RateLimit::new(5, Millis::from_secs(1))?;
/// let usual = issuer.issue(&usual, &mut SysRng, now)?;
/// let own = pro.request(IssueRequest::new("Globex")?)?.rate_limit(slower);
/// let own = issuer.issue(&own, &mut SysRng, now)?;
/// save_issued(&store, &usual).await?;
/// save_issued(&store, &own).await?;
///
/// let mut more = pro.template.clone();
/// more.permissions = PermissionSet::new(["read", "write"])?;
/// let now = now.plus(Millis::from_hours(1))?;
/// let pro = change_template(&store, &pro, more, None, now).await?;
/// let mut page = Some(Page::first(100));
/// while let Some(current) = page {
///     let keys = TemplateKeys::page(&store, &pro, current, now).await?;
///     page = keys.next.map(|next| current.after(next));
///     assert_eq!((keys.due.len(), keys.own.len()), (1, 1), "what a dry run says");
///     let applied = keys.apply(&store, OfDerived::Refuse, now).await;
///     assert!(applied.failed.is_empty() && applied.stopped_by.is_none());
/// }
/// assert!(record(&store, &usual.record.id).await?.permissions.grants("write"));
/// assert!(!record(&store, &own.record.id).await?.permissions.grants("write"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TemplateKeys {
    /// The keys that are as an earlier state of the template was: they get its rights. Take off
    /// the ones that must stay as they are.
    pub due: Vec<KeyRecord>,
    /// The keys with rights of their own.
    pub own: Vec<KeyRecord>,
    /// How many keys have the template's rights already.
    pub current: usize,
    /// The rows of the page that cannot be read. They are not changed.
    pub damaged: Vec<CorruptRow>,
    /// Where the next page starts; `None` if this is the last one.
    pub next: Option<Cursor>,
    template: StoredTemplate,
    /// When the rotated keys were issued that are as an earlier state was.
    issued: HashMap<KeyId, UnixMillis>,
    /// The keys of the page in its order.
    order: Vec<KeyId>,
    takes_own: bool,
}

impl TemplateKeys {
    /// The keys of a page that were issued from the template. Each page is independent: if a run
    /// over all of them ends early, the next one finds what is left.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn page<S: Store + ?Sized>(
        store: &S,
        template: &StoredTemplate,
        page: Page,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let filter = Filter::default().template(template.name().clone());
        Self::of(store, template, &filter, page, now).await
    }

    /// As [`page`](Self::page), of the keys that a filter selects, too.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn of<S: Store + ?Sized>(
        store: &S,
        template: &StoredTemplate,
        filter: &Filter,
        page: Page,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let filter = filter.clone().template(template.name().clone());
        let listed = store.list(&filter, page).await?;
        let mut keys = Self {
            due: Vec::new(),
            own: Vec::new(),
            current: 0,
            damaged: listed.damaged,
            next: listed.next,
            template: template.clone(),
            issued: HashMap::new(),
            order: Vec::new(),
            takes_own: false,
        };
        let records = listed.records.into_iter();
        for record in records.filter(|record| can_change(record, now)) {
            if record.lineage != record.id && template.was_like(&record) {
                // A successor is as new as the rotation, but its rights are as old as the lineage.
                let lineage = store.lineage(&record.lineage).await?.records;
                let issued = lineage.iter().map(|key| key.created_at).min();
                keys.issued.extend(issued.map(|issued| (record.id, issued)));
            }
            keys.order.push(record.id);
            match keys.place(&record) {
                Place::Current => keys.current = keys.current.saturating_add(1),
                Place::Due => keys.due.push(record),
                Place::Own => keys.own.push(record),
            }
        }
        Ok(keys)
    }

    /// How many of the keys with rights of their own may do more than the template allows now.
    #[must_use]
    pub fn exceeding(&self) -> usize {
        let exceeds = |key: &&KeyRecord| !self.template.holds(key);
        self.own.iter().filter(exceeds).count()
    }

    /// The keys with rights of their own get those of the template, too.
    #[must_use]
    pub fn take_own(mut self) -> Self {
        self.due.append(&mut self.own);
        // In the order of the page: who is stopped goes on after the last key that was changed.
        let places = self.order.iter().enumerate();
        let places: HashMap<_, _> = places.map(|(place, id)| (*id, place)).collect();
        self.due.sort_by_key(|key| places.get(&key.id).copied());
        self.takes_own = true;
        self
    }

    /// The change that gives a key the template's rights.
    #[must_use]
    pub fn change(&self) -> KeyChange {
        KeyChange::new().template(self.template.template.clone())
    }

    /// Whether a key is still due, by its record as it is now.
    #[must_use]
    pub fn is_due(&self, record: &KeyRecord) -> bool {
        match self.place(record) {
            Place::Current | Place::Due => record.scope_type.as_ref() == Some(self.template.name()),
            Place::Own => {
                self.takes_own && record.scope_type.as_ref() == Some(self.template.name())
            }
        }
    }

    fn place(&self, record: &KeyRecord) -> Place {
        let issued = self.issued.get(&record.id).unwrap_or(&record.created_at);
        let mut former = self.template.former.iter();
        if StoredTemplate::is_like(&self.template.template, record) {
            Place::Current
        } else if former.any(|former| former.gave(record, *issued)) {
            Place::Due
        } else {
            Place::Own
        }
    }

    /// Gives each key that is [`due`](Self::due) the template's permissions, endpoints and rate
    /// limit, with an event each, as [`change_derived`](crate::change_derived) does. Its lifetime
    /// stays. A key that cannot be changed does not stop it: it is named in the result.
    ///
    /// If the template is changed or removed meanwhile, it stops with [`TemplateProblem::Stale`],
    /// also if that happens while a key is written: rights that someone has taken back are not
    /// written. The keys that were changed before are in the result, and stay as they are.
    pub async fn apply<S: Store + ?Sized>(
        &self,
        store: &S,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> BulkEnded {
        self.write(store, of_derived, now, &|_| {}).await
    }

    /// `written` gets each record that was written.
    pub(crate) async fn write<S: Store + ?Sized>(
        &self,
        store: &S,
        of_derived: OfDerived,
        now: UnixMillis,
        written: &(dyn Fn(&KeyRecord) + Send + Sync),
    ) -> BulkEnded {
        // Also if no key has to be written.
        if let Err(error) = self.is_present(store).await {
            return BulkEnded {
                stopped_by: Some(error),
                ..BulkEnded::default()
            };
        }
        let change = self.change();
        let asked = self.asked(&change, of_derived, now);
        asked.write(store, &self.due, written).await
    }

    /// Whether the template is still as it was read.
    async fn is_present<S: Store + ?Sized>(&self, store: &S) -> Result<(), StoreError> {
        let state = |it: &StoredTemplate| (it.version, it.created_at);
        match find_template(store, self.template.name()).await {
            Ok(present) if state(&present) == state(&self.template) => Ok(()),
            Ok(_) | Err(StoreError::Template(TemplateProblem::NotFound)) => {
                Err(TemplateProblem::Stale.into())
            }
            Err(error) => Err(error),
        }
    }

    /// What [`apply`](Self::apply) would do, and would refuse. Writes nothing. It decides about each
    /// key as all of them are now.
    pub async fn would_apply<S: Store + ?Sized>(
        &self,
        store: &S,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> BulkEnded {
        let change = self.change();
        self.asked(&change, of_derived, now)
            .plan(store, &self.due)
            .await
    }

    fn asked<'a>(
        &'a self,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> Asked<'a, impl Fn(&KeyRecord) -> bool + Send + Sync> {
        Asked {
            requested,
            of_derived,
            now,
            template: TemplateVersion::of(&self.template),
            is_selected: |record: &KeyRecord| self.is_due(record),
        }
    }
}

/// How a key's rights compare with its template's.
enum Place {
    Current,
    Due,
    Own,
}
