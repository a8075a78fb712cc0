/* A tour of the keyring, compiled as C99 and as C++11. */
#include "tour.h"

static void retain(void *value) { ++*(int *)value; }

static void release(void *value) { --*(int *)value; }

/* A value comes back with an allow by its record only, and each reference is released. */
static void the_values_of_a_keyring(const keystile_verifier *verifier,
                                    const keystile_change *change) {
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_record_parts parts = parts_of(record);
    keystile_request request = request_for(NULL, "GET", "/api/profile");
    keystile_request elsewhere = request_for(NULL, "GET", "/elsewhere");
    keystile_keyring_options options;
    keystile_keyring *keyring = NULL, *without = NULL;
    keystile_ticket ticket;
    keystile_str key;
    keystile_id none;
    int first = 1, second = 1;
    void *value = NULL, *left = &options;
    OK(keystile_change_key(change, &key));

    memset(&none, 0, sizeof none);

    /* Both callbacks or none, and no value without them. */
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.retain_value = retain;
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_keyring_new(verifier, &options, &without, NULL));
    options.retain_value = NULL;
    options.release_value = release;
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_keyring_new(verifier, &options, &without, NULL));
    options.release_value = NULL;
    OK(keystile_keyring_new(verifier, &options, &without, NULL));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(without, key.data, key.len, &request, NOW,
                                                         NULL, &left, &ticket));
    EXPECT(KEYSTILE_ERROR_NULL_POINTER,
           keystile_keyring_admit(without, &ticket, key.data, key.len, &request, record, NULL, &first,
                                  NOW, NULL, &left, &ticket));
    CHECK(left == NULL);
    left = &options;
    OK(keystile_keyring_admit(without, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                              NULL, &left, &ticket));
    CHECK(left == NULL);
    keystile_keyring_free(without);

    options.retain_value = retain;
    options.release_value = release;
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         NULL, &value, &ticket));
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, &first, NOW,
                              NULL, &value, &ticket));
    CHECK(value == &first && first == 3);
    release(value);
    OK(keystile_keyring_check(keyring, key.data, key.len, &request, NOW, NULL, NULL, &ticket));
    CHECK(first == 2);
    left = &options;
    EXPECT(KEYSTILE_DENIED_ENDPOINT,
           keystile_keyring_check(keyring, key.data, key.len, &elsewhere, NOW, NULL, &left,
                                  &ticket));
    CHECK(left == NULL && first == 2);

    /* Without a decision, as long as the record would decide. */
    OK(keystile_keyring_value(keyring, &parts.id, NOW + 299999, &value));
    CHECK(value == &first && first == 3);
    release(value);
    OK(keystile_keyring_value(keyring, &parts.id, NOW + 300000, &value));
    CHECK(value == NULL && first == 2);
    left = &options;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_keyring_value(keyring, &parts.id, 0, &left));
    CHECK(left == NULL);
    left = &options;
    EXPECT(KEYSTILE_ERROR_KEY_ID, keystile_keyring_value(keyring, &none, NOW, &left));
    CHECK(left == NULL);
    OK(keystile_keyring_invalidate(keyring, &parts.id));
    OK(keystile_keyring_value(keyring, &parts.id, NOW, &value));
    CHECK(value == NULL && first == 2);

    /* A version before the one that was written is not admitted, even if nothing was cached. */
    OK(keystile_keyring_invalidate_at(keyring, &parts.id, 2));
    EXPECT(KEYSTILE_ERROR_KEY_ID, keystile_keyring_invalidate_at(keyring, &none, 2));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         NULL, &left, &ticket));
    EXPECT(KEYSTILE_NEEDS_RECORD,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, &first,
                                  NOW, NULL, &left, &ticket));
    CHECK(left == NULL && first == 2);
    OK(keystile_keyring_reset(keyring));

    /* A fetch that was overtaken keeps nothing of its value. */
    OK(keystile_keyring_invalidate(keyring, &parts.id));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         NULL, &left, &ticket));
    OK(keystile_keyring_invalidate(keyring, &parts.id));
    EXPECT(KEYSTILE_NEEDS_RECORD,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, &first,
                                  NOW, NULL, &left, &ticket));
    CHECK(left == NULL && first == 2);
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, &second, NOW,
                              NULL, &value, &ticket));
    CHECK(value == &second && second == 3);
    keystile_keyring_free(keyring);
    CHECK(first == 1 && second == 2);
    release(value);
}

static void the_keyring(const keystile_verifier *verifier, const keystile_change *change) {
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_record_parts parts = parts_of(record);
    keystile_request request = request_for(NULL, "GET", "/api/profile");
    keystile_keyring_options options;
    keystile_keyring_stats stats;
    keystile_keyring *keyring = NULL;
    keystile_change *revoked = NULL;
    keystile_uses *uses = NULL;
    keystile_use used;
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_str key;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = 10;
    options.absent_ttl_millis = KEYSTILE_DURATION_NONE;
    OK(keystile_change_key(change, &key));
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request,
                                                         NOW, &decision, NULL, &ticket));
    CHECK(memcmp(keystile_lookup_key_id(keystile_ticket_lookup(&ticket)), &parts.id, sizeof parts.id) == 0);
    CHECK(keystile_lookup_digest_count(keystile_ticket_lookup(&ticket)) == 0);
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                              &decision, NULL, &ticket));
    OK(keystile_keyring_check(keyring, key.data, key.len, &request, NOW, &decision, NULL, &ticket));
    CHECK(decision.kind == KEYSTILE_DECISION_ALLOWED);

    OK(keystile_keyring_drain_uses(keyring, &uses));
    CHECK(keystile_uses_count(uses) == 1);
    OK(keystile_uses_at(uses, 0, &used));
    CHECK(used.count == 2 && memcmp(&used.key_id, &parts.id, sizeof parts.id) == 0);
    EXPECT(KEYSTILE_ERROR_INDEX, keystile_uses_at(uses, 1, &used));
    keystile_uses_free(uses);

    /* A state from a wrong clock is held to one burst, and moved to another clock. */
    keystile_rate_limit hourly = {1, 1, 3600000};
    uint64_t state = 0, full_at = 0;
    OK(keystile_rate_state_full_at(state, &full_at));
    CHECK(full_at == 0);
    OK(keystile_rate_limit_admit(&hourly, &state, NOW + 365 * UINT64_C(86400000), NULL));
    OK(keystile_rate_limit_hold(&hourly, &state, NOW));
    OK(keystile_rate_state_move(&state, NOW, NOW + 60000));
    OK(keystile_rate_limit_hold(&hourly, &state, NOW));
    OK(keystile_rate_state_full_at(state, &full_at));
    CHECK(full_at == NOW + 3600000 + 60000);
    OK(keystile_rate_limit_clamp(&hourly, &state, NOW));
    OK(keystile_rate_state_full_at(state, &full_at));
    CHECK(full_at == NOW + 3600000);

    /* A fetch that an invalidation overtakes must be repeated, and the revocation holds. */
    OK(keystile_keyring_invalidate(keyring, &parts.id));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request,
                                                         NOW, &decision, NULL, &ticket));
    OK(keystile_revoke(record, L("leaked in a log"), NOW, &revoked, NULL));
    OK(keystile_keyring_invalidate(keyring, &parts.id));
    EXPECT(KEYSTILE_NEEDS_RECORD,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                                  &decision, NULL, &ticket));
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request,
                                  keystile_change_record_at(revoked, 0), NULL, NULL, NOW, &decision,
                                  NULL, &ticket));
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED,
           keystile_keyring_check(keyring, key.data, key.len, &request, NOW, &decision, NULL,
                                  &ticket));
    OK(keystile_keyring_invalidate_owner(keyring, L("tenant-7")));
    OK(keystile_keyring_invalidate_all(keyring));
    /* A store that was restored from a backup has the record before the revocation. */
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, NULL, &ticket));
    EXPECT(KEYSTILE_NEEDS_RECORD,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                                  &decision, NULL, &ticket));
    OK(keystile_keyring_reset(keyring));
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, NULL, &ticket));
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                              &decision, NULL, &ticket));
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    OK(keystile_keyring_stats_of(keyring, &stats));
    CHECK(stats.overtaken == 2 && stats.invalidations >= 5);
    keystile_change_free(revoked);
    keystile_keyring_free(keyring);
}

/* A caller that ignores a status must not find the decision of the call before. */
static void nothing_is_left_of_an_earlier_call(const keystile_verifier *verifier,
                                               const keystile_change *change) {
    static keystile_decision none;
    static keystile_credential no_credential;
    keystile_keyring *keyring = NULL;
    keystile_credential_extractor *extractor = NULL;
    keystile_credential credential;
    keystile_header header;
    keystile_response *response = NULL;
    keystile_request request = request_for(NULL, "GET", "/api/a");
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_usage usage;
    keystile_str key;
    const keystile_record *record = keystile_change_record_at(change, 0);
    void *value = &usage;
    request.environment = str("live");
    OK(keystile_change_key(change, &key));
    OK(keystile_record_usage(record, &usage));
#define ALLOWED()                                                                         \
    OK(keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, &decision)); \
    CHECK(decision.kind == KEYSTILE_DECISION_ALLOWED);                                    \
    OK(keystile_record_usage(record, &usage))
#define LEFT_NOTHING() CHECK(memcmp(&decision, &none, sizeof none) == 0)
    ALLOWED();
    EXPECT(KEYSTILE_ERROR_TIME, keystile_verify(verifier, key.data, key.len, record, &request, &usage,
                                                NOW / 1000, &decision));
    LEFT_NOTHING();
    OK(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    ALLOWED();
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, &value, &ticket));
    LEFT_NOTHING();
    CHECK(value == NULL);
    OK(keystile_respond(&decision, 0, 0, NULL, NULL, NOW, &response));
    CHECK(keystile_response_status(response) == 503);
    keystile_response_free(response);
    ALLOWED();
    OK(keystile_keyring_invalidate_all(keyring));
    value = &usage;
    EXPECT(KEYSTILE_NEEDS_RECORD,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL,
                                  NOW, &decision, &value, &ticket));
    LEFT_NOTHING();
    CHECK(value == NULL);
    ALLOWED();
    EXPECT(KEYSTILE_ERROR_TIME, keystile_keyring_check(keyring, key.data, key.len, &request, 7,
                                                       &decision, &value, &ticket));
    LEFT_NOTHING();
    ALLOWED();
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_refuse(77, &decision));
    LEFT_NOTHING();

    OK(keystile_credential_extractor_new(verifier, NULL, &extractor, NULL));
    header.name = str("x-api-key");
    header.value = key;
    ALLOWED();
    OK(keystile_credential_extract(extractor, &header, 1, &decision, &credential));
    LEFT_NOTHING();
    CHECK(credential.len == key.len);
    header.value = str("");
    EXPECT(KEYSTILE_DENIED_MISSING_CREDENTIAL,
           keystile_credential_extract(extractor, &header, 1, &decision, &credential));
    CHECK(memcmp(&credential, &no_credential, sizeof credential) == 0);
    CHECK(decision.kind == KEYSTILE_DECISION_REFUSED);
    keystile_credential_extractor_free(extractor);
    keystile_keyring_free(keyring);
}

int main(void) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    keystile_change *change = issue(format, 3);
    the_keyring(verifier, change);
    the_values_of_a_keyring(verifier, change);
    nothing_is_left_of_an_earlier_call(verifier, change);
    keystile_change_free(change);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("the keyring is complete");
    return 0;
}
