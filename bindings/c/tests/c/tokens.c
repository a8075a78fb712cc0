/* Limits that are counted elsewhere: tickets for tokens, grants, what is left, and a decision in one call. */
#include "tour.h"

/* The one place in which the limit is counted; its clock is a minute behind. */
typedef struct limits {
    const keystile_record *record;
    uint64_t state;
    uint32_t taken;
    int32_t answer;
    int asked;
} limits;

#define CLOCK (NOW - 60000)

static int32_t fetch(void *context, const keystile_lookup *lookup, keystile_fetched *found) {
    limits *own = (limits *)context;
    keystile_record_parts parts = parts_of(own->record);
    CHECK(keystile_lookup_key_id(lookup) != NULL);
    OK(keystile_record_new(&parts, &found->record, NULL));
    return KEYSTILE_OK;
}

static int32_t take(void *context, const keystile_token_request *wanted, keystile_taken *taken) {
    limits *own = (limits *)context;
    CHECK(taken->struct_size == sizeof *taken && taken->tokens == 0 && wanted->tokens > 0);
    own->asked++;
    taken->clock = CLOCK;
    while (taken->tokens < wanted->tokens
           && keystile_rate_limit_admit(&wanted->limit, &own->state, CLOCK, NULL) == KEYSTILE_OK) {
        taken->tokens++;
    }
    own->taken += taken->tokens;
    taken->state = own->state;
    return own->answer;
}

int main(void) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_keyring_options options;
    keystile_request request = request_for(NULL, "GET", "/api/data");
    keystile_request elsewhere = request_for(NULL, "GET", "/elsewhere");
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_token_request wanted;
    keystile_unused_tokens unused;
    keystile_rest *rest = NULL;
    keystile_grant grant;
    keystile_str key;
    uint32_t remaining;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    keystile_change *change = issue(format, 16);
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_record_parts parts = parts_of(record);
    OK(keystile_change_key(change, &key));

    /* The options, and what contradicts itself. */
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.lease_share = 2;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_keyring_new(verifier, &options, &keyring, NULL));
    options.lease_millis = 10001;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_keyring_new(verifier, &options, &keyring, NULL));
    options.lease_millis = 1000;
    options.lease_processes = 100001;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_keyring_new(verifier, &options, &keyring, NULL));
    options.lease_processes = 1;
    options.lease_share = 8;
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));

#define CHECK_KEY(ask) \
    keystile_keyring_check(keyring, key.data, key.len, ask, NOW, &decision, NULL, &ticket)
#define GRANT keystile_keyring_grant(keyring, &ticket, key.data, key.len, &request, &grant, NOW, &decision, NULL, &ticket)
    /* A ticket for a record has no tokens. */
    EXPECT(KEYSTILE_NEEDS_RECORD, CHECK_KEY(&request));
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_ticket_tokens(&ticket, &wanted));
    memset(&grant, 0, sizeof grant);
    grant.struct_size = sizeof grant;
    grant.degraded = 1;
    EXPECT(KEYSTILE_ERROR_ABSENT, GRANT);
    EXPECT(KEYSTILE_NEEDS_TOKENS, keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record,
                                                         NULL, NULL, NOW, &decision, NULL, &ticket));
    OK(keystile_ticket_tokens(&ticket, &wanted));
    CHECK(wanted.tokens == 1 && wanted.limit.limit == 16 && wanted.limit.burst == 16);
    CHECK(strcmp(wanted.key_id.text, parts.id.text) == 0);
    CHECK(strcmp(wanted.lineage.text, parts.lineage.text) == 0);
    CHECK(wanted.limit.window_millis == parts.rate_limit.window_millis);

    /* A grant of values that contradict each other decides nothing. */
    grant.tokens = 1;
    EXPECT(KEYSTILE_ERROR_VALUE, GRANT);
    grant.degraded = 0;
    EXPECT(KEYSTILE_ERROR_TIME, GRANT);

    /* Three were taken: one is used at once, one later, one is left. */
    grant.tokens = 3;
    grant.asked_at = NOW;
    grant.taken_at = CLOCK;
    for (int taken = 0; taken < 3; taken++) {
        OK(keystile_rate_limit_admit(&wanted.limit, &grant.state, NOW, NULL));
    }
    OK(GRANT);
    CHECK(decision.kind == KEYSTILE_DECISION_ALLOWED);
    OK(keystile_quota_remaining(&decision.quota, &remaining));
    CHECK(remaining == 15);
    OK(CHECK_KEY(&request));
    OK(keystile_quota_remaining(&decision.quota, &remaining));
    CHECK(remaining == 14);
    OK(keystile_keyring_rest(keyring, NOW + 374, &rest));
    CHECK(keystile_rest_count(rest) == 0);
    keystile_rest_free(rest);
    OK(keystile_keyring_rest(keyring, NOW + 375, &rest));
    CHECK(keystile_rest_count(rest) == 1 && keystile_rest_count(NULL) == 0);
    OK(keystile_rest_at(rest, 0, &unused));
    EXPECT(KEYSTILE_ERROR_INDEX, keystile_rest_at(rest, 1, &unused));
    CHECK(unused.tokens == 1 && unused.taken_at == CLOCK && unused.within_millis == 625);
    CHECK(strcmp(unused.lineage.text, parts.lineage.text) == 0 && unused.limit.burst == 16);
    keystile_rest_free(rest);

    /* What is refused for something else asks for nothing. */
    EXPECT(KEYSTILE_DENIED_ENDPOINT, CHECK_KEY(&elsewhere));

    /* Not taken: an eighth of the limit decides, and two of it are spent. */
    memset(&grant, 0, sizeof grant);
    grant.struct_size = sizeof grant;
    grant.degraded = 1;
    EXPECT(KEYSTILE_NEEDS_TOKENS, CHECK_KEY(&request));
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, GRANT);

    /* In one call: sixteen pass, one at a time since an hour's limit lets less than one pass in a
     * lease, and the refusal is remembered. */
    limits own;
    memset(&own, 0, sizeof own);
    own.record = record;
#define DECIDE                                                                                           \
    keystile_keyring_decide_shared(keyring, key.data, key.len, &request, NOW, fetch, take, &own, &decision)
    for (int passed = 0; passed < 16; passed++) {
        OK(DECIDE);
    }
    CHECK(own.taken == 16 && own.asked == 16);
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, DECIDE);
    int asked = own.asked;
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, DECIDE);
    CHECK(own.asked == asked);

    /* Without an answer, and without a share. */
    keystile_keyring_free(keyring);
    options.lease_share = 0;
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    memset(&own, 0, sizeof own);
    own.record = record;
    own.answer = KEYSTILE_DENIED_STORE_UNAVAILABLE;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, DECIDE);
    CHECK(own.asked == 1 && decision.cause == KEYSTILE_CAUSE_STORE_UNAVAILABLE);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE,
           keystile_keyring_decide(keyring, key.data, key.len, &request, NOW, fetch, &own, &decision));
    own.answer = KEYSTILE_OK;
    own.state = 0;
    OK(DECIDE);

    keystile_keyring_stats stats;
    stats.struct_size = sizeof stats;
    OK(keystile_keyring_stats_of(keyring, &stats));
    CHECK(stats.tokens_taken == 1 && stats.degraded == 2);
    OK(keystile_keyring_rest(keyring, 0, &rest));
    CHECK(keystile_rest_count(rest) == 0);
    keystile_rest_free(rest);
    keystile_keyring_free(keyring);
    keystile_change_free(change);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("tokens");
    return 0;
}
