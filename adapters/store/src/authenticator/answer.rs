//! The answer of a check.

use std::sync::Arc;

use keystile::{Cause, Decision, Denial, KeyRecord};

use crate::error::StoreError;

/// A decision, and whose key it was made on.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use std::sync::Arc;
/// use keystile::DenialCode;
/// use keystile_store::{Authenticator, MemoryStore};
///
/// let keys = Authenticator::builder(Arc::new(MemoryStore::new()), Verifier::new(format)).build()?;
/// keys.save_issued(&issued).await?;
/// let key = issued.key.expose().as_bytes();
/// let answer = keys.check(key, &Request::new(), now).await;
/// assert!(answer.decision.is_allow());
/// assert_eq!(&*answer.record.unwrap().client_name, "Acme");
///
/// keys.stop().await?; // from now on it decides nothing
/// let answer = keys.check(key, &Request::new(), now).await;
/// assert_eq!(answer.decision.denial().unwrap().code(), DenialCode::StoreUnavailable);
/// assert!(answer.record.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use = "an answer that is ignored protects nothing"]
#[non_exhaustive]
pub struct Answer {
    /// The decision.
    pub decision: Decision,
    /// The key's record, if the request is allowed. Its last use and its remaining uses are
    /// as they were when it was read.
    pub record: Option<Arc<KeyRecord>>,
    /// What the store reported, if it is unavailable; for the log. If the key's row is damaged,
    /// it is [`StoreError::Corrupt`] for the first denial of the row in each minute, so that the
    /// log has one line of it and not one of each request.
    pub failure: Option<Arc<StoreError>>,
}

/// Memory cannot answer a check: [`Authenticator::check`](crate::Authenticator::check) can, with the store.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use keystile::{IssueRequest, Issuer, KeyFormat, Request, SysRng, UnixMillis, Verifier};
/// # let now = UnixMillis::new(1_790_000_000_000)?;
/// # let format = KeyFormat::structured("acme")?;
/// # let issuer = Issuer::new(format.clone());
/// # let issued = issuer.issue(&IssueRequest::new("Acme")?, &mut SysRng, now)?;
/// use std::sync::Arc;
/// use keystile_store::{Authenticator, MemoryStore};
///
/// # let keys = Authenticator::builder(Arc::new(MemoryStore::new()), Verifier::new(format)).build()?;
/// # let key = issued.key.expose().as_bytes();
/// // No store is needed to deny a text that is not a key.
/// assert!(!keys.try_check(b"acme_invented", &Request::new(), now).unwrap().decision.is_allow());
/// let answer = match keys.try_check(key, &Request::new(), now) {
///     Ok(answer) => answer,
///     Err(_pending) => keys.check(key, &Request::new(), now).await,
/// };
/// assert!(!answer.decision.is_allow(), "the store has no such key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "the request is not decided yet"]
pub struct Pending(pub(super) ());

impl Answer {
    /// Whether it is a denial because something could not be asked.
    pub(super) fn is_unavailable(&self) -> bool {
        let denial = self.decision.denial();
        denial.is_some_and(|denial| denial.cause() == Cause::StoreUnavailable)
    }

    pub(super) fn denied(denial: Denial) -> Self {
        Self {
            decision: Decision::Deny(denial),
            record: None,
            failure: None,
        }
    }

    pub(super) fn unavailable(failure: Option<Arc<StoreError>>) -> Self {
        Self {
            failure,
            ..Self::denied(Denial::new(Cause::StoreUnavailable))
        }
    }

    pub(super) fn damaged(failure: Option<Arc<StoreError>>) -> Self {
        Self {
            failure,
            ..Self::denied(Denial::new(Cause::RecordDamaged))
        }
    }
}
