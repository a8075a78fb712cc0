//! The lifecycle of keys, in force in this process when a verb returns.

use std::sync::Arc;

use keystile::{
    By, IssueRequest, Issued, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Keyring,
    LifetimePolicy, Rotated, RotationPolicy, TemplateName, TryCryptoRng, UnixMillis,
};

use super::Authenticator;
use crate::acting::ActingStore;
use crate::bulk::{BulkEnded, Selection};
use crate::cascade::Ended;
use crate::change::write_change;
use crate::delegate::delegate;
use crate::derived::OfDerived;
use crate::error::StoreError;
use crate::issue_once::IssueOnce;
use crate::outcome::Outcome;
use crate::rotate::rotate_all;
use crate::store::Store;
use crate::template::StoredTemplate;
use crate::template_keys::TemplateKeys;
use crate::template_verbs::find_template;
use crate::verbs;

/// Invalidates a key however the change of it ends: a change that failed, or whose caller
/// stopped waiting, may have been written.
pub(super) struct InvalidateOnDrop<'k> {
    keyring: &'k Keyring<Arc<KeyRecord>>,
    id: KeyId,
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        self.keyring.invalidate(&self.id);
    }
}

impl<S: Store + 'static> Authenticator<S> {
    /// A handle on the same keyring whose verbs are by this actor: their events say who it was,
    /// from where and, if the verb gets no reason itself, why. Without this, that is not known.
    ///
    /// A handle is cheap: make one for each request of an administrator.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use keystile::{IssueRequest, Issuer, KeyFormat, SysRng, UnixMillis, Verifier};
    /// # use keystile_store::{MemoryStore, Store};
    /// use keystile::By;
    /// use keystile_store::Authenticator;
    ///
    /// # let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// # let verifier = Verifier::new(issuer.format().clone());
    /// # let store = Arc::new(MemoryStore::new());
    /// # let now = UnixMillis::new(1_790_000_000_000)?;
    /// let authenticator = Authenticator::builder(store, verifier).build()?;
    /// let ana = By::new("ana")?.from_origin("10.0.0.7")?.because("unpaid invoice")?;
    /// # let request = IssueRequest::new("Acme Ltd")?;
    /// # let issued = authenticator.issue(&issuer, &request, &mut SysRng, now).await?;
    /// # let key_id = issued.record.id;
    /// authenticator.acting_as(ana).suspend(&key_id, now).await?;
    ///
    /// let events = authenticator.store().events(Some(&key_id), 0, 9).await?.events;
    /// let (_, suspended) = events.last().unwrap();
    /// assert_eq!(suspended.actor.as_deref(), Some("ana"));
    /// assert_eq!(suspended.reason.as_deref(), Some("unpaid invoice"));
    ///
    /// // What could forge a line of a log is refused.
    /// assert!(By::new("ana\nrevoked by bob").is_err());
    /// # Ok::<(), keystile_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn acting_as(&self, by: By) -> Self {
        Self {
            by: Arc::new(by),
            ..self.clone()
        }
    }

    /// A handle on the same keyring whose verbs issue a key for this request, and only one: use it
    /// in [`issue_once`](crate::issue_once()).
    #[must_use]
    pub fn once(&self, request: IssueOnce, now: UnixMillis) -> Self {
        Self {
            once: Some(Arc::new((request, now))),
            ..self.clone()
        }
    }

    /// A handle on the same keyring whose verbs depend on a template: they write only as long as
    /// this is its version, and otherwise fail with
    /// [`TemplateProblem::Stale`](crate::TemplateProblem::Stale).
    #[must_use]
    pub fn relying_on(&self, template: &StoredTemplate) -> Self {
        Self {
            template: Some(Arc::new(template.clone())),
            ..self.clone()
        }
    }

    /// Issues a key and saves it.
    ///
    /// Its text is in the result, and nowhere else.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// # use std::sync::Arc;
    /// # use keystile_store::MemoryStore;
    /// use keystile::{
    ///     DenialCode, IssueRequest, Issuer, KeyFormat, Request, Requirement, SysRng, UnixMillis,
    ///     Verifier,
    /// };
    /// use keystile_store::Authenticator;
    ///
    /// let issuer = Issuer::new(KeyFormat::structured("acme")?);
    /// let verifier = Verifier::new(issuer.format().clone());
    /// # let store = Arc::new(MemoryStore::new());
    /// let authenticator = Authenticator::builder(store, verifier).build()?;
    /// let now = UnixMillis::new(1_790_000_000_000)?;
    ///
    /// let request = IssueRequest::new("Acme Ltd")?.permissions(["read"])?;
    /// let issued = authenticator.issue(&issuer, &request, &mut SysRng, now).await?;
    /// let key = issued.key.expose().as_bytes();
    /// let answer = authenticator.check(key, &Request::new(), now).await;
    /// assert!(answer.decision.is_allow());
    ///
    /// let write = Requirement::parse("write")?;
    /// let answer = authenticator.check(key, &Request::new().requires(&write), now).await;
    /// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::PermissionMissing);
    /// # Ok::<(), keystile_store::StoreError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Issuer::issue`] and [`IssueRequest::within`], in [`StoreError::Refused`], and
    /// [`save_issued`](Self::save_issued).
    pub async fn issue<R: TryCryptoRng + ?Sized>(
        &self,
        issuer: &Issuer,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, StoreError> {
        let request = request.clone().within(self.lifetimes())?;
        let issued = issuer.issue(&request, rng, now)?;
        self.save_issued(&issued).await?;
        Ok(issued)
    }

    /// Issues a key from a template, by its name: a preset, or one that is stored. The request may
    /// only narrow it.
    ///
    /// # Errors
    /// As [`find_template`](crate::find_template), and as [`issue`](Self::issue).
    pub async fn issue_from<R: TryCryptoRng + ?Sized>(
        &self,
        template: &TemplateName,
        issuer: &Issuer,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, StoreError> {
        let template = find_template(&**self.store(), template).await?;
        let request = template.request(request.clone())?;
        self.issue(issuer, &request, rng, now).await
    }

    /// How long keys may live: see
    /// [`AuthenticatorBuilder::lifetimes`](crate::AuthenticatorBuilder::lifetimes).
    #[must_use]
    pub fn lifetimes(&self) -> &LifetimePolicy {
        &self.inner.shared.lifetimes
    }

    /// Issues a key that derives from another, and saves it.
    ///
    /// # Errors
    /// As [`delegate`](crate::delegate()), and as [`IssueRequest::within`].
    pub async fn delegate<R: TryCryptoRng + ?Sized>(
        &self,
        source: &KeyId,
        issuer: &Issuer,
        request: &IssueRequest,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Issued, StoreError> {
        // Its uses are fewer from now on.
        let _guard = self.invalidates(source);
        let request = request.clone().within(self.lifetimes())?;
        let issued = delegate(&self.acting_store(), source, issuer, &request, rng, now).await?;
        self.keyring().invalidate(&issued.record.id);
        Ok(issued)
    }

    /// Saves a newly issued key, which is accepted from now on.
    ///
    /// # Errors
    /// As [`save_issued`](crate::save_issued).
    pub async fn save_issued(&self, issued: &Issued) -> Result<(), StoreError> {
        let _guard = self.invalidates(&issued.record.id);
        verbs::save_issued(&self.acting_store(), issued).await
    }

    /// Changes what a key may do, or whom it belongs to. After this returns, each check that
    /// begins in this process is decided by the changed record.
    ///
    /// # Errors
    /// As [`change`](crate::change).
    pub async fn change(
        &self,
        key_id: &KeyId,
        requested: &KeyChange,
        now: UnixMillis,
    ) -> Result<Outcome, StoreError> {
        self.change_if(key_id, requested, now, |_, _| Ok(())).await
    }

    /// As [`change_if`](Self::change_if), and says what becomes of the keys that derive from it
    /// and would exceed it.
    ///
    /// # Errors
    /// As [`change_derived`](crate::change_derived), and as [`KeyChange::within`].
    pub async fn change_derived<E: From<StoreError>>(
        &self,
        key_id: &KeyId,
        requested: &KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
        permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
    ) -> Result<Ended, E> {
        let _guard = self.invalidates(key_id);
        let requested = requested.clone().within(self.lifetimes());
        let requested = requested.map_err(StoreError::from)?;
        let store = &self.acting_store();
        let written =
            write_change(store, key_id, &requested, of_derived, now, None, permit).await?;
        for other in &written.others {
            self.keyring().invalidate_at(&other.id, other.version);
        }
        let ended = written.ended();
        let outcome = self.in_force(ended.outcome);
        Ok(Ended { outcome, ..ended })
    }

    /// Changes the keys of a selection, each as [`change_derived`](Self::change_derived) does.
    /// What fails is in the result, as for [`Selection::change`].
    ///
    /// # Errors
    /// As [`KeyChange::within`].
    pub async fn change_selected(
        &self,
        selection: &Selection,
        requested: &KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> Result<BulkEnded, StoreError> {
        let requested = requested.clone().within(self.lifetimes())?;
        let asked = selection.asked(&requested, of_derived, now);
        let (store, noted) = (self.acting_store(), self.noted());
        Ok(asked.write(&store, &selection.keys, &noted).await)
    }

    /// Gives the keys of a template its rights, as [`TemplateKeys::apply`] does. After this
    /// returns, each check that begins in this process is decided by the changed records.
    pub async fn apply_template(
        &self,
        keys: &TemplateKeys,
        of_derived: OfDerived,
        now: UnixMillis,
    ) -> BulkEnded {
        let (store, noted) = (self.acting_store(), self.noted());
        keys.write(&store, of_derived, now, &noted).await
    }

    /// No older record is admitted from now on.
    fn noted(&self) -> impl Fn(&KeyRecord) + Send + Sync {
        let keyring = self.keyring();
        move |record| keyring.invalidate_at(&record.id, record.version)
    }

    /// As [`change`](Self::change), if `permit` agrees.
    ///
    /// # Errors
    /// As [`change_if`](crate::change_if).
    pub async fn change_if<E: From<StoreError>>(
        &self,
        key_id: &KeyId,
        requested: &KeyChange,
        now: UnixMillis,
        permit: impl Fn(&KeyRecord, &KeyRecord) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        let changed = self.change_derived(key_id, requested, OfDerived::Refuse, now, permit);
        Ok(changed.await?.outcome)
    }

    /// Gives a key a successor; its digest is made under the verifier's peppers.
    ///
    /// # Errors
    /// As [`rotate`](crate::rotate), and as [`RotationPolicy::within`].
    pub async fn rotate<R: TryCryptoRng + ?Sized>(
        &self,
        key_id: &KeyId,
        policy: &RotationPolicy,
        format: Option<&KeyFormat>,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Rotated, StoreError> {
        let permit = |_: &KeyRecord| Ok::<_, StoreError>(policy.clone());
        self.rotate_if(key_id, permit, format, rng, now).await
    }

    /// As [`rotate`](Self::rotate), under the policy that `permit` gives for the record that is
    /// rotated. If another writer was faster, it is asked again.
    ///
    /// # Errors
    /// Those of `permit`, and as [`rotate`](Self::rotate).
    pub async fn rotate_if<R: TryCryptoRng + ?Sized, E: From<StoreError>>(
        &self,
        key_id: &KeyId,
        permit: impl Fn(&KeyRecord) -> Result<RotationPolicy, E>,
        format: Option<&KeyFormat>,
        rng: &mut R,
        now: UnixMillis,
    ) -> Result<Rotated, E> {
        let _guard = self.invalidates(key_id);
        let permit = |record: &KeyRecord| {
            let policy = permit(record)?.within(self.lifetimes());
            Ok::<_, E>(policy.map_err(StoreError::from)?)
        };
        let peppers = self.verifier().peppers();
        let store = &self.acting_store();
        let (rotated, ended) = rotate_all(store, key_id, permit, format, peppers, rng, now).await?;
        let changed = rotated.changed.iter().chain([&rotated.successor]);
        let changed = changed.map(|record| (record.id, record.version));
        for (id, version) in changed.chain(ended) {
            self.keyring().invalidate_at(&id, version);
        }
        Ok(rotated)
    }

    /// No older record is admitted from now on, not even from a replica that lags.
    fn in_force(&self, outcome: Outcome) -> Outcome {
        if let Some((id, version)) = outcome.version() {
            self.keyring().invalidate_at(&id, version);
        }
        outcome
    }

    /// The store, for batches of your own: their events say who this handle acts as, and their
    /// keys are invalidated in this process when they are written, or may have been.
    pub fn acting_store(&self) -> ActingStore<'_, S> {
        let keyring = self.keyring();
        let mut store = self.store().acting_as(&self.by);
        if let Some(once) = &self.once {
            store = store.once(&once.0, once.1);
        }
        if let Some(template) = &self.template {
            store = store.relying_on(template);
        }
        if let Some(wake) = &self.inner.shared.wakes.0 {
            store = store.noting_batches(|| wake.wake());
        }
        store.noting_writes(move |id| keyring.invalidate(id))
    }

    pub(super) async fn all_in_force(&self, ended: Ended) -> Ended {
        for derived in &ended.derived {
            self.keyring().invalidate_at(&derived.id, derived.version);
        }
        let outcome = self.in_force(ended.outcome);
        if !outcome.is_changed() {
            self.others_in_force(outcome.record()).await;
        }
        Ended { outcome, ..ended }
    }

    /// Another process was faster, with the derived keys too, which may have other owners.
    async fn others_in_force(&self, record: Option<&KeyRecord>) {
        let Some((record, owner)) = record.and_then(|own| Some((own, own.owner.as_deref()?)))
        else {
            return self.keyring().invalidate_all();
        };
        match self.store().derived_state(record).await {
            Ok(state) if state.keys == 0 => self.keyring().invalidate_owner(owner),
            // Or that is not known.
            _ => self.keyring().invalidate_all(),
        }
    }

    pub(super) fn invalidates(&self, id: &KeyId) -> InvalidateOnDrop<'_> {
        InvalidateOnDrop {
            keyring: self.keyring(),
            id: *id,
        }
    }
}
