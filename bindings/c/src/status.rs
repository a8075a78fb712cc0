//! The result of a call as one number: 0 if it is done or allowed.

use keystile::{Denial, DenialCode, Error, ErrorKind};

/// The result of a call. Numbers never change their meaning; later versions add more.
///
/// 0: done, or the request is allowed. 1 to 99: not decided yet. 100 to 199: the
/// request is refused. 200 to 299: the call failed because of these values or at this
/// time. 300 and above: the call itself was wrong.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum keystile_status {
    /// Done. From a function that decides about a request: it may go on.
    KEYSTILE_OK = 0,
    /// The keyring has no record of the key: fetch it and call
    /// `keystile_keyring_admit`.
    KEYSTILE_NEEDS_RECORD = 1,
    /// The rate limit is counted elsewhere: take tokens as `keystile_ticket_tokens` says and call
    /// `keystile_keyring_grant`. Only from a keyring with `lease_millis`.
    KEYSTILE_NEEDS_TOKENS = 2,

    /// No credential was presented.
    KEYSTILE_DENIED_MISSING_CREDENTIAL = 100,
    /// Two different credentials were presented.
    KEYSTILE_DENIED_CONFLICTING_CREDENTIALS = 101,
    /// The credential is malformed, unknown or wrong; which of them is not disclosed.
    KEYSTILE_DENIED_INVALID_KEY = 102,
    /// The key is revoked.
    KEYSTILE_DENIED_KEY_REVOKED = 103,
    /// The key is suspended.
    KEYSTILE_DENIED_KEY_SUSPENDED = 104,
    /// The key has expired.
    KEYSTILE_DENIED_KEY_EXPIRED = 105,
    /// The key was replaced, and its overlap is over.
    KEYSTILE_DENIED_KEY_REPLACED = 106,
    /// The key is for another environment.
    KEYSTILE_DENIED_WRONG_ENVIRONMENT = 107,
    /// The peer's address is not in the key's networks.
    KEYSTILE_DENIED_NETWORK = 108,
    /// The path is not canonical.
    KEYSTILE_DENIED_PATH_NOT_CANONICAL = 109,
    /// No endpoint rule of the key matches.
    KEYSTILE_DENIED_ENDPOINT = 110,
    /// The key lacks a required permission.
    KEYSTILE_DENIED_PERMISSION = 111,
    /// The rate limit is exceeded.
    KEYSTILE_DENIED_RATE_LIMITED = 112,
    /// The key has no uses left.
    KEYSTILE_DENIED_USES_SPENT = 113,
    /// The store is unavailable.
    KEYSTILE_DENIED_STORE_UNAVAILABLE = 114,
    /// The digest of the key was made with a pepper that the ring does not hold.
    KEYSTILE_DENIED_PEPPER_UNAVAILABLE = 115,
    /// The stored record of the key cannot be read.
    KEYSTILE_DENIED_RECORD_DAMAGED = 116,
    /// Refused for a reason that has no number in this version.
    KEYSTILE_DENIED = 199,

    /// A prefix, environment, template or header name is not well formed.
    KEYSTILE_ERROR_NAME = 200,
    /// The parts of a key format do not fit together.
    KEYSTILE_ERROR_FORMAT = 201,
    /// A text is not a key id.
    KEYSTILE_ERROR_KEY_ID = 202,
    /// A digest or pepper is not well formed.
    KEYSTILE_ERROR_DIGEST = 203,
    /// A permission or requirement is not well formed, or there are too many.
    KEYSTILE_ERROR_PERMISSION = 204,
    /// An endpoint rule is not well formed, or there are too many.
    KEYSTILE_ERROR_ENDPOINT = 205,
    /// A network or address is not well formed, or there are too many.
    KEYSTILE_ERROR_NETWORK = 206,
    /// A rate limit, number of uses, capacity or TTL is out of its range.
    KEYSTILE_ERROR_LIMIT = 207,
    /// An instant or duration is out of its range.
    KEYSTILE_ERROR_TIME = 208,
    /// The fields of a record are too long or contradict each other.
    KEYSTILE_ERROR_RECORD = 209,
    /// The key's current state does not allow the operation.
    KEYSTILE_ERROR_STATE = 210,
    /// The request exceeds the template or the source key.
    KEYSTILE_ERROR_EXCEEDS = 211,
    /// The source of randomness failed, or there were too few random bytes.
    KEYSTILE_ERROR_RANDOMNESS = 212,
    /// A text is not the expected JSON.
    KEYSTILE_ERROR_JSON = 213,
    /// An error that has no number in this version.
    KEYSTILE_ERROR_OTHER = 299,

    /// An argument is NULL that must not be.
    KEYSTILE_ERROR_NULL_POINTER = 300,
    /// A length is larger than memory can be.
    KEYSTILE_ERROR_LENGTH = 301,
    /// A text is not UTF-8.
    KEYSTILE_ERROR_NOT_UTF8 = 302,
    /// The `struct_size` of a struct is not one that this version knows.
    KEYSTILE_ERROR_STRUCT_SIZE = 303,
    /// A number is not a value of its enumeration, a flag is not 0 or 1, a value has no flag,
    /// values contradict each other, or a decision was not written by this library.
    KEYSTILE_ERROR_VALUE = 304,
    /// The buffer is too small; the length that is needed was written.
    KEYSTILE_ERROR_BUFFER_TOO_SMALL = 305,
    /// There is nothing at that index.
    KEYSTILE_ERROR_INDEX = 306,
    /// The requested part does not exist.
    KEYSTILE_ERROR_ABSENT = 307,
    /// The keyring was made before this process was forked; make another.
    KEYSTILE_ERROR_FORKED = 308,
    /// A bug in this library, which was caught; nothing was written. Please report it.
    KEYSTILE_ERROR_PANIC = 400,
}

use keystile_status::*;

impl From<Error> for keystile_status {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Name => KEYSTILE_ERROR_NAME,
            ErrorKind::Format => KEYSTILE_ERROR_FORMAT,
            ErrorKind::KeyId => KEYSTILE_ERROR_KEY_ID,
            ErrorKind::Digest => KEYSTILE_ERROR_DIGEST,
            ErrorKind::Permission => KEYSTILE_ERROR_PERMISSION,
            ErrorKind::Endpoint => KEYSTILE_ERROR_ENDPOINT,
            ErrorKind::Network => KEYSTILE_ERROR_NETWORK,
            ErrorKind::Limit => KEYSTILE_ERROR_LIMIT,
            ErrorKind::Time => KEYSTILE_ERROR_TIME,
            ErrorKind::Record => KEYSTILE_ERROR_RECORD,
            ErrorKind::State => KEYSTILE_ERROR_STATE,
            ErrorKind::Exceeds => KEYSTILE_ERROR_EXCEEDS,
            ErrorKind::Randomness => KEYSTILE_ERROR_RANDOMNESS,
            _ => KEYSTILE_ERROR_OTHER,
        }
    }
}

impl From<serde_json::Error> for keystile_status {
    fn from(_: serde_json::Error) -> Self {
        KEYSTILE_ERROR_JSON
    }
}

impl From<&Denial> for keystile_status {
    fn from(denial: &Denial) -> Self {
        match denial.code() {
            DenialCode::MissingCredential => KEYSTILE_DENIED_MISSING_CREDENTIAL,
            DenialCode::ConflictingCredentials => KEYSTILE_DENIED_CONFLICTING_CREDENTIALS,
            DenialCode::InvalidKey => KEYSTILE_DENIED_INVALID_KEY,
            DenialCode::KeyRevoked => KEYSTILE_DENIED_KEY_REVOKED,
            DenialCode::KeySuspended => KEYSTILE_DENIED_KEY_SUSPENDED,
            DenialCode::KeyExpired => KEYSTILE_DENIED_KEY_EXPIRED,
            DenialCode::KeyReplaced => KEYSTILE_DENIED_KEY_REPLACED,
            DenialCode::WrongEnvironment => KEYSTILE_DENIED_WRONG_ENVIRONMENT,
            DenialCode::NetworkNotAllowed => KEYSTILE_DENIED_NETWORK,
            DenialCode::PathNotCanonical => KEYSTILE_DENIED_PATH_NOT_CANONICAL,
            DenialCode::EndpointNotAllowed => KEYSTILE_DENIED_ENDPOINT,
            DenialCode::PermissionMissing => KEYSTILE_DENIED_PERMISSION,
            DenialCode::RateLimited => KEYSTILE_DENIED_RATE_LIMITED,
            DenialCode::UsesSpent => KEYSTILE_DENIED_USES_SPENT,
            DenialCode::StoreUnavailable => KEYSTILE_DENIED_STORE_UNAVAILABLE,
            DenialCode::PepperUnavailable => KEYSTILE_DENIED_PEPPER_UNAVAILABLE,
            DenialCode::RecordDamaged => KEYSTILE_DENIED_RECORD_DAMAGED,
            _ => KEYSTILE_DENIED,
        }
    }
}

/// The name of a status and the sentence that explains it.
pub(crate) type Words = (&'static core::ffi::CStr, &'static core::ffi::CStr);

macro_rules! table {
    ($($status:ident: $name:literal, $text:literal;)+) => {
        pub(crate) fn words(status: i32) -> Words {
            $(if status == $status as i32 { return ($name, $text); })+
            (c"unknown", c"a number that is not a status of this version")
        }
    };
}

table! {
    KEYSTILE_OK: c"ok", c"done or allowed";
    KEYSTILE_NEEDS_RECORD: c"needs_record", c"the record of the key has to be fetched";
    KEYSTILE_NEEDS_TOKENS: c"needs_tokens", c"tokens of the rate limit have to be taken where it is counted";
    KEYSTILE_DENIED_MISSING_CREDENTIAL: c"missing_credential", c"no credential was presented";
    KEYSTILE_DENIED_CONFLICTING_CREDENTIALS: c"conflicting_credentials", c"two different credentials were presented";
    KEYSTILE_DENIED_INVALID_KEY: c"invalid_key", c"the credential is malformed, unknown or wrong";
    KEYSTILE_DENIED_KEY_REVOKED: c"key_revoked", c"the key is revoked";
    KEYSTILE_DENIED_KEY_SUSPENDED: c"key_suspended", c"the key is suspended";
    KEYSTILE_DENIED_KEY_EXPIRED: c"key_expired", c"the key has expired";
    KEYSTILE_DENIED_KEY_REPLACED: c"key_replaced", c"the key was replaced and its overlap is over";
    KEYSTILE_DENIED_WRONG_ENVIRONMENT: c"wrong_environment", c"the key is for another environment";
    KEYSTILE_DENIED_NETWORK: c"network_not_allowed", c"the address is not within the networks of the key";
    KEYSTILE_DENIED_PATH_NOT_CANONICAL: c"path_not_canonical", c"the path is not canonical";
    KEYSTILE_DENIED_ENDPOINT: c"endpoint_not_allowed", c"no endpoint rule of the key matches";
    KEYSTILE_DENIED_PERMISSION: c"permission_missing", c"the key lacks a permission";
    KEYSTILE_DENIED_RATE_LIMITED: c"rate_limited", c"the rate limit is spent";
    KEYSTILE_DENIED_USES_SPENT: c"uses_spent", c"the count of uses is spent";
    KEYSTILE_DENIED_STORE_UNAVAILABLE: c"store_unavailable", c"the store is unavailable";
    KEYSTILE_DENIED_PEPPER_UNAVAILABLE: c"pepper_unavailable", c"the digest of the key was made with a pepper that the ring does not hold";
    KEYSTILE_DENIED_RECORD_DAMAGED: c"record_damaged", c"the stored record of the key cannot be read";
    KEYSTILE_DENIED: c"denied", c"refused for a reason without a number in this version";
    KEYSTILE_ERROR_NAME: c"name", c"a prefix must be 1 to 16 characters of a-z, 0-9 or _, start with a letter and not end with _; an environment must be 1 to 12 characters of a-z or 0-9; a template name must be 1 to 32 characters of a-z, 0-9, _ or -, and start with a letter; a key header must be 1 to 64 token characters, and not Authorization or Cookie; a scheme of Authorization must be 1 to 64 token characters, and not Basic; there must be at most 8 key headers besides X-API-Key; there must be at most 8 schemes besides Bearer";
    KEYSTILE_ERROR_FORMAT: c"format", c"a checksum key must have 16 bytes or more; a checksum must be set on a structured format; opaque keys have none; the number of random bytes must be 16 to 64, and set on an opaque format; a format that issues keys must have a prefix; this one reads any";
    KEYSTILE_ERROR_KEY_ID: c"key_id", c"a key id must be 16 characters of 0-9, A-Z or a-z, the first of them 1";
    KEYSTILE_ERROR_DIGEST: c"digest", c"a digest must be sha256:<64 hex digits>, hmac-sha256:<pepper>:<64 hex digits> or 64 hex digits; a pepper must have 32 bytes or more; each pepper of a ring must have a different version; a pepper ring must have at most 8 peppers";
    KEYSTILE_ERROR_PERMISSION: c"permission", c"a permission must be segments of A-Z a-z 0-9 _ . - joined by colons, at most 128 bytes; * is a whole segment; a key must have at most 64 permissions; a requirement must be permissions without a wildcard, joined by AND, OR and parentheses; a requirement must have at most 1000 bytes; a requirement must name at most 100 permissions";
    KEYSTILE_ERROR_ENDPOINT: c"endpoint", c"an endpoint rule's methods must be upper-case tokens joined by commas, then one space; an endpoint pattern must be /segments, with * for one whole segment, or at the end for the rest; an endpoint rule must have at most 512 bytes; a key must have at most 64 endpoint rules";
    KEYSTILE_ERROR_NETWORK: c"network", c"a network must be an IP address or a CIDR block with no host bits set; a key must have at most 64 networks";
    KEYSTILE_ERROR_LIMIT: c"limit", c"a rate limit's window must be 1 ms to 366 days; a rate limit's burst must be 1 or more; a rate limit's burst must be free again within ten years; a rate limit above 1048575 must share enough factors with its window in milliseconds, as round numbers do; a count of uses must be 1 to 9223372036854775807; a keyring's capacity must be 1 to 100000000; a keyring's TTL must be 1 ms to a day; a keyring's TTL of absent keys must not be longer than its TTL; a lease's length must be 0 to 10 s; a number of processes must be 1 to 100000";
    KEYSTILE_ERROR_TIME: c"time", c"an instant must be milliseconds since 1970, between the years 1973 and 9999; a lifetime must be 1 ms or more; a key's maximum age must be 1 hour to 90 days; an overlap must not be longer than the maximum age; a key without an end must be asked for by never_expires";
    KEYSTILE_ERROR_RECORD: c"record", c"a client name must be 1 to 255 bytes without control or invisible characters; an e-mail address must be at most 255 bytes without control or invisible characters; an owner must be at most 255 bytes without control or invisible characters; a reason must be at most 255 bytes without control or invisible characters; metadata must be at most 16 KiB; a key prefix must be at most 40 bytes without control characters; replaced_by and ends_at_first_use must be ids of other keys; overlap_until must be set exactly when replaced_by is set; siblings must be of the record's lineage";
    KEYSTILE_ERROR_STATE: c"state", c"a key must be live to derive another from it; a key must be active to be suspended; a key must be suspended to be resumed; a key must be active or suspended to be revoked; a key must be active and live to be rotated; a key must have no successor to be rotated; the presented key must be that of the record; a digest must be outdated to be replaced";
    KEYSTILE_ERROR_EXCEEDS: c"exceeds", c"a key must not exceed the template or the key that it derives from";
    KEYSTILE_ERROR_RANDOMNESS: c"randomness", c"the source of randomness must not fail, and must have enough bytes";
    KEYSTILE_ERROR_JSON: c"json", c"the text must be the JSON that is documented";
    KEYSTILE_ERROR_OTHER: c"other", c"an error without a number in this version";
    KEYSTILE_ERROR_NULL_POINTER: c"null_pointer", c"an argument that must not be NULL was NULL";
    KEYSTILE_ERROR_LENGTH: c"length", c"a length must not be larger than memory can be";
    KEYSTILE_ERROR_NOT_UTF8: c"not_utf8", c"a text must be UTF-8";
    KEYSTILE_ERROR_STRUCT_SIZE: c"struct_size", c"a struct_size must be the sizeof of its struct in a version that this one knows";
    KEYSTILE_ERROR_VALUE: c"value", c"a number must be one that is listed, a flag 0 or 1 and set with its value, values must not contradict each other, and a decision must have been made";
    KEYSTILE_ERROR_BUFFER_TOO_SMALL: c"buffer_too_small", c"the buffer must be as large as the length that was written";
    KEYSTILE_ERROR_INDEX: c"index", c"an index must be less than the count";
    KEYSTILE_ERROR_ABSENT: c"absent", c"there is no such part";
    KEYSTILE_ERROR_FORKED: c"forked", c"a keyring must be made in the process that uses it, after the fork";
    KEYSTILE_ERROR_PANIC: c"panic", c"a bug in keystile was caught";
}
