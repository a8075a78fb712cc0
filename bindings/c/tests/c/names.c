/* Words of numbers, and what can be asked without a decision or a store. */
#include "tour.h"

static void words(void) {
    uint32_t kind = 0;
    uint16_t status = 0;
    keystile_str name;
    size_t presets = 0;
    for (uint32_t number = KEYSTILE_EVENT_ISSUED; number <= KEYSTILE_EVENT_PRUNED; number++) {
        const char *word = keystile_event_kind_name(number);
        CHECK(strcmp(word, "unknown") != 0);
        OK(keystile_event_kind_parse(word, strlen(word), &kind));
        CHECK(kind == number);
    }
    CHECK(strcmp(keystile_event_kind_name(KEYSTILE_EVENT_REVOKED), "revoked") == 0);
    CHECK(strcmp(keystile_event_kind_name(12), "unknown") == 0);
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_event_kind_parse(L("Revoked"), &kind));
    CHECK(strcmp(keystile_state_name(KEYSTILE_STATE_SUSPENDED), "suspended") == 0);
    CHECK(strcmp(keystile_state_name(0), "unknown") == 0);
    OK(keystile_cause_http_status(KEYSTILE_CAUSE_REVOKED, KEYSTILE_STATUS_POLICY_RFC9110, &status));
    CHECK(status == 401);
    OK(keystile_cause_http_status(KEYSTILE_CAUSE_REVOKED, KEYSTILE_STATUS_POLICY_EXPRESS, &status));
    CHECK(status == 403);
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_cause_http_status(77, 0, &status));
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_cause_http_status(KEYSTILE_CAUSE_REVOKED, 9, &status));
    while (keystile_template_preset_name_at(presets, &name) == KEYSTILE_OK) {
        keystile_template *template_of_it = NULL;
        OK(keystile_template_preset(name.data, name.len, &template_of_it));
        keystile_template_free(template_of_it);
        presets++;
    }
    CHECK(presets == 3);
}

static void ids(void) {
    static const uint8_t few[4] = {0};
    keystile_id one, other;
    keystile_error why;
    OK(keystile_id_random(NULL, 0, &one, NULL));
    OK(keystile_id_random(NULL, 0, &other, NULL));
    CHECK(one.text[0] == '1' && strlen(one.text) == 16 && memcmp(&one, &other, sizeof one) != 0);
    EXPECT(KEYSTILE_ERROR_RANDOMNESS, keystile_id_random(few, sizeof few, &one, &why));
    CHECK(why.message.len > 0);
}

static void records(const keystile_format *format) {
    static char json[4096];
    keystile_change *change = issue(format, 3);
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_record_parts parts = parts_of(record);
    keystile_record *endless = NULL;
    size_t length = 0;
    CHECK(keystile_record_ends_at(record) == NOW + 90 * DAY);
    CHECK(keystile_record_ends_at(NULL) == 0);
    parts.replaced_by = parts.id;
    /* Another id, whatever this one is. */
    parts.replaced_by.text[1] = parts.id.text[1] == 'x' ? 'y' : 'x';
    parts.overlap_until = NOW + DAY;
    OK(keystile_record_new(&parts, &endless, NULL));
    CHECK(keystile_record_ends_at(endless) == NOW + DAY);
    keystile_record_free(endless);
    OK(keystile_record_to_public_json(record, json, sizeof json - 1, &length));
    json[length] = '\0';
    CHECK(strstr(json, "Acme Ltd") != NULL && strstr(json, "digest") == NULL);
    keystile_change_free(change);
}

static void lookups(const keystile_format *format) {
    static uint8_t secret[32];
    keystile_format *opaque = NULL;
    keystile_peppers *peppers = NULL;
    keystile_verifier *structured = NULL, *peppered = NULL;
    keystile_change *change = issue(format, 3), *other = NULL;
    keystile_issue_request request;
    keystile_lookup lookup;
    keystile_str key;
    keystile_record_parts parts = parts_of(keystile_change_record_at(change, 0));
    OK(keystile_verifier_new(format, NULL, &structured));
    OK(keystile_change_key(change, &key));
    OK(keystile_key_lookup(structured, key.data, key.len, &lookup));
    CHECK(memcmp(keystile_lookup_key_id(&lookup), &parts.id, sizeof parts.id) == 0);
    CHECK(keystile_lookup_digest_count(&lookup) == 0 && keystile_lookup_digest_at(&lookup, 0) == NULL);

    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme");
    OK(keystile_format_opaque(L("dt"), &opaque, NULL));
    OK(keystile_peppers_new(7, secret, sizeof secret, &peppers, NULL));
    OK(keystile_verifier_new(opaque, peppers, &peppered));
    OK(keystile_issue(opaque, peppers, &request, NULL, 0, NOW, &other, NULL));
    OK(keystile_change_key(other, &key));
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, keystile_key_lookup(structured, L("none"), &lookup));
    CHECK(keystile_lookup_key_id(&lookup) == NULL && keystile_lookup_digest_count(&lookup) == 0);
    OK(keystile_key_lookup(peppered, key.data, key.len, &lookup));
    CHECK(keystile_lookup_key_id(&lookup) == NULL && keystile_lookup_digest_count(&lookup) == 2);
    CHECK(keystile_digest_kind_of(keystile_lookup_digest_at(&lookup, 0)) == KEYSTILE_DIGEST_HMAC_SHA256);
    CHECK(keystile_digest_pepper(keystile_lookup_digest_at(&lookup, 0)) == 7);
    CHECK(keystile_digest_kind_of(keystile_lookup_digest_at(&lookup, 1)) == KEYSTILE_DIGEST_SHA256);
    CHECK(keystile_lookup_digest_at(&lookup, 2) == NULL);
    CHECK(keystile_lookup_key_id(NULL) == NULL && keystile_ticket_lookup(NULL) == NULL);
    CHECK(keystile_format_is_structured(format) && !keystile_format_is_structured(opaque));
    keystile_change_free(other);
    keystile_change_free(change);
    keystile_verifier_free(peppered);
    keystile_verifier_free(structured);
    keystile_peppers_free(peppers);
    keystile_format_free(opaque);
}

static void json(void) {
    static char text[4096];
    keystile_template *preset = NULL, *read = NULL;
    keystile_rate_limit limit = {9, 4, 1000}, again = {0, 0, 0};
    keystile_rotation_policy policy, read_policy;
    keystile_str name;
    size_t length = 0;
    OK(keystile_template_preset(L("integration"), &preset));
    OK(keystile_template_to_json(preset, text, sizeof text, &length));
    OK(keystile_template_from_json(text, length, &read, NULL));
    OK(keystile_template_name(read, &name));
    CHECK(is_text(name, "integration") && keystile_template_endpoints(read) != NULL);
    EXPECT(KEYSTILE_ERROR_JSON, keystile_template_from_json(text, length - 1, &read, NULL));
    OK(keystile_rate_limit_to_json(&limit, text, sizeof text, &length));
    OK(keystile_rate_limit_from_json(text, length, &again, NULL));
    CHECK(again.limit == 9 && again.burst == 4 && again.window_millis == 1000);
    limit.window_millis = 0;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_rate_limit_to_json(&limit, text, sizeof text, &length));
    EXPECT(KEYSTILE_ERROR_JSON, keystile_rate_limit_from_json(L("{\"limit\":1}"), &again, NULL));
    memset(&policy, 0, sizeof policy);
    memset(&read_policy, 0, sizeof read_policy);
    policy.struct_size = read_policy.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy));
    policy.overlap_millis = 5 * DAY;
    policy.notice_lead_count = 1;
    OK(keystile_rotation_policy_to_json(&policy, text, sizeof text, &length, NULL));
    OK(keystile_rotation_policy_from_json(text, length, &read_policy, NULL));
    CHECK(read_policy.overlap_millis == 5 * DAY && read_policy.notice_lead_count == 1);
    EXPECT(KEYSTILE_ERROR_JSON, keystile_rotation_policy_from_json(L("{}"), &read_policy, NULL));
    policy.max_age_millis = 0;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_rotation_policy_to_json(&policy, text, sizeof text, &length, NULL));
    keystile_template_free(preset);
    keystile_template_free(read);
}

int main(void) {
    keystile_format *format = NULL;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    words();
    ids();
    records(format);
    lookups(format);
    json();
    keystile_format_free(format);
    puts("numbers have names");
    return 0;
}
