/* An error says its field and its item; a forgotten flag is an error. */
#include "tour.h"

static keystile_error why;

static int says(const char *field, size_t index, const char *message) {
    if (why.index != index || why.message.data == NULL || why.message.len < strlen(message) ||
        memcmp(why.message.data, message, strlen(message)) != 0 ||
        !(field == NULL ? why.field.data == NULL : is_text(why.field, field))) {
        fprintf(stderr, "%.*s[%zu]: %.*s\n", (int)why.field.len, why.field.data, why.index,
                (int)why.message.len, why.message.data);
        return 0;
    }
    return 1;
}

static int is_zero(void) {
    static keystile_error zero;
    return memcmp(&why, &zero, sizeof why) == 0;
}

static void lists(void) {
    keystile_str permissions[3], rules[2], networks[2];
    keystile_permissions *granted = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_networks *allowed = NULL;
    permissions[0] = str("read");
    permissions[1] = str("write");
    permissions[2] = str("inv*");
    EXPECT(KEYSTILE_ERROR_PERMISSION, keystile_permissions_new(permissions, 3, &granted, &why));
    CHECK(says("permissions", 2, "a permission must be segments"));
    permissions[1] = str(NULL);
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_permissions_new(permissions, 3, &granted, &why));
    CHECK(says("permissions", 1, "an argument that must not be NULL"));
    permissions[1] = str("\xFF");
    EXPECT(KEYSTILE_ERROR_NOT_UTF8, keystile_permissions_new(permissions, 3, &granted, &why));
    CHECK(says("permissions", 1, "a text must be UTF-8"));
    CHECK(granted == NULL);
    EXPECT(KEYSTILE_ERROR_JSON,
           keystile_permissions_from_json(L("[\"read\", \"a b\"]"), &granted, &why));
    CHECK(says("permissions", 1, "a permission must be segments"));
    EXPECT(KEYSTILE_ERROR_JSON, keystile_permissions_from_json(L("{}"), &granted, &why));
    CHECK(says("permissions", KEYSTILE_INDEX_NONE, "the text must be a JSON array"));
    rules[0] = str("/api/*");
    rules[1] = str("get /api");
    EXPECT(KEYSTILE_ERROR_ENDPOINT, keystile_endpoints_new(rules, 2, &endpoints, &why));
    CHECK(says("allowed_endpoints", 1, "an endpoint rule's methods"));
    networks[0] = str("192.0.2.0/24");
    networks[1] = str("192.0.2.1/24");
    EXPECT(KEYSTILE_ERROR_NETWORK, keystile_networks_new(networks, 2, &allowed, &why));
    CHECK(says("allowed_networks", 1, "a network must be"));
    OK(keystile_networks_new(networks, 1, &allowed, &why));
    CHECK(is_zero());
    keystile_networks_free(allowed);
}

static void requests(const keystile_format *format) {
    keystile_change *change = NULL;
    keystile_issue_request request;
    keystile_lifetime_policy lifetimes;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("client_name", KEYSTILE_INDEX_NONE, "an argument"));
    request.client_name = str("Acme");
    request.client_email = str("a\nb");
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("client_email", KEYSTILE_INDEX_NONE, "an e-mail address"));
    request.client_email = str(NULL);
    request.environment = str("Live");
    EXPECT(KEYSTILE_ERROR_NAME, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("environment", KEYSTILE_INDEX_NONE, "an environment must be"));
    request.environment = str(NULL);
    EXPECT(KEYSTILE_ERROR_TIME, keystile_issue(format, NULL, &request, NULL, 0, NOW / 1000, &change, &why));
    CHECK(says("now", KEYSTILE_INDEX_NONE, "an instant must be"));

    /* A key without the limit, the count or the end that was meant for it. */
    request.rate_limit.limit = request.rate_limit.burst = 5;
    request.rate_limit.window_millis = 1000;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("rate_limit", KEYSTILE_INDEX_NONE, "a value must be set together with its has_ flag"));
    request.has_rate_limit = 2;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("rate_limit", KEYSTILE_INDEX_NONE, "a flag must be 0 or 1"));
    request.has_rate_limit = 1;
    request.rate_limit.window_millis = 0;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("rate_limit.window", KEYSTILE_INDEX_NONE, "a rate limit's window"));
    request.rate_limit.window_millis = 1000;
    request.uses = 3;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("uses", KEYSTILE_INDEX_NONE, "a value must be"));
    request.has_uses = 1;
    request.uses = 0;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("uses", KEYSTILE_INDEX_NONE, "a count of uses"));
    request.uses = 3;
    request.lifetime_millis = 1000;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("lifetime", KEYSTILE_INDEX_NONE, "a value must be"));
    request.has_lifetime = 1;
    request.never_expires = 1;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("lifetime", KEYSTILE_INDEX_NONE, "a field must not be both"));
    request.never_expires = 0;
    memset(&lifetimes, 0, sizeof lifetimes);
    lifetimes.struct_size = sizeof lifetimes;
    lifetimes.default_millis = 2;
    lifetimes.longest_millis = 1;
    request.lifetimes = &lifetimes;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(says("default_lifetime", KEYSTILE_INDEX_NONE, "a default lifetime"));
    request.lifetimes = NULL;
    CHECK(change == NULL);
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, &why));
    CHECK(is_zero());
    keystile_change_free(change);
}

static void records(const keystile_format *format) {
    static char json[4096], wrong[4096];
    keystile_change *change = issue(format, 3);
    const keystile_record *source = keystile_change_record_at(change, 0);
    keystile_record *record = NULL;
    keystile_record_parts parts = parts_of(source);
    size_t length = 0;
    char *at;
#define REFUSED(status, field_name, text)                                                 \
    EXPECT(status, keystile_record_new(&parts, &record, &why));                           \
    CHECK(says(field_name, KEYSTILE_INDEX_NONE, text));                                   \
    parts = parts_of(source)
    parts.client_name = str("");
    REFUSED(KEYSTILE_ERROR_RECORD, "client_name", "a client name");
    parts.version = 0;
    REFUSED(KEYSTILE_ERROR_RECORD, "version", "a version must be");
    parts.version = UINT64_MAX;
    REFUSED(KEYSTILE_ERROR_RECORD, "version", "a version must be");
    parts.has_rate_limit = 0;
    REFUSED(KEYSTILE_ERROR_VALUE, "rate_limit", "a value must be");
    parts.remaining_uses = 1;
    REFUSED(KEYSTILE_ERROR_VALUE, "remaining_uses", "a value must be");
    parts.has_remaining_uses = 7;
    REFUSED(KEYSTILE_ERROR_VALUE, "remaining_uses", "a flag must be");
    parts.never_expires = 1;
    REFUSED(KEYSTILE_ERROR_VALUE, "expires_at", "either expires_at or never_expires");
    parts.expires_at = 7;
    REFUSED(KEYSTILE_ERROR_TIME, "expires_at", "an instant must be");
    parts.revoked_reason = str("leaked");
    REFUSED(KEYSTILE_ERROR_VALUE, "revoked_at", "revoked_at and revoked_reason");
    parts.state = 9;
    REFUSED(KEYSTILE_ERROR_VALUE, "state", "a state must be");
    parts.derived_from = parts.id;
    REFUSED(KEYSTILE_ERROR_VALUE, "derived_from", "derived_from and derived_lineage");

    OK(keystile_record_to_json(source, json, sizeof json - 1, &length));
    json[length] = '\0';
#define REPLACED(from, to, field_name, number, text)                                      \
    at = strstr(json, from);                                                              \
    CHECK(at != NULL);                                                                    \
    snprintf(wrong, sizeof wrong, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from)); \
    EXPECT(KEYSTILE_ERROR_JSON, keystile_record_from_json(wrong, strlen(wrong), &record, &why)); \
    CHECK(says(field_name, number, text))
    REPLACED("\"invoices:*\"", "\"invoices:* \"", "permissions", 1, "a permission must be");
    REPLACED("\"invoices:*\"", "7", "permissions", 1, "the field must be there");
    REPLACED("\"Acme Ltd\"", "\"\"", "client_name", KEYSTILE_INDEX_NONE, "a client name");
    REPLACED("\"Acme Ltd\"", "7", "client_name", KEYSTILE_INDEX_NONE, "the field must be there");
    REPLACED("\"version\":1", "\"version\":0", "version", KEYSTILE_INDEX_NONE, "a version must be");
    REPLACED("\"window_ms\":3600000", "\"window_ms\":0", "rate_limit.window", KEYSTILE_INDEX_NONE, "a rate limit's window");
    REPLACED("\"GET,HEAD /api/*\"", "\"api\"", "allowed_endpoints", 0, "an endpoint pattern");
    REPLACED("{", "[", NULL, KEYSTILE_INDEX_NONE, "the text must be the JSON");
    CHECK(record == NULL);
    OK(keystile_record_from_json(json, length, &record, &why));
    CHECK(is_zero());
    keystile_record_free(record);
    keystile_change_free(change);
}

static void others(const keystile_format *format) {
    keystile_change *change = issue(format, 3), *other = issue(format, 3), *made = NULL;
    const keystile_record *record = keystile_change_record_at(change, 0);
    const keystile_record *siblings[2];
    keystile_rotation_policy policy;
    keystile_credential_sources sources;
    keystile_credential_extractor *extractor = NULL;
    keystile_keyring_options options;
    keystile_keyring *keyring = NULL;
    keystile_verifier *verifier = NULL;
    keystile_str schemes[2];
    keystile_key_change requested;
    siblings[0] = record;
    siblings[1] = keystile_change_record_at(other, 0);
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_rotate(record, siblings, 2, NULL, format, NULL, NULL, 0, NOW, &made, &why));
    CHECK(says("siblings", 1, "siblings must be of the record's lineage"));
    memset(&policy, 0, sizeof policy);
    policy.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy));
    policy.end_on_first_use = 3;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_rotate(record, NULL, 0, &policy, format, NULL, NULL, 0, NOW, &made, &why));
    CHECK(says("end_on_first_use", KEYSTILE_INDEX_NONE, "a flag must be"));
    policy.end_on_first_use = 0;
    policy.max_age_millis = 1;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_rotate(record, NULL, 0, &policy, format, NULL, NULL, 0, NOW, &made, &why));
    CHECK(says("max_age", KEYSTILE_INDEX_NONE, "a key's maximum age"));
    EXPECT(KEYSTILE_ERROR_STATE, keystile_resume(record, NOW, &made, &why));
    CHECK(says(NULL, KEYSTILE_INDEX_NONE, "a key must be suspended to be resumed"));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_revoke(record, L("two\nlines"), NOW, &made, &why));
    CHECK(says("reason", KEYSTILE_INDEX_NONE, "a reason must be"));
    memset(&requested, 0, sizeof requested);
    requested.struct_size = sizeof requested;
    requested.owner = str("tenant");
    requested.clear_owner = 1;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &requested, NOW, &made, &why));
    CHECK(says("owner", KEYSTILE_INDEX_NONE, "a field must not be both"));
    memset(&sources, 0, sizeof sources);
    sources.struct_size = sizeof sources;
    schemes[0] = str("Token");
    schemes[1] = str("Basic");
    sources.schemes = schemes;
    sources.schemes_len = 2;
    EXPECT(KEYSTILE_ERROR_NAME, keystile_credential_extractor_new(NULL, &sources, &extractor, &why));
    CHECK(says("schemes", 1, "a scheme of Authorization"));
    sources.schemes_len = 1;
    sources.basic = 2;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_credential_extractor_new(NULL, &sources, &extractor, &why));
    CHECK(says("basic", KEYSTILE_INDEX_NONE, "a flag must be"));
    OK(keystile_verifier_new(format, NULL, &verifier));
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.ttl_millis = 86400001;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_keyring_new(verifier, &options, &keyring, &why));
    CHECK(says("ttl", KEYSTILE_INDEX_NONE, "a keyring's TTL"));
    options.ttl_millis = 0;
    options.monotonic_clock = 9;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_keyring_new(verifier, &options, &keyring, &why));
    CHECK(says("monotonic_clock", KEYSTILE_INDEX_NONE, "a flag must be"));
    CHECK(made == NULL && keyring == NULL && extractor == NULL);
    keystile_verifier_free(verifier);
    keystile_change_free(change);
    keystile_change_free(other);
}

/* Uses without their flag would not be counted. */
static void usages(const keystile_format *format) {
    keystile_change *change = issue(format, 3);
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_verifier *verifier = NULL;
    keystile_str key;
    keystile_usage usage = {0, 3, 0};
    keystile_request request = request_for(NULL, "GET", "/api/a");
    request.environment = str("live");
    OK(keystile_verifier_new(format, NULL, &verifier));
    OK(keystile_change_key(change, &key));
    EXPECT(KEYSTILE_ERROR_VALUE,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    usage.has_remaining_uses = 2;
    EXPECT(KEYSTILE_ERROR_VALUE,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    CHECK(usage.remaining_uses == 3 && usage.rate_state == 0);
    usage.has_remaining_uses = 1;
    OK(keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    CHECK(usage.remaining_uses == 2);
    request.environment = str("Live");
    EXPECT(KEYSTILE_ERROR_NAME,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    request.environment = str("live");
    request.address.family = 5;
    EXPECT(KEYSTILE_ERROR_VALUE,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    request.address.family = 0;
    request.path_profile = 9;
    EXPECT(KEYSTILE_ERROR_VALUE,
           keystile_verify(verifier, key.data, key.len, record, &request, &usage, NOW, NULL));
    request.path_profile = 0;
    keystile_record_parts parts = parts_of(record);
    keystile_record *counted = NULL;
    parts.has_remaining_uses = 1;
    parts.remaining_uses = 5;
    OK(keystile_record_new(&parts, &counted, NULL));
    usage.remaining_uses = usage.has_remaining_uses = 0; /* the last use was spent */
    EXPECT(KEYSTILE_ERROR_VALUE,
           keystile_verify(verifier, key.data, key.len, counted, &request, &usage, NOW, NULL));
    CHECK(usage.remaining_uses == 0 && usage.has_remaining_uses == 0);
    usage.has_remaining_uses = 1;
    EXPECT(KEYSTILE_DENIED_USES_SPENT,
           keystile_verify(verifier, key.data, key.len, counted, &request, &usage, NOW, NULL));
    OK(keystile_record_usage(counted, &usage));
    OK(keystile_verify(verifier, key.data, key.len, counted, &request, &usage, NOW, NULL));
    CHECK(usage.remaining_uses == 4);
    keystile_record_free(counted);
    keystile_verifier_free(verifier);
    keystile_change_free(change);
}

int main(void) {
    keystile_format *format = NULL;
    EXPECT(KEYSTILE_ERROR_NAME, keystile_format_structured(L("Acme"), &format, &why));
    CHECK(says("prefix", KEYSTILE_INDEX_NONE, "a prefix must be 1 to 16"));
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_format_structured(L("acme"), NULL, &why));
    CHECK(says(NULL, KEYSTILE_INDEX_NONE, "an argument that must not be NULL"));
    OK(keystile_format_structured(L("acme"), &format, &why));
    CHECK(is_zero());
    lists();
    requests(format);
    records(format);
    others(format);
    usages(format);
    keystile_format_free(format);
    puts("each error said its field");
    return 0;
}
