/* Programs with an older and with a newer header: structs that begin with their size. */
#include <stddef.h>

#include "tour.h"

/* keystile_request as it was before path_profile, which took the place of padding. */
typedef struct old_request {
    size_t struct_size;
    const keystile_requirement *requirement;
    keystile_str method;
    keystile_str path;
    keystile_str environment;
    keystile_address address;
} old_request;

/* keystile_keyring_options as it was before monotonic_clock. */
typedef struct old_options {
    size_t struct_size;
    uint64_t capacity;
    uint64_t ttl_millis;
    uint64_t absent_ttl_millis;
    uint64_t clock_skew_millis;
    void (*retain_value)(void *value);
    void (*release_value)(void *value);
} old_options;

/* keystile_keyring_stats as it was before versions_lost. */
typedef struct old_stats {
    size_t struct_size;
    uint64_t entries, fetches, overtaken, evictions, invalidations, absent_hits, uses_lost;
} old_stats;

/* keystile_request as a later version may have it. */
typedef struct new_request {
    keystile_request known;
    uint64_t restriction;
    char more[64];
} new_request;

typedef struct new_policy {
    keystile_rotation_policy known;
    uint64_t more[3];
} new_policy;

static keystile_verifier *verifier;
static keystile_change *issued;

static keystile_status verified(const void *request) {
    keystile_usage usage;
    keystile_str key;
    const keystile_record *record = keystile_change_record_at(issued, 0);
    OK(keystile_record_usage(record, &usage));
    OK(keystile_change_key(issued, &key));
    return keystile_verify(verifier, key.data, key.len, record, (const keystile_request *)request,
                           &usage, NOW, NULL);
}

/* keystile_record_parts as it was before lifetime_millis: what was not written stays. */
static void old_records(void) {
    keystile_record_parts parts;
    keystile_record *record = NULL;
    const size_t old = offsetof(keystile_record_parts, lifetime_millis);
    memset(&parts, 0, sizeof parts);
    parts.struct_size = old;
    parts.lifetime_millis = 77;
    OK(keystile_record_parts_of(keystile_change_record_at(issued, 0), &parts));
    CHECK(parts.struct_size == old && parts.lifetime_millis == 77 && parts.version == 1);
    OK(keystile_record_new(&parts, &record, NULL)); /* the length of life is not read */
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(record, &parts));
    CHECK(parts.lifetime_millis == 0);
    keystile_record_free(record);
    /* No version ended within a field, nor after this one. */
    parts.struct_size = offsetof(keystile_record_parts, derived_from) + 2 * sizeof(size_t);
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, keystile_record_new(&parts, &record, NULL));
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE,
           keystile_record_parts_of(keystile_change_record_at(issued, 0), &parts));
    parts.struct_size = old - 4;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, keystile_record_new(&parts, &record, NULL));
}

static void old_programs(void) {
    old_request request;
    old_options options;
    struct {
        old_stats stats;
        uint64_t beyond;
    } place;
    keystile_keyring *keyring = NULL;
    keystile_error why;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.method = str("GET");
    request.path = str("/api/a");
    request.environment = str("live");
    OK(verified(&request));
    request.path = str("/other");
    EXPECT(KEYSTILE_DENIED_ENDPOINT, verified(&request));
    request.path = str("/api/a%2Fb"); /* the profile that it does not have is the strict one */
    EXPECT(KEYSTILE_DENIED_PATH_NOT_CANONICAL, verified(&request));
    request.struct_size -= sizeof(size_t); /* no version had this */
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, verified(&request));

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.ttl_millis = 5000; /* the default for absent keys is not above it */
    OK(keystile_keyring_new(verifier, (const keystile_keyring_options *)(const void *)&options,
                            &keyring, NULL));
    memset(&place, 0xA5, sizeof place);
    place.stats.struct_size = sizeof place.stats;
    OK(keystile_keyring_stats_of(keyring, (keystile_keyring_stats *)(void *)&place.stats));
    CHECK(place.stats.struct_size == sizeof place.stats && place.stats.uses_lost == 0);
    CHECK(place.beyond == UINT64_C(0xA5A5A5A5A5A5A5A5));
    old_records();
    place.stats.struct_size = sizeof(keystile_keyring_stats) + 136; /* left on the stack */
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE,
           keystile_keyring_stats_of(keyring, (keystile_keyring_stats *)(void *)&place.stats));
    place.stats.struct_size = offsetof(old_stats, uses_lost);
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE,
           keystile_keyring_stats_of(keyring, (keystile_keyring_stats *)(void *)&place.stats));
    keystile_keyring_free(keyring);
    keyring = NULL;

    options.struct_size = sizeof(size_t);
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE,
           keystile_keyring_new(verifier, (const keystile_keyring_options *)(const void *)&options,
                                &keyring, &why));
    CHECK(is_text(why.field, "options"));
}

static void new_programs(void) {
    new_request request;
    new_policy policy;
    char json[512];
    size_t length = 0;
    memset(&request, 0, sizeof request);
    request.known.struct_size = sizeof request;
    request.known.method = str("GET");
    request.known.path = str("/api/a");
    request.known.environment = str("live");
    OK(verified(&request));
    request.restriction = 1; /* it would be lost */
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, verified(&request));
    request.restriction = 0;
    request.more[63] = 1;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, verified(&request));
    request.more[63] = 0;
    request.known.struct_size = sizeof request.known + 136;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, verified(&request));

    memset(&policy, 0xA5, sizeof policy);
    policy.known.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy.known));
    CHECK(policy.known.struct_size == sizeof policy);
    CHECK(policy.known.max_age_millis == 90 * DAY && policy.known.never_expires == 0);
    CHECK(policy.more[0] == 0 && policy.more[1] == 0 && policy.more[2] == 0);
    policy.known.max_age_millis = 7 * DAY;
    OK(keystile_rotation_policy_to_json(&policy.known, json, sizeof json, &length, NULL));
    memset(&policy, 0xA5, sizeof policy); /* an output need not be initialised */
    policy.known.struct_size = sizeof policy;
    OK(keystile_rotation_policy_from_json(json, length, &policy.known, NULL));
    CHECK(policy.known.struct_size == sizeof policy);
    CHECK(policy.known.max_age_millis == 7 * DAY && policy.more[0] == 0 && policy.more[2] == 0);
}

/* Room for digests of other algorithms, in structs that never change. */
static void there_is_room(void) {
    keystile_digest digest;
    keystile_lookup lookup;
    CHECK(sizeof digest.private_room >= 24 && sizeof lookup.private_room >= 64);
    CHECK(offsetof(keystile_digest, private_room) + sizeof digest.private_room == sizeof digest);
    CHECK(sizeof(keystile_digest_text) >= 96);
}

int main(void) {
    keystile_format *format = NULL;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    issued = issue(format, 100);
    CHECK(sizeof(old_request) == sizeof(keystile_request));
    CHECK(sizeof(old_options) == offsetof(keystile_keyring_options, monotonic_clock));
    old_programs();
    new_programs();
    there_is_room();
    keystile_change_free(issued);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("old and new programs understood");
    return 0;
}
