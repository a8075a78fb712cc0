//! The authenticator without the type of its store, so that no handler has to name it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use keystile::{
    By, IssueRequest, Issued, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, LifetimePolicy,
    Request, Rotated, RotationPolicy, SysRng, UnixMillis, Verifier,
};
use keystile_http::KeyChecker;
use keystile_store::{
    Answer, Authenticator, AuthenticatorStats, Batch, BulkEnded, Ended, EventFilter, Explained,
    Filter, IssueOnce, Listed, ListedEvents, OfDerived, Once, Outcome, Page, Pending,
    Permit as SeenPermit, Reach, Selection, Store, StoreError, StoredTemplate, issue_once, record,
    would_change,
};

use crate::keys::NewKey;
use crate::problem::Problem;
use crate::template_backend::TemplateBackend;

pub(crate) type Soon<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Whether a change is permitted, by the record before and after it.
pub(crate) type Permit<'a> =
    dyn Fn(&KeyRecord, &KeyRecord) -> Result<(), Problem> + Send + Sync + 'a;

/// What is allowed for the record that is then changed.
pub(crate) type Allows<'a, T> = dyn Fn(&KeyRecord) -> Result<T, Problem> + Send + Sync + 'a;

/// What the routes need of an authenticator and its store.
pub(crate) trait Backend: TemplateBackend {
    fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending>;
    fn check<'a>(
        &'a self,
        credential: &'a [u8],
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Answer>;
    /// Whether a key is valid, for its holder; nothing is spent.
    fn own_key<'a>(
        &'a self,
        credential: &'a [u8],
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Answer>;
    fn explain<'a>(
        &'a self,
        id: &'a KeyId,
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> Soon<'a, Explained>;
    fn verifier(&self) -> &Verifier;
    fn stats(&self) -> AuthenticatorStats;
    /// A small query that checks that the store responds.
    fn ping(&self) -> Soon<'_, ()>;
    fn record<'a>(&'a self, id: &'a KeyId) -> Soon<'a, KeyRecord>;
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Listed>;
    fn list_events<'a>(
        &'a self,
        filter: &'a EventFilter,
        after: u64,
        limit: usize,
    ) -> Soon<'a, ListedEvents>;
    fn to_revoke<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Selection>;
    fn to_suspend<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Selection>;
    fn revoke_selected<'a>(
        &'a self,
        selection: &'a Selection,
        reason: &'a str,
        now: UnixMillis,
    ) -> BoxFuture<'a, BulkEnded>;
    fn suspend_selected<'a>(
        &'a self,
        selection: &'a Selection,
        now: UnixMillis,
    ) -> BoxFuture<'a, BulkEnded>;
    fn delete<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, KeyRecord>;
    /// The same keys, for what this actor does to them.
    fn acting_as(&self, by: By) -> Arc<dyn Backend>;
    /// The same keys, for a verb that issues a key for this request.
    fn once(&self, request: IssueOnce, now: UnixMillis) -> Arc<dyn Backend>;
    /// The same keys, for what is written only as long as a template is this one.
    fn relying_on(&self, template: &StoredTemplate) -> Arc<dyn Backend>;
    /// Runs such a verb, unless the request has its key already.
    fn issue_once<'a>(
        &'a self,
        request: &'a IssueOnce,
        now: UnixMillis,
        verb: BoxFuture<'a, Result<NewKey, Problem>>,
    ) -> BoxFuture<'a, Result<Once<NewKey>, Problem>>;
    fn save_issued<'a>(&'a self, issued: &'a Issued) -> Soon<'a, ()>;
    /// Saves a key that derives from none, whose uses are taken off those of a lineage.
    fn save_issued_taking<'a>(&'a self, issued: &'a Issued, uses: (KeyId, u64)) -> Soon<'a, ()>;
    fn delegate<'a>(
        &'a self,
        source: &'a KeyId,
        issuer: &'a Issuer,
        request: &'a IssueRequest,
        now: UnixMillis,
    ) -> Soon<'a, Issued>;
    fn lifetimes(&self) -> &LifetimePolicy;
    fn revoke<'a>(
        &'a self,
        id: &'a KeyId,
        reason: &'a str,
        reach: Reach,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, Ended>;
    fn suspend<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, Ended>;
    fn resume_if<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a Allows<'a, ()>,
    ) -> BoxFuture<'a, Result<Outcome, Problem>>;
    fn change_if<'a>(
        &'a self,
        id: &'a KeyId,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
        permit: &'a Permit<'a>,
    ) -> BoxFuture<'a, Result<Ended, Problem>>;
    /// What [`change_if`](Self::change_if) would do. Writes nothing.
    fn would_change<'a>(
        &'a self,
        id: &'a KeyId,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
        permit: &'a Permit<'a>,
    ) -> BoxFuture<'a, Result<Ended, Problem>>;
    fn to_change<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
        now: UnixMillis,
    ) -> Soon<'a, Selection>;
    fn rotate_if<'a>(
        &'a self,
        id: &'a KeyId,
        permit: &'a Allows<'a, RotationPolicy>,
        format: Option<&'a KeyFormat>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<Rotated, Problem>>;
    fn stop(&self) -> Soon<'_, ()>;
}

/// Decides for a gate, with a backend.
pub(crate) struct Checker(pub(crate) Arc<dyn Backend>);

impl KeyChecker for Checker {
    fn verifier(&self) -> &Verifier {
        self.0.verifier()
    }

    fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending> {
        self.0.try_check(credential, request, now)
    }

    async fn check(&self, credential: &[u8], request: &Request<'_>, now: UnixMillis) -> Answer {
        self.0.check(credential, request, now).await
    }
}

impl<S: Store + 'static> Backend for Authenticator<S> {
    fn try_check(
        &self,
        credential: &[u8],
        request: &Request<'_>,
        now: UnixMillis,
    ) -> Result<Answer, Pending> {
        Self::try_check(self, credential, request, now)
    }

    fn check<'a>(
        &'a self,
        credential: &'a [u8],
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(Self::check(self, credential, request, now))
    }

    fn own_key<'a>(
        &'a self,
        credential: &'a [u8],
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(Self::own_key(self, credential, request, now))
    }

    fn explain<'a>(
        &'a self,
        id: &'a KeyId,
        request: &'a Request<'a>,
        now: UnixMillis,
    ) -> Soon<'a, Explained> {
        Box::pin(Self::explain(self, id, request, now))
    }

    fn verifier(&self) -> &Verifier {
        Self::verifier(self)
    }

    fn stats(&self) -> AuthenticatorStats {
        Self::stats(self)
    }

    fn ping(&self) -> Soon<'_, ()> {
        Box::pin(async {
            let first = Page::first(1);
            self.store().list(&Filter::default(), first).await?;
            Ok(())
        })
    }

    fn record<'a>(&'a self, id: &'a KeyId) -> Soon<'a, KeyRecord> {
        Box::pin(record(&**self.store(), id))
    }

    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Listed> {
        Box::pin(self.store().list(filter, page))
    }

    fn list_events<'a>(
        &'a self,
        filter: &'a EventFilter,
        after: u64,
        limit: usize,
    ) -> Soon<'a, ListedEvents> {
        Box::pin(self.store().list_events(filter, after, limit))
    }

    fn to_revoke<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Selection> {
        Box::pin(Selection::to_revoke(&**self.store(), filter, page))
    }

    fn to_suspend<'a>(&'a self, filter: &'a Filter, page: Page) -> Soon<'a, Selection> {
        Box::pin(Selection::to_suspend(&**self.store(), filter, page))
    }

    fn revoke_selected<'a>(
        &'a self,
        selection: &'a Selection,
        reason: &'a str,
        now: UnixMillis,
    ) -> BoxFuture<'a, BulkEnded> {
        let reach = Reach::Last;
        Box::pin(Self::revoke_selected(self, selection, reason, reach, now))
    }

    fn suspend_selected<'a>(
        &'a self,
        selection: &'a Selection,
        now: UnixMillis,
    ) -> BoxFuture<'a, BulkEnded> {
        Box::pin(Self::suspend_selected(self, selection, now))
    }

    fn delete<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, KeyRecord> {
        Box::pin(Self::delete_if(self, id, now, permit))
    }

    fn acting_as(&self, by: By) -> Arc<dyn Backend> {
        Arc::new(Self::acting_as(self, by))
    }

    fn once(&self, request: IssueOnce, now: UnixMillis) -> Arc<dyn Backend> {
        Arc::new(Self::once(self, request, now))
    }

    fn relying_on(&self, template: &StoredTemplate) -> Arc<dyn Backend> {
        Arc::new(Self::relying_on(self, template))
    }

    fn issue_once<'a>(
        &'a self,
        request: &'a IssueOnce,
        now: UnixMillis,
        verb: BoxFuture<'a, Result<NewKey, Problem>>,
    ) -> BoxFuture<'a, Result<Once<NewKey>, Problem>> {
        Box::pin(issue_once(&**self.store(), request, now, verb))
    }

    fn save_issued<'a>(&'a self, issued: &'a Issued) -> Soon<'a, ()> {
        Box::pin(Self::save_issued(self, issued))
    }

    fn save_issued_taking<'a>(&'a self, issued: &'a Issued, uses: (KeyId, u64)) -> Soon<'a, ()> {
        Box::pin(async move {
            let mut batch = Batch::of_issued(issued);
            batch.take_uses.push(uses);
            self.acting_store().commit(&batch).await?;
            self.keyring().invalidate(&issued.record.id);
            Ok(())
        })
    }

    fn delegate<'a>(
        &'a self,
        source: &'a KeyId,
        issuer: &'a Issuer,
        request: &'a IssueRequest,
        now: UnixMillis,
    ) -> Soon<'a, Issued> {
        Box::pin(
            async move { Self::delegate(self, source, issuer, request, &mut SysRng, now).await },
        )
    }

    fn lifetimes(&self) -> &LifetimePolicy {
        Self::lifetimes(self)
    }

    fn revoke<'a>(
        &'a self,
        id: &'a KeyId,
        reason: &'a str,
        reach: Reach,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, Ended> {
        Box::pin(Self::revoke_if(self, id, reason, reach, now, permit))
    }

    fn suspend<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a SeenPermit<'a>,
    ) -> Soon<'a, Ended> {
        Box::pin(Self::suspend_if(self, id, Reach::Last, now, permit))
    }

    fn resume_if<'a>(
        &'a self,
        id: &'a KeyId,
        now: UnixMillis,
        permit: &'a Allows<'a, ()>,
    ) -> BoxFuture<'a, Result<Outcome, Problem>> {
        Box::pin(Self::resume_if(self, id, now, permit))
    }

    fn change_if<'a>(
        &'a self,
        id: &'a KeyId,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
        permit: &'a Permit<'a>,
    ) -> BoxFuture<'a, Result<Ended, Problem>> {
        Box::pin(Self::change_derived(
            self, id, requested, of_derived, now, permit,
        ))
    }

    fn would_change<'a>(
        &'a self,
        id: &'a KeyId,
        requested: &'a KeyChange,
        of_derived: OfDerived,
        now: UnixMillis,
        permit: &'a Permit<'a>,
    ) -> BoxFuture<'a, Result<Ended, Problem>> {
        Box::pin(async move {
            let requested = requested.clone().within(Self::lifetimes(self))?;
            would_change(&**self.store(), id, &requested, of_derived, now, permit).await
        })
    }

    fn to_change<'a>(
        &'a self,
        filter: &'a Filter,
        page: Page,
        now: UnixMillis,
    ) -> Soon<'a, Selection> {
        Box::pin(Selection::to_change(&**self.store(), filter, page, now))
    }

    fn rotate_if<'a>(
        &'a self,
        id: &'a KeyId,
        permit: &'a Allows<'a, RotationPolicy>,
        format: Option<&'a KeyFormat>,
        now: UnixMillis,
    ) -> BoxFuture<'a, Result<Rotated, Problem>> {
        Box::pin(async move { Self::rotate_if(self, id, permit, format, &mut SysRng, now).await })
    }

    fn stop(&self) -> Soon<'_, ()> {
        Box::pin(Self::stop(self))
    }
}
