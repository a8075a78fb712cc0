/* A tour of the interface without its keyring, compiled as C99 and as C++11. */
#include "tour.h"

static void versions_and_names(void) {
    CHECK(keystile_abi_version() == KEYSTILE_ABI_VERSION);
    CHECK(strchr(keystile_version(), '.') != NULL);
    CHECK(strcmp(keystile_status_name(KEYSTILE_OK), "ok") == 0);
    CHECK(strcmp(keystile_status_name(KEYSTILE_DENIED_PERMISSION), "permission_missing") == 0);
    CHECK(strcmp(keystile_status_name(12345), "unknown") == 0);
    CHECK(strlen(keystile_status_text(KEYSTILE_ERROR_TIME)) > 20);
    CHECK(keystile_finding_hint(0)[0] == '\0');
}

static void records_survive_plain_fields_and_json(const keystile_record *record) {
    char json[4096];
    size_t needed = 0;
    keystile_record *by_parts = NULL, *by_json = NULL;
    keystile_record_parts parts = parts_of(record);
    CHECK(is_text(parts.owner, "tenant-7") && parts.client_email.data == NULL);
    CHECK(parts.expires_at == NOW + 90 * DAY && parts.never_expires == 0);
    CHECK(keystile_permissions_count(parts.permissions) == 2 && parts.allowed_networks == NULL);
    OK(keystile_record_new(&parts, &by_parts, NULL));
    EXPECT(KEYSTILE_ERROR_BUFFER_TOO_SMALL, keystile_record_to_json(by_parts, NULL, 0, &needed));
    CHECK(needed > 100 && needed < sizeof json);
    EXPECT(KEYSTILE_ERROR_BUFFER_TOO_SMALL,
           keystile_record_to_json(by_parts, json, needed - 1, &needed));
    OK(keystile_record_to_json(by_parts, json, needed, &needed));
    OK(keystile_record_from_json(json, needed, &by_json, NULL));
    keystile_record_free(by_json);
    keystile_record_free(by_parts);

    /* A missing expiry is an error; never_expires must be set explicitly. */
    by_parts = NULL;
    parts.expires_at = 0;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_new(&parts, &by_parts, NULL));
    parts.never_expires = 1;
    OK(keystile_record_new(&parts, &by_parts, NULL));

    /* A key without an end may do more than one that ends. */
    bool is_within = true;
    OK(keystile_record_is_within(by_parts, record, &is_within));
    CHECK(!is_within);
    OK(keystile_record_is_within(record, by_parts, &is_within));
    CHECK(is_within);
    keystile_record_free(by_parts);
    parts.state = 9;
    by_parts = NULL;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_new(&parts, &by_parts, NULL));
    parts.struct_size--;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, keystile_record_new(&parts, &by_parts, NULL));
    CHECK(by_parts == NULL);
}

static void decisions(const keystile_verifier *verifier, const keystile_change *change) {
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_requirement *read = NULL, *write = NULL;
    keystile_response *response = NULL;
    keystile_usage usage;
    keystile_decision decision;
    keystile_str key, text, value;
    memset(&decision, 0, sizeof decision);
    /* No decision is a refusal, never an allow. */
    OK(keystile_respond(&decision, 0, 0, NULL, NULL, NOW, &response));
    CHECK(keystile_response_status(response) == 503);
    keystile_response_free(response);
    response = NULL;
    decision.kind = 9;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_respond(&decision, 0, 0, NULL, NULL, NOW, &response));
    OK(keystile_change_key(change, &key));
    OK(keystile_requirement_parse(L("read"), &read, NULL));
    OK(keystile_requirement_parse(L("write AND read"), &write, NULL));
    OK(keystile_record_usage(record, &usage));
    keystile_request request = request_for(read, "GET", "/api/profile");

    OK(keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, &decision));
    CHECK(decision.kind == KEYSTILE_DECISION_ALLOWED);
    CHECK(memcmp(decision.key_id.text, parts_of(record).id.text, 17) == 0);
    OK(keystile_respond(&decision, KEYSTILE_STATUS_POLICY_RFC9110, 0, NULL, NULL, NOW, &response));
    CHECK(keystile_response_status(response) == 200);
    OK(keystile_response_header_at(response, 0, &text, &value));
    CHECK(is_text(text, "ratelimit-limit") && is_text(value, "3"));
    keystile_response_free(response);

    request.requirement = write;
    EXPECT(KEYSTILE_DENIED_PERMISSION, keystile_verify(verifier, key.data, key.len, record,
                                                       &request, &usage, NOW, &decision));
    OK(keystile_decision_missing_at(&decision, write, 0, &text));
    CHECK(is_text(text, "write"));
    EXPECT(KEYSTILE_ERROR_INDEX, keystile_decision_missing_at(&decision, write, 1, &text));
    OK(keystile_respond(&decision, KEYSTILE_STATUS_POLICY_RFC9110, 0, write, NULL, NOW, &response));
    CHECK(keystile_response_status(response) == 403);
    OK(keystile_response_body(response, &text));
    CHECK(text.len > 2 && text.data[0] == '{');
    keystile_response_free(response);

    request = request_for(read, "POST", "/api/profile");
    EXPECT(KEYSTILE_DENIED_ENDPOINT, keystile_verify(verifier, key.data, key.len, record,
                                                     &request, &usage, NOW, NULL));
    request = request_for(read, "GET", "/api/../admin");
    EXPECT(KEYSTILE_DENIED_PATH_NOT_CANONICAL,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    request = request_for(read, "GET", "/api/profile");
    EXPECT(KEYSTILE_DENIED_INVALID_KEY,
           keystile_verify(verifier, key.data, key.len - 1, record, &request, &usage, NOW, NULL));
    EXPECT(KEYSTILE_DENIED_INVALID_KEY,
           keystile_verify(verifier, key.data, key.len, NULL, &request, &usage, NOW, &decision));
    CHECK(decision.cause == KEYSTILE_CAUSE_UNKNOWN_KEY && decision.key_id.text[0] == '\0');
    EXPECT(KEYSTILE_DENIED_KEY_EXPIRED,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW + 90 * DAY,
                           NULL));
    EXPECT(KEYSTILE_ERROR_TIME, keystile_verify(verifier, key.data, key.len, record, &request,
                                                &usage, NOW / 1000, NULL));
    OK(keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    OK(keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, keystile_verify(verifier, key.data, key.len, record,
                                                         &request, &usage, NOW, &decision));
    uint64_t wait = 0;
    OK(keystile_quota_retry_after_millis(&decision.quota, &wait));
    CHECK(wait == 1200000);
    keystile_requirement_free(read);
    keystile_requirement_free(write);
}

static void randomness_of_the_caller(const keystile_format *format) {
    uint8_t random[512];
    keystile_issue_request request;
    keystile_change *one = NULL, *other = NULL, *none = NULL;
    keystile_str first, second;
    for (size_t at = 0; at < sizeof random; at++) {
        random[at] = (uint8_t)(at * 37 + 11);
    }
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme");
    OK(keystile_issue(format, NULL, &request, random, sizeof random, NOW, &one, NULL));
    OK(keystile_issue(format, NULL, &request, random, sizeof random, NOW, &other, NULL));
    OK(keystile_change_key(one, &first));
    OK(keystile_change_key(other, &second));
    CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    EXPECT(KEYSTILE_ERROR_RANDOMNESS,
           keystile_issue(format, NULL, &request, random, 30, NOW, &none, NULL));
    EXPECT(KEYSTILE_ERROR_RANDOMNESS,
           keystile_issue(format, NULL, &request, random, 0, NOW, &none, NULL));
    CHECK(none == NULL);
    keystile_change_free(one);
    keystile_change_free(other);
}

static void peppers_and_rehash(const keystile_format *format) {
    uint8_t secret[32] = {7};
    keystile_peppers *peppers = NULL;
    keystile_verifier *verifier = NULL;
    keystile_change *issued = issue(format, 3), *rehashed = NULL;
    keystile_request request = request_for(NULL, "GET", "/api/x");
    keystile_usage usage = {0, 0, 0};
    keystile_decision decision;
    keystile_digest_text text;
    keystile_str key;
    EXPECT(KEYSTILE_ERROR_DIGEST, keystile_peppers_new(1, secret, 31, &peppers, NULL));
    OK(keystile_peppers_new(1, secret, 32, &peppers, NULL));
    OK(keystile_verifier_new(format, peppers, &verifier));
    OK(keystile_change_key(issued, &key));
    OK(keystile_verify(verifier, key.data, key.len, keystile_change_record_at(issued, 0), &request,
                       &usage, NOW, &decision));
    CHECK(decision.needs_rehash == 1);
    OK(keystile_rehash(verifier, keystile_change_record_at(issued, 0), key.data, key.len, NOW,
                       &rehashed, NULL));
    keystile_record_parts parts = parts_of(keystile_change_record_at(rehashed, 0));
    OK(keystile_digest_to_text(&parts.digest, &text));
    CHECK(strncmp(text.text, "hmac-sha256:1:", 14) == 0 && strlen(text.text) == 78);
    keystile_change_free(rehashed);
    keystile_change_free(issued);
    keystile_verifier_free(verifier);
    keystile_peppers_free(peppers);
}

static void lists_as_json(void) {
    keystile_permissions *permissions = NULL;
    keystile_networks *networks = NULL;
    keystile_network_text network;
    keystile_str text;
    char json[64];
    size_t needed;
    OK(keystile_permissions_from_json(L("[\"read\",\"write\"]"), &permissions, NULL));
    OK(keystile_permissions_at(permissions, 1, &text));
    CHECK(is_text(text, "write"));
    OK(keystile_permissions_to_json(permissions, json, sizeof json, &needed));
    CHECK(needed == 16 && memcmp(json, "[\"read\",\"write\"]", 16) == 0);
    EXPECT(KEYSTILE_ERROR_JSON, keystile_networks_from_json(L("[\"192.0.2.1/24\"]"), &networks, NULL));
    OK(keystile_networks_from_json(L("[\"192.0.2.0/24\"]"), &networks, NULL));
    OK(keystile_networks_at(networks, 0, &network));
    CHECK(strcmp(network.text, "192.0.2.0/24") == 0);
    keystile_permissions_free(permissions);
    keystile_networks_free(networks);
}

static void methods(void) {
    OK(keystile_method_check(L("M-SEARCH")));
    EXPECT(KEYSTILE_ERROR_ENDPOINT, keystile_method_check(L("get")));
    EXPECT(KEYSTILE_ERROR_ENDPOINT, keystile_method_check(L("2GET")));
    EXPECT(KEYSTILE_ERROR_ENDPOINT, keystile_method_check(L("\xff")));
    EXPECT(KEYSTILE_ERROR_ENDPOINT, keystile_method_check(NULL, 0));
}

static void templates(void) {
    keystile_template *preset = NULL;
    keystile_rate_limit limit;
    keystile_str name;
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_template_preset(L("root"), &preset));
    OK(keystile_template_preset(L("monitoring"), &preset));
    OK(keystile_template_name(preset, &name));
    OK(keystile_template_rate_limit(preset, &limit));
    CHECK(is_text(name, "monitoring") && limit.limit == 100);
    OK(keystile_permissions_grant(keystile_template_permissions(preset), L("read")));
    OK(keystile_endpoints_allow(keystile_template_endpoints(preset), L("GET"),
                                L("/api/metrics/cpu")));
    keystile_template_free(preset);
}

int main(void) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    keystile_change *change = issue(format, 3);
    CHECK(keystile_change_record_count(change) == 1);
    versions_and_names();
    records_survive_plain_fields_and_json(keystile_change_record_at(change, 0));
    decisions(verifier, change);
    randomness_of_the_caller(format);
    peppers_and_rehash(format);
    lists_as_json();
    methods();
    templates();
    keystile_change_free(change);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("the tour is complete");
    return 0;
}
