/*
 * keystile: the API-key core that any service can embed.
 *
 * It issues, verifies, authorizes, rotates and revokes API keys. The caller passes bytes, a
 * record and the time; keystile returns a decision. It performs no network or file I/O,
 * reads no clock and keeps no store.
 *
 * CONVENTIONS, which hold for every function here:
 *
 * Status. A function returns a keystile_status: 0 (KEYSTILE_OK) means done or allowed, and
 *   every other value means neither. The returned status of a function that decides about a
 *   request is its only answer: no output says whether the request may go on. Numbers are
 *   never reused.
 * Errors. A function whose last parameter is out_error writes to it, whatever it returns: why it
 *   failed, in words, with the field and the item that are wrong, or zeros on success. NULL is
 *   always allowed. The other functions have no fields that could be wrong, or are called for
 *   each request: there the status alone names the reason. It is that of an instant or an id of
 *   the call, or of a field of its struct: KEYSTILE_ERROR_NAME of the environment of a
 *   keystile_request, KEYSTILE_ERROR_VALUE of its address or path_profile or of a flag of a
 *   keystile_usage, and KEYSTILE_ERROR_LIMIT of a keystile_rate_limit.
 * Pointers. A pointer that is not NULL points to as many values as the length that follows
 *   it says; they live and stay unchanged until the call returns. The library keeps no
 *   pointer that is passed in: it copies what it needs later. Passing NULL where it is not
 *   allowed returns KEYSTILE_ERROR_NULL_POINTER; NULL with length 0 is an empty text or list.
 * Texts. A text is a pointer and a length in bytes. It is UTF-8 and need not end in NUL.
 *   Returned texts end in NUL only if their documentation states it.
 * Outputs. Parameters named out_ are written only on success, which includes a refusal of a
 *   request, except out_error; a function that decides about a request zeroes its decision,
 *   value and credential if it brings none, so that nothing of an earlier call is left there,
 *   as keystile_keyring_value and keystile_key_lookup do with theirs.
 *   A zeroed decision is a refusal. The length that a buffer needs is also written if the buffer is too small. No
 *   two outputs may overlap, nor an output and an argument, unless it is stated.
 * Handles. The caller owns a handle that an output receives, and frees it once with its own
 *   function; freeing NULL does nothing. A handle never changes after it was created.
 *   Whatever a handle lends, or is borrowed from it, lives until the handle is freed.
 * Structs. Set a struct that begins with struct_size to zero, then set that field to the
 *   size of the struct; later versions append fields. A library takes the struct of an older
 *   header, whose missing fields count as zero, and that of a newer one, as long as the fields
 *   that it does not know are zero. All other structs never change.
 * Optional fields. Leave optional fields at zero. An id of zeros and a text whose data is
 *   NULL mean that there is none. Flags are 0 or 1. A value without its flag, values that
 *   contradict each other and any other flag are KEYSTILE_ERROR_VALUE.
 * Time. Instants are milliseconds since 1970, between the years 1973 and 9999, so that a
 *   count of seconds is refused. The library never reads a clock.
 * Threads. Any thread may call any function at any time. Several threads may use a handle at
 *   once, but while one frees it no other may use it. No function waits for I/O.
 *   None calls a function of the caller's, except the callbacks in a keyring's options and
 *   the fetch of keystile_keyring_decide.
 * Forks. Make a keyring in the process that uses it. After fork(), a copy in the child refuses
 *   with KEYSTILE_ERROR_FORKED in each function, takes no lock and so never hangs; freeing it
 *   does nothing. Everything else works in the child, a keyring that it makes too. A child that
 *   was made without fork(), as by clone() or _Fork(), must not use a keyring at all.
 * Panics. A bug in the library is caught and returns KEYSTILE_ERROR_PANIC. If memory runs
 *   out, the process aborts, like any Rust program.
 * Secrets. The text of a key is returned only by keystile_change_key. Nothing else that is
 *   returned, printed or written contains any part of it.
 *
 * This file is C99 and C++11. It is generated; see `cargo xtask header`.
 */

#ifndef KEYSTILE_H
#define KEYSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Warns if a status is ignored: an ignored refusal protects nothing. */
#if defined(__GNUC__) || defined(__clang__)
#define KEYSTILE_MUST_USE __attribute__((warn_unused_result))
#else
#define KEYSTILE_MUST_USE
#endif

/* What an index is if there is none. */
#define KEYSTILE_INDEX_NONE SIZE_MAX

/* Records and templates lend these too, so they are declared by hand. */
typedef struct keystile_permissions keystile_permissions;
typedef struct keystile_endpoints keystile_endpoints;
typedef struct keystile_networks keystile_networks;

/**
 * The number of the ABI that this header describes. Compare it with
 * `keystile_abi_version`: a program must not use a library with another number.
 */
#define KEYSTILE_ABI_VERSION 1

/**
 * The most digests that a lookup holds.
 */
#define KEYSTILE_LOOKUP_DIGESTS_MAX 9

/**
 * The most lead times of notices in a policy.
 */
#define KEYSTILE_NOTICE_LEADS_MAX 8

/**
 * The length of the longest credential in bytes.
 */
#define KEYSTILE_CREDENTIAL_BYTES_MAX 256

/**
 * Zero duration; 0 selects the default.
 */
#define KEYSTILE_DURATION_NONE UINT64_MAX

/**
 * The result of a call. Numbers never change their meaning; later versions add more.
 *
 * 0: done, or the request is allowed. 1 to 99: not decided yet. 100 to 199: the
 * request is refused. 200 to 299: the call failed because of these values or at this
 * time. 300 and above: the call itself was wrong.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_status : int32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done. From a function that decides about a request: it may go on.
     */
    KEYSTILE_OK = 0,
    /**
     * The keyring has no record of the key: fetch it and call
     * `keystile_keyring_admit`.
     */
    KEYSTILE_NEEDS_RECORD = 1,
    /**
     * The rate limit is counted elsewhere: take tokens as `keystile_ticket_tokens` says and call
     * `keystile_keyring_grant`. Only from a keyring with `lease_millis`.
     */
    KEYSTILE_NEEDS_TOKENS = 2,
    /**
     * No credential was presented.
     */
    KEYSTILE_DENIED_MISSING_CREDENTIAL = 100,
    /**
     * Two different credentials were presented.
     */
    KEYSTILE_DENIED_CONFLICTING_CREDENTIALS = 101,
    /**
     * The credential is malformed, unknown or wrong; which of them is not disclosed.
     */
    KEYSTILE_DENIED_INVALID_KEY = 102,
    /**
     * The key is revoked.
     */
    KEYSTILE_DENIED_KEY_REVOKED = 103,
    /**
     * The key is suspended.
     */
    KEYSTILE_DENIED_KEY_SUSPENDED = 104,
    /**
     * The key has expired.
     */
    KEYSTILE_DENIED_KEY_EXPIRED = 105,
    /**
     * The key was replaced, and its overlap is over.
     */
    KEYSTILE_DENIED_KEY_REPLACED = 106,
    /**
     * The key is for another environment.
     */
    KEYSTILE_DENIED_WRONG_ENVIRONMENT = 107,
    /**
     * The peer's address is not in the key's networks.
     */
    KEYSTILE_DENIED_NETWORK = 108,
    /**
     * The path is not canonical.
     */
    KEYSTILE_DENIED_PATH_NOT_CANONICAL = 109,
    /**
     * No endpoint rule of the key matches.
     */
    KEYSTILE_DENIED_ENDPOINT = 110,
    /**
     * The key lacks a required permission.
     */
    KEYSTILE_DENIED_PERMISSION = 111,
    /**
     * The rate limit is exceeded.
     */
    KEYSTILE_DENIED_RATE_LIMITED = 112,
    /**
     * The key has no uses left.
     */
    KEYSTILE_DENIED_USES_SPENT = 113,
    /**
     * The store is unavailable.
     */
    KEYSTILE_DENIED_STORE_UNAVAILABLE = 114,
    /**
     * The digest of the key was made with a pepper that the ring does not hold.
     */
    KEYSTILE_DENIED_PEPPER_UNAVAILABLE = 115,
    /**
     * The stored record of the key cannot be read.
     */
    KEYSTILE_DENIED_RECORD_DAMAGED = 116,
    /**
     * Refused for a reason that has no number in this version.
     */
    KEYSTILE_DENIED = 199,
    /**
     * A prefix, environment, template or header name is not well formed.
     */
    KEYSTILE_ERROR_NAME = 200,
    /**
     * The parts of a key format do not fit together.
     */
    KEYSTILE_ERROR_FORMAT = 201,
    /**
     * A text is not a key id.
     */
    KEYSTILE_ERROR_KEY_ID = 202,
    /**
     * A digest or pepper is not well formed.
     */
    KEYSTILE_ERROR_DIGEST = 203,
    /**
     * A permission or requirement is not well formed, or there are too many.
     */
    KEYSTILE_ERROR_PERMISSION = 204,
    /**
     * An endpoint rule is not well formed, or there are too many.
     */
    KEYSTILE_ERROR_ENDPOINT = 205,
    /**
     * A network or address is not well formed, or there are too many.
     */
    KEYSTILE_ERROR_NETWORK = 206,
    /**
     * A rate limit, number of uses, capacity or TTL is out of its range.
     */
    KEYSTILE_ERROR_LIMIT = 207,
    /**
     * An instant or duration is out of its range.
     */
    KEYSTILE_ERROR_TIME = 208,
    /**
     * The fields of a record are too long or contradict each other.
     */
    KEYSTILE_ERROR_RECORD = 209,
    /**
     * The key's current state does not allow the operation.
     */
    KEYSTILE_ERROR_STATE = 210,
    /**
     * The request exceeds the template or the source key.
     */
    KEYSTILE_ERROR_EXCEEDS = 211,
    /**
     * The source of randomness failed, or there were too few random bytes.
     */
    KEYSTILE_ERROR_RANDOMNESS = 212,
    /**
     * A text is not the expected JSON.
     */
    KEYSTILE_ERROR_JSON = 213,
    /**
     * An error that has no number in this version.
     */
    KEYSTILE_ERROR_OTHER = 299,
    /**
     * An argument is NULL that must not be.
     */
    KEYSTILE_ERROR_NULL_POINTER = 300,
    /**
     * A length is larger than memory can be.
     */
    KEYSTILE_ERROR_LENGTH = 301,
    /**
     * A text is not UTF-8.
     */
    KEYSTILE_ERROR_NOT_UTF8 = 302,
    /**
     * The `struct_size` of a struct is not one that this version knows.
     */
    KEYSTILE_ERROR_STRUCT_SIZE = 303,
    /**
     * A number is not a value of its enumeration, a flag is not 0 or 1, a value has no flag,
     * values contradict each other, or a decision was not written by this library.
     */
    KEYSTILE_ERROR_VALUE = 304,
    /**
     * The buffer is too small; the length that is needed was written.
     */
    KEYSTILE_ERROR_BUFFER_TOO_SMALL = 305,
    /**
     * There is nothing at that index.
     */
    KEYSTILE_ERROR_INDEX = 306,
    /**
     * The requested part does not exist.
     */
    KEYSTILE_ERROR_ABSENT = 307,
    /**
     * The keyring was made before this process was forked; make another.
     */
    KEYSTILE_ERROR_FORKED = 308,
    /**
     * A bug in this library, which was caught; nothing was written. Please report it.
     */
    KEYSTILE_ERROR_PANIC = 400,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_status keystile_status;
#else
typedef int32_t keystile_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a digest was made.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_digest_kind : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * SHA-256 of the whole text of the key.
     */
    KEYSTILE_DIGEST_SHA256 = 1,
    /**
     * HMAC-SHA-256 of the whole text of the key, with a pepper.
     */
    KEYSTILE_DIGEST_HMAC_SHA256 = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_digest_kind keystile_digest_kind;
#else
typedef uint32_t keystile_digest_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What `keystile_inspect` finds.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_finding : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Formatted as a key of this format. Only the store knows whether it was ever
     * issued.
     */
    KEYSTILE_FINDING_WELL_FORMED = 1,
    /**
     * The shape of a key with a wrong checksum.
     */
    KEYSTILE_FINDING_WRONG_CHECKSUM = 2,
    /**
     * A key with white space, quotes or a scheme around it.
     */
    KEYSTILE_FINDING_WRAPPED = 3,
    /**
     * Begins like a key of this format, but is too short or too long.
     */
    KEYSTILE_FINDING_WRONG_LENGTH = 4,
    /**
     * Begins like a key of this format, but has a character that no key has.
     */
    KEYSTILE_FINDING_WRONG_CHARACTER = 5,
    /**
     * Not a key of this format.
     */
    KEYSTILE_FINDING_FOREIGN = 6,
    /**
     * An empty text.
     */
    KEYSTILE_FINDING_EMPTY = 7,
    /**
     * A finding that has no number in this version.
     */
    KEYSTILE_FINDING_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_finding keystile_finding;
#else
typedef uint32_t keystile_finding;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why an endpoint rule matches no request that it was meant for. It is legal all the same,
 * and grants what it says and nothing else.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_never_matches : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Each of its methods is a word for all methods in some router, such as `ANY`, which no
     * client sends.
     */
    KEYSTILE_NEVER_MATCHES_METHOD = 1,
    /**
     * A segment is written like the parameter of a router, such as `:id`. Here it stands for
     * itself, and a path that is sent has a value in its place.
     */
    KEYSTILE_NEVER_MATCHES_PARAMETER = 2,
    /**
     * A reason that has no number in this version.
     */
    KEYSTILE_NEVER_MATCHES_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_never_matches keystile_never_matches;
#else
typedef uint32_t keystile_never_matches;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Whether a key may be used at all.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_state : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It may be used.
     */
    KEYSTILE_STATE_ACTIVE = 1,
    /**
     * It is refused until it is resumed.
     */
    KEYSTILE_STATE_SUSPENDED = 2,
    /**
     * It is refused for good.
     */
    KEYSTILE_STATE_REVOKED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_state keystile_state;
#else
typedef uint32_t keystile_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What happened to a key.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_event_kind : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A key was issued.
     */
    KEYSTILE_EVENT_ISSUED = 1,
    /**
     * A key was given a successor.
     */
    KEYSTILE_EVENT_ROTATED = 2,
    /**
     * A key was revoked.
     */
    KEYSTILE_EVENT_REVOKED = 3,
    /**
     * A key was suspended.
     */
    KEYSTILE_EVENT_SUSPENDED = 4,
    /**
     * A suspended key was resumed.
     */
    KEYSTILE_EVENT_RESUMED = 5,
    /**
     * The overlap of a replaced key was ended early.
     */
    KEYSTILE_EVENT_EXPIRED = 6,
    /**
     * A key's digest was renewed with the current pepper.
     */
    KEYSTILE_EVENT_REHASHED = 7,
    /**
     * A key that was issued elsewhere was imported.
     */
    KEYSTILE_EVENT_IMPORTED = 8,
    /**
     * What a key may do, or whom it belongs to, was changed.
     */
    KEYSTILE_EVENT_CHANGED = 9,
    /**
     * A key was removed from the store.
     */
    KEYSTILE_EVENT_DELETED = 10,
    /**
     * Older events were removed, and this one stays in their place. It is of no key.
     */
    KEYSTILE_EVENT_PRUNED = 11,
    /**
     * An event that has no number in this version.
     */
    KEYSTILE_EVENT_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_event_kind keystile_event_kind;
#else
typedef uint32_t keystile_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An action that is due for a key.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_plan_action : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Its owner should be told that it is about to end, once for each pair of key and
     * lead time.
     */
    KEYSTILE_PLAN_NOTICE = 1,
    /**
     * It should be rotated.
     */
    KEYSTILE_PLAN_ROTATE = 2,
    /**
     * It has ended, and its record need no longer be kept.
     */
    KEYSTILE_PLAN_CLEAN_UP = 3,
    /**
     * An action that has no number in this version.
     */
    KEYSTILE_PLAN_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_plan_action keystile_plan_action;
#else
typedef uint32_t keystile_plan_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The kind of a decision. Zeroed memory is none of them.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_decision_kind : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The request may go on.
     */
    KEYSTILE_DECISION_ALLOWED = 1263730689,
    /**
     * The request is refused.
     */
    KEYSTILE_DECISION_REFUSED = 1263730690,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_decision_kind keystile_decision_kind;
#else
typedef uint32_t keystile_decision_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a request was refused, in detail that only an audit may see.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_cause : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * No credential was presented.
     */
    KEYSTILE_CAUSE_MISSING_CREDENTIAL = 1,
    /**
     * Two different credentials were presented.
     */
    KEYSTILE_CAUSE_CONFLICTING_CREDENTIALS = 2,
    /**
     * The text is not a key: its shape or its checksum is wrong.
     */
    KEYSTILE_CAUSE_MALFORMED = 3,
    /**
     * The store has no record of it.
     */
    KEYSTILE_CAUSE_UNKNOWN_KEY = 4,
    /**
     * The store has a record of it, but the secret is wrong.
     */
    KEYSTILE_CAUSE_WRONG_SECRET = 5,
    /**
     * The record's digest was made with a pepper that the ring does not hold.
     */
    KEYSTILE_CAUSE_PEPPER_UNAVAILABLE = 6,
    /**
     * The key is revoked.
     */
    KEYSTILE_CAUSE_REVOKED = 7,
    /**
     * The key is suspended.
     */
    KEYSTILE_CAUSE_SUSPENDED = 8,
    /**
     * The key has expired.
     */
    KEYSTILE_CAUSE_EXPIRED = 9,
    /**
     * The key was replaced, and its overlap is over.
     */
    KEYSTILE_CAUSE_REPLACED = 10,
    /**
     * The key is for another environment.
     */
    KEYSTILE_CAUSE_ENVIRONMENT = 11,
    /**
     * The peer's address is not within the key's networks.
     */
    KEYSTILE_CAUSE_NETWORK = 12,
    /**
     * The path is not canonical.
     */
    KEYSTILE_CAUSE_PATH_NOT_CANONICAL = 13,
    /**
     * No endpoint rule of the key matches.
     */
    KEYSTILE_CAUSE_ENDPOINT = 14,
    /**
     * The key lacks a required permission.
     */
    KEYSTILE_CAUSE_PERMISSION = 15,
    /**
     * The rate limit is exceeded.
     */
    KEYSTILE_CAUSE_RATE_LIMIT = 16,
    /**
     * The key has no uses left.
     */
    KEYSTILE_CAUSE_USES_SPENT = 17,
    /**
     * The store is unavailable.
     */
    KEYSTILE_CAUSE_STORE_UNAVAILABLE = 18,
    /**
     * The store has a record of the key, and it cannot be read.
     */
    KEYSTILE_CAUSE_RECORD_DAMAGED = 19,
    /**
     * There are only texts that do not have the shape of a key, and none in a header that
     * carries nothing but keys. This is no guess.
     */
    KEYSTILE_CAUSE_ALIEN = 20,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_cause keystile_cause;
#else
typedef uint32_t keystile_cause;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which HTTP status a refusal gets.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_status_policy : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * As in RFC 9110: 401 for a key that is not valid, 403 for a key that may not do
     * this.
     */
    KEYSTILE_STATUS_POLICY_RFC9110 = 0,
    /**
     * As in the Express recipe for API keys: 403 also for an unknown, expired or
     * revoked key.
     */
    KEYSTILE_STATUS_POLICY_EXPRESS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_status_policy keystile_status_policy;
#else
typedef uint32_t keystile_status_policy;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which header fields tell a client about its rate limit. All say the same, in whole
 * seconds; times are rounded up.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_rate_limit_fields : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * `RateLimit-Limit`, `-Remaining`, `-Reset` and `-Policy`, as in drafts 3 to 6 of
     * draft-ietf-httpapi-ratelimit-headers.
     */
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6 = 0,
    /**
     * `RateLimit` and `RateLimit-Policy`, as in draft 7.
     */
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT7 = 1,
    /**
     * `RateLimit` and `RateLimit-Policy`, as in drafts 8 to 10.
     */
    KEYSTILE_RATE_LIMIT_FIELDS_DRAFT8 = 2,
    /**
     * `X-RateLimit-Limit`, `-Remaining` and `-Reset`; the last is the Unix time in seconds.
     */
    KEYSTILE_RATE_LIMIT_FIELDS_X = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_rate_limit_fields keystile_rate_limit_fields;
#else
typedef uint32_t keystile_rate_limit_fields;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which request paths a service accepts. It is chosen by the service, never by a client.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum keystile_path_profile : uint32_t
#else
enum
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Only canonical paths.
     */
    KEYSTILE_PATH_PROFILE_STRICT = 0,
    /**
     * `%2F` too, as data inside a segment and never as a separator, as in npm's scoped
     * packages. No piece between such slashes may be empty, `.` or `..`.
     */
    KEYSTILE_PATH_PROFILE_ENCODED_SLASH_IS_DATA = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_path_profile keystile_path_profile;
#else
typedef uint32_t keystile_path_profile;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The result of issuing, rotating, revoking and other changes. Handle; it never
 * changes, and threads may share it.
 *
 * A store writes all of its records or none. A record with version 1 is new; any other
 * replaces only the version before it.
 */
typedef struct keystile_change keystile_change;

/**
 * Which headers carry a credential. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_credential_extractor keystile_credential_extractor;

/**
 * The format of a service's keys. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_format keystile_format;

/**
 * A cache of records for many threads. It decides each request by the record of its
 * key, and asks for the record if it has none. Handle; any threads may call its
 * functions at the same time, except `keystile_keyring_free`.
 */
typedef struct keystile_keyring keystile_keyring;

/**
 * A current pepper and retired ones. Handle; it never changes, and threads may share
 * it. Functions that take one accept NULL for no pepper.
 */
typedef struct keystile_peppers keystile_peppers;

/**
 * What a store holds about a key; it never holds the key. Handle; it never changes,
 * and threads may share it.
 */
typedef struct keystile_record keystile_record;

/**
 * What a route requires: permissions joined by AND, OR and parentheses. Handle; it
 * never changes, and threads may share it. Create one for each route, at the start of
 * the program.
 */
typedef struct keystile_requirement keystile_requirement;

/**
 * A status, header fields and a JSON body. Handle; it never changes, and threads may
 * share it.
 */
typedef struct keystile_response keystile_response;

/**
 * Tokens that are to be given back. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_rest keystile_rest;

/**
 * A name for permissions, a rate limit and endpoint rules. Handle; it never changes,
 * and threads may share it.
 */
typedef struct keystile_template keystile_template;

/**
 * Uses that were drained from a keyring. Handle; it never changes, and threads may
 * share it.
 */
typedef struct keystile_uses keystile_uses;

/**
 * The keys that a service accepts. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_verifier keystile_verifier;

/**
 * The public id of a key: 16 characters and a NUL. All zero if there is none.
 */
typedef struct keystile_id {
    /**
     * The characters.
     */
    char text[17];
} keystile_id;

/**
 * A text of `len` bytes. It does not end in NUL. If `data` is NULL, there is no text.
 *
 * As an argument it must be UTF-8. As an output it is borrowed from the handle that it
 * came from, and lives until that handle is freed.
 */
typedef struct keystile_str {
    /**
     * The first byte.
     */
    const char *data;
    /**
     * The number of bytes.
     */
    size_t len;
} keystile_str;

/**
 * Why a call failed, for people. Its texts are static, never contain any part of an argument,
 * and do not end in NUL.
 *
 * A line of a log is the field, the index in brackets and the message, such as
 * `permissions[2]: a permission must be segments of ...`.
 */
typedef struct keystile_error {
    /**
     * What was expected; NULL if the call did not fail.
     */
    struct keystile_str message;
    /**
     * The field that is wrong, such as `client_name` or `rate_limit.window`; NULL if that is
     * not known, or if it is not of one field.
     */
    struct keystile_str field;
    /**
     * The item of the field that is wrong, from 0; `KEYSTILE_INDEX_NONE` if it is not of one
     * item.
     */
    size_t index;
} keystile_error;

/**
 * The digest of a key's text. Its content is private: use the functions. It has room for digests
 * of later versions, which may lend a text of the record that they came from.
 */
typedef struct keystile_digest {
    /**
     * Private.
     */
    uint32_t private_kind;
    /**
     * Private.
     */
    uint32_t private_pepper;
    /**
     * Private.
     */
    uint8_t private_bytes[32];
    /**
     * Private.
     */
    uint64_t private_room[3];
} keystile_digest;

/**
 * The text of a digest: `sha256:` or `hmac-sha256:<pepper>:`, then 64 hex digits and a
 * NUL.
 */
typedef struct keystile_digest_text {
    /**
     * The characters.
     */
    char text[96];
} keystile_digest_text;

/**
 * What to ask a store for: the record with an id, or the record with one of several
 * digests.
 */
typedef struct keystile_lookup {
    /**
     * Private.
     */
    struct keystile_id private_key_id;
    /**
     * Private.
     */
    size_t private_digest_count;
    /**
     * Private.
     */
    struct keystile_digest private_digests[KEYSTILE_LOOKUP_DIGESTS_MAX];
    /**
     * Private.
     */
    uint64_t private_room[8];
} keystile_lookup;

/**
 * What can be found out about a text without a store. It holds no secret.
 */
typedef struct keystile_inspection {
    /**
     * A `keystile_finding`.
     */
    uint32_t finding;
    /**
     * The id that the text claims; all zero if there is none.
     */
    struct keystile_id key_id;
    /**
     * The environment in the text, which ends in NUL; all zero if there is none.
     */
    char environment[13];
} keystile_inspection;

/**
 * The text of a network, which ends in NUL.
 */
typedef struct keystile_network_text {
    /**
     * The characters.
     */
    char text[48];
} keystile_network_text;

/**
 * The address of a peer. All zero if there is none.
 */
typedef struct keystile_address {
    /**
     * 4 or 6; 0 if there is none.
     */
    uint32_t family;
    /**
     * In network order: the first 4 bytes for IPv4, all 16 for IPv6.
     */
    uint8_t bytes[16];
} keystile_address;

/**
 * At most `limit` requests in each window, and `burst` of them at once.
 */
typedef struct keystile_rate_limit {
    /**
     * Requests in a window; 0 refuses all.
     */
    uint32_t limit;
    /**
     * Requests at once, usually equal to `limit`.
     */
    uint32_t burst;
    /**
     * The window, 1 ms to 366 days.
     */
    uint64_t window_millis;
} keystile_rate_limit;

/**
 * What was left of a limit at an instant. All zero if there is no limit.
 */
typedef struct keystile_quota {
    /**
     * The limit.
     */
    struct keystile_rate_limit limit;
    /**
     * The state of the limit. Its content is private.
     */
    uint64_t state;
    /**
     * The instant, in milliseconds since 1970.
     */
    uint64_t now;
} keystile_quota;

/**
 * A record as plain fields. Optional fields are zero if they are not set.
 */
typedef struct keystile_record_parts {
    /**
     * `sizeof(keystile_record_parts)`.
     */
    size_t struct_size;
    /**
     * The public id.
     */
    struct keystile_id id;
    /**
     * The digest of the key's text.
     */
    struct keystile_digest digest;
    /**
     * The part of the key that may be shown: at most 40 bytes.
     */
    struct keystile_str key_prefix;
    /**
     * The client that the key belongs to, for people: 1 to 255 bytes.
     */
    struct keystile_str client_name;
    /**
     * Optional: the address to send notices to.
     */
    struct keystile_str client_email;
    /**
     * Optional: the account or tenant that the key belongs to.
     */
    struct keystile_str owner;
    /**
     * Optional: the deployment that the key is for.
     */
    struct keystile_str environment;
    /**
     * Optional: the name of the template that it was issued from.
     */
    struct keystile_str scope_type;
    /**
     * Optional: custom JSON text, at most 16 KiB.
     */
    struct keystile_str metadata;
    /**
     * The permissions granted; NULL grants none.
     */
    const keystile_permissions *permissions;
    /**
     * The endpoints that the key is restricted to. NULL: all. An empty list: none.
     */
    const keystile_endpoints *allowed_endpoints;
    /**
     * The networks that the key is restricted to. NULL: all. An empty list: none.
     */
    const keystile_networks *allowed_networks;
    /**
     * The rate limit, if `has_rate_limit`.
     */
    struct keystile_rate_limit rate_limit;
    /**
     * The uses left, if `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * When it was issued, in milliseconds since 1970.
     */
    uint64_t created_at;
    /**
     * When it was last used; 0 if that is not known.
     */
    uint64_t last_used_at;
    /**
     * When it expires; 0 only together with `never_expires`.
     */
    uint64_t expires_at;
    /**
     * When it was revoked; 0 if it is not revoked.
     */
    uint64_t revoked_at;
    /**
     * Why it was revoked.
     */
    struct keystile_str revoked_reason;
    /**
     * When a replaced key is refused; 0 if it is not replaced.
     */
    uint64_t overlap_until;
    /**
     * The number of the change, 1 to 9223372036854775807; an update from an older version fails.
     */
    uint64_t version;
    /**
     * A `keystile_state`.
     */
    uint32_t state;
    /**
     * The first key of its lineage; all zero for the key itself.
     */
    struct keystile_id lineage;
    /**
     * Optional: the key that replaces it.
     */
    struct keystile_id replaced_by;
    /**
     * Optional: the predecessor whose overlap ends when this key is first used.
     */
    struct keystile_id ends_at_first_use;
    /**
     * 1 for a key that does not expire, otherwise 0.
     */
    uint8_t never_expires;
    /**
     * 1 if there is a rate limit, otherwise 0.
     */
    uint8_t has_rate_limit;
    /**
     * 1 if uses are counted, otherwise 0.
     */
    uint8_t has_remaining_uses;
    /**
     * The length of life that it was given; 0 if that is the time from its beginning to its
     * expiry, or if it never expires.
     */
    uint64_t lifetime_millis;
    /**
     * Optional: the key that it was derived from, together with `derived_lineage`.
     */
    struct keystile_id derived_from;
    /**
     * Optional: the first key of the lineage of `derived_from`.
     */
    struct keystile_id derived_lineage;
    /**
     * Optional: the key that it was suspended with, and is resumed with.
     */
    struct keystile_id suspended_with;
} keystile_record_parts;

/**
 * What a lineage of keys has spent so far. A store holds it beside its records.
 */
typedef struct keystile_usage {
    /**
     * The state of the rate limit; 0 at the start.
     */
    uint64_t rate_state;
    /**
     * The uses left, if `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * 1 if uses are counted, otherwise 0: as the record, see `keystile_record_usage`.
     */
    uint8_t has_remaining_uses;
} keystile_usage;

/**
 * One entry of an audit. It never holds the text of a key. Who did it, and from where, is the
 * caller's to write beside it: see `keystile_actor_check`.
 */
typedef struct keystile_event {
    /**
     * A `keystile_event_kind`.
     */
    uint32_t kind;
    /**
     * The key; all zero for an event of more keys than have events of their own.
     */
    struct keystile_id key_id;
    /**
     * The successor, if the key was rotated; otherwise all zero.
     */
    struct keystile_id successor;
    /**
     * The instant, in milliseconds since 1970.
     */
    uint64_t at;
    /**
     * The version of the key's record from then on; 0 if it is not known.
     */
    uint64_t version;
    /**
     * The reason, if one was given; lent by the change.
     */
    struct keystile_str reason;
} keystile_event;

/**
 * A field of a record that was changed, with its values before and after as text. The
 * change lends all texts.
 *
 * Instants are milliseconds since 1970, lists are joined by `, `, and a rate limit is
 * such as `100 in 3600000 ms, burst 100`.
 */
typedef struct keystile_field_change {
    /**
     * The name of the field, as in the JSON text of a record.
     */
    struct keystile_str field;
    /**
     * The value before. There is none if the field was not set, and never one for the
     * e-mail address and the metadata, which can be personal data.
     */
    struct keystile_str from;
    /**
     * The value after, in the same way.
     */
    struct keystile_str to;
} keystile_field_change;

/**
 * How long the keys of a service live: the lifetime of a key whose request has none, and the
 * longest that a request may ask for. A service has one, and sets it wherever a lifetime is
 * given.
 */
typedef struct keystile_lifetime_policy {
    /**
     * `sizeof(keystile_lifetime_policy)`.
     */
    size_t struct_size;
    /**
     * The lifetime of a key whose request has none; 0 for 90 days, or for the longest if that
     * is shorter.
     */
    uint64_t default_millis;
    /**
     * The longest lifetime; 0 for any. If there is one, a key that never expires is refused.
     */
    uint64_t longest_millis;
} keystile_lifetime_policy;

/**
 * What a new key is to be. The defaults are the most restrictive: no permissions, and
 * expiry after 90 days. A value without its flag, a flag other than 0 and 1, and a lifetime of
 * a key that never expires are `KEYSTILE_ERROR_VALUE`.
 */
typedef struct keystile_issue_request {
    /**
     * `sizeof(keystile_issue_request)`.
     */
    size_t struct_size;
    /**
     * The client that the key belongs to, for people: 1 to 255 bytes.
     */
    struct keystile_str client_name;
    /**
     * Optional: the address to send notices to.
     */
    struct keystile_str client_email;
    /**
     * Optional: the account or tenant that the key belongs to.
     */
    struct keystile_str owner;
    /**
     * Optional: the deployment that the key is for, 1 to 12 of a-z and 0-9.
     */
    struct keystile_str environment;
    /**
     * Optional: custom JSON text, at most 16 KiB.
     */
    struct keystile_str metadata;
    /**
     * Optional: the template that the key gets its permissions, limit and endpoints
     * from. The other fields may only narrow it.
     */
    const struct keystile_template *scope_template;
    /**
     * Optional: the permissions granted.
     */
    const keystile_permissions *permissions;
    /**
     * Optional: the endpoints that the key is restricted to.
     */
    const keystile_endpoints *allowed_endpoints;
    /**
     * Optional: the networks that the key is restricted to.
     */
    const keystile_networks *allowed_networks;
    /**
     * Optional: how long keys of the service may live.
     */
    const struct keystile_lifetime_policy *lifetimes;
    /**
     * The rate limit, if `has_rate_limit`.
     */
    struct keystile_rate_limit rate_limit;
    /**
     * The total number of uses, if `has_uses`: 1 or more.
     */
    uint64_t uses;
    /**
     * The lifetime, if `has_lifetime`: 1 or more; otherwise 90 days.
     */
    uint64_t lifetime_millis;
    /**
     * 1 if there is a rate limit, otherwise 0.
     */
    uint8_t has_rate_limit;
    /**
     * 1 if uses are counted, otherwise 0.
     */
    uint8_t has_uses;
    /**
     * 1 if `lifetime_millis` is set, otherwise 0.
     */
    uint8_t has_lifetime;
    /**
     * 1 for a key that does not expire, otherwise 0; not together with `lifetime_millis`.
     */
    uint8_t never_expires;
} keystile_issue_request;

/**
 * What is to be changed of a key. Whatever is zero stays as it is, so a change whose
 * fields were forgotten changes nothing.
 *
 * A text or a handle that is not NULL replaces the value, and so does a number if its
 * `has_` flag is 1. To clear an optional field, set its `clear_` flag to 1; without
 * endpoints, networks, a rate limit or uses, a key is not restricted by them, so that
 * clearing one gives it more. These are errors: a field that is both set and cleared, a
 * number without its flag, a flag other than 0 and 1.
 */
typedef struct keystile_key_change {
    /**
     * `sizeof(keystile_key_change)`.
     */
    size_t struct_size;
    /**
     * The client that the key belongs to, for people: 1 to 255 bytes.
     */
    struct keystile_str client_name;
    /**
     * The address to send notices to.
     */
    struct keystile_str client_email;
    /**
     * The account or tenant that the key belongs to.
     */
    struct keystile_str owner;
    /**
     * Custom JSON text, at most 16 KiB, which replaces all of it.
     */
    struct keystile_str metadata;
    /**
     * A template that sets the permissions, limit and endpoints, which the other fields
     * may only narrow. A key of a template gets nothing more unless a template is set, or
     * its name is cleared, in the same change.
     */
    const struct keystile_template *scope_template;
    /**
     * All permissions of the key.
     */
    const keystile_permissions *permissions;
    /**
     * Permissions that it gets in addition.
     */
    const keystile_permissions *add_permissions;
    /**
     * Permissions that are taken from it, each spelled as it was granted.
     */
    const keystile_permissions *remove_permissions;
    /**
     * The endpoints that the key is restricted to. An empty list: none.
     */
    const keystile_endpoints *allowed_endpoints;
    /**
     * The networks that the key is restricted to. An empty list: none.
     */
    const keystile_networks *allowed_networks;
    /**
     * Optional: how long keys of the service may live. A key that lives longer keeps its end,
     * unless the change sets another.
     */
    const struct keystile_lifetime_policy *lifetimes;
    /**
     * The rate limit, if `has_rate_limit`.
     */
    struct keystile_rate_limit rate_limit;
    /**
     * The uses left to all keys of the lineage from now on, if `has_uses`: 1 or more.
     */
    uint64_t uses;
    /**
     * The lifetime from now on, if `has_lifetime`: 1 or more.
     */
    uint64_t lifetime_millis;
    /**
     * 1 to set `rate_limit`.
     */
    uint8_t has_rate_limit;
    /**
     * 1 to set `uses`.
     */
    uint8_t has_uses;
    /**
     * 1 to set `lifetime_millis`.
     */
    uint8_t has_lifetime;
    /**
     * 1 for a key that does not expire any more.
     */
    uint8_t never_expires;
    /**
     * 1 to clear the e-mail address.
     */
    uint8_t clear_client_email;
    /**
     * 1 to clear the owner.
     */
    uint8_t clear_owner;
    /**
     * 1 to clear the metadata.
     */
    uint8_t clear_metadata;
    /**
     * 1 to clear the name of the template; the rights stay.
     */
    uint8_t clear_scope_template;
    /**
     * 1 to allow any endpoint.
     */
    uint8_t clear_allowed_endpoints;
    /**
     * 1 to allow any network.
     */
    uint8_t clear_allowed_networks;
    /**
     * 1 for no rate limit.
     */
    uint8_t clear_rate_limit;
    /**
     * 1 to count no uses.
     */
    uint8_t clear_uses;
    /**
     * Must be 0.
     */
    uint8_t reserved[4];
} keystile_key_change;

/**
 * How long keys live and how they are replaced. Start with
 * `keystile_rotation_policy_default`.
 */
typedef struct keystile_rotation_policy {
    /**
     * `sizeof(keystile_rotation_policy)`.
     */
    size_t struct_size;
    /**
     * The age at which a key is due for rotation: 1 hour to 90 days. A successor lives as
     * long as its predecessor was given.
     */
    uint64_t max_age_millis;
    /**
     * How long the old key stays valid beside it; 0 ends it at once.
     */
    uint64_t overlap_millis;
    /**
     * How long the record of an ended key is kept.
     */
    uint64_t retention_millis;
    /**
     * How long before its end a key is due for a notice.
     */
    uint64_t notice_leads_millis[KEYSTILE_NOTICE_LEADS_MAX];
    /**
     * The number of lead times.
     */
    uint32_t notice_lead_count;
    /**
     * 1 if the first use of the successor ends the overlap, otherwise 0.
     */
    uint8_t end_on_first_use;
    /**
     * 1 to set `latest_end`, otherwise 0: a key that derives from another then gets a successor
     * that ends no later than itself.
     */
    uint8_t has_latest_end;
    /**
     * 1 for successors that never expire, otherwise 0. With `lifetime_millis` it is an error.
     */
    uint8_t never_expires;
    /**
     * The lifetime of successors, whatever that of their predecessors is; 0 for the same.
     */
    uint64_t lifetime_millis;
    /**
     * When a successor ends at the latest, in milliseconds since 1970; 0 for no such instant.
     * For a key that derives from another, it is the end of that one.
     */
    uint64_t latest_end;
    /**
     * Optional: how long keys of the service may live. A lifetime that a successor gets from
     * its predecessor is cut to the longest.
     */
    const struct keystile_lifetime_policy *lifetimes;
} keystile_rotation_policy;

/**
 * A key, and the action that is due for it.
 */
typedef struct keystile_plan_item {
    /**
     * The key.
     */
    struct keystile_id key_id;
    /**
     * A `keystile_plan_action`.
     */
    uint32_t action;
    /**
     * When it ends or ended, in milliseconds since 1970.
     */
    uint64_t at;
    /**
     * For a notice: the shortest lead time that has been reached; otherwise 0.
     */
    uint64_t lead_millis;
} keystile_plan_item;

/**
 * Which header fields carry a key. Fields left at zero are the defaults: `X-API-Key` and
 * `Authorization: Bearer`.
 */
typedef struct keystile_credential_sources {
    /**
     * `sizeof(keystile_credential_sources)`.
     */
    size_t struct_size;
    /**
     * Further headers whose value is the key and nothing else; at most 8.
     */
    const struct keystile_str *headers;
    /**
     * The number of headers.
     */
    size_t headers_len;
    /**
     * Further schemes of `Authorization`, such as `Api-Key`, in any case; at most 8.
     */
    const struct keystile_str *schemes;
    /**
     * The number of schemes.
     */
    size_t schemes_len;
    /**
     * 1 to read the user name of `Authorization: Basic` too, otherwise 0.
     */
    uint8_t basic;
    /**
     * 1 to read only what is named here, otherwise 0.
     */
    uint8_t without_defaults;
} keystile_credential_sources;

/**
 * A header field of a request: any bytes.
 */
typedef struct keystile_header {
    /**
     * Its name, in any case.
     */
    struct keystile_str name;
    /**
     * Its value.
     */
    struct keystile_str value;
} keystile_header;

/**
 * The details of a decision. The status that came with it is the decision; with any other
 * status than `KEYSTILE_OK` and the `KEYSTILE_DENIED_` ones, this struct is zeroed, and no
 * decision.
 */
typedef struct keystile_decision {
    /**
     * A `keystile_decision_kind`.
     */
    uint32_t kind;
    /**
     * A `keystile_cause`, which only an audit may see; 0 if the request is allowed.
     */
    uint32_t cause;
    /**
     * The key's public id, after its secret was verified; before that, all zero.
     */
    struct keystile_id key_id;
    /**
     * The first key of its lineage, which usage is counted for; all zero in a refusal.
     */
    struct keystile_id lineage;
    /**
     * The key that replaces this one, if it is being replaced.
     */
    struct keystile_id replaced_by;
    /**
     * The predecessor whose overlap ends with this use; see `keystile_end_overlap`.
     */
    struct keystile_id ends_overlap_of;
    /**
     * 1 if uses are counted, otherwise 0.
     */
    uint8_t has_remaining_uses;
    /**
     * 1 if the record should get a new digest; see `keystile_rehash`.
     */
    uint8_t needs_rehash;
    /**
     * When a key that is being replaced is refused; otherwise 0.
     */
    uint64_t replaced_until;
    /**
     * The uses left, if `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * What is left of the rate limit; all zero if there is none.
     */
    struct keystile_quota quota;
    /**
     * Which permissions are missing; see `keystile_decision_missing_at`.
     */
    uint64_t missing[2];
} keystile_decision;

/**
 * The bytes of a presented credential. Wipe it with `keystile_credential_wipe`.
 */
typedef struct keystile_credential {
    /**
     * The number of bytes.
     */
    size_t len;
    /**
     * The bytes; they do not end in NUL.
     */
    char text[KEYSTILE_CREDENTIAL_BYTES_MAX];
} keystile_credential;

/**
 * What a request asks for. Fields left at zero are not checked: without a requirement
 * no permission is needed. But a key that is restricted to endpoints or networks is
 * refused if the request does not give its own.
 */
typedef struct keystile_request {
    /**
     * `sizeof(keystile_request)`.
     */
    size_t struct_size;
    /**
     * Optional: the permissions that the route requires.
     */
    const struct keystile_requirement *requirement;
    /**
     * Optional: the method, as it is dispatched; any bytes.
     */
    struct keystile_str method;
    /**
     * Optional: the path as it is dispatched, without its query; any bytes.
     */
    struct keystile_str path;
    /**
     * Optional: the deployment that asks; keys for any other, or for none, are
     * refused.
     */
    struct keystile_str environment;
    /**
     * Optional: the address of the peer, from the socket or a trusted proxy.
     */
    struct keystile_address address;
    /**
     * A `keystile_path_profile`: which paths the service accepts.
     */
    uint32_t path_profile;
} keystile_request;

/**
 * The options of a keyring. 0 selects the default.
 */
typedef struct keystile_keyring_options {
    /**
     * `sizeof(keystile_keyring_options)`.
     */
    size_t struct_size;
    /**
     * The most records that are cached: 1 to 100,000,000; by default 100,000.
     */
    uint64_t capacity;
    /**
     * How long a record is used before it is fetched again: 1 ms to a day; by default
     * 300 s.
     */
    uint64_t ttl_millis;
    /**
     * How long a key that the store does not know is refused without another fetch: at
     * most the TTL; by default 10 s, or the TTL if that is shorter.
     * `KEYSTILE_DURATION_NONE` turns this off.
     */
    uint64_t absent_ttl_millis;
    /**
     * By how much the clock may go back before an expired key could be accepted again;
     * by default 60 s. `KEYSTILE_DURATION_NONE` turns this off.
     */
    uint64_t clock_skew_millis;
    /**
     * Adds a reference to a value that `keystile_keyring_admit` was given: when the
     * keyring keeps it, and before the keyring hands it out. NULL if the keyring carries no
     * values.
     *
     * It and `release_value` are set together. They are called with values that are not
     * NULL, on any thread and by several at once, exactly once for each reference; they must
     * return normally, and must not call this keyring. A count that is atomic is enough.
     */
    void (*retain_value)(void *value);
    /**
     * Gives up a reference that `retain_value` added and that was not handed out: some
     * time after the record was replaced, invalidated or evicted, and at the latest in
     * `keystile_keyring_free`.
     */
    void (*release_value)(void *value);
    /**
     * 1: the library also reads the system's monotonic clock, not with each decision. Then
     * what was seen to end stays ended for that version of the record, as long as it is
     * cached and however far the clock of `now` is set back; a reading that the monotonic
     * clock contradicts by more than a minute ends nothing.
     */
    uint8_t monotonic_clock;
    /**
     * Not 0: rate limits are counted in one place for several processes, and a check whose key
     * has a rate limit may return `KEYSTILE_NEEDS_TOKENS`. Tokens are leased for this long, 1 ms
     * to 10 s, a second as a rule: in any time T, at most burst + limit * (T + this) / window
     * requests pass in all processes, if no more hold leases than `lease_processes`.
     * `KEYSTILE_DURATION_NONE`: each request takes a token of
     * its own. 0: the keyring counts its limits itself.
     */
    uint64_t lease_millis;
    /**
     * How many processes hold leases at once, 1 to 100,000; by default 4. A ticket asks
     * for no more tokens than, divided by four times this, the limit lets pass in
     * `lease_millis`, or a burst if that is less; but for one at least.
     */
    uint32_t lease_processes;
    /**
     * By how many processes a limit is divided while tokens cannot be taken, 1 to 100,000: as
     * many as there are at most. 0: then no request passes.
     */
    uint32_t lease_share;
} keystile_keyring_options;

/**
 * A check that waits for its record, or for tokens. It holds no pointer and no part of a secret, and
 * need not be freed.
 */
typedef struct keystile_ticket {
    /**
     * Private: which invalidations came before the check.
     */
    uint64_t private_as_of;
    /**
     * Private.
     */
    struct keystile_lookup private_lookup;
} keystile_ticket;

/**
 * Counters of a keyring.
 */
typedef struct keystile_keyring_stats {
    /**
     * `sizeof(keystile_keyring_stats)`.
     */
    size_t struct_size;
    /**
     * Records that are cached.
     */
    uint64_t entries;
    /**
     * Checks that asked for a record.
     */
    uint64_t fetches;
    /**
     * Fetches that an invalidation overtook and that had to be repeated.
     */
    uint64_t overtaken;
    /**
     * Records that were evicted to make room.
     */
    uint64_t evictions;
    /**
     * Invalidations of ids, owners and everything.
     */
    uint64_t invalidations;
    /**
     * Checks that were refused because the store recently did not know the key.
     */
    uint64_t absent_hits;
    /**
     * Uses that were lost because they were not drained in time.
     */
    uint64_t uses_lost;
    /**
     * Written versions that were forgotten before the TTL was over, because there were more
     * than 65,536; see `keystile_keyring_invalidate_at`.
     */
    uint64_t versions_lost;
    /**
     * States of rate limits that were forgotten before their limits were full again, because
     * there were more than twice the capacity: each of these keys may be given one burst more,
     * unless the store knows the state.
     */
    uint64_t limits_lost;
    /**
     * Checks that were refused with `KEYSTILE_CAUSE_STORE_UNAVAILABLE` because the uses of
     * twice as many lineages as the capacity were not drained and written yet.
     */
    uint64_t lineages_refused;
    /**
     * Tokens of shared limits that were taken.
     */
    uint64_t tokens_taken;
    /**
     * Tokens that `keystile_keyring_rest` has returned.
     */
    uint64_t tokens_returned;
    /**
     * Tokens that were neither used nor returned, because more leases than 65,536 were to be.
     */
    uint64_t tokens_lost;
    /**
     * Checks that were refused by a shared limit's answer of shortly before.
     */
    uint64_t refused_from_memory;
    /**
     * Checks that were decided while tokens could not be taken.
     */
    uint64_t degraded;
} keystile_keyring_stats;

/**
 * What a `keystile_fetch` found. All fields are zero when it is called.
 */
typedef struct keystile_fetched {
    /**
     * The size of this struct in the library that calls. A field beyond it must not be written.
     */
    size_t struct_size;
    /**
     * The record, which the library frees; NULL if the store has none.
     */
    struct keystile_record *record;
    /**
     * Optional: what the lineage has spent, as the store has it, if `has_usage`.
     */
    struct keystile_usage usage;
    /**
     * 1 if `usage` is set, otherwise 0.
     */
    uint8_t has_usage;
} keystile_fetched;

/**
 * A function of the caller's that fetches a record for `keystile_keyring_decide`.
 *
 * `context`: as it was passed to `keystile_keyring_decide`.
 * `lookup`: what to fetch; only valid during the call.
 * `out_found`: receives what was found. A record in it belongs to the library, however the
 * function ends.
 *
 * It returns `KEYSTILE_OK` if the store has answered, also if there is no such record, and
 * anything else if it has not. It is called on the calling thread, may wait, may call any
 * function of the library, and must return: by no `longjmp` and no C++ exception.
 */
typedef int32_t (*keystile_fetch)(void *context,
                                  const struct keystile_lookup *lookup,
                                  struct keystile_fetched *out_found);

/**
 * What to take of a rate limit that is counted elsewhere.
 */
typedef struct keystile_token_request {
    /**
     * The key.
     */
    struct keystile_id key_id;
    /**
     * Its lineage, whose keys share one state of the limit.
     */
    struct keystile_id lineage;
    /**
     * The limit of the key.
     */
    struct keystile_rate_limit limit;
    /**
     * How many tokens to take, at least 1: more if the last ones were used up early.
     */
    uint32_t tokens;
} keystile_token_request;

/**
 * What a `keystile_take` took. All fields are zero when it is called.
 */
typedef struct keystile_taken {
    /**
     * The size of this struct in the library that calls. A field beyond it must not be written.
     */
    size_t struct_size;
    /**
     * The state of the limit afterwards, by the clock of the limits.
     */
    uint64_t state;
    /**
     * The clock of the limits at that moment, in milliseconds since 1970.
     */
    uint64_t clock;
    /**
     * How many tokens were taken; 0 is a refusal.
     */
    uint32_t tokens;
} keystile_taken;

/**
 * A function of the caller's that takes tokens of a limit for `keystile_keyring_decide_shared`.
 *
 * `context`: as it was passed there.
 * `wanted`: what to take; only valid during the call.
 * `out_taken`: receives what was taken.
 *
 * It returns `KEYSTILE_OK` if the limits have answered, also if they refuse, and anything else
 * if they have not. It is called as a `keystile_fetch` is.
 */
typedef int32_t (*keystile_take)(void *context,
                                 const struct keystile_token_request *wanted,
                                 struct keystile_taken *out_taken);

/**
 * How many times a key was used since the last drain.
 */
typedef struct keystile_use {
    /**
     * The key.
     */
    struct keystile_id key_id;
    /**
     * Its lineage, which uses are counted for.
     */
    struct keystile_id lineage;
    /**
     * When it was last used, to the second; 0 if that is not known.
     */
    uint64_t last_used_at;
    /**
     * The number of uses.
     */
    uint64_t count;
    /**
     * The state of its rate limit, which the lineage shares; 0 if it has no limit. It is not
     * worth writing if `keystile_rate_state_full_at` is less than two seconds away.
     *
     * Of this and the state that the store has, the store keeps the greater one, unless that
     * lies further ahead of the store's clock than `reach_millis` and a minute: then it is of
     * another limit or of a wrong clock, and is replaced.
     */
    uint64_t rate_state;
    /**
     * How far ahead of the clock a state of its limit can lie; 0 if it has no limit.
     */
    uint64_t reach_millis;
} keystile_use;

/**
 * What taking tokens came to.
 */
typedef struct keystile_grant {
    /**
     * `sizeof(keystile_grant)`.
     */
    size_t struct_size;
    /**
     * The state of the limit afterwards, by the clock of `now`: see `keystile_rate_state_move`.
     */
    uint64_t state;
    /**
     * By the clock of `now`: an instant from before the tokens were asked for.
     */
    uint64_t asked_at;
    /**
     * When they were taken, by the clock of the limits, in milliseconds since 1970.
     */
    uint64_t taken_at;
    /**
     * How many were taken; 0 is a refusal.
     */
    uint32_t tokens;
    /**
     * 1: they could not be taken, and all other fields are 0. The share of this process decides,
     * see `lease_share`.
     */
    uint8_t degraded;
} keystile_grant;

/**
 * Tokens that were taken and not used.
 */
typedef struct keystile_unused_tokens {
    /**
     * The lineage that they were taken for.
     */
    struct keystile_id lineage;
    /**
     * The limit that they were taken of.
     */
    struct keystile_rate_limit limit;
    /**
     * How many.
     */
    uint32_t tokens;
    /**
     * When they were taken, by the clock of the limits.
     */
    uint64_t taken_at;
    /**
     * Until how long after that the limits take them back, by their clock.
     */
    uint64_t within_millis;
} keystile_unused_tokens;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the version of the library, such as `1.2.3`: a static text that ends in NUL.
 */
const char *keystile_version(void);

/**
 * Returns the number of the library's ABI; the header's is `KEYSTILE_ABI_VERSION`.
 */
uint32_t keystile_abi_version(void);

/**
 * Returns the name of a status as JSON bodies, logs and metrics use it, such as
 * `permission_missing`.
 *
 * The text is static and ends in NUL; it is `unknown` for a number that is not a
 * status.
 */
const char *keystile_status_name(int32_t status);

/**
 * Returns a sentence that explains a status to people. It never contains any part of
 * an argument.
 *
 * The text is static and ends in NUL; there is one for numbers that are not a status
 * too.
 */
const char *keystile_status_text(int32_t status);

/**
 * Parses the public id of a key, such as a column of a table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_KEY_ID` if the text is not a key id.
 */
KEYSTILE_MUST_USE
keystile_status keystile_id_parse(const char *text,
                                  size_t text_len,
                                  struct keystile_id *out_id,
                                  struct keystile_error *out_error);

/**
 * Creates the structured format: `prefix_environment_id_secret`, with a CRC-32
 * checksum at the end.
 *
 * `prefix`, `prefix_len`: 1 to 16 of a-z, 0-9 and `_`, starting with a letter and not
 * ending with `_`.
 * `out_format`: receives a handle; free it with `keystile_format_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NAME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_structured(const char *prefix,
                                           size_t prefix_len,
                                           struct keystile_format **out_format,
                                           struct keystile_error *out_error);

/**
 * Creates the opaque format: `prefix_` and 64 lower-case hex digits. Such a key
 * contains no id, so it is looked up by its digest.
 *
 * Arguments and result as for `keystile_format_structured`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_opaque(const char *prefix,
                                       size_t prefix_len,
                                       struct keystile_format **out_format,
                                       struct keystile_error *out_error);

/**
 * Creates a format that parses structured keys with any prefix. It cannot issue keys.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_any_structured(struct keystile_format **out_format);

/**
 * Creates a format that parses opaque keys with any prefix and length. It cannot issue
 * keys.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_any_opaque(struct keystile_format **out_format);

/**
 * Creates the format that a record's key was issued in, as far as its key prefix shows
 * it.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_like(const struct keystile_record *record,
                                     struct keystile_format **out_format,
                                     struct keystile_error *out_error);

/**
 * Copies a structured format and gives the copy a keyed checksum. Only holders of the
 * checksum key can compute it, so invented keys are refused without a lookup.
 *
 * `checksum_key`, `checksum_key_len`: 16 bytes or more, kept secret. The library keeps
 * what it derives from them, not the bytes.
 * `out_format`: receives a new handle; `format` does not change.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_with_checksum_key(const struct keystile_format *format,
                                                  const uint8_t *checksum_key,
                                                  size_t checksum_key_len,
                                                  struct keystile_format **out_format,
                                                  struct keystile_error *out_error);

/**
 * Copies an opaque format and gives the copy another number of random bytes: 16 to 64.
 *
 * `out_format`: receives a new handle; `format` does not change.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_with_random_bytes(const struct keystile_format *format,
                                                  uint8_t random_bytes,
                                                  struct keystile_format **out_format,
                                                  struct keystile_error *out_error);

/**
 * Reads the prefix of a format, borrowed from it.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` for a format that accepts any
 * prefix.
 */
KEYSTILE_MUST_USE
keystile_status keystile_format_prefix(const struct keystile_format *format,
                                       struct keystile_str *out_prefix);

/**
 * Checks whether keys of a format are structured: they have a public id and a check. False for
 * NULL.
 */
bool keystile_format_is_structured(const struct keystile_format *format);

/**
 * Frees a format; NULL is allowed.
 */
void keystile_format_free(struct keystile_format *format);

/**
 * Creates a ring of one pepper, which new digests are made with.
 *
 * `version`: a number that no other pepper of yours has; each digest carries it.
 * `secret`, `secret_len`: 32 bytes or more. The library keeps what it derives from
 * them, not the bytes.
 * `out_peppers`: receives a handle; free it with `keystile_peppers_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_peppers_new(uint32_t version,
                                     const uint8_t *secret,
                                     size_t secret_len,
                                     struct keystile_peppers **out_peppers,
                                     struct keystile_error *out_error);

/**
 * Copies a ring and adds a retired pepper, with which older digests are still
 * verified. A ring holds at most 8 peppers.
 *
 * `out_peppers`: receives a new handle; `peppers` does not change.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_peppers_with_retired(const struct keystile_peppers *peppers,
                                              uint32_t version,
                                              const uint8_t *secret,
                                              size_t secret_len,
                                              struct keystile_peppers **out_peppers,
                                              struct keystile_error *out_error);

/**
 * Copies a ring without a current pepper: existing digests are checked as before, new
 * digests are SHA-256, and no digest is reported as outdated. So a first pepper can be
 * known to every process before one of them makes digests with it.
 *
 * `out_peppers`: receives a new handle; `peppers` does not change.
 *
 * Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_peppers_without_current(const struct keystile_peppers *peppers,
                                                 struct keystile_peppers **out_peppers);

/**
 * Frees a ring; NULL is allowed.
 */
void keystile_peppers_free(struct keystile_peppers *peppers);

/**
 * Computes the digest for a new record of this key.
 *
 * `peppers`: the current pepper is used; NULL for SHA-256.
 * `key`, `key_len`: the whole text of the key.
 *
 * Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_digest_of(const struct keystile_peppers *peppers,
                                   const char *key,
                                   size_t key_len,
                                   struct keystile_digest *out_digest);

/**
 * Parses the text of a digest: that of `keystile_digest_to_text`, or only 64 hex
 * digits for SHA-256.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_digest_parse(const char *text,
                                      size_t text_len,
                                      struct keystile_digest *out_digest,
                                      struct keystile_error *out_error);

/**
 * Formats a digest, for a column of a table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` if it was not
 * written by this library.
 */
KEYSTILE_MUST_USE
keystile_status keystile_digest_to_text(const struct keystile_digest *digest,
                                        struct keystile_digest_text *out_text);

/**
 * Compares two digests in constant time.
 *
 * `out_equal`: receives the answer. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE`
 * if one was not written by this library.
 */
KEYSTILE_MUST_USE
keystile_status keystile_digest_equal(const struct keystile_digest *one,
                                      const struct keystile_digest *other,
                                      bool *out_equal);

/**
 * Returns how a digest was made, a `keystile_digest_kind`; 0 for NULL and for a zeroed digest.
 */
uint32_t keystile_digest_kind_of(const struct keystile_digest *digest);

/**
 * Returns the version of the pepper that a digest was made with; 0 if there is none.
 */
uint32_t keystile_digest_pepper(const struct keystile_digest *digest);

/**
 * Returns the id to look for, which ends in NUL and is lent by the lookup; NULL if the store is
 * to look for digests, and for NULL.
 */
const struct keystile_id *keystile_lookup_key_id(const struct keystile_lookup *lookup);

/**
 * Returns the number of digests that the record may have: one for each pepper, and one without. 0
 * if there is an id, and for NULL.
 */
size_t keystile_lookup_digest_count(const struct keystile_lookup *lookup);

/**
 * Returns the digest at an index, lent by the lookup; NULL past the last one, and for NULL.
 */
const struct keystile_digest *keystile_lookup_digest_at(const struct keystile_lookup *lookup,
                                                        size_t index);

/**
 * Checks whether a text has the format of a key, checksum included.
 *
 * `text`, `text_len`: the bytes as they were presented, of any length and content.
 * `out_key_id`: receives the id that the key claims, all zero for an opaque key. May
 * be NULL.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_DENIED_INVALID_KEY`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_key_parse(const struct keystile_format *format,
                                   const char *text,
                                   size_t text_len,
                                   struct keystile_id *out_key_id);

/**
 * Finds out which record to look up in the store, before `keystile_verify`.
 *
 * `text`, `text_len`: the bytes as they were presented, of any length and content.
 * `out_lookup`: receives the id or the digests; zeros, which are neither, after any other status.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_DENIED_INVALID_KEY` if the text is not a key.
 */
KEYSTILE_MUST_USE
keystile_status keystile_key_lookup(const struct keystile_verifier *verifier,
                                    const char *text,
                                    size_t text_len,
                                    struct keystile_lookup *out_lookup);

/**
 * Inspects a text without a store, for support desks.
 *
 * `text`, `text_len`: any bytes. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_inspect(const struct keystile_format *format,
                                 const char *text,
                                 size_t text_len,
                                 struct keystile_inspection *out_inspection);

/**
 * Returns a sentence for people that says what to do about a finding.
 *
 * The text is static and ends in NUL; it is empty for a number that is not a
 * `keystile_finding`.
 */
const char *keystile_finding_hint(uint32_t finding);

/**
 * Creates a set of permissions from a list of texts.
 *
 * `items`, `items_len`: up to 64 permissions of at most 128 bytes, such as `read`,
 * `invoices:read` and `invoices:*`; 0 items are an empty set.
 * `out_permissions`: receives a handle; free it with `keystile_permissions_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_new(const struct keystile_str *items,
                                         size_t items_len,
                                         keystile_permissions **out_permissions,
                                         struct keystile_error *out_error);

/**
 * Creates a set of permissions from a JSON array of strings, such as a column of a
 * table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
 * an item is not a permission.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_from_json(const char *json,
                                               size_t json_len,
                                               keystile_permissions **out_permissions,
                                               struct keystile_error *out_error);

/**
 * Formats permissions as a JSON array of strings, for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
 * for the length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_to_json(const keystile_permissions *permissions,
                                             char *buffer,
                                             size_t buffer_len,
                                             size_t *out_needed);

/**
 * Returns the number of permissions; 0 for NULL.
 */
size_t keystile_permissions_count(const keystile_permissions *permissions);

/**
 * Reads the permission at an index, in the order in which they were first given;
 * borrowed from the set.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_at(const keystile_permissions *permissions,
                                        size_t index,
                                        struct keystile_str *out_text);

/**
 * Checks whether a permission is granted.
 *
 * `wanted`, `wanted_len`: a permission without a wildcard. A text that is not one is
 * never granted.
 *
 * Returns `KEYSTILE_OK` if it is granted, otherwise `KEYSTILE_DENIED_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_grant(const keystile_permissions *permissions,
                                           const char *wanted,
                                           size_t wanted_len);

/**
 * Frees a set of permissions; NULL is allowed. Do not free a set that another handle
 * lent.
 */
void keystile_permissions_free(keystile_permissions *permissions);

/**
 * Parses a requirement, such as `read` or `admin OR (read AND audit)`.
 *
 * AND binds tighter than OR; keywords are in upper case; wildcards are not allowed.
 * `out_requirement`: receives a handle; free it with `keystile_requirement_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_requirement_parse(const char *text,
                                           size_t text_len,
                                           struct keystile_requirement **out_requirement,
                                           struct keystile_error *out_error);

/**
 * Checks whether permissions satisfy a requirement.
 *
 * Returns `KEYSTILE_OK` if they do, otherwise `KEYSTILE_DENIED_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_requirement_check(const struct keystile_requirement *requirement,
                                           const keystile_permissions *permissions);

/**
 * Reads the missing permission at an index; borrowed from the requirement. Each is
 * listed once.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_requirement_missing_at(const struct keystile_requirement *requirement,
                                                const keystile_permissions *permissions,
                                                size_t index,
                                                struct keystile_str *out_permission);

/**
 * Reads the text that a requirement was parsed from, borrowed from it. Returns
 * `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_requirement_text(const struct keystile_requirement *requirement,
                                          struct keystile_str *out_text);

/**
 * Frees a requirement; NULL is allowed.
 */
void keystile_requirement_free(struct keystile_requirement *requirement);

/**
 * Creates endpoint rules from a list of texts.
 *
 * `items`, `items_len`: up to 64 rules of at most 512 bytes, such as `/api/data/7` or
 * `GET,HEAD /api/data/7`. A `*` instead of a segment matches any one segment; at the
 * end of the path it matches everything that follows. 0 items are an empty list.
 * `out_endpoints`: receives a handle; free it with `keystile_endpoints_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_ENDPOINT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_new(const struct keystile_str *items,
                                       size_t items_len,
                                       keystile_endpoints **out_endpoints,
                                       struct keystile_error *out_error);

/**
 * Creates endpoint rules from a JSON array of strings, such as a column of a table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
 * an item is not an endpoint rule.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_from_json(const char *json,
                                             size_t json_len,
                                             keystile_endpoints **out_endpoints,
                                             struct keystile_error *out_error);

/**
 * Formats endpoint rules as a JSON array of strings, for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
 * for the length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_to_json(const keystile_endpoints *endpoints,
                                           char *buffer,
                                           size_t buffer_len,
                                           size_t *out_needed);

/**
 * Returns the number of rules; 0 for NULL.
 */
size_t keystile_endpoints_count(const keystile_endpoints *endpoints);

/**
 * Reads the rule at an index, in the order in which they were first given; borrowed
 * from the list.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_at(const keystile_endpoints *endpoints,
                                      size_t index,
                                      struct keystile_str *out_text);

/**
 * Checks whether a rule allows a method on a path.
 *
 * `method`, `method_len` and `path`, `path_len`: as they are dispatched; the path
 * without its query.
 *
 * Returns `KEYSTILE_OK` if a rule does, otherwise `KEYSTILE_DENIED_ENDPOINT`, also for
 * a path that is not canonical.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_allow(const keystile_endpoints *endpoints,
                                         const char *method,
                                         size_t method_len,
                                         const char *path,
                                         size_t path_len);

/**
 * Checks whether a request path is canonical. One that is not is refused by all rules.
 *
 * `profile`: a `keystile_path_profile`.
 * `path`, `path_len`: any bytes.
 *
 * Returns `KEYSTILE_OK` if it is, otherwise `KEYSTILE_DENIED_PATH_NOT_CANONICAL`;
 * `KEYSTILE_ERROR_VALUE` if `profile` is not a `keystile_path_profile`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_path_check(uint32_t profile,
                                    const char *path,
                                    size_t path_len);

/**
 * Checks whether a method is spelled as in endpoint rules: 1 to 32 characters of `A-Z`,
 * `0-9`, `-` or `_`, starting with a letter. No rule allows one that is not.
 *
 * `method`, `method_len`: any bytes.
 *
 * Returns `KEYSTILE_OK` if it is, otherwise `KEYSTILE_ERROR_ENDPOINT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_method_check(const char *method,
                                      size_t method_len);

/**
 * Frees a list of rules; NULL is allowed. Do not free a list that another handle lent.
 */
void keystile_endpoints_free(keystile_endpoints *endpoints);

/**
 * Reads the rule at an index among those of a list that hardly any request matches; borrowed
 * from the list. Use it for a warning when a person writes rules.
 *
 * `out_why`: receives a `keystile_never_matches`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one: at index 0 if each rule
 * can match.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_never_matching_at(const keystile_endpoints *endpoints,
                                                     size_t index,
                                                     struct keystile_str *out_rule,
                                                     uint32_t *out_why);

/**
 * Reads two texts for people: why such a rule matches nothing, and what to write instead. Both
 * are static.
 *
 * `why`: a `keystile_never_matches`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` for a number that is not one with a text.
 */
KEYSTILE_MUST_USE
keystile_status keystile_never_matches_texts(uint32_t why,
                                             struct keystile_str *out_message,
                                             struct keystile_str *out_hint);

/**
 * Creates a list of networks from texts.
 *
 * `items`, `items_len`: up to 64 addresses or CIDR blocks, such as `192.0.2.0/24` and
 * `2001:db8::/32`; 0 items are an empty list.
 * `out_networks`: receives a handle; free it with `keystile_networks_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_new(const struct keystile_str *items,
                                      size_t items_len,
                                      keystile_networks **out_networks,
                                      struct keystile_error *out_error);

/**
 * Creates a list of networks from a JSON array of strings, such as a column of a
 * table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` if the text is not such an array or
 * an item is not a network.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_from_json(const char *json,
                                            size_t json_len,
                                            keystile_networks **out_networks,
                                            struct keystile_error *out_error);

/**
 * Formats networks as a JSON array of strings, for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
 * for the length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_to_json(const keystile_networks *networks,
                                          char *buffer,
                                          size_t buffer_len,
                                          size_t *out_needed);

/**
 * Returns the number of networks; 0 for NULL.
 */
size_t keystile_networks_count(const keystile_networks *networks);

/**
 * Formats the network at an index as CIDR text.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_at(const keystile_networks *networks,
                                     size_t index,
                                     struct keystile_network_text *out_text);

/**
 * Checks whether one of the networks contains an address.
 *
 * Returns `KEYSTILE_OK` if one does, otherwise `KEYSTILE_DENIED_NETWORK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_contain(const keystile_networks *networks,
                                          const struct keystile_address *address);

/**
 * Parses an address, such as `192.0.2.7` or `2001:db8::7`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_address_parse(const char *text,
                                       size_t text_len,
                                       struct keystile_address *out_address,
                                       struct keystile_error *out_error);

/**
 * Frees a list of networks; NULL is allowed. Do not free a list that another handle
 * lent.
 */
void keystile_networks_free(keystile_networks *networks);

/**
 * Checks whether a limit is well formed.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_LIMIT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_check(const struct keystile_rate_limit *limit,
                                          struct keystile_error *out_error);

/**
 * Admits one request, or refuses it at no cost.
 *
 * `state`: in: the state of the limit, 0 at the start; out: its new state, only if the
 * request is admitted. Keep one for each key, and change it under a lock or with
 * compare-and-swap.
 * `now`: milliseconds since 1970.
 * `out_quota`: receives what is left, also if the request is refused. May be NULL.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_DENIED_RATE_LIMITED`, `KEYSTILE_ERROR_LIMIT` or
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_admit(const struct keystile_rate_limit *limit,
                                          uint64_t *state,
                                          uint64_t now,
                                          struct keystile_quota *out_quota);

/**
 * Holds a state to a full burst, if it lies more than that and a minute ahead: then it was
 * written by a wrong reading of the clock, or before the clock was set back, or by another
 * limit. Call it only with the clock that the state is kept by, before
 * `keystile_rate_limit_admit` or `keystile_verify`, and keep the result even if the request
 * is then refused. If several processes share the state, that clock is the store's.
 *
 * `state`: in and out. `now`: milliseconds since 1970.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_hold(const struct keystile_rate_limit *limit,
                                         uint64_t *state,
                                         uint64_t now);

/**
 * As `keystile_rate_limit_hold`, without the minute: for a state that another limit left, of
 * which at most a full burst of this limit counts as spent.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_clamp(const struct keystile_rate_limit *limit,
                                          uint64_t *state,
                                          uint64_t now);

/**
 * Moves a state to another clock, which shows `to` when the clock of this state shows `from`:
 * exactly, unless it saturates at an end of the range. An unused state stays unused.
 *
 * `state`: in and out. `from`, `to`: milliseconds since 1970.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_state_move(uint64_t *state,
                                         uint64_t from,
                                         uint64_t to);

/**
 * Computes when the full burst is available again; not before is there nothing to remember of
 * a state.
 *
 * `out_full_at`: receives milliseconds since 1970; 0 if the limit is unused. Returns
 * `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_state_full_at(uint64_t rate_state,
                                            uint64_t *out_full_at);

/**
 * Computes how many requests would pass at once.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit.
 */
KEYSTILE_MUST_USE
keystile_status keystile_quota_remaining(const struct keystile_quota *quota,
                                         uint32_t *out_remaining);

/**
 * Computes the milliseconds until the whole limit is available again.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit.
 */
KEYSTILE_MUST_USE
keystile_status keystile_quota_reset_millis(const struct keystile_quota *quota,
                                            uint64_t *out_millis);

/**
 * Computes the milliseconds until one request would pass; 0 if one would pass now.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is no limit or it refuses
 * all requests.
 */
KEYSTILE_MUST_USE
keystile_status keystile_quota_retry_after_millis(const struct keystile_quota *quota,
                                                  uint64_t *out_millis);

/**
 * Creates a template.
 *
 * `name`, `name_len`: 1 to 32 of a-z, 0-9, `_` and `-`, starting with a letter.
 * `permissions`: the permissions that it grants; copied.
 * `endpoints`: the endpoints that it restricts keys to; NULL for all; copied.
 * `rate_limit`: the rate limit; NULL for unlimited.
 * `out_template`: receives a handle; free it with `keystile_template_free`.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_NAME` or `KEYSTILE_ERROR_LIMIT`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_new(const char *name,
                                      size_t name_len,
                                      const keystile_permissions *permissions,
                                      const keystile_endpoints *endpoints,
                                      const struct keystile_rate_limit *rate_limit,
                                      struct keystile_template **out_template,
                                      struct keystile_error *out_error);

/**
 * Creates one of the presets: `monitoring` (read; 100 requests an hour; `/api/metrics`
 * and below), `integration` (read, write; 1,000; `/api/data` and below) or `admin`
 * (read, write, delete, admin; 5,000; all endpoints).
 *
 * `out_template`: receives a handle. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT`
 * if there is no preset of that name.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_preset(const char *name,
                                         size_t name_len,
                                         struct keystile_template **out_template);

/**
 * Reads the name of a template, borrowed from it. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_name(const struct keystile_template *template_,
                                       struct keystile_str *out_name);

/**
 * Returns the permissions of a template, which it lends: do not free them. NULL for
 * NULL.
 */
const keystile_permissions *keystile_template_permissions(const struct keystile_template *template_);

/**
 * Returns the endpoint rules of a template, which it lends: do not free them. NULL if
 * it does not restrict endpoints, and for NULL.
 */
const keystile_endpoints *keystile_template_endpoints(const struct keystile_template *template_);

/**
 * Reads the rate limit of a template.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if there is none.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_rate_limit(const struct keystile_template *template_,
                                             struct keystile_rate_limit *out_rate_limit);

/**
 * Frees a template; NULL is allowed.
 */
void keystile_template_free(struct keystile_template *template_);

/**
 * Creates a record from the columns of a table.
 *
 * `parts`: copied, lists included. Its `struct_size` is
 * `sizeof(keystile_record_parts)`.
 * `out_record`: receives a handle; free it with `keystile_record_free`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RECORD` if fields are too long, or are not those of
 * one record; `KEYSTILE_ERROR_TIME` if an instant is out of range; `KEYSTILE_ERROR_VALUE` if not
 * exactly one of `expires_at` and `never_expires` is set; otherwise the error of the first field that
 * is not well formed.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_new(const struct keystile_record_parts *parts,
                                    struct keystile_record **out_record,
                                    struct keystile_error *out_error);

/**
 * Reads the fields of a record, for the columns of a table.
 *
 * `out_parts`: set its `struct_size` before the call. Receives the fields; texts and
 * lists are lent by the record and live until it is freed.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_parts_of(const struct keystile_record *record,
                                         struct keystile_record_parts *out_parts);

/**
 * Parses a record from the JSON text that `keystile_record_to_json`, or keystile in
 * another language, wrote.
 *
 * `out_record`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_JSON`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_from_json(const char *json,
                                          size_t json_len,
                                          struct keystile_record **out_record,
                                          struct keystile_error *out_error);

/**
 * Formats a record as one JSON text, for a store that keeps it whole. It contains the
 * digest.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask
 * for the length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_to_json(const struct keystile_record *record,
                                        char *buffer,
                                        size_t buffer_len,
                                        size_t *out_needed);

/**
 * Formats a record as JSON for display, without the digest.
 *
 * Arguments and result as for `keystile_record_to_json`, which is the form for stores.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_to_public_json(const struct keystile_record *record,
                                               char *buffer,
                                               size_t buffer_len,
                                               size_t *out_needed);

/**
 * Returns when a record's key ends: at its expiry or at the end of its overlap, whichever comes
 * first, in milliseconds since 1970. 0 if it does not end, and for NULL.
 */
uint64_t keystile_record_ends_at(const struct keystile_record *record);

/**
 * Checks whether a record's key is active, not expired and not past its overlap.
 *
 * `out_live`: receives the answer. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_is_live(const struct keystile_record *record,
                                        uint64_t now,
                                        bool *out_live);

/**
 * Checks whether a record's key may do no more than another: same owner and environment, no
 * additional permissions, endpoints or networks, no higher limits and no later end. The
 * statuses are not compared.
 *
 * `out_within`: receives the answer. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_is_within(const struct keystile_record *record,
                                          const struct keystile_record *source,
                                          bool *out_within);

/**
 * Reads the usage of a key that was never used. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_usage(const struct keystile_record *record,
                                      struct keystile_usage *out_usage);

/**
 * Frees a record; NULL is allowed. Do not free a record that another handle lent.
 */
void keystile_record_free(struct keystile_record *record);

/**
 * Reads the text of the new key, which only its owner may see: show it once and store
 * it nowhere. The change lends it, and wipes it when the change is freed.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if no key was created.
 */
KEYSTILE_MUST_USE
keystile_status keystile_change_key(const struct keystile_change *change,
                                    struct keystile_str *out_key);

/**
 * Returns the number of records that the store must write; 0 for NULL.
 */
size_t keystile_change_record_count(const struct keystile_change *change);

/**
 * Returns the record at an index, which the change lends: do not free it. The first is
 * the record of the new key if one was created, otherwise that of the changed key.
 *
 * NULL past the last one, and for NULL.
 */
const struct keystile_record *keystile_change_record_at(const struct keystile_change *change,
                                                        size_t index);

/**
 * Reads the event for the audit. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if
 * there is none.
 */
KEYSTILE_MUST_USE
keystile_status keystile_change_event(const struct keystile_change *change,
                                      struct keystile_event *out_event);

/**
 * Frees a change and wipes the key in it; NULL is allowed.
 */
void keystile_change_free(struct keystile_change *change);

/**
 * Returns the number of fields that the event of a change names: those that
 * `keystile_record_change` changed. 0 for any other change, and for NULL.
 */
size_t keystile_change_field_count(const struct keystile_change *change);

/**
 * Reads the changed field at an index, in the order of a record.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_change_field_at(const struct keystile_change *change,
                                         size_t index,
                                         struct keystile_field_change *out_field);

/**
 * Checks a text for the audit that an event does not have: who did something, or the address or
 * host that it was done from. Write it beside the event, in the same transaction; the tables of
 * keystile have the columns `actor` and `origin`.
 *
 * `actor`, `actor_len`: 1 to 255 bytes in UTF-8 without control or invisible characters, which
 * could forge a line of a log, and without a whole key.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_RECORD` or `KEYSTILE_ERROR_NOT_UTF8`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_actor_check(const char *actor,
                                     size_t actor_len,
                                     struct keystile_error *out_error);

/**
 * Issues a key.
 *
 * `peppers`: NULL for none.
 * `request`: what the key is to be; copied.
 * `random`, `random_len`: NULL and 0 for the randomness of the operating system.
 * Otherwise bytes from a cryptographic generator, which must be used only once; 512
 * are always enough. If there are too few, no key is issued.
 * `now`: milliseconds since 1970.
 * `out_change`: receives the key's text, its record and the event; free it with
 * `keystile_change_free`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RANDOMNESS`; `KEYSTILE_ERROR_EXCEEDS` if the
 * request exceeds the template; `KEYSTILE_ERROR_TIME`, also for a lifetime that the service
 * does not allow; otherwise the error of the field that is not well formed.
 */
KEYSTILE_MUST_USE
keystile_status keystile_issue(const struct keystile_format *format,
                               const struct keystile_peppers *peppers,
                               const struct keystile_issue_request *request,
                               const uint8_t *random,
                               size_t random_len,
                               uint64_t now,
                               struct keystile_change **out_change,
                               struct keystile_error *out_error);

/**
 * Issues a key on behalf of the holder of another key. The new key never grants more
 * than that one.
 *
 * Fields that the request does not set are copied from the source, except the
 * permissions: the new key gets only those that are requested. The owner and the
 * environment are always those of the source. The uses that it gets are to be taken off the
 * source's, which belong to its lineage: write both in one transaction.
 *
 * Arguments as for `keystile_issue`; `source` is the record of the other key.
 *
 * Returns as `keystile_issue`, or `KEYSTILE_ERROR_STATE` if the source is not live.
 */
KEYSTILE_MUST_USE
keystile_status keystile_delegate(const struct keystile_record *source,
                                  const struct keystile_format *format,
                                  const struct keystile_peppers *peppers,
                                  const struct keystile_issue_request *request,
                                  const uint8_t *random,
                                  size_t random_len,
                                  uint64_t now,
                                  struct keystile_change **out_change,
                                  struct keystile_error *out_error);

/**
 * Revokes a key for good: nothing makes it active again.
 *
 * `reason`, `reason_len`: for the audit, at most 255 bytes; may be empty.
 * `out_change`: receives the changed record and the event. After the store has
 * accepted it, call `keystile_keyring_invalidate`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is already revoked;
 * `KEYSTILE_ERROR_RECORD` if the reason is too long or not well formed;
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_revoke(const struct keystile_record *record,
                                const char *reason,
                                size_t reason_len,
                                uint64_t now,
                                struct keystile_change **out_change,
                                struct keystile_error *out_error);

/**
 * Suspends a key until it is resumed.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if it is not active, or
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_suspend(const struct keystile_record *record,
                                 uint64_t now,
                                 struct keystile_change **out_change,
                                 struct keystile_error *out_error);

/**
 * Resumes a suspended key. The suspension does not extend its lifetime.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if it is not suspended, or
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_resume(const struct keystile_record *record,
                                uint64_t now,
                                struct keystile_change **out_change,
                                struct keystile_error *out_error);

/**
 * Renews the digest of a key's record with the current pepper. Call it after a
 * decision with `needs_rehash`, while the key's text is at hand: if the change is
 * written later, only the change has to wait, which has no key text.
 *
 * `verifier`: the one that made the decision, for its formats and peppers.
 * `key`, `key_len`: the key's text as it was presented.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_INVALID_KEY` if the text is not a key;
 * `KEYSTILE_ERROR_STATE` if the key belongs to another record, or the digest is
 * current.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rehash(const struct keystile_verifier *verifier,
                                const struct keystile_record *record,
                                const char *key,
                                size_t key_len,
                                uint64_t now,
                                struct keystile_change **out_change,
                                struct keystile_error *out_error);

/**
 * Ends the overlap of a replaced key because its successor was used. Call it after a
 * decision with `ends_overlap_of`.
 *
 * `out_change`: receives both records: the ended one, and the successor, whose further
 * uses end no overlap. There is no event.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_STATE` if there is no overlap to end.
 */
KEYSTILE_MUST_USE
keystile_status keystile_end_overlap(const struct keystile_record *record,
                                     const struct keystile_record *successor,
                                     uint64_t now,
                                     struct keystile_change **out_change,
                                     struct keystile_error *out_error);

/**
 * Creates the event of a key that has expired; its record does not change.
 *
 * `out_event`: receives the event; it borrows nothing.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` if the key has not expired, or
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_expire(const struct keystile_record *record,
                                uint64_t now,
                                struct keystile_event *out_event,
                                struct keystile_error *out_error);

/**
 * Creates the event of a key that is removed from a store, with the version after its last.
 * Its row is then deleted in the same transaction, if the version is still that of the record.
 *
 * `out_event`: receives the event; it borrows nothing.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key has not ended: it is neither
 * revoked, nor expired, nor past its overlap; or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_delete(const struct keystile_record *record,
                                uint64_t now,
                                struct keystile_event *out_event,
                                struct keystile_error *out_error);

/**
 * Changes a key. Its text, its id and its status stay: a suspended key can be changed, and
 * stays suspended.
 *
 * `requested`: what is to be changed; copied.
 * `now`: milliseconds since 1970.
 * `out_change`: receives the changed record and the event, whose fields
 * `keystile_change_field_at` reads. A store writes the remaining uses only if `has_uses` or
 * `clear_uses` is set. After it has accepted the change, call `keystile_keyring_invalidate_at`
 * with the version of the changed record.
 *
 * The remaining uses belong to the lineage. If the event names `remaining_uses`, write for
 * each other live key of the lineage, in the same transaction, a version that is 1 higher and
 * an event `KEYSTILE_EVENT_CHANGED` with that version, and invalidate it at that version too.
 * Otherwise a process that has such a key in memory uses the number that it had before.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is revoked, expired or replaced,
 * if nothing would change, or if a permission to remove is not one of the key's or is still
 * granted by another; `KEYSTILE_ERROR_EXCEEDS` if the key would exceed its template;
 * `KEYSTILE_ERROR_VALUE` if a field is both set and cleared, a number has no flag, a flag is
 * neither 0 nor 1, or `reserved` is not 0; otherwise the error of the first field that is not
 * well formed: the rate limit, then the texts, the uses and the lifetime.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_change(const struct keystile_record *record,
                                       const struct keystile_key_change *requested,
                                       uint64_t now,
                                       struct keystile_change **out_change,
                                       struct keystile_error *out_error);

/**
 * Checks whether `keystile_record_change` would change a field of this key.
 *
 * `out_alters`: receives the answer. Returns as `keystile_record_change`, except that a
 * change of nothing is `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_record_would_change(const struct keystile_record *record,
                                             const struct keystile_key_change *requested,
                                             uint64_t now,
                                             bool *out_alters,
                                             struct keystile_error *out_error);

/**
 * Reads the default policy: rotation at 90 days of age, an overlap of 7 days, notices 14, 7
 * and 1 days ahead, and records of ended keys kept for 30 days.
 *
 * `out_policy`: set its `struct_size` before the call.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rotation_policy_default(struct keystile_rotation_policy *out_policy);

/**
 * Issues a successor of the same lineage and with the same rights.
 *
 * The old key ends with the overlap or at its own expiry, whichever is first. The
 * successor's lifetime starts at `now`.
 *
 * `siblings`, `siblings_len`: the other records of the lineage. If one of them is
 * still in its overlap, that ends now: at most two keys of a lineage are live at once.
 * `policy`: NULL for the default.
 * `format`, `peppers`, `random`, `random_len`: as for `keystile_issue`.
 * `out_change`: receives the successor's text, its record, the changed records and the
 * event.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` if the key is revoked, suspended,
 * expired or already replaced; `KEYSTILE_ERROR_RECORD` if a sibling belongs to another
 * lineage; otherwise as `keystile_issue`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rotate(const struct keystile_record *record,
                                const struct keystile_record *const *siblings,
                                size_t siblings_len,
                                const struct keystile_rotation_policy *policy,
                                const struct keystile_format *format,
                                const struct keystile_peppers *peppers,
                                const uint8_t *random,
                                size_t random_len,
                                uint64_t now,
                                struct keystile_change **out_change,
                                struct keystile_error *out_error);

/**
 * Lists the actions that are due at `now`, in the order of the records. The result
 * depends only on the arguments.
 *
 * `records`, `records_len`: the records.
 * `policy`: NULL for the default.
 * `items`, `items_len`: receives the actions; two for each record are always enough. May
 * be NULL and 0 to ask for their number.
 * `out_count`: receives the number of actions, also if the list is too short.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_BUFFER_TOO_SMALL` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_plan(const struct keystile_record *const *records,
                              size_t records_len,
                              const struct keystile_rotation_policy *policy,
                              uint64_t now,
                              struct keystile_plan_item *items,
                              size_t items_len,
                              size_t *out_count,
                              struct keystile_error *out_error);

/**
 * Creates an extractor.
 *
 * `verifier`: the formats of the keys, copied. A value that does not have the shape of one
 * of them is no key, but may be beside one. With NULL any visible text is a key.
 * `sources`: copied; NULL for the defaults.
 * `out_extractor`: receives a handle; free it with `keystile_credential_extractor_free`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_NAME` for a header or scheme that cannot carry a
 * key, such as `Cookie` or `Basic`, and for a ninth one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_credential_extractor_new(const struct keystile_verifier *verifier,
                                                  const struct keystile_credential_sources *sources,
                                                  struct keystile_credential_extractor **out_extractor,
                                                  struct keystile_error *out_error);

/**
 * Extracts the one credential from the headers of a request.
 *
 * The same key twice counts as one. An empty value counts as none. A value that does not have
 * the shape of a key is ignored beside one that does.
 *
 * Before a request is passed on, take off the fields that carried the key: those from which
 * this function, called with that field only, returns `KEYSTILE_OK`.
 *
 * `headers`, `headers_len`: all header fields of the request, or at least those that
 * may carry a key. Include repeated fields.
 * `out_decision`: receives the refusal, for `keystile_respond`, if there is one. May
 * be NULL.
 * `out_credential`: receives the bytes if there is exactly one credential, otherwise zeros.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_MISSING_CREDENTIAL`;
 * `KEYSTILE_DENIED_CONFLICTING_CREDENTIALS` for two different ones;
 * `KEYSTILE_DENIED_INVALID_KEY` if no value has the shape of a key. Then the decision's
 * cause is `KEYSTILE_CAUSE_ALIEN` if they all came in `Authorization`, which may carry other
 * tokens: do not count that as a guess.
 */
KEYSTILE_MUST_USE
keystile_status keystile_credential_extract(const struct keystile_credential_extractor *extractor,
                                            const struct keystile_header *headers,
                                            size_t headers_len,
                                            struct keystile_decision *out_decision,
                                            struct keystile_credential *out_credential);

/**
 * Overwrites a credential with zeros; the compiler cannot remove this. NULL is
 * allowed.
 */
void keystile_credential_wipe(struct keystile_credential *credential);

/**
 * Frees an extractor; NULL is allowed.
 */
void keystile_credential_extractor_free(struct keystile_credential_extractor *extractor);

/**
 * Makes a refusal without a key, for example because the store is unavailable.
 *
 * `cause`: a `keystile_cause`.
 * `out_decision`: receives the refusal, for `keystile_respond`.
 *
 * Returns the refusal's `KEYSTILE_DENIED_` status, or `KEYSTILE_ERROR_VALUE` if the
 * number is not a `keystile_cause`; never `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_refuse(uint32_t cause,
                                struct keystile_decision *out_decision);

/**
 * Reads the missing permission at an index; borrowed from the requirement.
 *
 * `requirement`: the one that the request was checked against.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_decision_missing_at(const struct keystile_decision *decision,
                                             const struct keystile_requirement *requirement,
                                             size_t index,
                                             struct keystile_str *out_permission);

/**
 * Creates a verifier for keys of one format.
 *
 * `format`: copied.
 * `peppers`: those that digests are verified with; NULL for none; copied.
 * `out_verifier`: receives a handle; free it with `keystile_verifier_free`.
 *
 * Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_verifier_new(const struct keystile_format *format,
                                      const struct keystile_peppers *peppers,
                                      struct keystile_verifier **out_verifier);

/**
 * Copies a verifier; the copy accepts keys of a further format too.
 *
 * `out_verifier`: receives a new handle; `verifier` does not change. Returns
 * `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_verifier_with_format(const struct keystile_verifier *verifier,
                                              const struct keystile_format *format,
                                              struct keystile_verifier **out_verifier);

/**
 * Decides about a presented key by its record. The returned status is the decision,
 * and there is no other: the request may go on only if it is `KEYSTILE_OK`.
 *
 * `key`, `key_len`: the bytes as they were presented, of any length and content.
 * `record`: the result of a lookup by `keystile_key_lookup`; NULL if it found none.
 * `request`: what the caller wants to do.
 * `usage`: in: what the lineage has spent; out: what it has spent after this request.
 * Changed only if the request is allowed. Write it back with compare-and-set, so that
 * two decisions cannot spend the same use. For a record that counts its uses,
 * `has_remaining_uses` must be 1, also if none are left; see `keystile_record_usage`.
 * `now`: milliseconds since 1970.
 * `out_decision`: receives the details of an allow or a refusal. May be NULL.
 *
 * Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, or an error, which does not
 * allow the request either; `KEYSTILE_ERROR_VALUE` if the usage does not count what the
 * record does.
 */
KEYSTILE_MUST_USE
keystile_status keystile_verify(const struct keystile_verifier *verifier,
                                const char *key,
                                size_t key_len,
                                const struct keystile_record *record,
                                const struct keystile_request *request,
                                struct keystile_usage *usage,
                                uint64_t now,
                                struct keystile_decision *out_decision);

/**
 * Frees a verifier; NULL is allowed.
 */
void keystile_verifier_free(struct keystile_verifier *verifier);

/**
 * Explains the decision that a request with a record's key would get, without the key's
 * text. The secret is taken as verified; all other checks are those of
 * `keystile_verify`. Nothing is spent.
 *
 * The explanation is for people who may read the record: it tells more than a refusal
 * does. It has no part of a key or a digest.
 *
 * `verifier`: its peppers tell whether the record's digest can be verified.
 * `record`: the key's record.
 * `request`: what the caller wants to do.
 * `usage`: what the lineage has spent; it does not change.
 * `now`: milliseconds since 1970.
 * `buffer`, `buffer_len`: receives a JSON object, without a NUL: `decision` (`allow` or
 * `deny`), `code` (the name of the refusal, or null), `refused_by` (the name of the first
 * check that refuses, or null) and `checks`, in order, each with `check`, `passes`,
 * `code` and `compared` (the values of both sides, a sentence for people). May be NULL
 * and 0 to ask for the length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK`, for an explained refusal too, or
 * `KEYSTILE_ERROR_BUFFER_TOO_SMALL`; `KEYSTILE_ERROR_STRUCT_SIZE`, `KEYSTILE_ERROR_TIME`,
 * or the error of a field of the request.
 */
KEYSTILE_MUST_USE
keystile_status keystile_explain(const struct keystile_verifier *verifier,
                                 const struct keystile_record *record,
                                 const struct keystile_request *request,
                                 const struct keystile_usage *usage,
                                 uint64_t now,
                                 char *buffer,
                                 size_t buffer_len,
                                 size_t *out_needed);

/**
 * Creates a keyring for the keys that a verifier accepts.
 *
 * `verifier`: copied.
 * `options`: NULL for the defaults.
 * `out_keyring`: receives a handle; free it with `keystile_keyring_free`.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` if an option is out of its range,
 * `KEYSTILE_ERROR_NULL_POINTER` if only one of the two callbacks is set, or
 * `KEYSTILE_ERROR_RANDOMNESS`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_new(const struct keystile_verifier *verifier,
                                     const struct keystile_keyring_options *options,
                                     struct keystile_keyring **out_keyring,
                                     struct keystile_error *out_error);

/**
 * Decides by a cached record, or returns which record to fetch. The returned status is
 * the decision: the request may go on only if it is `KEYSTILE_OK`. An allow allocates
 * nothing and takes no lock.
 *
 * `key`, `key_len`: the bytes as they were presented, of any length and content.
 * `request`: what the caller wants to do.
 * `now`: milliseconds since 1970. Read the clock once for check and admit.
 * `out_decision`: receives the details of an allow or a refusal. May be NULL.
 * `out_value`: receives, with `KEYSTILE_OK` only, the value that was admitted with the very
 * record that was judged; NULL if there is none, and with every other status. The caller gets its own reference, and
 * releases it once, on any thread. May be NULL: then the value is not handed out.
 * `out_ticket`: receives what to fetch or to take, only with `KEYSTILE_NEEDS_RECORD` and
 * `KEYSTILE_NEEDS_TOKENS`.
 *
 * Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, `KEYSTILE_NEEDS_RECORD`,
 * `KEYSTILE_NEEDS_TOKENS`, or an error, which does not allow the request either.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_check(const struct keystile_keyring *keyring,
                                       const char *key,
                                       size_t key_len,
                                       const struct keystile_request *request,
                                       uint64_t now,
                                       struct keystile_decision *out_decision,
                                       void **out_value,
                                       struct keystile_ticket *out_ticket);

/**
 * Returns what to ask the store for, lent by the ticket; NULL for NULL.
 */
const struct keystile_lookup *keystile_ticket_lookup(const struct keystile_ticket *ticket);

/**
 * Decides by the record that was fetched for a ticket, and caches it.
 *
 * If an invalidation overtook the fetch, or the record is older than one that was
 * seen, this returns another ticket: fetch again. Give up after some rounds and refuse
 * with `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
 *
 * `ticket`: from a check of the same key and request by this keyring. May be the same
 * struct as `out_ticket`.
 * `key`, `key_len`, `request`, `now`: as for the check.
 * `record`: what the store has now; NULL if it has none.
 * `usage`: what the lineage has spent, as the store has it, so that a limit survives a
 * restart; its rate state is by the clock of `now`, see `keystile_rate_state_move`. NULL if
 * the store knows of none. Not used without a record.
 * `value`: what later checks by this record hand out, or NULL. The keyring adds its own
 * reference, and never looks at the value. Not used without a record.
 * `out_decision`, `out_value`, `out_ticket`: as for the check.
 *
 * Returns as `keystile_keyring_check`, and `KEYSTILE_ERROR_NULL_POINTER` for a value if the
 * keyring was made without callbacks.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_admit(const struct keystile_keyring *keyring,
                                       const struct keystile_ticket *ticket,
                                       const char *key,
                                       size_t key_len,
                                       const struct keystile_request *request,
                                       const struct keystile_record *record,
                                       const struct keystile_usage *usage,
                                       void *value,
                                       uint64_t now,
                                       struct keystile_decision *out_decision,
                                       void **out_value,
                                       struct keystile_ticket *out_ticket);

/**
 * Looks up the value of a cached record without a decision, as long as a check of the key
 * would be decided by that record; the key may be in any state. This is not counted as a
 * use of the key, and does not prove who asks.
 *
 * `now`: as for the check.
 * `out_value`: receives the value, or NULL if no such record is cached or it has none. The
 * caller gets its own reference, and releases it once, on any thread. NULL after an error.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_KEY_ID` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_value(const struct keystile_keyring *keyring,
                                       const struct keystile_id *key_id,
                                       uint64_t now,
                                       void **out_value);

/**
 * Invalidates the cached record of a key, and fetches of it in progress. After this
 * has returned, no later call decides by an older record. Call it after each change
 * that the store has accepted, and after issuing.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_invalidate(const struct keystile_keyring *keyring,
                                            const struct keystile_id *key_id);

/**
 * As `keystile_keyring_invalidate`, and no version before this one is admitted from now on:
 * also if the key was not cached, and the next fetch is answered by a replica that lags.
 * Call it with the version of the record that the store has accepted. The latest 65,536
 * versions are remembered; `versions_lost` counts those that were forgotten too early.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_invalidate_at(const struct keystile_keyring *keyring,
                                               const struct keystile_id *key_id,
                                               uint64_t version);

/**
 * Invalidates the cached records of all keys of an owner. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_invalidate_owner(const struct keystile_keyring *keyring,
                                                  const char *owner,
                                                  size_t owner_len);

/**
 * Invalidates all cached records. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_invalidate_all(const struct keystile_keyring *keyring);

/**
 * Invalidates all cached records and forgets which versions were seen. Call it after
 * the store was restored from a backup: its records are older than the cached ones, so
 * `keystile_keyring_admit` would take them for those of a replica that lags, and ask
 * for them again and again. Revocations that the backup does not have are forgotten
 * too. Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_reset(const struct keystile_keyring *keyring);

/**
 * Reads the counters.
 *
 * `out_stats`: set its `struct_size` before the call. Returns `KEYSTILE_OK` or
 * `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_stats_of(const struct keystile_keyring *keyring,
                                          struct keystile_keyring_stats *out_stats);

/**
 * Frees a keyring, which no other thread may be using; NULL is allowed. Uses that were
 * not drained are lost. Values that it keeps are released; those that were handed out stay
 * valid until the caller releases them.
 *
 * In a child of the process that made the keyring this does nothing: the child's copy of the
 * memory, and the values in it, stay until the child ends or calls `exec`.
 */
void keystile_keyring_free(struct keystile_keyring *keyring);

/**
 * Decides about a request, and fetches the record by a function of the caller's if it is not
 * cached: `keystile_keyring_check` and as many `keystile_keyring_admit` as it takes, at most 8.
 * The returned status is the decision: the request may go on only if it is `KEYSTILE_OK`.
 *
 * `key`, `key_len`, `request`, `now`, `out_decision`: as for `keystile_keyring_check`.
 * `fetch`: is called only if the record is needed.
 * `context`: is passed to `fetch`; may be NULL.
 *
 * Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, or an error, which does not allow the
 * request either. If `fetch` returns `KEYSTILE_DENIED_RECORD_DAMAGED`, this is the refusal;
 * if it returns any other status but `KEYSTILE_OK`, if its usage has a value without its flag,
 * a flag other than 0 and 1 or no count for a record that counts its uses, or if invalidations overtake all fetches, the request is
 * refused with `KEYSTILE_DENIED_STORE_UNAVAILABLE`. Neither is cached. There are at most eight
 * fetches, with a pause of 5 ms before the third and each later one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_decide(const struct keystile_keyring *keyring,
                                        const char *key,
                                        size_t key_len,
                                        const struct keystile_request *request,
                                        uint64_t now,
                                        keystile_fetch fetch,
                                        void *context,
                                        struct keystile_decision *out_decision);

/**
 * As `keystile_keyring_decide`, by a keyring with `lease_millis`: tokens are taken by a function
 * of the caller's too.
 *
 * `take`: is called only if a token is needed, at most 8 times.
 * `context`: is passed to `fetch` and `take`; may be NULL.
 *
 * Returns as `keystile_keyring_decide`. While `take` does not answer, the share of this process
 * decides, see `lease_share`; without one, the request is refused with
 * `KEYSTILE_DENIED_STORE_UNAVAILABLE`. So it is by `keystile_keyring_decide`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_decide_shared(const struct keystile_keyring *keyring,
                                               const char *key,
                                               size_t key_len,
                                               const struct keystile_request *request,
                                               uint64_t now,
                                               keystile_fetch fetch,
                                               keystile_take take,
                                               void *context,
                                               struct keystile_decision *out_decision);

/**
 * Drains the uses since the last call. Each is returned only once: call this every few
 * seconds, and once before the program ends; every key that was used since is named.
 *
 * `out_uses`: receives a handle; free it with `keystile_uses_free`. Returns
 * `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_drain_uses(const struct keystile_keyring *keyring,
                                            struct keystile_uses **out_uses);

/**
 * Reads what the lineage of a record's key has spent as the next decision of a keyring would
 * see it, for `keystile_explain`: what the store has, or what the keyring has counted if that
 * is more, since the store has what was drained and written, and so may be behind. Nothing is
 * spent.
 *
 * A state that another limit left counts as one full burst of the record's limit at most.
 *
 * `usage`: what the store has; its rate state is by the clock of `now`, see
 * `keystile_rate_state_move`. NULL if it knows of none.
 * `now`: milliseconds since 1970.
 * `out_usage`: receives the usage by the same clock; another struct than `usage`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_usage(const struct keystile_keyring *keyring,
                                       const struct keystile_record *record,
                                       const struct keystile_usage *usage,
                                       uint64_t now,
                                       struct keystile_usage *out_usage);

/**
 * Returns the number of keys that were used; 0 for NULL.
 */
size_t keystile_uses_count(const struct keystile_uses *uses);

/**
 * Reads the uses of the key at an index. Returns `KEYSTILE_OK`, or
 * `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_uses_at(const struct keystile_uses *uses,
                                 size_t index,
                                 struct keystile_use *out_use);

/**
 * Frees uses; NULL is allowed.
 */
void keystile_uses_free(struct keystile_uses *uses);

/**
 * Reads what to take for a ticket that came with `KEYSTILE_NEEDS_TOKENS`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if the ticket is one for a record.
 */
KEYSTILE_MUST_USE
keystile_status keystile_ticket_tokens(const struct keystile_ticket *ticket,
                                       struct keystile_token_request *out_tokens);

/**
 * Decides a check that needed tokens, with what was taken for it. The request itself has the
 * first of them, and later requests of the key have the others.
 *
 * The request is judged again: if the key was changed meanwhile, this is a refusal or returns
 * another ticket, and the tokens are kept for later requests or are to be given back. Give up
 * after some rounds and refuse with `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
 *
 * `ticket`: from a check of the same key and request by this keyring, with
 * `KEYSTILE_NEEDS_TOKENS`. May be the same struct as `out_ticket`.
 * `key`, `key_len`, `request`, `now`, `out_decision`, `out_value`, `out_ticket`: as for
 * `keystile_keyring_check`.
 *
 * Returns as `keystile_keyring_check`, `KEYSTILE_ERROR_ABSENT` for a ticket for a record,
 * `KEYSTILE_ERROR_VALUE` for a grant that is degraded and has tokens, a state or times, and
 * `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_grant(const struct keystile_keyring *keyring,
                                       const struct keystile_ticket *ticket,
                                       const char *key,
                                       size_t key_len,
                                       const struct keystile_request *request,
                                       const struct keystile_grant *grant,
                                       uint64_t now,
                                       struct keystile_decision *out_decision,
                                       void **out_value,
                                       struct keystile_ticket *out_ticket);

/**
 * Takes the tokens whose time is over, and those of keys that were evicted or have another limit
 * now, each once and 1,024 entries at most: call it again if there are as many. Call it eight
 * times in each length of a lease. Give them back to the limits, each at most once: do not
 * repeat a call that failed.
 *
 * `now`: milliseconds since 1970; 0 takes all that are left, usable or not, before the
 * program ends.
 * `out_rest`: receives a handle; free it with `keystile_rest_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_rest(const struct keystile_keyring *keyring,
                                      uint64_t now,
                                      struct keystile_rest **out_rest);

/**
 * Returns the number of entries; 0 for NULL.
 */
size_t keystile_rest_count(const struct keystile_rest *rest);

/**
 * Reads the tokens at an index. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rest_at(const struct keystile_rest *rest,
                                 size_t index,
                                 struct keystile_unused_tokens *out_unused);

/**
 * Frees what `keystile_keyring_rest` returned; NULL is allowed.
 */
void keystile_rest_free(struct keystile_rest *rest);

/**
 * Creates the response to a refusal or, for an allowed request, the header fields to
 * add to your own response: what is left of the rate limit, and that the key is being
 * replaced.
 *
 * `decision`: as a function of this library wrote it.
 * `policy`: a `keystile_status_policy`.
 * `fields`: a `keystile_rate_limit_fields`.
 * `requirement`: the one that the request was checked against, to name what is
 * missing; may be NULL.
 * `extractor`: the one that reads the key: `www-authenticate` of a 401 names its sources. With
 * NULL it names the default ones.
 * `now`: milliseconds since 1970.
 * `out_response`: receives a handle; free it with `keystile_response_free`.
 *
 * Returns `KEYSTILE_OK`, also for a zeroed decision: its response is that of
 * `KEYSTILE_CAUSE_STORE_UNAVAILABLE`. `KEYSTILE_ERROR_VALUE` if no function wrote the decision, or
 * if `policy` is not a `keystile_status_policy` or `fields` not a
 * `keystile_rate_limit_fields`; `KEYSTILE_ERROR_TIME`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_respond(const struct keystile_decision *decision,
                                 uint32_t policy,
                                 uint32_t fields,
                                 const struct keystile_requirement *requirement,
                                 const struct keystile_credential_extractor *extractor,
                                 uint64_t now,
                                 struct keystile_response **out_response);

/**
 * Returns the HTTP status of a response; 200 for an allowed request; 500 for NULL.
 */
uint16_t keystile_response_status(const struct keystile_response *response);

/**
 * Returns the number of header fields; 0 for NULL.
 */
size_t keystile_response_header_count(const struct keystile_response *response);

/**
 * Reads the header field at an index; its name is in lower case. Both texts are
 * borrowed from the response.
 *
 * Each text is followed by a NUL that its length does not count.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_response_header_at(const struct keystile_response *response,
                                            size_t index,
                                            struct keystile_str *out_name,
                                            struct keystile_str *out_value);

/**
 * Reads the body, borrowed from the response; empty for an allowed request. It is a
 * JSON object with `error`, `message` and `code`, and with `missing` if permissions
 * are missing.
 *
 * Returns `KEYSTILE_OK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_response_body(const struct keystile_response *response,
                                       struct keystile_str *out_body);

/**
 * Frees a response; NULL is allowed.
 */
void keystile_response_free(struct keystile_response *response);

/**
 * Returns the word of a `keystile_event_kind`, such as `revoked`, for a column of a table. It is
 * static and ends in NUL; `unknown` for another number.
 */
const char *keystile_event_kind_name(uint32_t kind);

/**
 * Finds the `keystile_event_kind` of a word.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` if this version has no such kind.
 */
KEYSTILE_MUST_USE
keystile_status keystile_event_kind_parse(const char *name,
                                          size_t name_len,
                                          uint32_t *out_kind);

/**
 * Returns the word of a `keystile_state`: `active`, `suspended` or `revoked`. It is static and ends
 * in NUL; `unknown` for another number.
 */
const char *keystile_state_name(uint32_t state);

/**
 * Reads the HTTP status of a refusal by its `keystile_cause`, without a decision.
 *
 * `policy`: a `keystile_status_policy`.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` if a number is not one of its enumeration.
 */
KEYSTILE_MUST_USE
keystile_status keystile_cause_http_status(uint32_t cause,
                                           uint32_t policy,
                                           uint16_t *out_status);

/**
 * Reads the name of the preset of templates at an index, for `keystile_template_preset`. It is
 * static.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_preset_name_at(size_t index,
                                                 struct keystile_str *out_name);

/**
 * Makes a random key id, such as for a record of a key that was issued elsewhere.
 *
 * `random`, `random_len`: as for `keystile_issue`; 64 bytes are always enough.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_RANDOMNESS`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_id_random(const uint8_t *random,
                                   size_t random_len,
                                   struct keystile_id *out_id,
                                   struct keystile_error *out_error);

/**
 * Formats a template as JSON, as the other languages read it.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for the
 * length.
 * `out_needed`: receives the length of the text, also if the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_to_json(const struct keystile_template *template_,
                                          char *buffer,
                                          size_t buffer_len,
                                          size_t *out_needed);

/**
 * Parses a template from the JSON text that `keystile_template_to_json`, or keystile in another
 * language, wrote.
 *
 * `out_template`: receives a handle; free it with `keystile_template_free`. Returns `KEYSTILE_OK`
 * or `KEYSTILE_ERROR_JSON`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_template_from_json(const char *json,
                                            size_t json_len,
                                            struct keystile_template **out_template,
                                            struct keystile_error *out_error);

/**
 * Formats a rate limit as JSON. Arguments and result as for `keystile_template_to_json`;
 * `KEYSTILE_ERROR_LIMIT` if it is not well formed.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_to_json(const struct keystile_rate_limit *limit,
                                            char *buffer,
                                            size_t buffer_len,
                                            size_t *out_needed);

/**
 * Parses a rate limit from its JSON. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_JSON`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rate_limit_from_json(const char *json,
                                              size_t json_len,
                                              struct keystile_rate_limit *out_limit,
                                              struct keystile_error *out_error);

/**
 * Formats a rotation policy as JSON, without what belongs to a single rotation: a lifetime, a latest
 * end and the lifetimes of the service.
 *
 * `policy`: NULL for the default. The other arguments and the result as for
 * `keystile_template_to_json`; otherwise the error of the field that is not well formed.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rotation_policy_to_json(const struct keystile_rotation_policy *policy,
                                                 char *buffer,
                                                 size_t buffer_len,
                                                 size_t *out_needed,
                                                 struct keystile_error *out_error);

/**
 * Parses a rotation policy from its JSON.
 *
 * `out_policy`: set its `struct_size` before the call.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_JSON`, also for more than 8 lead times; or
 * `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_rotation_policy_from_json(const char *json,
                                                   size_t json_len,
                                                   struct keystile_rotation_policy *out_policy,
                                                   struct keystile_error *out_error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KEYSTILE_H */
