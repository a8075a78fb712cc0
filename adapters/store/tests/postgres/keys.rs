//! Keys that the tests issue, and checks of them.

use keystile::{
    Cause, IssueRequest, Issued, KeyFormat, PepperRing, Request, SysRng, UnixMillis, Verifier,
    issue,
};
use keystile_store::{Checked, Store, StoreError, check, save_issued};

pub(crate) fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

pub(crate) fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

pub(crate) fn request() -> IssueRequest {
    IssueRequest::new("Acme Ltd").unwrap()
}

pub(crate) fn issued(request: &IssueRequest) -> Issued {
    issue(&format(), &PepperRing::none(), request, &mut SysRng, at(0)).unwrap()
}

pub(crate) async fn kept(store: &impl Store, request: &IssueRequest) -> Issued {
    let issued = issued(request);
    save_issued(store, &issued).await.unwrap();
    issued
}

pub(crate) async fn answer(store: &impl Store, key: &str) -> Result<Checked, StoreError> {
    let verifier = Verifier::new(format());
    check(store, &verifier, key.as_bytes(), &Request::new(), at(1)).await
}

/// Why the key is refused; `None` if it is allowed.
pub(crate) async fn cause(store: &impl Store, key: &str) -> Option<Cause> {
    let checked = answer(store, key).await.expect("a check is answered");
    checked.decision.denial().map(|denial| denial.cause())
}
