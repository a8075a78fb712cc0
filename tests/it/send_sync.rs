//! Every type that must cross threads can: a verifier is shared, a record is sent.

use core::panic::{RefUnwindSafe, UnwindSafe};

use keystile::*;

const fn crosses_threads<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}

macro_rules! cross_threads {
    ($($type:ty),* $(,)?) => {
        // Evaluated at compile time: a type that cannot cross threads fails the build.
        const _: () = { $(crosses_threads::<$type>();)* };
    };
}

cross_threads![
    Allowed,
    ApiKey,
    Candidates,
    Cause,
    Change,
    Checksum,
    ChecksumKey,
    Credential<'static>,
    CredentialExtractor,
    Decision,
    Denial,
    DenialCode,
    Digest,
    DigestKind,
    PlanItem,
    PlanAction,
    EndpointRules,
    Environment,
    Error,
    ErrorKind,
    Event,
    EventKind,
    FieldChange,
    Inspection,
    IssueRequest,
    Issued,
    KeyChange,
    KeyFormat,
    KeyId,
    KeyRecord,
    Lookup,
    Millis,
    Notice,
    Pepper,
    PepperRing,
    PermissionSet,
    Prefix,
    PresentedKey<'static>,
    PublicRecord<'static>,
    Quota,
    RateLimit,
    RateState,
    RateLimited,
    Request<'static>,
    Requirement,
    Response,
    Rotated,
    RotationPolicy,
    ScopeTemplate,
    Status,
    StatusPolicy,
    TemplateName,
    UnixMillis,
    Usage,
    Finding,
    Verifier,
];

const _: () = crosses_threads::<Networks>();

#[cfg(feature = "keyring")]
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Keyring>();
    is_shared::<Ticket>();
};

/// A decision is moved around and a request is made for each check, so both stay small.
#[test]
fn decisions_are_small_plain_data() {
    const fn is_copy<T: Copy>() {}
    const { is_copy::<Decision>() };
    const { is_copy::<PresentedKey<'static>>() };
    assert!(
        size_of::<Decision>() <= 192,
        "{} bytes",
        size_of::<Decision>()
    );
    assert!(size_of::<Error>() <= 40, "{} bytes", size_of::<Error>());
}
