/* Explanations, compiled as C99 and as C++11: what is spent here counts, and nothing is spent. */
#include "support.h"

static int contains(const char *text, size_t len, const char *part) {
    size_t part_len = strlen(part);
    for (size_t at = 0; at + part_len <= len; at++) {
        if (memcmp(text + at, part, part_len) == 0) {
            return 1;
        }
    }
    return 0;
}

int main(void) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_change *issued = NULL;
    keystile_issue_request wanted;
    keystile_request request;
    keystile_ticket ticket;
    keystile_decision decision;
    keystile_usage usage;
    keystile_usage spent;
    char text[4096];
    size_t needed = 7;
    keystile_str key;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    OK(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    memset(&wanted, 0, sizeof wanted);
    wanted.struct_size = sizeof wanted;
    wanted.client_name = str("Acme Ltd");
    wanted.rate_limit.limit = 1;
    wanted.rate_limit.burst = 1;
    wanted.rate_limit.window_millis = 3600000;
    wanted.has_rate_limit = 1;
    OK(keystile_issue(format, NULL, &wanted, NULL, 0, NOW, &issued, NULL));
    OK(keystile_change_key(issued, &key));
    const keystile_record *record = keystile_change_record_at(issued, 0);
    OK(keystile_record_usage(record, &usage));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;

    OK(keystile_keyring_usage(keyring, record, &usage, NOW, &spent));
    CHECK(spent.rate_state == 0 && spent.has_remaining_uses == 0);
    for (int times = 0; times < 3; times++) {
        OK(keystile_explain(verifier, record, &request, &usage, NOW, text, sizeof text, &needed));
        CHECK(contains(text, needed, "\"decision\":\"allow\",\"code\":null,\"refused_by\":null"));
        CHECK(!contains(text, needed, "sha256"));
    }
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, NULL, &ticket));
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                              &decision, NULL, &ticket));
    OK(keystile_keyring_usage(keyring, record, NULL, NOW, &spent));
    CHECK(spent.rate_state != 0);
    OK(keystile_keyring_usage(keyring, record, &usage, NOW, &spent));
    CHECK(spent.rate_state != 0 && usage.rate_state == 0);
    EXPECT(KEYSTILE_ERROR_TIME, keystile_keyring_usage(keyring, record, &usage, NOW / 1000, &spent));
    uint64_t state = spent.rate_state;
    usage = spent;
    OK(keystile_explain(verifier, record, &request, &usage, NOW, text, sizeof text, &needed));
    CHECK(contains(text, needed, "\"code\":\"rate_limited\",\"refused_by\":\"rate_limit\""));
    CHECK(usage.rate_state == state);

    needed = 7;
    EXPECT(KEYSTILE_ERROR_TIME,
           keystile_explain(verifier, record, &request, &usage, NOW / 1000, text, sizeof text, &needed));
    request.struct_size--;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE,
           keystile_explain(verifier, record, &request, &usage, NOW, text, sizeof text, &needed));
    request.struct_size++;
    request.environment = str("LIVE");
    EXPECT(KEYSTILE_ERROR_NAME,
           keystile_explain(verifier, record, &request, &usage, NOW, text, sizeof text, &needed));
    CHECK(needed == 7);
    keystile_change_free(issued);
    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("decisions are explained");
    return 0;
}
