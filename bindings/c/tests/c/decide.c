/* A decision in one call: what is fetched, how often, and what a fetch that fails means. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "tour.h"

/* What a fetch does. */
typedef struct source {
    const keystile_record *record;
    const keystile_keyring *overtakes;
    keystile_usage usage;
    int32_t answer;
    uint8_t has_usage;
    int calls;
} source;

static keystile_record *copy_of(const keystile_record *record) {
    keystile_record_parts parts = parts_of(record);
    keystile_record *copy = NULL;
    OK(keystile_record_new(&parts, &copy, NULL));
    return copy;
}

static int32_t fetch(void *context, const keystile_lookup *lookup, keystile_fetched *found) {
    source *own = (source *)context;
    CHECK(found->struct_size == sizeof *found && found->record == NULL && found->has_usage == 0);
    CHECK(keystile_lookup_key_id(lookup) != NULL && keystile_lookup_digest_count(lookup) == 0);
    own->calls++;
    if (own->record != NULL) {
        /* The library frees it, also if the fetch fails. */
        found->record = copy_of(own->record);
    }
    found->usage = own->usage;
    found->has_usage = own->has_usage;
    if (own->overtakes != NULL) {
        OK(keystile_keyring_invalidate(own->overtakes, keystile_lookup_key_id(lookup)));
    }
    return own->answer;
}

int main(void) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_request request = request_for(NULL, "GET", "/api/data");
    keystile_decision decision;
    keystile_rate_limit limit = {3, 3, 3600000};
    keystile_str key;
    source from;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    OK(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    keystile_change *change = issue(format, 3);
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_id id = parts_of(record).id;
    OK(keystile_change_key(change, &key));
    memset(&from, 0, sizeof from);
#define DECIDE(text, len) keystile_keyring_decide(keyring, text, len, &request, NOW, fetch, &from, &decision)

    /* What the store does not say is not an answer, and is not remembered. */
    from.answer = KEYSTILE_DENIED_STORE_UNAVAILABLE;
    from.record = record;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    CHECK(decision.kind == KEYSTILE_DECISION_REFUSED && decision.cause == KEYSTILE_CAUSE_STORE_UNAVAILABLE);
    from.answer = -7;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    from.answer = KEYSTILE_NEEDS_RECORD;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    from.answer = KEYSTILE_DENIED_RECORD_DAMAGED;
    EXPECT(KEYSTILE_DENIED_RECORD_DAMAGED, DECIDE(key.data, key.len));
    from.answer = KEYSTILE_OK;
    from.has_usage = 2;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    from.has_usage = 0;
    from.usage.rate_state = 1;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    from.usage.rate_state = 0;
    CHECK(from.calls == 6);

    /* Uses that are counted, and usage that does not count them. */
    keystile_record_parts parts = parts_of(record);
    keystile_record *counted = NULL;
    parts.has_remaining_uses = 1;
    parts.remaining_uses = 5;
    OK(keystile_record_new(&parts, &counted, NULL));
    from.record = counted;
    from.has_usage = 1;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    from.record = record;
    keystile_record_free(counted);

    /* A fetch that is overtaken each time ends. */
    from.has_usage = 0;
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    from.overtakes = keyring;
    from.calls = 0;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE(key.data, key.len));
    CHECK(from.calls == 8);
    /* Six pauses: a replica that lags gets time to catch up. */
    clock_gettime(CLOCK_MONOTONIC, &ended);
    CHECK((ended.tv_sec - begun.tv_sec) * 1000000 + (ended.tv_nsec - begun.tv_nsec) / 1000 >= 29000);
    from.overtakes = NULL;

    /* Two of three requests are spent, as the store has it; then memory answers. */
    from.calls = 0;
    for (int spent = 0; spent < 2; spent++) {
        OK(keystile_rate_limit_admit(&limit, &from.usage.rate_state, NOW, NULL));
    }
    from.has_usage = 1;
    OK(DECIDE(key.data, key.len));
    CHECK(decision.kind == KEYSTILE_DECISION_ALLOWED && strcmp(decision.key_id.text, id.text) == 0);
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, DECIDE(key.data, key.len));
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED,
           keystile_keyring_decide(keyring, key.data, key.len, &request, NOW, fetch, &from, NULL));
    CHECK(from.calls == 1);

    /* No text of a key is not looked up, and a key that the store does not have is asked for once. */
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, DECIDE(key.data, key.len - 1));
    CHECK(from.calls == 1);
    keystile_change *other = issue(format, 3);
    OK(keystile_change_key(other, &key));
    from.record = NULL;
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, DECIDE(key.data, key.len));
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, DECIDE(key.data, key.len));
    CHECK(decision.cause == KEYSTILE_CAUSE_UNKNOWN_KEY && from.calls == 2);

    EXPECT(KEYSTILE_ERROR_NULL_POINTER,
           keystile_keyring_decide(keyring, key.data, key.len, &request, NOW, NULL, &from, &decision));
    keystile_change_free(other);
    keystile_change_free(change);
    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("decided");
    return 0;
}
