/* The calls of the hot path with flat arguments: Go must not pass C a struct that points to
 * Go's memory, but a struct on C's stack may point there. */
#ifndef KEYSTILE_GO_HOT_H
#define KEYSTILE_GO_HOT_H

#include "keystile.h"
#include <string.h>
#include <time.h>

#if KEYSTILE_ABI_VERSION != 1
#error "keystile.h has another ABI than this Go module; use both from the same release"
#endif

/* A text; an empty one means none. */
static inline keystile_str ks_text(const char *data, size_t len) {
    keystile_str text = {len == 0 ? NULL : data, len};
    return text;
}

static inline void ks_request(keystile_request *request, const keystile_requirement *requirement,
                              const char *method, size_t method_len, const char *path,
                              size_t path_len, const char *environment, size_t environment_len,
                              uint32_t family, const uint8_t *address, uint32_t path_profile) {
    request->path_profile = path_profile;
    request->struct_size = sizeof *request;
    request->requirement = requirement;
    request->method = ks_text(method, method_len);
    request->path = ks_text(path, path_len);
    request->environment = ks_text(environment, environment_len);
    request->address.family = family;
    if (family != 0) {
        memcpy(request->address.bytes, address, sizeof request->address.bytes);
    } else {
        memset(request->address.bytes, 0, sizeof request->address.bytes);
    }
}

/* No status of the library: the cache must not be used. */
#define KS_LEASE_ENDED ((keystile_status)-1)

/* Nanoseconds on a clock that runs on while the machine sleeps; 0 if it cannot be read. On
 * Linux CLOCK_MONOTONIC stops in suspend, elsewhere it runs on. */
static inline uint64_t ks_boot_nanos(void) {
    struct timespec time;
#ifdef CLOCK_BOOTTIME
    const clockid_t clock = CLOCK_BOOTTIME;
#else
    const clockid_t clock = CLOCK_MONOTONIC;
#endif
    if (clock_gettime(clock, &time) != 0) {
        return 0;
    }
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* keystile_key_lookup returns what to fetch; only the as_of of the ticket is kept. */
static inline keystile_status ks_check(const keystile_keyring *keyring, const char *key,
                                       size_t key_len, const keystile_requirement *requirement,
                                       const char *method, size_t method_len, const char *path,
                                       size_t path_len, const char *environment,
                                       size_t environment_len, uint32_t family,
                                       const uint8_t *address, uint32_t path_profile, uint64_t now, uint64_t begun,
                                       uint64_t span, keystile_decision *decision,
                                       uint64_t *as_of) {
    keystile_request request;
    keystile_ticket ticket;
    if (span != 0) {
        /* Before the cache is read. A clock that has gone back proves nothing. */
        uint64_t clock = ks_boot_nanos();
        if (clock < begun || clock - begun > span) {
            return KS_LEASE_ENDED;
        }
    }
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    keystile_status status =
        keystile_keyring_check(keyring, key, key_len, &request, now, decision, NULL, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        *as_of = ticket.private_as_of;
    }
    return status;
}

static inline keystile_status ks_admit(const keystile_keyring *keyring, uint64_t before,
                                       const char *key, size_t key_len,
                                       const keystile_requirement *requirement, const char *method,
                                       size_t method_len, const char *path, size_t path_len,
                                       const char *environment, size_t environment_len,
                                       uint32_t family, const uint8_t *address, uint32_t path_profile,
                                       const keystile_record *record, const keystile_usage *usage,
                                       void *value, uint64_t now, keystile_decision *decision,
                                       uint64_t *as_of) {
    keystile_request request;
    keystile_ticket ticket;
    memset(&ticket, 0, sizeof ticket);
    ticket.private_as_of = before;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    keystile_status status = keystile_keyring_admit(keyring, &ticket, key, key_len, &request,
                                                    record, usage, value, now, decision, NULL, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        *as_of = ticket.private_as_of;
    }
    return status;
}

/* As ks_check, with the whole ticket, and what to take if tokens are needed. */
static inline keystile_status ks_check_tokens(const keystile_keyring *keyring, const char *key,
                                              size_t key_len,
                                              const keystile_requirement *requirement,
                                              const char *method, size_t method_len,
                                              const char *path, size_t path_len,
                                              const char *environment, size_t environment_len,
                                              uint32_t family, const uint8_t *address,
                                              uint32_t path_profile, uint64_t now,
                                              keystile_decision *decision, keystile_ticket *ticket,
                                              keystile_token_request *wanted) {
    keystile_request request;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    keystile_status status =
        keystile_keyring_check(keyring, key, key_len, &request, now, decision, NULL, ticket);
    if (status == KEYSTILE_NEEDS_TOKENS) {
        keystile_status read = keystile_ticket_tokens(ticket, wanted);
        return read == KEYSTILE_OK ? status : read;
    }
    return status;
}

/* The ticket becomes the next one, if there is one. */
static inline keystile_status ks_grant(const keystile_keyring *keyring, keystile_ticket *ticket,
                                       const char *key, size_t key_len,
                                       const keystile_requirement *requirement, const char *method,
                                       size_t method_len, const char *path, size_t path_len,
                                       const char *environment, size_t environment_len,
                                       uint32_t family, const uint8_t *address,
                                       uint32_t path_profile, uint32_t tokens, uint64_t state,
                                       uint64_t asked_at, uint64_t taken_at, uint8_t degraded,
                                       uint64_t now, keystile_decision *decision) {
    keystile_request request;
    keystile_grant grant;
    memset(&grant, 0, sizeof grant);
    grant.struct_size = sizeof grant;
    grant.tokens = tokens;
    grant.state = state;
    grant.asked_at = asked_at;
    grant.taken_at = taken_at;
    grant.degraded = degraded;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    return keystile_keyring_grant(keyring, ticket, key, key_len, &request, &grant, now, decision,
                                  NULL, ticket);
}

static inline keystile_status ks_verify(const keystile_verifier *verifier, const char *key,
                                        size_t key_len, const keystile_record *record,
                                        const keystile_requirement *requirement,
                                        const char *method, size_t method_len, const char *path,
                                        size_t path_len, const char *environment,
                                        size_t environment_len, uint32_t family,
                                        const uint8_t *address, uint32_t path_profile, keystile_usage *usage,
                                        uint64_t now, keystile_decision *decision) {
    keystile_request request;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    return keystile_verify(verifier, key, key_len, record, &request, usage, now, decision);
}

static inline keystile_status ks_explain(const keystile_verifier *verifier,
                                         const keystile_record *record,
                                         const keystile_requirement *requirement,
                                         const char *method, size_t method_len, const char *path,
                                         size_t path_len, const char *environment,
                                         size_t environment_len, uint32_t family,
                                         const uint8_t *address, uint32_t path_profile, const keystile_usage *usage,
                                         uint64_t now, char *buffer, size_t buffer_len,
                                         size_t *out_needed) {
    keystile_request request;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address, path_profile);
    return keystile_explain(verifier, record, &request, usage, now, buffer, buffer_len, out_needed);
}

/* Nearly every request has only one header that may carry a key. */
static inline keystile_status ks_extract_one(const keystile_credential_extractor *extractor,
                                             const char *name, size_t name_len, const char *value,
                                             size_t value_len, keystile_decision *decision,
                                             keystile_credential *credential) {
    /* NULL would mean that there is no name, which differs from an empty one. */
    keystile_header header = {{name_len == 0 ? "" : name, name_len}, {value, value_len}};
    return keystile_credential_extract(extractor, &header, 1, decision, credential);
}

#endif
