/* One valid argument of each kind, for the programs that are generated from the header. */
#ifndef SPECIMENS_H
#define SPECIMENS_H

#include "support.h"

#define IS_NULL_POINTER(call) EXPECT(KEYSTILE_ERROR_NULL_POINTER, call)
#define IS_LENGTH(call) EXPECT(KEYSTILE_ERROR_LENGTH, call)
#define IS_STRUCT_SIZE(call) EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, call)

/* An output is filled with a pattern, and must be unchanged after a misuse. */
#define FILL(place)                                                                       \
    unsigned char before_##place[sizeof place];                                           \
    (void)before_##place;                                                                 \
    memset(&place, 0xA5, sizeof place)
#define UNTOUCHED(place)                                                                  \
    do {                                                                                  \
        memset(before_##place, 0xA5, sizeof place);                                       \
        /* In structs that begin with their size, the size is set. */                              \
        size_t from = memcmp(&place, before_##place, 1) == 0 ? 0 : sizeof(size_t);        \
        CHECK(memcmp((char *)&place + from, before_##place + from, sizeof place - from) == 0); \
    } while (0)

#define ZEROED(place)                                                                     \
    do {                                                                                  \
        memset(before_##place, 0, sizeof place);                                          \
        CHECK(memcmp(&place, before_##place, sizeof place) == 0);                         \
        memset(&place, 0xA5, sizeof place);                                               \
    } while (0)

/* Numbers, by the names of their parameters. */
#define S_now NOW
#define S_from NOW
#define S_to NOW
#define S_rate_state 1
#define S_index 0
#define S_version 1
#define S_policy 0
#define S_profile 0
#define S_fields 0
#define S_cause 1
#define S_why 1
#define S_random_bytes 16
#define S_secret_len 32
#define S_checksum_key_len 32
#define S_random_len 512
#define S_items_len 1
#define S_siblings_len 1
#define S_headers_len 1
#define S_records_len 1
#define S_buffer_len sizeof S.buffer
#define S_TEXT_LEN (sizeof KEY_TEXT - 1)
#define S_key_len S_TEXT_LEN
#define S_text_len S_TEXT_LEN
#define S_prefix_len 4
#define S_name_len 4
#define S_wanted_len 4
#define S_method_len 4
#define S_path_len 4
#define S_json_len S_TEXT_LEN
#define S_reason_len 4
#define S_owner_len 4
#define S_actor_len 4

#define KEY_TEXT "acme_live_1QJ4bo0RE6F7ptpH_I4xbO9xdOMtcZFEvOwCwasfln8oPlvdBU3XVJz7MYw24ErgXr"

static struct {
    char key[sizeof KEY_TEXT];
    char buffer[8192];
    uint8_t random[512];
    uint64_t state;
    keystile_header headers[1];
    keystile_plan_item plan_items[4];
    keystile_format *format;
    keystile_peppers *peppers;
    keystile_requirement *requirement;
    keystile_template *template;
    keystile_record *record;
    const keystile_record *records[1];
    keystile_change *change;
    keystile_credential_sources credential_sources;
    keystile_credential_extractor *credential_extractor;
    keystile_verifier *verifier;
    keystile_keyring *keyring;
    keystile_uses *uses;
    keystile_keyring *sharing;
    keystile_rest *rest;
    keystile_grant grant;
    keystile_response *response;
    keystile_request request;
    keystile_issue_request issue_request;
    keystile_key_change key_change;
    keystile_record_parts record_parts;
    keystile_rotation_policy rotation_policy;
    keystile_keyring_options keyring_options;
    keystile_keyring_stats keyring_stats;
    keystile_address address;
    keystile_digest digest;
    keystile_id id;
    keystile_quota quota;
    keystile_rate_limit rate_limit;
    keystile_ticket ticket;
    keystile_usage usage;
    keystile_decision decision;
    keystile_error error;
    keystile_credential credential;
    keystile_str str_permissions[1], str_endpoints[1], str_networks[1];
    keystile_permissions *permissions;
    keystile_endpoints *endpoints;
    keystile_networks *networks;
    /* References to it: a misuse leaves none behind. */
    long value;
    /* Calls of a fetch. */
    int context;
} S;

/* No misuse is to call it. */
static int32_t not_called(void *context, const keystile_lookup *lookup, keystile_fetched *found) {
    (void)lookup;
    (void)found;
    ++*(int *)context;
    return KEYSTILE_OK;
}

#define S_fetch not_called

static int32_t not_asked(void *context, const keystile_token_request *wanted, keystile_taken *taken) {
    (void)wanted;
    (void)taken;
    ++*(int *)context;
    return KEYSTILE_OK;
}

#define S_take not_asked

static void retain_value(void *value) { ++*(long *)value; }

static void release_value(void *value) { --*(long *)value; }

/* A struct whose struct_size is wrong. */
static inline void *wrong_size(size_t size) {
    static size_t place[64];
    place[0] = size;
    return place;
}

/* A ticket that waits for tokens. */
static void prepare_ticket(keystile_record_parts parts) {
    keystile_keyring_options options;
    keystile_record *limited = NULL;
    keystile_str key;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.lease_millis = 1000;
    parts.has_rate_limit = 1;
    parts.rate_limit = S.rate_limit;
    OK(keystile_change_key(S.change, &key));
    OK(keystile_record_new(&parts, &limited, NULL));
    OK(keystile_keyring_new(S.verifier, &options, &S.sharing, NULL));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(S.sharing, key.data, key.len, &S.request, NOW,
                                                         NULL, NULL, &S.ticket));
    EXPECT(KEYSTILE_NEEDS_TOKENS,
           keystile_keyring_admit(S.sharing, &S.ticket, key.data, key.len, &S.request, limited, NULL, NULL,
                                  NOW, NULL, NULL, &S.ticket));
    keystile_record_free(limited);
}

static void prepare(void) {
    keystile_record_parts parts;
    memcpy(S.key, KEY_TEXT, sizeof KEY_TEXT);
    for (size_t at = 0; at < sizeof S.random; at++) {
        S.random[at] = (uint8_t)(at * 37 + 11);
    }
    S.str_permissions[0] = str("read");
    S.str_endpoints[0] = str("/api");
    S.str_networks[0] = str("192.0.2.0/24");
    S.headers[0].name = str("x-api-key");
    S.headers[0].value = str(KEY_TEXT);
    S.credential_sources.struct_size = sizeof S.credential_sources;
    S.request.struct_size = sizeof S.request;
    S.issue_request.struct_size = sizeof S.issue_request;
    S.issue_request.client_name = str("Acme");
    S.key_change.struct_size = sizeof S.key_change;
    S.key_change.owner = str("tenant-7");
    S.keyring_options.struct_size = sizeof S.keyring_options;
    S.rotation_policy.struct_size = sizeof S.rotation_policy;
    S.rate_limit.limit = S.rate_limit.burst = 9;
    S.rate_limit.window_millis = 1000;
    OK(keystile_rotation_policy_default(&S.rotation_policy));
    OK(keystile_rate_limit_admit(&S.rate_limit, &S.state, NOW, &S.quota));
    OK(keystile_format_structured("acme", 4, &S.format, NULL));
    OK(keystile_peppers_new(1, S.random, 32, &S.peppers, NULL));
    OK(keystile_permissions_new(S.str_permissions, 1, &S.permissions, NULL));
    OK(keystile_endpoints_new(S.str_endpoints, 1, &S.endpoints, NULL));
    OK(keystile_networks_new(S.str_networks, 1, &S.networks, NULL));
    OK(keystile_requirement_parse("read", 4, &S.requirement, NULL));
    OK(keystile_template_preset("admin", 5, &S.template));
    OK(keystile_credential_extractor_new(NULL, NULL, &S.credential_extractor, NULL));
    OK(keystile_verifier_new(S.format, NULL, &S.verifier));
    S.keyring_options.retain_value = retain_value;
    S.keyring_options.release_value = release_value;
    OK(keystile_keyring_new(S.verifier, &S.keyring_options, &S.keyring, NULL));
    OK(keystile_keyring_drain_uses(S.keyring, &S.uses));
    OK(keystile_keyring_rest(S.keyring, NOW, &S.rest));
    S.grant.struct_size = sizeof S.grant;
    S.grant.degraded = 1;
    OK(keystile_digest_of(NULL, S.key, S_TEXT_LEN, &S.digest));
    OK(keystile_address_parse("192.0.2.7", 9, &S.address, NULL));
    OK(keystile_issue(S.format, NULL, &S.issue_request, NULL, 0, NOW, &S.change, NULL));
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(keystile_change_record_at(S.change, 0), &parts));
    S.record_parts = parts;
    S.id = parts.id;
    OK(keystile_record_new(&parts, &S.record, NULL));
    S.records[0] = S.record;
    prepare_ticket(parts);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE,
           keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, &S.decision));
    OK(keystile_respond(&S.decision, 0, 0, NULL, NULL, NOW, &S.response));
}

static void dismiss(void) {
    keystile_response_free(S.response);
    keystile_record_free(S.record);
    keystile_change_free(S.change);
    keystile_uses_free(S.uses);
    keystile_rest_free(S.rest);
    keystile_keyring_free(S.sharing);
    keystile_keyring_free(S.keyring);
    CHECK(S.value == 0 && S.context == 0);
    keystile_verifier_free(S.verifier);
    keystile_credential_extractor_free(S.credential_extractor);
    keystile_template_free(S.template);
    keystile_requirement_free(S.requirement);
    keystile_networks_free(S.networks);
    keystile_endpoints_free(S.endpoints);
    keystile_permissions_free(S.permissions);
    keystile_peppers_free(S.peppers);
    keystile_format_free(S.format);
}

#endif
