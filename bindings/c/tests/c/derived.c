/* Keys that derive from others, how long keys live, and their removal, compiled as C99 and as
 * C++11. */
#include "tour.h"

#define HOUR UINT64_C(3600000)

static keystile_lifetime_policy lives(uint64_t usual, uint64_t longest) {
    keystile_lifetime_policy policy;
    policy.struct_size = sizeof policy;
    policy.default_millis = usual;
    policy.longest_millis = longest;
    return policy;
}

static keystile_issue_request asks(const keystile_lifetime_policy *lifetimes) {
    keystile_issue_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme's shop");
    request.lifetimes = lifetimes;
    return request;
}

static keystile_rotation_policy usual(void) {
    keystile_rotation_policy policy;
    policy.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy));
    return policy;
}

/* A record that is made of fields again has lost nothing. */
static void nothing_is_lost(const keystile_record *record) {
    char before[4096], after[4096];
    size_t before_len = 0, after_len = 0;
    keystile_record *again = NULL;
    keystile_record_parts parts = parts_of(record);
    OK(keystile_record_new(&parts, &again, NULL));
    OK(keystile_record_to_json(record, before, sizeof before, &before_len));
    OK(keystile_record_to_json(again, after, sizeof after, &after_len));
    CHECK(before_len == after_len && memcmp(before, after, before_len) == 0);
    keystile_record_free(again);
}

static void derived_records_survive_plain_fields(const keystile_format *format,
                                                 const keystile_record *source) {
    static const char SUSPENDED[] =
        "{\"id\":\"1000000000000002\",\"digest\":\"sha256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"key_prefix\":\"acme\","
        "\"client_name\":\"Acme\",\"client_email\":null,\"owner\":null,\"environment\":null,"
        "\"permissions\":[],\"allowed_endpoints\":null,\"allowed_networks\":null,\"rate_limit\":null,"
        "\"remaining_uses\":null,\"scope_type\":null,\"metadata\":null,\"created_at\":1790000000000,"
        "\"last_used_at\":null,\"expires_at\":1790003600000,\"lifetime_ms\":7200000,"
        "\"status\":{\"state\":\"suspended\"},\"lineage\":\"1000000000000002\",\"replaced_by\":null,"
        "\"overlap_until\":null,\"ends_at_first_use\":null,\"derived_from\":{\"key_id\":"
        "\"1000000000000004\",\"lineage\":\"1000000000000003\"},\"suspended_with\":"
        "\"1000000000000004\",\"version\":2}";
    keystile_issue_request request = asks(NULL);
    keystile_change *derived = NULL;
    keystile_record *suspended = NULL, *refused = NULL;
    OK(keystile_delegate(source, format, NULL, &request, NULL, 0, NOW, &derived, NULL));
    nothing_is_lost(keystile_change_record_at(derived, 0));
    keystile_record_parts parts = parts_of(keystile_change_record_at(derived, 0));
    keystile_record_parts of_source = parts_of(source);
    CHECK(memcmp(&parts.derived_from, &of_source.id, sizeof parts.id) == 0);
    CHECK(memcmp(&parts.derived_lineage, &of_source.lineage, sizeof parts.id) == 0);
    CHECK(parts.suspended_with.text[0] == 0 && parts.lifetime_millis == 90 * DAY);
    CHECK(of_source.derived_from.text[0] == 0);

    /* The key without its lineage, or the reverse, would lose what it derives from. */
    memset(&parts.derived_lineage, 0, sizeof parts.derived_lineage);
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_new(&parts, &refused, NULL));
    parts = parts_of(keystile_change_record_at(derived, 0));
    memset(&parts.derived_from, 0, sizeof parts.derived_from);
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_new(&parts, &refused, NULL));
    parts = parts_of(keystile_change_record_at(derived, 0));
    parts.suspended_with.text[0] = '?';
    EXPECT(KEYSTILE_ERROR_KEY_ID, keystile_record_new(&parts, &refused, NULL));
    CHECK(refused == NULL);

    OK(keystile_record_from_json(SUSPENDED, sizeof SUSPENDED - 1, &suspended, NULL));
    nothing_is_lost(suspended);
    parts = parts_of(suspended);
    CHECK(strcmp(parts.suspended_with.text, "1000000000000004") == 0);
    CHECK(strcmp(parts.derived_lineage.text, "1000000000000003") == 0);
    CHECK(parts.lifetime_millis == 2 * HOUR);
    keystile_record_free(suspended);
    keystile_change_free(derived);
}

static void a_service_has_lifetimes(const keystile_format *format) {
    keystile_lifetime_policy policy = lives(HOUR, DAY);
    keystile_issue_request request = asks(&policy);
    keystile_change *issued = NULL, *changed = NULL, *rotated = NULL, *refused = NULL;
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &issued, NULL));
    const keystile_record *record = keystile_change_record_at(issued, 0);
    CHECK(parts_of(record).expires_at == NOW + HOUR);
    request.never_expires = 1;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_issue(format, NULL, &request, NULL, 0, NOW, &refused, NULL));
    EXPECT(KEYSTILE_ERROR_TIME, keystile_delegate(record, format, NULL, &request, NULL, 0, NOW, &refused, NULL));
    request.never_expires = 0;
    request.has_lifetime = 1;
    request.lifetime_millis = DAY + 1;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_issue(format, NULL, &request, NULL, 0, NOW, &refused, NULL));

    keystile_key_change asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.lifetimes = &policy;
    asked.never_expires = 1;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_record_change(record, &asked, NOW, &refused, NULL));
    asked.lifetimes = NULL;
    OK(keystile_record_change(record, &asked, NOW, &changed, NULL));
    const keystile_record *endless = keystile_change_record_at(changed, 0);

    /* A lifetime that a successor only inherits is cut, and one that is asked for is refused. */
    keystile_rotation_policy policy_of = usual();
    policy_of.lifetimes = &policy;
    OK(keystile_rotate(endless, NULL, 0, &policy_of, format, NULL, NULL, 0, NOW, &rotated, NULL));
    CHECK(parts_of(keystile_change_record_at(rotated, 0)).expires_at == NOW + DAY);
    keystile_change_free(rotated);
    policy_of.never_expires = 1;
    EXPECT(KEYSTILE_ERROR_TIME, keystile_rotate(endless, NULL, 0, &policy_of, format, NULL, NULL, 0, NOW, &refused, NULL));
    policy_of.lifetimes = NULL;
    policy_of.lifetime_millis = HOUR;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_rotate(endless, NULL, 0, &policy_of, format, NULL, NULL, 0, NOW, &refused, NULL));
    policy_of.never_expires = 0;
    rotated = NULL;
    OK(keystile_rotate(endless, NULL, 0, &policy_of, format, NULL, NULL, 0, NOW, &rotated, NULL));
    CHECK(parts_of(keystile_change_record_at(rotated, 0)).expires_at == NOW + HOUR);
    keystile_change_free(rotated);

    /* Without a default, the longest is one if it is shorter than 90 days. */
    policy = lives(0, HOUR);
    request = asks(&policy);
    rotated = NULL;
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &rotated, NULL));
    CHECK(parts_of(keystile_change_record_at(rotated, 0)).expires_at == NOW + HOUR);
    policy = lives(2 * HOUR, HOUR);
    EXPECT(KEYSTILE_ERROR_TIME, keystile_issue(format, NULL, &request, NULL, 0, NOW, &refused, NULL));
    policy.struct_size--;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, keystile_issue(format, NULL, &request, NULL, 0, NOW, &refused, NULL));
    CHECK(refused == NULL);
    keystile_change_free(rotated);
    keystile_change_free(changed);
    keystile_change_free(issued);
}

/* A successor of a derived key ends with the key itself, unless the end of its source is known. */
static void successors_end_with_the_source(const keystile_format *format, const keystile_record *source) {
    keystile_lifetime_policy policy = lives(HOUR, 0);
    keystile_issue_request request = asks(&policy);
    keystile_change *derived = NULL, *rotated = NULL, *refused = NULL;
    OK(keystile_delegate(source, format, NULL, &request, NULL, 0, NOW, &derived, NULL));
    const keystile_record *record = keystile_change_record_at(derived, 0);
    static const struct {
        uint8_t has;
        uint64_t latest, end;
    } CASES[] = {
        {0, 0, NOW + HOUR},
        {1, NOW + 2000, NOW + 2000},
        {1, NOW + HOUR + 1, NOW + HOUR + 1},
        {1, 0, NOW + 1000 + HOUR},
    };
    for (size_t index = 0; index < sizeof CASES / sizeof CASES[0]; index++) {
        keystile_rotation_policy asked = usual();
        asked.has_latest_end = CASES[index].has;
        asked.latest_end = CASES[index].latest;
        OK(keystile_rotate(record, NULL, 0, &asked, format, NULL, NULL, 0, NOW + 1000, &rotated, NULL));
        CHECK(parts_of(keystile_change_record_at(rotated, 0)).expires_at == CASES[index].end);
        keystile_change_free(rotated);
        rotated = NULL;
    }
    /* An end without its flag was meant to be set. */
    for (int flag = 0; flag < 4; flag += 2) {
        keystile_rotation_policy asked = usual();
        asked.has_latest_end = (uint8_t)flag;
        asked.latest_end = NOW + 2000;
        EXPECT(KEYSTILE_ERROR_VALUE,
               keystile_rotate(record, NULL, 0, &asked, format, NULL, NULL, 0, NOW, &refused, NULL));
    }
    CHECK(refused == NULL);
    keystile_change_free(derived);
}

static void ended_keys_are_removed(const keystile_record *record) {
    keystile_event event;
    keystile_change *revoked = NULL;
    memset(&event, 0, sizeof event);
    EXPECT(KEYSTILE_ERROR_STATE, keystile_delete(record, NOW, &event, NULL));
    CHECK(event.kind == 0);
    OK(keystile_delete(record, NOW + 91 * DAY, &event, NULL));
    CHECK(event.kind == KEYSTILE_EVENT_DELETED && event.version == 2);
    OK(keystile_revoke(record, L("leaked"), NOW, &revoked, NULL));
    OK(keystile_delete(keystile_change_record_at(revoked, 0), NOW, &event, NULL));
    CHECK(event.version == 3 && event.at == NOW);
    keystile_change_free(revoked);
}

static void actors_are_checked(keystile_str key) {
    char text[300];
    OK(keystile_actor_check(L("ana@example.com"), NULL));
    OK(keystile_actor_check(L("2001:db8::7"), NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(L(""), NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(L("  "), NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(L("ana\nrevoked by bob"), NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(L("a\xe2\x80\xae" "b"), NULL));
    EXPECT(KEYSTILE_ERROR_NOT_UTF8, keystile_actor_check(L("\xff"), NULL));
    memset(text, 'x', sizeof text);
    OK(keystile_actor_check(text, 255, NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(text, 256, NULL));
    memcpy(text + 7, key.data, key.len);
    text[6] = ' ';
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_actor_check(text, 7 + key.len, NULL));
}

int main(void) {
    keystile_format *format = NULL;
    keystile_str key;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    keystile_change *source = issue(format, 3);
    const keystile_record *record = keystile_change_record_at(source, 0);
    derived_records_survive_plain_fields(format, record);
    a_service_has_lifetimes(format);
    successors_end_with_the_source(format, record);
    ended_keys_are_removed(record);
    OK(keystile_change_key(source, &key));
    actors_are_checked(key);
    keystile_change_free(source);
    keystile_format_free(format);
    puts("keys derive from others");
    return 0;
}
