//! Decisions that spend nothing: explained without the secret, or tried with it.

use keystile::{
    Decision, Explanation, KeyId, KeyRecord, Lookup, Request, UnixMillis, Verifier, verify,
};

use crate::check::Checked;
use crate::error::StoreError;
use crate::store::Store;

/// A key, and the decision that a request with it would get.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, Requirement, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let verifier = Verifier::new(format.clone());
/// # let issuer = Issuer::new(format);
/// use keystile_store::{MemoryStore, explain, save_issued};
///
/// # let store = MemoryStore::new();
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
/// let read = Requirement::parse("read")?;
/// let request = Request::new().requires(&read);
/// let explained = explain(&store, &verifier, &issued.record.id, &request, now).await?;
/// let refused = explained.explanation.refused_by().expect("it may do nothing");
/// assert_eq!(refused.compared, "the request needs \"read\"; the key has: none; missing: read");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// The key's record, with the uses that are left.
    pub record: KeyRecord,
    /// The decision, and what each check compares.
    pub explanation: Explanation,
}

/// Explains the decision that a request with a key would get, without the key's text.
///
/// It writes nothing and spends nothing: no request, no use and no last use. The rate limit is
/// judged by the store's clock if it has one, as in [`check`](crate::check()).
///
/// # Errors
/// [`StoreError::NotFound`] if there is no such key, and [`StoreError::Corrupt`] if its row cannot
/// be read: requests with that key are denied as
/// [`RecordDamaged`](keystile::Cause::RecordDamaged).
pub async fn explain<S: Store + ?Sized>(
    store: &S,
    verifier: &Verifier,
    key_id: &KeyId,
    request: &Request<'_>,
    now: UnixMillis,
) -> Result<Explained, StoreError> {
    let found = store.find_with_usage(&Lookup::Id(*key_id)).await?;
    let (mut record, stored) = found.ok_or(StoreError::NotFound)?;
    let usage = stored.seen_at(record.rate_limit.as_ref(), now);
    let explanation = keystile::explain(verifier, &record, request, &usage, now);
    record.remaining_uses = usage.remaining.or(record.remaining_uses);
    Ok(Explained {
        record,
        explanation,
    })
}

/// Decides about a presented key as [`check`](crate::check()) does, and spends nothing.
///
/// It writes nothing either: no last use, no new digest, and no end of a predecessor. The quota
/// and the uses of an allow are those that would be left after the request.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let verifier = Verifier::new(format.clone());
/// # let issuer = Issuer::new(format);
/// use keystile_store::{MemoryStore, check, check_dry, save_issued};
///
/// # let store = MemoryStore::new();
/// let issued = issuer.issue(&IssueRequest::new("Acme")?.uses(1)?, &mut SysRng, now)?;
/// save_issued(&store, &issued).await?;
/// let (key, request) = (issued.key.expose().as_bytes(), Request::new());
/// for _ in 0..3 {
///     assert!(check_dry(&store, &verifier, key, &request, now).await?.decision.is_allow());
/// }
/// assert!(check(&store, &verifier, key, &request, now).await?.decision.is_allow());
/// assert!(!check_dry(&store, &verifier, key, &request, now).await?.decision.is_allow());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// [`StoreError::Unavailable`], as in [`check`](crate::check()).
pub async fn check_dry<S: Store + ?Sized>(
    store: &S,
    verifier: &Verifier,
    credential: &[u8],
    request: &Request<'_>,
    now: UnixMillis,
) -> Result<Checked, StoreError> {
    let key = match verifier.parse(credential) {
        Ok(key) => key,
        Err(denial) => return Ok(Checked::refused(denial, None)),
    };
    let (found, stored) = match store.find_with_usage(&verifier.lookup(&key)).await {
        Err(StoreError::Corrupt(row)) => {
            return Ok(match row.denies(verifier, &key, now) {
                Some(denial) => Checked::refused(denial, None),
                None => Checked::damaged(row),
            });
        }
        found => found?.unzip(),
    };
    let limit = found.as_ref().and_then(|record| record.rate_limit);
    let mut usage = stored.unwrap_or_default().seen_at(limit.as_ref(), now);
    match verify(verifier, &key, found.as_ref(), request, &mut usage, now) {
        Decision::Deny(denial) => Ok(Checked::refused(denial, found)),
        decision => Ok(Checked {
            decision,
            record: found,
            damage: None,
        }),
    }
}
