/* The calls of the hot path as flat arguments: a struct in Go's memory that points to
 * Go's memory may not be passed to C, and one on C's own stack may point there. */
#ifndef KEYSTILE_GO_HOT_H
#define KEYSTILE_GO_HOT_H

#include <keystile.h>
#include <string.h>

#if KEYSTILE_ABI_VERSION != 1
#error "keystile.h is of another ABI than this Go module; take both from one release"
#endif

/* A text that is none where it is empty. */
static inline keystile_str ks_text(const char *data, size_t len) {
    keystile_str text = {len == 0 ? NULL : data, len};
    return text;
}

static inline void ks_request(keystile_request *request, const keystile_requirement *requirement,
                              const char *method, size_t method_len, const char *path,
                              size_t path_len, const char *environment, size_t environment_len,
                              uint32_t family, const uint8_t *address) {
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

/* What to fetch is told by keystile_key_lookup; of the ticket only its instant is kept. */
static inline keystile_status ks_check(const keystile_keyring *keyring, const char *key,
                                       size_t key_len, const keystile_requirement *requirement,
                                       const char *method, size_t method_len, const char *path,
                                       size_t path_len, const char *environment,
                                       size_t environment_len, uint32_t family,
                                       const uint8_t *address, uint64_t now,
                                       keystile_decision *decision, uint64_t *as_of) {
    keystile_request request;
    keystile_ticket ticket;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address);
    keystile_status status =
        keystile_keyring_check(keyring, key, key_len, &request, now, decision, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        *as_of = ticket.as_of;
    }
    return status;
}

static inline keystile_status ks_admit(const keystile_keyring *keyring, uint64_t before,
                                       const char *key, size_t key_len,
                                       const keystile_requirement *requirement, const char *method,
                                       size_t method_len, const char *path, size_t path_len,
                                       const char *environment, size_t environment_len,
                                       uint32_t family, const uint8_t *address,
                                       const keystile_record *record, uint64_t now,
                                       keystile_decision *decision, uint64_t *as_of) {
    keystile_request request;
    keystile_ticket ticket;
    memset(&ticket, 0, sizeof ticket);
    ticket.as_of = before;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address);
    keystile_status status = keystile_keyring_admit(keyring, &ticket, key, key_len, &request,
                                                    record, now, decision, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        *as_of = ticket.as_of;
    }
    return status;
}

static inline keystile_status ks_verify(const keystile_verifier *verifier, const char *key,
                                        size_t key_len, const keystile_record *record,
                                        const keystile_requirement *requirement,
                                        const char *method, size_t method_len, const char *path,
                                        size_t path_len, const char *environment,
                                        size_t environment_len, uint32_t family,
                                        const uint8_t *address, keystile_usage *usage,
                                        uint64_t now, keystile_decision *decision) {
    keystile_request request;
    ks_request(&request, requirement, method, method_len, path, path_len, environment,
               environment_len, family, address);
    return keystile_verify(verifier, key, key_len, record, &request, usage, now, decision);
}

/* A request has one header that may carry a key, nearly always. */
static inline keystile_status ks_extract_one(const keystile_credential_rules *rules,
                                             const char *name, size_t name_len, const char *value,
                                             size_t value_len, keystile_decision *decision,
                                             keystile_credential *credential) {
    /* NULL would be no name at all, which is another thing than an empty one. */
    keystile_header header = {{name_len == 0 ? "" : name, name_len}, {value, value_len}};
    return keystile_credential_extract(rules, &header, 1, decision, credential);
}

#endif
