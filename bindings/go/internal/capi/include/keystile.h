/*
 * keystile: the API-key core that any service can embed.
 *
 * A caller brings bytes, a record and the time; keystile answers with a decision. It
 * issues keys, recognises them, decides what they may do, and ends them. It opens no
 * socket, reads no clock and keeps no store.
 *
 * CONVENTIONS, which hold for every function here:
 *
 * Status. A function returns a keystile_status: 0 (KEYSTILE_OK) is done or allowed, and
 *   everything else is not. A function that judges has no second channel: nothing but its
 *   status says whether a request may go on. Numbers are never reused.
 * Pointers. A pointer that is not NULL points to as many values as the length behind it
 *   says; they live and stay unchanged until the call returns. Nothing that is passed in
 *   is kept: what has to last is copied. NULL where it is not allowed for comes back as
 *   KEYSTILE_ERROR_NULL_POINTER; NULL with the length 0 is an empty text or list.
 * Texts. A text is a pointer and a length in bytes. It is UTF-8 and need not end in NUL.
 *   Texts that are returned end in NUL only where that is said.
 * Outputs. Parameters named out_ are written only on success, which includes a decision;
 *   the length that a buffer needs is written where the buffer is too small, too. No two
 *   outputs overlap, nor do an output and an argument, unless that is said.
 * Handles. A handle that an output receives is yours, and is freed once, with its own
 *   function; freeing NULL does nothing. It never changes after it was made. What is lent
 *   or borrowed from a handle lives until that handle is freed.
 * Structs. One that begins with struct_size is set to zero, then gets its own size in
 *   that field; later versions append fields to it. All other structs never change.
 * Optional fields. What is optional is left at zero. An id of zeros and a text whose data
 *   is NULL are none. Flags are 0 or 1.
 * Time. Instants are milliseconds since 1970, between the years 1973 and 9999; so a count
 *   of seconds is refused. The library never reads a clock.
 * Threads. Every function may be called from any thread at any time. Handles may be used
 *   by several threads at once; only freeing one needs that no other thread uses it.
 *   No function waits for I/O or calls back.
 * Panics. A bug inside is caught and comes back as KEYSTILE_ERROR_PANIC. Where memory
 *   runs out, the process ends, as any Rust program does.
 * Secrets. A key's text leaves only through keystile_change_key. Nothing else that is
 *   returned, printed or written holds any of it.
 *
 * This file is C99 and C++11. It is generated; see `cargo xtask header`.
 */

#ifndef KEYSTILE_H
#define KEYSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Warns where a status is not looked at: an ignored refusal guards nothing. */
#if defined(__GNUC__) || defined(__clang__)
#define KEYSTILE_MUST_USE __attribute__((warn_unused_result))
#else
#define KEYSTILE_MUST_USE
#endif

/* Lent by records and templates as well, and so declared by hand. */
typedef struct keystile_permissions keystile_permissions;
typedef struct keystile_endpoints keystile_endpoints;
typedef struct keystile_networks keystile_networks;

/**
 * The number of the ABI that this header describes. A library of another number is not
 * the one that a program was compiled for; compare it with `keystile_abi_version`.
 */
#define KEYSTILE_ABI_VERSION 1

/**
 * How many digests a look-up holds at most.
 */
#define KEYSTILE_LOOKUP_DIGESTS_MAX 9

/**
 * Most lead times of notices in a policy.
 */
#define KEYSTILE_NOTICE_LEADS_MAX 8

/**
 * Longest credential in bytes.
 */
#define KEYSTILE_CREDENTIAL_BYTES_MAX 256

/**
 * Stands for no time at all, where 0 stands for the default.
 */
#define KEYSTILE_DURATION_NONE UINT64_MAX

/**
 * What a call came to. The numbers never change their meaning; later versions append.
 *
 * 0: done, or the request is allowed. 1 to 99: not decided yet. 100 to 199: the request
 * is refused. 200 to 299: the call could not be done, with these values or at this
 * time. 300 and above: the call itself was wrong.
 */
enum keystile_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done. From a function that judges: the request may go on.
     */
    KEYSTILE_OK = 0,
    /**
     * The keyring has no record of the key: fetch it and call `keystile_keyring_admit`.
     */
    KEYSTILE_NEEDS_RECORD = 1,
    /**
     * No credential was presented.
     */
    KEYSTILE_DENIED_MISSING_CREDENTIAL = 100,
    /**
     * Two different credentials were presented.
     */
    KEYSTILE_DENIED_CONFLICTING_CREDENTIALS = 101,
    /**
     * The credential is malformed, unknown or wrong; which of them is not told.
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
     * The peer's address is not within the key's networks.
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
     * The key lacks a permission.
     */
    KEYSTILE_DENIED_PERMISSION = 111,
    /**
     * The rate limit is spent.
     */
    KEYSTILE_DENIED_RATE_LIMITED = 112,
    /**
     * The count of uses is spent.
     */
    KEYSTILE_DENIED_USES_SPENT = 113,
    /**
     * The store could not be asked.
     */
    KEYSTILE_DENIED_STORE_UNAVAILABLE = 114,
    /**
     * Refused for a reason that this version has no number for.
     */
    KEYSTILE_DENIED = 199,
    /**
     * A prefix, environment, template or header name is not spelled as one.
     */
    KEYSTILE_ERROR_NAME = 200,
    /**
     * A key format cannot be put together so.
     */
    KEYSTILE_ERROR_FORMAT = 201,
    /**
     * A text is no key id.
     */
    KEYSTILE_ERROR_KEY_ID = 202,
    /**
     * A digest or pepper is not well formed.
     */
    KEYSTILE_ERROR_DIGEST = 203,
    /**
     * A permission or requirement is not spelled as one, or there are too many.
     */
    KEYSTILE_ERROR_PERMISSION = 204,
    /**
     * An endpoint rule is not spelled as one, or there are too many.
     */
    KEYSTILE_ERROR_ENDPOINT = 205,
    /**
     * A network or address is not spelled as one, or there are too many.
     */
    KEYSTILE_ERROR_NETWORK = 206,
    /**
     * A rate limit, count of uses or capacity is out of its range.
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
     * The key is in no state to do that with it.
     */
    KEYSTILE_ERROR_STATE = 210,
    /**
     * More is asked for than the template or the source key holds.
     */
    KEYSTILE_ERROR_EXCEEDS = 211,
    /**
     * The source of randomness failed, or the buffer of random bytes was too short.
     */
    KEYSTILE_ERROR_RANDOMNESS = 212,
    /**
     * The text is not the JSON that was expected.
     */
    KEYSTILE_ERROR_JSON = 213,
    /**
     * An error that this version has no number for.
     */
    KEYSTILE_ERROR_OTHER = 299,
    /**
     * An argument that may not be NULL was NULL.
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
     * A number is none of those that stand for something, or a decision was never given.
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
     * There is no such part.
     */
    KEYSTILE_ERROR_ABSENT = 307,
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
enum keystile_digest_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * SHA-256 of the whole key text.
     */
    KEYSTILE_DIGEST_SHA256 = 1,
    /**
     * HMAC-SHA-256 of it under a pepper.
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
 * What a text turned out to be.
 */
enum keystile_finding
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Spelled as a key of the format. Whether it was ever issued, only a store knows.
     */
    KEYSTILE_FINDING_WELL_FORMED = 1,
    /**
     * Right in shape, and its check is wrong.
     */
    KEYSTILE_FINDING_WRONG_CHECKSUM = 2,
    /**
     * A key once white space, quotes or a scheme around it are taken off.
     */
    KEYSTILE_FINDING_WRAPPED = 3,
    /**
     * Begins like a key of the format, and breaks off or runs on.
     */
    KEYSTILE_FINDING_WRONG_LENGTH = 4,
    /**
     * Begins like a key of the format, and has characters that no key has.
     */
    KEYSTILE_FINDING_WRONG_CHARACTER = 5,
    /**
     * Not a key of this format.
     */
    KEYSTILE_FINDING_FOREIGN = 6,
    /**
     * Nothing at all.
     */
    KEYSTILE_FINDING_EMPTY = 7,
    /**
     * A finding that this version has no number for.
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
 * Whether a key may be used at all.
 */
enum keystile_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It may.
     */
    KEYSTILE_STATE_ACTIVE = 1,
    /**
     * Not now: it can be resumed.
     */
    KEYSTILE_STATE_SUSPENDED = 2,
    /**
     * Never again.
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
enum keystile_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
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
     * A key has come to its end by time.
     */
    KEYSTILE_EVENT_EXPIRED = 6,
    /**
     * A key's digest was made anew under the current pepper.
     */
    KEYSTILE_EVENT_REHASHED = 7,
    /**
     * A key that was issued elsewhere was taken in.
     */
    KEYSTILE_EVENT_IMPORTED = 8,
    /**
     * An event that this version has no number for.
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
 * What is due for a key.
 */
enum keystile_due_action
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Its owner should know that it ends: one notice for each pair of key and lead.
     */
    KEYSTILE_DUE_NOTICE = 1,
    /**
     * It should be rotated.
     */
    KEYSTILE_DUE_ROTATE = 2,
    /**
     * It has ended, and its record need not be kept any longer.
     */
    KEYSTILE_DUE_CLEAN_UP = 3,
    /**
     * Something that this version has no number for.
     */
    KEYSTILE_DUE_OTHER = 99,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_due_action keystile_due_action;
#else
typedef uint32_t keystile_due_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What kind of decision it is. Zeroed memory is none of them.
 */
enum keystile_decision_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The request may go on.
     */
    KEYSTILE_DECISION_ALLOWED = 1263730689,
    /**
     * It may not.
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
 * Why a request was refused, in the detail that only an audit may see.
 */
enum keystile_cause
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
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
     * The text is no key: its shape or its check is wrong.
     */
    KEYSTILE_CAUSE_MALFORMED = 3,
    /**
     * No record was found for it.
     */
    KEYSTILE_CAUSE_UNKNOWN_KEY = 4,
    /**
     * A record was found, and the secret is not its.
     */
    KEYSTILE_CAUSE_WRONG_SECRET = 5,
    /**
     * The record's digest was made under a pepper that the ring does not hold.
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
     * The key lacks a permission.
     */
    KEYSTILE_CAUSE_PERMISSION = 15,
    /**
     * The rate limit is spent.
     */
    KEYSTILE_CAUSE_RATE_LIMIT = 16,
    /**
     * The count of uses is spent.
     */
    KEYSTILE_CAUSE_USES_SPENT = 17,
    /**
     * The store could not be asked.
     */
    KEYSTILE_CAUSE_STORE_UNAVAILABLE = 18,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum keystile_cause keystile_cause;
#else
typedef uint32_t keystile_cause;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which status a refusal is answered with.
 */
enum keystile_status_policy
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * As RFC 9110 has it: 401 for a key that is not valid, 403 for one that may not.
     */
    KEYSTILE_STATUS_POLICY_RFC9110 = 0,
    /**
     * As the well-known Express recipe has it: 403 for an unknown or ended key.
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
 * What issuing, rotating, revoking and the other verbs come to. Handle; it never changes,
 * and threads may share it.
 *
 * A store writes all of its records or none: a record of version 1 is new, any other is
 * accepted only over the version before it.
 */
typedef struct keystile_change keystile_change;

/**
 * Which headers carry a credential. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_credential_rules keystile_credential_rules;

/**
 * How a service's keys are spelled. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_format keystile_format;

/**
 * An in-process verifier for many threads: it keeps the records of keys that were proved,
 * judges each request anew by them, and asks for a record when it has none. Handle; all
 * its functions but `keystile_keyring_free` may be called by any threads at once.
 */
typedef struct keystile_keyring keystile_keyring;

/**
 * A current pepper and retired ones. Handle; it never changes, and threads may share it.
 * Where a function takes one, NULL means no pepper.
 */
typedef struct keystile_peppers keystile_peppers;

/**
 * What a store keeps about a key; never the key. Handle; it never changes, and threads
 * may share it.
 */
typedef struct keystile_record keystile_record;

/**
 * What a route asks: permissions joined by AND, OR and parentheses. Handle; it never
 * changes, and threads may share it. Make each route's once, at the start.
 */
typedef struct keystile_requirement keystile_requirement;

/**
 * A status, header fields and a JSON body. Handle; it never changes, and threads may
 * share it.
 */
typedef struct keystile_response keystile_response;

/**
 * A name for permissions, a rate limit and endpoint rules. Handle; it never changes, and
 * threads may share it.
 */
typedef struct keystile_template keystile_template;

/**
 * Uses that were drained from a keyring. Handle; it never changes, and threads may share
 * it.
 */
typedef struct keystile_uses keystile_uses;

/**
 * Which keys a service accepts. Handle; it never changes, and threads may share it.
 */
typedef struct keystile_verifier keystile_verifier;

/**
 * The public id of a key: 16 characters and a NUL. All zero where there is none.
 */
typedef struct keystile_id {
    /**
     * The characters.
     */
    char text[17];
} keystile_id;

/**
 * A text of `len` bytes. It does not end in NUL. `data` is NULL where there is none.
 *
 * As an argument it must be UTF-8. As an output it is borrowed from the handle that it
 * came from: it lives until that is freed.
 */
typedef struct keystile_str {
    /**
     * The first byte.
     */
    const char *data;
    /**
     * How many there are.
     */
    size_t len;
} keystile_str;

/**
 * The digest of a key's text.
 */
typedef struct keystile_digest {
    /**
     * A `keystile_digest_kind`.
     */
    uint32_t kind;
    /**
     * The version of the pepper; 0 for SHA-256.
     */
    uint32_t pepper;
    /**
     * The digest itself.
     */
    uint8_t bytes[32];
} keystile_digest;

/**
 * The text of a digest, which ends in NUL: `sha256:` or `hmac-sha256:<pepper>:` and 64
 * hex digits.
 */
typedef struct keystile_digest_text {
    /**
     * The characters.
     */
    char text[96];
} keystile_digest_text;

/**
 * What a store is asked for: the record of an id, or the one that carries any of some
 * digests.
 */
typedef struct keystile_lookup {
    /**
     * The id; all zero where digests are to be asked for.
     */
    struct keystile_id key_id;
    /**
     * How many digests there are; 0 where there is an id.
     */
    size_t digest_count;
    /**
     * The digests that the record may carry: one for each pepper, and one without.
     */
    struct keystile_digest digests[KEYSTILE_LOOKUP_DIGESTS_MAX];
} keystile_lookup;

/**
 * What a text is, as far as that can be told without a store. It holds no secret.
 */
typedef struct keystile_inspection {
    /**
     * A `keystile_finding`.
     */
    uint32_t finding;
    /**
     * The id that the text claims; all zero where there is none.
     */
    struct keystile_id key_id;
    /**
     * The environment that it names, which ends in NUL; all zero where there is none.
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
 * The address of a peer. All zero where there is none.
 */
typedef struct keystile_address {
    /**
     * 4 or 6; 0 where there is none.
     */
    uint32_t family;
    /**
     * In network order: the first 4 for IPv4, all 16 for IPv6.
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
     * Requests at once, usually as many as `limit`.
     */
    uint32_t burst;
    /**
     * The window, 1 ms to 366 days.
     */
    uint64_t window_millis;
} keystile_rate_limit;

/**
 * What was left of a limit at an instant. All zero where there is no limit.
 */
typedef struct keystile_quota {
    /**
     * The limit.
     */
    struct keystile_rate_limit limit;
    /**
     * What the limit remembered; not to be looked into.
     */
    uint64_t state;
    /**
     * The instant, in milliseconds since 1970.
     */
    uint64_t now;
} keystile_quota;

/**
 * A record as plain fields. What is optional is left at zero where there is none.
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
     * What of the key may be shown: at most 40 bytes.
     */
    struct keystile_str key_prefix;
    /**
     * Whose key it is, for people: 1 to 255 bytes.
     */
    struct keystile_str client_name;
    /**
     * Optional: an address to send notices to.
     */
    struct keystile_str client_email;
    /**
     * Optional: the account or tenant; all its keys can be ended at once.
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
     * Optional: JSON text of your own, at most 16 KiB.
     */
    struct keystile_str metadata;
    /**
     * What it was granted; NULL grants nothing.
     */
    const keystile_permissions *permissions;
    /**
     * Where it may be used. NULL: anywhere. An empty list: nowhere.
     */
    const keystile_endpoints *allowed_endpoints;
    /**
     * From where it may be used. NULL: from anywhere. An empty list: from nowhere.
     */
    const keystile_networks *allowed_networks;
    /**
     * How often it may be used, where `has_rate_limit`.
     */
    struct keystile_rate_limit rate_limit;
    /**
     * Uses that are left, where `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * When it was issued, in milliseconds since 1970.
     */
    uint64_t created_at;
    /**
     * When it was last used; 0 where that is not known.
     */
    uint64_t last_used_at;
    /**
     * From when on it is refused; 0 only together with `never_expires`.
     */
    uint64_t expires_at;
    /**
     * When it was revoked; 0 where it was not.
     */
    uint64_t revoked_at;
    /**
     * Why it was revoked.
     */
    struct keystile_str revoked_reason;
    /**
     * From when on a replaced key is refused; 0 where it was not replaced.
     */
    uint64_t overlap_until;
    /**
     * Counts the changes, from 1; an update of an older version loses.
     */
    uint64_t version;
    /**
     * A `keystile_state`.
     */
    uint32_t state;
    /**
     * The first key of its lineage; all zero stands for its own id.
     */
    struct keystile_id lineage;
    /**
     * Optional: the key that takes its place.
     */
    struct keystile_id replaced_by;
    /**
     * Optional: the predecessor whose overlap ends when this key is first used.
     */
    struct keystile_id ends_at_first_use;
    /**
     * 1 for a key without an end, else 0.
     */
    uint8_t never_expires;
    /**
     * 1 where there is a rate limit, else 0.
     */
    uint8_t has_rate_limit;
    /**
     * 1 where uses are counted, else 0.
     */
    uint8_t has_remaining_uses;
} keystile_record_parts;

/**
 * What a lineage of keys has spent so far, for a store to keep beside its records.
 */
typedef struct keystile_usage {
    /**
     * The rate limit's memory; 0 at the start.
     */
    uint64_t rate_state;
    /**
     * Uses that are left, where `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * 1 where uses are counted, else 0.
     */
    uint8_t has_remaining_uses;
} keystile_usage;

/**
 * One entry of an audit. It never holds key text.
 */
typedef struct keystile_event {
    /**
     * A `keystile_event_kind`.
     */
    uint32_t kind;
    /**
     * To which key it happened.
     */
    struct keystile_id key_id;
    /**
     * The successor, where the key was rotated; else all zero.
     */
    struct keystile_id successor;
    /**
     * When, in milliseconds since 1970.
     */
    uint64_t at;
    /**
     * Why, as far as somebody said so; lent by the change.
     */
    struct keystile_str reason;
} keystile_event;

/**
 * What a new key is to be. What is left at zero is the least: no permissions, and an end
 * after 90 days.
 */
typedef struct keystile_issue_request {
    /**
     * `sizeof(keystile_issue_request)`.
     */
    size_t struct_size;
    /**
     * Whose key it is, for people: 1 to 255 bytes.
     */
    struct keystile_str client_name;
    /**
     * Optional: the address that notices go to.
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
     * Optional: JSON text of your own, at most 16 KiB.
     */
    struct keystile_str metadata;
    /**
     * Optional: what the key gets its permissions, limit and endpoints from; what is
     * asked for beside it must lie within it.
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
     * How often it may be used, where `has_rate_limit`.
     */
    struct keystile_rate_limit rate_limit;
    /**
     * How many times it may be used in all, where `has_uses`: 1 or more.
     */
    uint64_t uses;
    /**
     * How long it lives, where `has_lifetime`: 1 or more; else 90 days.
     */
    uint64_t lifetime_millis;
    /**
     * 1 where there is a rate limit, else 0.
     */
    uint8_t has_rate_limit;
    /**
     * 1 where uses are counted, else 0.
     */
    uint8_t has_uses;
    /**
     * 1 where it lives for another time than 90 days, else 0.
     */
    uint8_t has_lifetime;
    /**
     * 1 for a key without an end, else 0; it goes before `lifetime_millis`.
     */
    uint8_t never_expires;
} keystile_issue_request;

/**
 * How keys grow old and are replaced. Begin with `keystile_rotation_policy_default`.
 */
typedef struct keystile_rotation_policy {
    /**
     * `sizeof(keystile_rotation_policy)`.
     */
    size_t struct_size;
    /**
     * How long a successor lives: 1 hour to 90 days.
     */
    uint64_t max_age_millis;
    /**
     * How long the old key lives on beside it; 0 ends it at once.
     */
    uint64_t overlap_millis;
    /**
     * How long an ended key's record is kept.
     */
    uint64_t retention_millis;
    /**
     * How long before its end a key is due for a notice.
     */
    uint64_t notice_leads_millis[KEYSTILE_NOTICE_LEADS_MAX];
    /**
     * How many leads there are.
     */
    uint32_t notice_lead_count;
    /**
     * 1 where the successor's first use ends the overlap, else 0.
     */
    uint8_t end_on_first_use;
} keystile_rotation_policy;

/**
 * A key, and what is due for it.
 */
typedef struct keystile_due {
    /**
     * The key.
     */
    struct keystile_id key_id;
    /**
     * A `keystile_due_action`.
     */
    uint32_t action;
    /**
     * When it ends or ended, in milliseconds since 1970.
     */
    uint64_t at;
    /**
     * For a notice: the shortest lead time that has been reached; else 0.
     */
    uint64_t lead_millis;
} keystile_due;

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
 * The details of a decision. The decision itself is the status that came with it; this is
 * written only together with `KEYSTILE_OK` or a `KEYSTILE_DENIED_` status.
 */
typedef struct keystile_decision {
    /**
     * A `keystile_decision_kind`.
     */
    uint32_t kind;
    /**
     * A `keystile_cause`, for the audit alone; 0 where the request is allowed.
     */
    uint32_t cause;
    /**
     * The key's public id, once its secret was proved; before that, all zero.
     */
    struct keystile_id key_id;
    /**
     * The first key of its lineage, under which usage is kept; all zero in a refusal.
     */
    struct keystile_id lineage;
    /**
     * The key that takes this one's place, where it is being replaced.
     */
    struct keystile_id replaced_by;
    /**
     * The predecessor whose overlap this use ends; see `keystile_end_overlap`.
     */
    struct keystile_id ends_overlap_of;
    /**
     * 1 where uses are counted, else 0.
     */
    uint8_t has_remaining_uses;
    /**
     * 1 where the record should get a new digest; see `keystile_rehash`.
     */
    uint8_t needs_rehash;
    /**
     * From when on a key that is being replaced is refused; else 0.
     */
    uint64_t replaced_until;
    /**
     * Uses that are left, where `has_remaining_uses`.
     */
    uint64_t remaining_uses;
    /**
     * What is left of the rate limit; all zero where there is none.
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
     * How many bytes there are.
     */
    size_t len;
    /**
     * The bytes; they do not end in NUL.
     */
    char text[KEYSTILE_CREDENTIAL_BYTES_MAX];
} keystile_credential;

/**
 * What a request asks for. What is left at zero is not asked: without a requirement no
 * permission is needed. But a key that is restricted to endpoints or networks is refused
 * where the request does not say its own.
 */
typedef struct keystile_request {
    /**
     * `sizeof(keystile_request)`.
     */
    size_t struct_size;
    /**
     * Optional: the permissions that the route needs.
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
     * Optional: the deployment that asks; keys of any other, or of none, are refused.
     */
    struct keystile_str environment;
    /**
     * Optional: the address of the peer, as the socket or a trusted proxy tells it.
     */
    struct keystile_address address;
} keystile_request;

/**
 * How a keyring is set up. What is left at 0 is the default.
 */
typedef struct keystile_keyring_options {
    /**
     * `sizeof(keystile_keyring_options)`.
     */
    size_t struct_size;
    /**
     * Records that are kept at most: 1 to 100,000,000; by default 100,000.
     */
    uint64_t capacity;
    /**
     * How long a record is used without asking again: 1 ms to a day; by default 300 s.
     */
    uint64_t ttl_millis;
    /**
     * How long a key that the store did not know is refused without asking again: no
     * longer than the TTL; by default 10 s. `KEYSTILE_DURATION_NONE` for not at all.
     */
    uint64_t absent_ttl_millis;
    /**
     * By how much the clock may step back without reviving what was seen expired; by
     * default 60 s. `KEYSTILE_DURATION_NONE` for not at all.
     */
    uint64_t clock_skew_millis;
} keystile_keyring_options;

/**
 * A check that waits for its record. It holds no pointer and no part of a secret, and
 * needs not be freed.
 */
typedef struct keystile_ticket {
    /**
     * What was invalidated before the fetch began; not to be looked into.
     */
    uint64_t as_of;
    /**
     * What to ask the store for.
     */
    struct keystile_lookup lookup;
} keystile_ticket;

/**
 * What a keyring has done so far, and what it holds.
 */
typedef struct keystile_keyring_stats {
    /**
     * `sizeof(keystile_keyring_stats)`.
     */
    size_t struct_size;
    /**
     * Records that are kept.
     */
    uint64_t entries;
    /**
     * Checks that asked for a record.
     */
    uint64_t fetches;
    /**
     * Fetches that an invalidation overtook, and that were asked for again.
     */
    uint64_t overtaken;
    /**
     * Records that were evicted for want of room.
     */
    uint64_t evictions;
    /**
     * Invalidations of ids, owners and everything.
     */
    uint64_t invalidations;
    /**
     * Checks that were refused by what a store said shortly before.
     */
    uint64_t absent_hits;
    /**
     * Uses that were lost because nobody drained them.
     */
    uint64_t uses_lost;
} keystile_keyring_stats;

/**
 * How often a key was used since the last drain.
 */
typedef struct keystile_use {
    /**
     * The key.
     */
    struct keystile_id key_id;
    /**
     * Its lineage, under which uses are counted down.
     */
    struct keystile_id lineage;
    /**
     * When it was last used, to the second; 0 where that is not known.
     */
    uint64_t last_used_at;
    /**
     * How often.
     */
    uint64_t count;
} keystile_use;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library, such as `1.2.3`.
 *
 * Returns a static text that ends in NUL.
 */
const char *keystile_version(void);

/**
 * The number of the library's ABI; the header's is `KEYSTILE_ABI_VERSION`.
 */
uint32_t keystile_abi_version(void);

/**
 * The name of a status as it stands in JSON bodies, logs and metrics, such as
 * `permission_missing`.
 *
 * Returns a static text that ends in NUL; `unknown` for a number that is no status.
 */
const char *keystile_status_name(int32_t status);

/**
 * What a status means, in a sentence for people. It never holds part of an argument.
 *
 * Returns a static text that ends in NUL; a sentence saying so for a number that is no
 * status.
 */
const char *keystile_status_text(int32_t status);

/**
 * The id that a text spells, such as a column of a table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_KEY_ID` where the text is none.
 */
keystile_status keystile_id_parse(const char *text,
                                  size_t text_len,
                                  struct keystile_id *out_id);

/**
 * The structured format: `prefix_environment_id_secret` with a CRC-32 check at its end.
 *
 * `prefix`, `prefix_len`: 1 to 16 of a-z, 0-9 and inner `_`, beginning with a letter.
 * `out_format`: receives a handle, to be freed with `keystile_format_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NAME`.
 */
keystile_status keystile_format_structured(const char *prefix,
                                           size_t prefix_len,
                                           struct keystile_format **out_format);

/**
 * The opaque format: `prefix_` and 64 lower-case hex digits. Such a key is found by its
 * digest, since its text carries no id.
 *
 * Arguments and result as for `keystile_format_structured`.
 */
keystile_status keystile_format_opaque(const char *prefix,
                                       size_t prefix_len,
                                       struct keystile_format **out_format);

/**
 * Reads structured keys of whatever prefix. It cannot issue any.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_format_any_structured(struct keystile_format **out_format);

/**
 * Reads opaque keys of whatever prefix and length. It cannot issue any.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_format_any_opaque(struct keystile_format **out_format);

/**
 * The format that a record's key was issued in, as its key prefix tells.
 *
 * `out_format`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
keystile_status keystile_format_like(const struct keystile_record *record,
                                     struct keystile_format **out_format);

/**
 * The same structured format with a check that only holders of a key can make. It turns
 * away invented keys without a look-up.
 *
 * `checksum_key`, `checksum_key_len`: 16 bytes or more, kept secret. The library keeps
 * what it derives from them, not the bytes.
 * `out_format`: receives a new handle; `format` stays as it is.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
keystile_status keystile_format_with_checksum_key(const struct keystile_format *format,
                                                  const uint8_t *checksum_key,
                                                  size_t checksum_key_len,
                                                  struct keystile_format **out_format);

/**
 * The same opaque format with another number of random bytes: 16 to 64.
 *
 * `out_format`: receives a new handle; `format` stays as it is.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_FORMAT`.
 */
keystile_status keystile_format_with_random_bytes(const struct keystile_format *format,
                                                  uint8_t random_bytes,
                                                  struct keystile_format **out_format);

/**
 * The prefix of a format, borrowed from it.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` for a format that reads any prefix.
 */
keystile_status keystile_format_prefix(const struct keystile_format *format,
                                       struct keystile_str *out_prefix);

/**
 * Frees a format; NULL is fine.
 */
void keystile_format_free(struct keystile_format *format);

/**
 * A ring of one pepper, under which new digests are made.
 *
 * `version`: a number of its own, which each digest carries.
 * `secret`, `secret_len`: 32 bytes or more. The library keeps what it derives from them,
 * not the bytes.
 * `out_peppers`: receives a handle, to be freed with `keystile_peppers_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
keystile_status keystile_peppers_new(uint32_t version,
                                     const uint8_t *secret,
                                     size_t secret_len,
                                     struct keystile_peppers **out_peppers);

/**
 * The same ring with one more retired pepper, under which older digests still hold; 8
 * peppers at most.
 *
 * `out_peppers`: receives a new handle; `peppers` stays as it is.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
keystile_status keystile_peppers_with_retired(const struct keystile_peppers *peppers,
                                              uint32_t version,
                                              const uint8_t *secret,
                                              size_t secret_len,
                                              struct keystile_peppers **out_peppers);

/**
 * Frees a ring; NULL is fine.
 */
void keystile_peppers_free(struct keystile_peppers *peppers);

/**
 * The digest that a new record of this key gets.
 *
 * `peppers`: the current one is used; NULL for SHA-256.
 * `key`, `key_len`: the whole text of the key.
 *
 * Returns `KEYSTILE_OK`.
 */
keystile_status keystile_digest_of(const struct keystile_peppers *peppers,
                                   const char *key,
                                   size_t key_len,
                                   struct keystile_digest *out_digest);

/**
 * The digest that a text spells: that of `keystile_digest_to_text`, or 64 hex digits
 * alone for SHA-256.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_DIGEST`.
 */
keystile_status keystile_digest_parse(const char *text,
                                      size_t text_len,
                                      struct keystile_digest *out_digest);

/**
 * The text of a digest, for a column of a table.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` where its kind is none.
 */
keystile_status keystile_digest_to_text(const struct keystile_digest *digest,
                                        struct keystile_digest_text *out_text);

/**
 * Whether two digests are the same, in constant time.
 *
 * `out_equal`: receives the answer. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_VALUE` where
 * a kind is none.
 */
keystile_status keystile_digest_equal(const struct keystile_digest *one,
                                      const struct keystile_digest *other,
                                      bool *out_equal);

/**
 * Whether a text is spelled as a key of the format, its check included.
 *
 * `text`, `text_len`: the bytes as they were presented, of any length and content.
 * `out_key_id`: receives the id that it claims, all zero for an opaque key. May be NULL.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_DENIED_INVALID_KEY`.
 */
keystile_status keystile_key_parse(const struct keystile_format *format,
                                   const char *text,
                                   size_t text_len,
                                   struct keystile_id *out_key_id);

/**
 * What to ask the store for, before `keystile_verify`.
 *
 * `text`, `text_len`: the bytes as they were presented, of any length and content.
 * `out_lookup`: receives the id or the digests.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_DENIED_INVALID_KEY` where the text is no key.
 */
keystile_status keystile_key_lookup(const struct keystile_verifier *verifier,
                                    const char *text,
                                    size_t text_len,
                                    struct keystile_lookup *out_lookup);

/**
 * What a text is: an offline answer for support desks.
 *
 * `text`, `text_len`: any bytes. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_inspect(const struct keystile_format *format,
                                 const char *text,
                                 size_t text_len,
                                 struct keystile_inspection *out_inspection);

/**
 * What to do about a finding, in a sentence for people.
 *
 * Returns a static text that ends in NUL; an empty one for a number that is no
 * `keystile_finding`.
 */
const char *keystile_finding_hint(uint32_t finding);

/**
 * Permissions from a list of texts.
 *
 * `items`, `items_len`: up to 64 permissions of at most 128 bytes: `read`, `invoices:read`, `invoices:*`; none at all is an empty list.
 * `out_permissions`: receives a handle, to be freed with `keystile_permissions_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
 */
keystile_status keystile_permissions_new(const struct keystile_str *items,
                                         size_t items_len,
                                         keystile_permissions **out_permissions);

/**
 * Permissions from a JSON array of strings, as a table keeps them in a column.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` where the text is no such array or an
 * item of it is not well formed.
 */
keystile_status keystile_permissions_from_json(const char *json,
                                               size_t json_len,
                                               keystile_permissions **out_permissions);

/**
 * The JSON array of strings for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for
 * the length.
 * `out_needed`: receives the length of the text, also where the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
keystile_status keystile_permissions_to_json(const keystile_permissions *permissions,
                                             char *buffer,
                                             size_t buffer_len,
                                             size_t *out_needed);

/**
 * How many there are; 0 for NULL.
 */
size_t keystile_permissions_count(const keystile_permissions *permissions);

/**
 * The permission at an index, in the order of first mention; borrowed from the list.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_permissions_at(const keystile_permissions *permissions,
                                        size_t index,
                                        struct keystile_str *out_text);

/**
 * Whether one of the permissions covers the wanted one.
 *
 * `wanted`, `wanted_len`: a permission without a wildcard; what is none is granted by
 * nobody.
 *
 * Returns `KEYSTILE_OK` where it is granted, else `KEYSTILE_DENIED_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_permissions_grant(const keystile_permissions *permissions,
                                           const char *wanted,
                                           size_t wanted_len);

/**
 * Frees the list; NULL is fine. A list that was lent by another handle is not freed.
 */
void keystile_permissions_free(keystile_permissions *permissions);

/**
 * The requirement that a text spells, such as `read` or `admin OR (read AND audit)`.
 *
 * AND binds tighter than OR; keywords are in upper case; no wildcards.
 * `out_requirement`: receives a handle, to be freed with `keystile_requirement_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_PERMISSION`.
 */
keystile_status keystile_requirement_parse(const char *text,
                                           size_t text_len,
                                           struct keystile_requirement **out_requirement);

/**
 * Whether permissions meet a requirement.
 *
 * Returns `KEYSTILE_OK` where they do, else `KEYSTILE_DENIED_PERMISSION`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_requirement_check(const struct keystile_requirement *requirement,
                                           const keystile_permissions *permissions);

/**
 * The missing permission at an index, each once; borrowed from the requirement.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_requirement_missing_at(const struct keystile_requirement *requirement,
                                                const keystile_permissions *permissions,
                                                size_t index,
                                                struct keystile_str *out_permission);

/**
 * The text that a requirement was made of, borrowed from it. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_requirement_text(const struct keystile_requirement *requirement,
                                          struct keystile_str *out_text);

/**
 * Frees a requirement; NULL is fine.
 */
void keystile_requirement_free(struct keystile_requirement *requirement);

/**
 * Endpoint rules from a list of texts.
 *
 * `items`, `items_len`: up to 64 rules of at most 512 bytes, `/api/data/7` or
 * `GET,HEAD /api/data/7`, where a `*` in place of a segment stands for any one, and at the
 * end for whatever follows; none at all is an empty list.
 * `out_endpoints`: receives a handle, to be freed with `keystile_endpoints_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_ENDPOINT`.
 */
keystile_status keystile_endpoints_new(const struct keystile_str *items,
                                       size_t items_len,
                                       keystile_endpoints **out_endpoints);

/**
 * Endpoint rules from a JSON array of strings, as a table keeps them in a column.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` where the text is no such array or an
 * item of it is not well formed.
 */
keystile_status keystile_endpoints_from_json(const char *json,
                                             size_t json_len,
                                             keystile_endpoints **out_endpoints);

/**
 * The JSON array of strings for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for
 * the length.
 * `out_needed`: receives the length of the text, also where the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
keystile_status keystile_endpoints_to_json(const keystile_endpoints *endpoints,
                                           char *buffer,
                                           size_t buffer_len,
                                           size_t *out_needed);

/**
 * How many there are; 0 for NULL.
 */
size_t keystile_endpoints_count(const keystile_endpoints *endpoints);

/**
 * The rule at an index, in the order of first mention; borrowed from the list.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_endpoints_at(const keystile_endpoints *endpoints,
                                      size_t index,
                                      struct keystile_str *out_text);

/**
 * Whether a rule allows the method on the path.
 *
 * `method`, `method_len` and `path`, `path_len`: as they are dispatched; the path without
 * its query.
 *
 * Returns `KEYSTILE_OK` where it does, else `KEYSTILE_DENIED_ENDPOINT`; so also for a path
 * that is not canonical.
 */
KEYSTILE_MUST_USE
keystile_status keystile_endpoints_allow(const keystile_endpoints *endpoints,
                                         const char *method,
                                         size_t method_len,
                                         const char *path,
                                         size_t path_len);

/**
 * Whether a request path is canonical; one that is not is refused whatever the rules.
 *
 * `path`, `path_len`: any bytes.
 *
 * Returns `KEYSTILE_OK` where it is, else `KEYSTILE_DENIED_PATH_NOT_CANONICAL`.
 */
KEYSTILE_MUST_USE keystile_status keystile_path_check(const char *path, size_t path_len);

/**
 * Frees the list; NULL is fine. A list that was lent by another handle is not freed.
 */
void keystile_endpoints_free(keystile_endpoints *endpoints);

/**
 * Networks from a list of texts.
 *
 * `items`, `items_len`: up to 64 CIDR blocks or addresses: `192.0.2.0/24`, `2001:db8::/32`; none at all is an empty list.
 * `out_networks`: receives a handle, to be freed with `keystile_networks_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
 */
keystile_status keystile_networks_new(const struct keystile_str *items,
                                      size_t items_len,
                                      keystile_networks **out_networks);

/**
 * Networks from a JSON array of strings, as a table keeps them in a column.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_JSON` where the text is no such array or an
 * item of it is not well formed.
 */
keystile_status keystile_networks_from_json(const char *json,
                                            size_t json_len,
                                            keystile_networks **out_networks);

/**
 * The JSON array of strings for a column of a table.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for
 * the length.
 * `out_needed`: receives the length of the text, also where the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
keystile_status keystile_networks_to_json(const keystile_networks *networks,
                                          char *buffer,
                                          size_t buffer_len,
                                          size_t *out_needed);

/**
 * How many there are; 0 for NULL.
 */
size_t keystile_networks_count(const keystile_networks *networks);

/**
 * The network at an index, as CIDR text.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_networks_at(const keystile_networks *networks,
                                     size_t index,
                                     struct keystile_network_text *out_text);

/**
 * Whether one of the networks holds the address.
 *
 * Returns `KEYSTILE_OK` where one does, else `KEYSTILE_DENIED_NETWORK`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_networks_contain(const keystile_networks *networks,
                                          const struct keystile_address *address);

/**
 * The address that a text spells, such as `192.0.2.7` or `2001:db8::7`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NETWORK`.
 */
keystile_status keystile_address_parse(const char *text,
                                       size_t text_len,
                                       struct keystile_address *out_address);

/**
 * Frees the list; NULL is fine. A list that was lent by another handle is not freed.
 */
void keystile_networks_free(keystile_networks *networks);

/**
 * Whether a limit is well formed.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_LIMIT`.
 */
keystile_status keystile_rate_limit_check(const struct keystile_rate_limit *limit);

/**
 * Admits one request, or refuses it at no cost.
 *
 * `state`: in: what the limit remembers, 0 at the start; out: what it is to remember.
 * Changed only where the request is admitted. Keep it per key, and change it under a
 * lock or with compare-and-swap.
 * `now`: milliseconds since 1970.
 * `out_quota`: receives what is left, admitted or not. May be NULL.
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
 * Requests that would pass if they came at once.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where there is no limit.
 */
keystile_status keystile_quota_remaining(const struct keystile_quota *quota,
                                         uint32_t *out_remaining);

/**
 * Milliseconds until the limit is whole again.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where there is no limit.
 */
keystile_status keystile_quota_reset_millis(const struct keystile_quota *quota,
                                            uint64_t *out_millis);

/**
 * Milliseconds until one request would pass; 0 where one would at once.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where there is no limit or it never
 * lets any pass.
 */
keystile_status keystile_quota_retry_after_millis(const struct keystile_quota *quota,
                                                  uint64_t *out_millis);

/**
 * A template.
 *
 * `name`, `name_len`: 1 to 32 of a-z, 0-9, `_` and `-`, beginning with a letter.
 * `permissions`: what it grants; copied.
 * `endpoints`: where; NULL for anywhere; copied.
 * `rate_limit`: how often; NULL for as often as one likes.
 * `out_template`: receives a handle, to be freed with `keystile_template_free`.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_NAME` or `KEYSTILE_ERROR_LIMIT`.
 */
keystile_status keystile_template_new(const char *name,
                                      size_t name_len,
                                      const keystile_permissions *permissions,
                                      const keystile_endpoints *endpoints,
                                      const struct keystile_rate_limit *rate_limit,
                                      struct keystile_template **out_template);

/**
 * A preset: `monitoring` (read; 100 an hour; `/api/metrics` and below), `integration`
 * (read, write; 1,000; `/api/data` and below) or `admin` (read, write, delete, admin;
 * 5,000; everywhere).
 *
 * `out_template`: receives a handle. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT`
 * where there is no preset of that name.
 */
keystile_status keystile_template_preset(const char *name,
                                         size_t name_len,
                                         struct keystile_template **out_template);

/**
 * The name of a template, borrowed from it. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_template_name(const struct keystile_template *template_,
                                       struct keystile_str *out_name);

/**
 * The permissions of a template, lent by it: do not free them. NULL for NULL.
 */
const keystile_permissions *keystile_template_permissions(const struct keystile_template *template_);

/**
 * The endpoint rules of a template, lent by it: do not free them. NULL where there are
 * none, and for NULL.
 */
const keystile_endpoints *keystile_template_endpoints(const struct keystile_template *template_);

/**
 * The rate limit of a template.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where there is none.
 */
keystile_status keystile_template_rate_limit(const struct keystile_template *template_,
                                             struct keystile_rate_limit *out_rate_limit);

/**
 * Frees a template; NULL is fine.
 */
void keystile_template_free(struct keystile_template *template_);

/**
 * A record from the columns of a table.
 *
 * `parts`: copied, the lists too. `struct_size` is `sizeof(keystile_record_parts)`.
 * `out_record`: receives a handle, to be freed with `keystile_record_free`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RECORD` where fields are too long or contradict
 * each other; `KEYSTILE_ERROR_TIME` where an instant is out of range, or a key has neither
 * `expires_at` nor `never_expires`; the error of the field that is not well formed.
 */
keystile_status keystile_record_new(const struct keystile_record_parts *parts,
                                    struct keystile_record **out_record);

/**
 * The parts of a record, for the columns of a table.
 *
 * `out_parts`: its `struct_size` must be set before. Receives the parts; texts and lists
 * are lent by the record: they live until it is freed.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
keystile_status keystile_record_parts_of(const struct keystile_record *record,
                                         struct keystile_record_parts *out_parts);

/**
 * A record from the JSON text of `keystile_record_to_json`, or of another language's
 * keystile.
 *
 * `out_record`: receives a handle. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_JSON`.
 */
keystile_status keystile_record_from_json(const char *json,
                                          size_t json_len,
                                          struct keystile_record **out_record);

/**
 * A record as one JSON text, for a store that keeps it whole. It holds the digest.
 *
 * `buffer`, `buffer_len`: receives the text, without a NUL. May be NULL and 0 to ask for
 * the length.
 * `out_needed`: receives the length of the text, also where the buffer is too small.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_BUFFER_TOO_SMALL`.
 */
keystile_status keystile_record_to_json(const struct keystile_record *record,
                                        char *buffer,
                                        size_t buffer_len,
                                        size_t *out_needed);

/**
 * Whether a record's key is active, not expired and not past its overlap.
 *
 * `out_live`: receives the answer. Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_record_is_live(const struct keystile_record *record,
                                        uint64_t now,
                                        bool *out_live);

/**
 * The usage of a key that was never used. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_record_usage(const struct keystile_record *record,
                                      struct keystile_usage *out_usage);

/**
 * Frees a record; NULL is fine. A record that was lent by another handle is not freed.
 */
void keystile_record_free(struct keystile_record *record);

/**
 * The text of the new key, for its owner alone: show it once, and keep it nowhere. It is
 * lent by the change and wiped when that is freed.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where no key was made.
 */
keystile_status keystile_change_key(const struct keystile_change *change,
                                    struct keystile_str *out_key);

/**
 * How many records the store has to write; 0 for NULL.
 */
size_t keystile_change_record_count(const struct keystile_change *change);

/**
 * The record at an index, lent by the change: do not free it. The first is that of the
 * new key where one was made, else that of the changed one.
 *
 * NULL past the last one, and for NULL.
 */
const struct keystile_record *keystile_change_record_at(const struct keystile_change *change,
                                                        size_t index);

/**
 * The event for the audit. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_ABSENT` where there
 * is none.
 */
keystile_status keystile_change_event(const struct keystile_change *change,
                                      struct keystile_event *out_event);

/**
 * Frees a change and wipes the key in it; NULL is fine.
 */
void keystile_change_free(struct keystile_change *change);

/**
 * Issues a key.
 *
 * `peppers`: NULL for none.
 * `request`: what it is to be; nothing of it is kept.
 * `random`, `random_len`: NULL and 0 for the randomness of the operating system. Else
 * bytes from a cryptographic generator of yours, to be used once; 512 are enough. Where
 * they run out, no key is made.
 * `now`: milliseconds since 1970.
 * `out_change`: receives the key's text, its record and the event; to be freed with
 * `keystile_change_free`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_RANDOMNESS`; `KEYSTILE_ERROR_EXCEEDS` where more is
 * asked for than the template holds; `KEYSTILE_ERROR_TIME`; the error of the field that is
 * not well formed.
 */
keystile_status keystile_issue(const struct keystile_format *format,
                               const struct keystile_peppers *peppers,
                               const struct keystile_issue_request *request,
                               const uint8_t *random,
                               size_t random_len,
                               uint64_t now,
                               struct keystile_change **out_change);

/**
 * Issues a key on behalf of the holder of another, which never holds more than that.
 *
 * What the request leaves open is taken from the source, but for the permissions: the new
 * key has those that were asked for. Owner and environment are the source's.
 *
 * Arguments as for `keystile_issue`; `source` is the record of the other key.
 *
 * Returns as `keystile_issue`; `KEYSTILE_ERROR_STATE` where the source is not live.
 */
keystile_status keystile_delegate(const struct keystile_record *source,
                                  const struct keystile_format *format,
                                  const struct keystile_peppers *peppers,
                                  const struct keystile_issue_request *request,
                                  const uint8_t *random,
                                  size_t random_len,
                                  uint64_t now,
                                  struct keystile_change **out_change);

/**
 * Revokes a key, for good: no function leads back from there.
 *
 * `reason`, `reason_len`: for the audit, at most 255 bytes; may be empty.
 * `out_change`: receives the changed record and the event. Once the store has it, call
 * `keystile_keyring_invalidate`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` where it is revoked already;
 * `KEYSTILE_ERROR_RECORD` for the reason; `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_revoke(const struct keystile_record *record,
                                const char *reason,
                                size_t reason_len,
                                uint64_t now,
                                struct keystile_change **out_change);

/**
 * Suspends a key until it is resumed.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` unless it is active, or
 * `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_suspend(const struct keystile_record *record,
                                 uint64_t now,
                                 struct keystile_change **out_change);

/**
 * Resumes a suspended key; its expiry has run on meanwhile.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` unless it is suspended, or
 * `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_resume(const struct keystile_record *record,
                                uint64_t now,
                                struct keystile_change **out_change);

/**
 * Gives a key's record a digest under the current pepper, as a decision with
 * `needs_rehash` asks for.
 *
 * `verifier`: the one that gave the decision, for its formats and peppers.
 * `key`, `key_len`: the key's text as it was presented.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_DENIED_INVALID_KEY` where the text is no key;
 * `KEYSTILE_ERROR_STATE` where it is another record's, or the digest is current.
 */
keystile_status keystile_rehash(const struct keystile_verifier *verifier,
                                const struct keystile_record *record,
                                const char *key,
                                size_t key_len,
                                uint64_t now,
                                struct keystile_change **out_change);

/**
 * Ends the overlap of a replaced key, since its successor was used: what a decision with
 * `ends_overlap_of` asks for.
 *
 * `out_change`: receives both records: the ended one, and the successor, which asks no
 * more. There is no event.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_STATE` where there is nothing to end.
 */
keystile_status keystile_end_overlap(const struct keystile_record *record,
                                     const struct keystile_record *successor,
                                     uint64_t now,
                                     struct keystile_change **out_change);

/**
 * The event of a key that has come to its end by time; the record needs no change.
 *
 * `out_event`: receives the event; it borrows nothing.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_STATE` while the key has not ended, or
 * `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_expire(const struct keystile_record *record,
                                uint64_t now,
                                struct keystile_event *out_event);

/**
 * 90 days of life, 7 of overlap, notices 14, 7 and 1 days ahead, ended keys kept for 30
 * days.
 *
 * `out_policy`: its `struct_size` must be set before.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
keystile_status keystile_rotation_policy_default(struct keystile_rotation_policy *out_policy);

/**
 * Gives a key a successor of the same lineage, with the same rights.
 *
 * The old key lives to the end of the overlap or to its own expiry, whichever is first.
 * The successor's expiry counts from `now`.
 *
 * `siblings`, `siblings_len`: the other records of the lineage, through which a still
 * older key is found whose overlap ends now; at most two keys of a lineage live at once.
 * `policy`: NULL for the default.
 * `format`, `peppers`, `random`, `random_len`: as for `keystile_issue`.
 * `out_change`: receives the successor's text; its record; the records that changed; the
 * event.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_STATE` where the key is revoked, suspended,
 * expired or replaced already; `KEYSTILE_ERROR_RECORD` where a sibling is of another
 * lineage; else as `keystile_issue`.
 */
keystile_status keystile_rotate(const struct keystile_record *record,
                                const struct keystile_record *const *siblings,
                                size_t siblings_len,
                                const struct keystile_rotation_policy *policy,
                                const struct keystile_format *format,
                                const struct keystile_peppers *peppers,
                                const uint8_t *random,
                                size_t random_len,
                                uint64_t now,
                                struct keystile_change **out_change);

/**
 * What is due at `now`, in the order of the records. Pure: the same arguments give the
 * same answer, and nothing is remembered.
 *
 * `items`, `items_len`: the records.
 * `policy`: NULL for the default.
 * `dues`, `dues_len`: receives what is due; two for each record are always enough. May be
 * NULL and 0 to ask how many there are.
 * `out_count`: receives how many there are, also where the list is too short.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_BUFFER_TOO_SMALL` or `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_plan(const struct keystile_record *const *items,
                              size_t items_len,
                              const struct keystile_rotation_policy *policy,
                              uint64_t now,
                              struct keystile_due *dues,
                              size_t dues_len,
                              size_t *out_count);

/**
 * Rules for where a key is read from: `X-API-Key` and `Authorization: Bearer` always.
 *
 * `header`, `header_len`: another header to read; NULL and 0 for none.
 * `basic`: 1 to read the user name of `Authorization: Basic` too, else 0.
 * `out_rules`: receives a handle, to be freed with `keystile_credential_rules_free`.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_NAME`.
 */
keystile_status keystile_credential_rules_new(const char *header,
                                              size_t header_len,
                                              uint8_t basic,
                                              struct keystile_credential_rules **out_rules);

/**
 * The one credential among the headers of a request.
 *
 * The same key twice is one key. An empty value is none.
 *
 * `headers`, `headers_len`: all header fields of the request, or at least those that may
 * carry a key; each of them as often as it was sent.
 * `out_decision`: receives the refusal, for `keystile_respond`, where it is one. May be
 * NULL.
 * `out_credential`: receives the bytes where there is one credential.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_DENIED_MISSING_CREDENTIAL`,
 * `KEYSTILE_DENIED_CONFLICTING_CREDENTIALS` for two different ones, or
 * `KEYSTILE_DENIED_INVALID_KEY` for bytes that are not visible ASCII and for values that
 * are too long.
 */
keystile_status keystile_credential_extract(const struct keystile_credential_rules *rules,
                                            const struct keystile_header *headers,
                                            size_t headers_len,
                                            struct keystile_decision *out_decision,
                                            struct keystile_credential *out_credential);

/**
 * Overwrites a credential with zeros, in a way that no compiler leaves out; NULL is fine.
 */
void keystile_credential_wipe(struct keystile_credential *credential);

/**
 * Frees rules; NULL is fine.
 */
void keystile_credential_rules_free(struct keystile_credential_rules *rules);

/**
 * Makes a refusal where no key was judged, as when the store could not be asked.
 *
 * `cause`: a `keystile_cause`.
 * `out_decision`: receives the refusal, for `keystile_respond`.
 *
 * Returns the refusal's `KEYSTILE_DENIED_` status, or `KEYSTILE_ERROR_VALUE` where the
 * number is no cause; it never returns `KEYSTILE_OK`.
 */
keystile_status keystile_refuse(uint32_t cause, struct keystile_decision *out_decision);

/**
 * The permission at an index that was missing; borrowed from the requirement.
 *
 * `requirement`: the one that the request was judged by.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_decision_missing_at(const struct keystile_decision *decision,
                                             const struct keystile_requirement *requirement,
                                             size_t index,
                                             struct keystile_str *out_permission);

/**
 * Accepts keys of one format.
 *
 * `peppers`: those that digests are checked under; NULL for none. Copied, as the format.
 * `out_verifier`: receives a handle, to be freed with `keystile_verifier_free`.
 *
 * Returns `KEYSTILE_OK`.
 */
keystile_status keystile_verifier_new(const struct keystile_format *format,
                                      const struct keystile_peppers *peppers,
                                      struct keystile_verifier **out_verifier);

/**
 * The same verifier, which accepts keys of a further format too.
 *
 * `out_verifier`: receives a new handle; `verifier` stays as it is. Returns
 * `KEYSTILE_OK`.
 */
keystile_status keystile_verifier_with_format(const struct keystile_verifier *verifier,
                                              const struct keystile_format *format,
                                              struct keystile_verifier **out_verifier);

/**
 * Decides about a presented key by its record. The status that it returns is the decision,
 * and there is no other: the request may go on only where that is `KEYSTILE_OK`.
 *
 * `key`, `key_len`: the bytes as they were presented, of any length and content.
 * `record`: what a look-up by `keystile_key_lookup` gave; NULL where it gave nothing.
 * `request`: what the caller wants to do.
 * `usage`: in: what the lineage has spent; out: what it has spent then. Changed only by an
 * allow. Write it back with compare-and-set: two decisions at once must not spend the same
 * use.
 * `now`: milliseconds since 1970.
 * `out_decision`: receives the details of an allow or a refusal. May be NULL.
 *
 * Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, or an error, which is no allow either.
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
 * Frees a verifier; NULL is fine.
 */
void keystile_verifier_free(struct keystile_verifier *verifier);

/**
 * A keyring for the keys that a verifier accepts.
 *
 * `verifier`: copied.
 * `options`: NULL for the defaults.
 * `out_keyring`: receives a handle, to be freed with `keystile_keyring_free`.
 *
 * Returns `KEYSTILE_OK`, `KEYSTILE_ERROR_LIMIT` where an option is out of its range, or
 * `KEYSTILE_ERROR_RANDOMNESS`.
 */
keystile_status keystile_keyring_new(const struct keystile_verifier *verifier,
                                     const struct keystile_keyring_options *options,
                                     struct keystile_keyring **out_keyring);

/**
 * Decides by a record that is kept, or says which one to fetch. The status that it returns
 * is the decision: the request may go on only where that is `KEYSTILE_OK`. An allow makes no
 * allocation and takes no lock.
 *
 * `key`, `key_len`: the bytes as they were presented, of any length and content.
 * `request`: what the caller wants to do.
 * `now`: milliseconds since 1970; one reading of the clock for check and admit.
 * `out_decision`: receives the details of an allow or a refusal. May be NULL.
 * `out_ticket`: receives what to fetch, with `KEYSTILE_NEEDS_RECORD` alone.
 *
 * Returns `KEYSTILE_OK`, a `KEYSTILE_DENIED_` status, `KEYSTILE_NEEDS_RECORD`, or an error,
 * which is no allow either.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_check(const struct keystile_keyring *keyring,
                                       const char *key,
                                       size_t key_len,
                                       const struct keystile_request *request,
                                       uint64_t now,
                                       struct keystile_decision *out_decision,
                                       struct keystile_ticket *out_ticket);

/**
 * Decides by the record that was fetched for a ticket, and keeps it.
 *
 * Where an invalidation overtook the fetch, or it brought an older version than was kept,
 * the answer is another ticket: fetch again. Give up after some rounds and refuse with
 * `KEYSTILE_CAUSE_STORE_UNAVAILABLE`; never allow.
 *
 * `ticket`: from the check of the same key and request by this keyring. May be the same
 * struct as `out_ticket`.
 * `key`, `key_len`, `request`, `now`: as for the check.
 * `record`: what the store has now; NULL where it has none.
 * `out_decision`, `out_ticket`: as for the check.
 *
 * Returns as `keystile_keyring_check`.
 */
KEYSTILE_MUST_USE
keystile_status keystile_keyring_admit(const struct keystile_keyring *keyring,
                                       const struct keystile_ticket *ticket,
                                       const char *key,
                                       size_t key_len,
                                       const struct keystile_request *request,
                                       const struct keystile_record *record,
                                       uint64_t now,
                                       struct keystile_decision *out_decision,
                                       struct keystile_ticket *out_ticket);

/**
 * Voids what is kept of a key, and fetches of it that are under way. Once it has returned,
 * no call that begins later gets a decision from an older record. Call it after each change
 * that the store has accepted, and after issuing.
 *
 * Returns `KEYSTILE_OK` or `KEYSTILE_ERROR_KEY_ID`.
 */
keystile_status keystile_keyring_invalidate(const struct keystile_keyring *keyring,
                                            const struct keystile_id *key_id);

/**
 * Voids what is kept of all keys of an owner, at once. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_keyring_invalidate_owner(const struct keystile_keyring *keyring,
                                                  const char *owner,
                                                  size_t owner_len);

/**
 * Voids all that is kept, at once. Returns `KEYSTILE_OK`.
 */
keystile_status keystile_keyring_invalidate_all(const struct keystile_keyring *keyring);

/**
 * Voids all that is kept, and forgets which versions were seen: for a store that was put
 * back from a backup, whose records are older than those that were kept. They would else be
 * taken for those of a replica that lags, for which `keystile_keyring_admit` asks again and
 * again. A revocation that the backup does not have is forgotten with the rest. Returns
 * `KEYSTILE_OK`.
 */
keystile_status keystile_keyring_reset(const struct keystile_keyring *keyring);

/**
 * What was done so far, and what is held.
 *
 * `out_stats`: its `struct_size` must be set before. Returns `KEYSTILE_OK` or
 * `KEYSTILE_ERROR_STRUCT_SIZE`.
 */
keystile_status keystile_keyring_stats_of(const struct keystile_keyring *keyring,
                                          struct keystile_keyring_stats *out_stats);

/**
 * Frees a keyring, which no other thread may use any more; NULL is fine. Uses that were
 * not drained are lost.
 */
void keystile_keyring_free(struct keystile_keyring *keyring);

/**
 * The uses since the last call. Each is told once: call it every few seconds, and once
 * before stopping.
 *
 * `out_uses`: receives a handle, to be freed with `keystile_uses_free`. Returns
 * `KEYSTILE_OK`.
 */
keystile_status keystile_keyring_drain_uses(const struct keystile_keyring *keyring,
                                            struct keystile_uses **out_uses);

/**
 * How many keys were used; 0 for NULL.
 */
size_t keystile_uses_count(const struct keystile_uses *uses);

/**
 * The use at an index. Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_uses_at(const struct keystile_uses *uses,
                                 size_t index,
                                 struct keystile_use *out_use);

/**
 * Frees the uses; NULL is fine.
 */
void keystile_uses_free(struct keystile_uses *uses);

/**
 * The response to a refusal; or, for an allowed request, the header fields to add to
 * your own response: what is left of the rate limit, and that the key is being replaced.
 *
 * `decision`: as a function wrote it.
 * `policy`: a `keystile_status_policy`.
 * `requirement`: the one that the request was judged by, to name what is missing; may be
 * NULL.
 * `now`: milliseconds since 1970.
 * `out_response`: receives a handle, to be freed with `keystile_response_free`.
 *
 * Returns `KEYSTILE_OK`; `KEYSTILE_ERROR_VALUE` where the decision was never given or the
 * policy is none; `KEYSTILE_ERROR_TIME`.
 */
keystile_status keystile_respond(const struct keystile_decision *decision,
                                 uint32_t policy,
                                 const struct keystile_requirement *requirement,
                                 uint64_t now,
                                 struct keystile_response **out_response);

/**
 * The HTTP status of a response; 200 for an allowed request; 500 for NULL.
 */
uint16_t keystile_response_status(const struct keystile_response *response);

/**
 * How many header fields there are; 0 for NULL.
 */
size_t keystile_response_header_count(const struct keystile_response *response);

/**
 * The header field at an index, its name in lower case; both borrowed from the response.
 *
 * Both texts are followed by a NUL that does not count.
 *
 * Returns `KEYSTILE_OK`, or `KEYSTILE_ERROR_INDEX` past the last one.
 */
keystile_status keystile_response_header_at(const struct keystile_response *response,
                                            size_t index,
                                            struct keystile_str *out_name,
                                            struct keystile_str *out_value);

/**
 * The body, borrowed from the response; empty for an allowed request. It is a JSON object
 * with `error`, `message` and `code`, and `missing` where permissions were.
 *
 * Returns `KEYSTILE_OK`.
 */
keystile_status keystile_response_body(const struct keystile_response *response,
                                       struct keystile_str *out_body);

/**
 * Frees a response; NULL is fine.
 */
void keystile_response_free(struct keystile_response *response);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KEYSTILE_H */
