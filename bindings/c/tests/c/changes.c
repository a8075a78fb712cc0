/* Changes of a key, compiled as C99 and as C++11: each field set, cleared and forgotten. */
#include "support.h"

static keystile_record_parts parts_of(const keystile_record *record) {
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(record, &parts));
    return parts;
}

static keystile_key_change nothing(void) {
    keystile_key_change asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    return asked;
}

static keystile_change *issue(const keystile_format *format) {
    keystile_change *issued = NULL;
    keystile_issue_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    request.client_email = str("ops@acme.example");
    request.uses = 5;
    request.has_uses = 1;
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &issued, NULL));
    return issued;
}

/* What is forgotten changes nothing. */
static void what_is_zero_stays(const keystile_record *record) {
    keystile_change *changed = NULL;
    keystile_key_change asked = nothing();
    bool alters = true;
    OK(keystile_record_would_change(record, &asked, NOW, &alters, NULL));
    CHECK(!alters);
    EXPECT(KEYSTILE_ERROR_STATE, keystile_record_change(record, &asked, NOW, &changed, NULL));
    CHECK(changed == NULL);
    asked.struct_size--;
    EXPECT(KEYSTILE_ERROR_STRUCT_SIZE, keystile_record_change(record, &asked, NOW, &changed, NULL));
}

/* What is meant is not known of a number without its flag, a flag that is neither 0 nor 1, or a
 * field that does not exist yet. */
static void unclear_changes_are_refused(const keystile_record *record) {
    static const uint8_t WRONG[] = {2, 0xaa, 255};
    keystile_change *changed = NULL;
    keystile_key_change asked[5];
    bool alters = true;
    for (size_t index = 0; index < 5; index++) {
        asked[index] = nothing();
        asked[index].owner = str("tenant-7");
    }
    asked[0].uses = 9;
    asked[1].lifetime_millis = 1;
    asked[2].rate_limit.limit = 1;
    asked[3].rate_limit.burst = 1;
    asked[4].rate_limit.window_millis = 1;
    for (size_t index = 0; index < 5; index++) {
        EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &asked[index], NOW, &changed, NULL));
        EXPECT(KEYSTILE_ERROR_VALUE,
               keystile_record_would_change(record, &asked[index], NOW, &alters, NULL));
    }
    for (size_t wrong = 0; wrong < sizeof WRONG; wrong++) {
        size_t flags = offsetof(keystile_key_change, has_rate_limit);
        for (size_t at = flags; at < sizeof(keystile_key_change); at++) {
            keystile_key_change flagged = nothing();
            flagged.owner = str("tenant-7");
            ((uint8_t *)&flagged)[at] = WRONG[wrong];
            EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &flagged, NOW, &changed, NULL));
        }
    }
    for (size_t index = 0; index < 4; index++) {
        keystile_key_change later = nothing();
        later.owner = str("tenant-7");
        later.reserved[index] = 1;
        EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &later, NOW, &changed, NULL));
    }
    CHECK(changed == NULL && alters);
}

/* The address of an empty text is one of a byte, and not a number that no byte can have: a
 * caller may keep it where only real pointers are allowed. */
static void empty_texts_have_addresses(const keystile_record *record) {
    keystile_change *changed = NULL, *cleared = NULL, *revoked = NULL;
    keystile_field_change field;
    keystile_key_change asked = nothing();
    asked.owner = str("");
    OK(keystile_record_change(record, &asked, NOW, &changed, NULL));
    const keystile_record *after = keystile_change_record_at(changed, 0);
    keystile_str owner = parts_of(after).owner;
    CHECK((uintptr_t)owner.data >= 4096 && owner.len == 0 && *owner.data == 0);
    OK(keystile_change_field_at(changed, 0, &field));
    CHECK(field.from.data == NULL && (uintptr_t)field.to.data >= 4096 && field.to.len == 0);
    asked = nothing();
    asked.clear_owner = 1;
    OK(keystile_record_change(after, &asked, NOW, &cleared, NULL));
    OK(keystile_change_field_at(cleared, 0, &field));
    CHECK((uintptr_t)field.from.data >= 4096 && field.from.len == 0 && field.to.data == NULL);
    OK(keystile_revoke(after, L(""), NOW, &revoked, NULL));
    keystile_event event;
    OK(keystile_change_event(revoked, &event));
    CHECK(event.reason.data == NULL || (uintptr_t)event.reason.data >= 4096);
    keystile_change_free(revoked);
    keystile_change_free(cleared);
    keystile_change_free(changed);
}

static void fields_are_set_and_cleared(const keystile_record *record) {
    keystile_change *changed = NULL;
    keystile_field_change field;
    keystile_key_change asked = nothing();
    keystile_str key;
    asked.owner = str("tenant-7");
    asked.clear_client_email = 1;
    asked.uses = 70;
    asked.has_uses = 1;
    OK(keystile_record_change(record, &asked, NOW, &changed, NULL));
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_change_key(changed, &key));
    CHECK(keystile_change_record_count(changed) == 1 && keystile_change_field_count(changed) == 3);
    keystile_record_parts parts = parts_of(keystile_change_record_at(changed, 0));
    CHECK(parts.version == 2 && parts.remaining_uses == 70 && is_text(parts.owner, "tenant-7"));
    CHECK(parts.client_email.data == NULL && is_text(parts.client_name, "Acme Ltd"));
    CHECK(parts.expires_at == NOW + 90 * DAY);

    /* Of the e-mail address only that it changed. */
    OK(keystile_change_field_at(changed, 0, &field));
    CHECK(is_text(field.field, "client_email") && field.from.data == NULL && field.to.data == NULL);
    OK(keystile_change_field_at(changed, 1, &field));
    CHECK(is_text(field.field, "owner") && field.from.data == NULL && is_text(field.to, "tenant-7"));
    OK(keystile_change_field_at(changed, 2, &field));
    CHECK(is_text(field.from, "5") && is_text(field.to, "70"));
    EXPECT(KEYSTILE_ERROR_INDEX, keystile_change_field_at(changed, 3, &field));
    keystile_change_free(changed);
}

static void contradictions_are_refused(const keystile_record *record) {
    keystile_permissions *none = NULL;
    keystile_endpoints *rules = NULL;
    keystile_networks *networks = NULL;
    keystile_template *preset = NULL;
    keystile_change *changed = NULL;
    keystile_key_change both[8];
    OK(keystile_permissions_new(NULL, 0, &none, NULL));
    OK(keystile_endpoints_new(NULL, 0, &rules, NULL));
    OK(keystile_networks_new(NULL, 0, &networks, NULL));
    OK(keystile_template_preset(L("admin"), &preset));
    for (size_t index = 0; index < 8; index++) {
        both[index] = nothing();
    }
    both[0].client_email = str("");
    both[0].clear_client_email = 1;
    both[1].owner = str("o");
    both[1].clear_owner = 1;
    both[2].metadata = str("{}");
    both[2].clear_metadata = 1;
    both[3].scope_template = preset;
    both[3].clear_scope_template = 1;
    both[4].allowed_endpoints = rules;
    both[4].clear_allowed_endpoints = 1;
    both[5].allowed_networks = networks;
    both[5].clear_allowed_networks = 1;
    both[6].uses = 1;
    both[6].has_uses = both[6].clear_uses = 1;
    both[7].lifetime_millis = 1;
    both[7].has_lifetime = both[7].never_expires = 1;
    for (size_t index = 0; index < 8; index++) {
        EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &both[index], NOW, &changed, NULL));
    }
    keystile_key_change limit = nothing();
    limit.has_rate_limit = limit.clear_rate_limit = 1;
    limit.rate_limit.limit = limit.rate_limit.burst = 1;
    limit.rate_limit.window_millis = 1000;
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_record_change(record, &limit, NOW, &changed, NULL));
    CHECK(changed == NULL);

    /* An empty list allows nothing, which is not the same as none. */
    keystile_key_change nowhere = nothing();
    nowhere.allowed_endpoints = rules;
    OK(keystile_record_change(record, &nowhere, NOW, &changed, NULL));
    const keystile_endpoints *own = parts_of(keystile_change_record_at(changed, 0)).allowed_endpoints;
    CHECK(own != NULL && keystile_endpoints_count(own) == 0);
    keystile_change_free(changed);
    keystile_template_free(preset);
    keystile_networks_free(networks);
    keystile_endpoints_free(rules);
    keystile_permissions_free(none);
}

static void ended_keys_are_not_changed(const keystile_record *record) {
    keystile_change *revoked = NULL, *changed = NULL;
    keystile_key_change asked = nothing();
    asked.owner = str("tenant-7");
    EXPECT(KEYSTILE_ERROR_STATE, keystile_record_change(record, &asked, NOW + 90 * DAY, &changed, NULL));
    EXPECT(KEYSTILE_ERROR_TIME, keystile_record_change(record, &asked, NOW / 1000, &changed, NULL));
    OK(keystile_revoke(record, L("leaked"), NOW, &revoked, NULL));
    CHECK(keystile_change_field_count(revoked) == 0);
    EXPECT(KEYSTILE_ERROR_STATE, keystile_record_change(keystile_change_record_at(revoked, 0), &asked,
                                                        NOW, &changed, NULL));
    asked.uses = 0;
    asked.has_uses = 1;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_record_change(record, &asked, NOW, &changed, NULL));
    asked.uses = UINT64_C(1) << 63;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_record_change(record, &asked, NOW, &changed, NULL));
    asked.uses--;
    OK(keystile_record_change(record, &asked, NOW, &changed, NULL));
    CHECK(parts_of(keystile_change_record_at(changed, 0)).remaining_uses == UINT64_C(0x7fffffffffffffff));
    keystile_change_free(changed);
    changed = NULL;
    asked = nothing();
    asked.client_name = str("");
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_record_change(record, &asked, NOW, &changed, NULL));
    asked.client_name = str("\xff");
    EXPECT(KEYSTILE_ERROR_NOT_UTF8, keystile_record_change(record, &asked, NOW, &changed, NULL));
    CHECK(changed == NULL);
    keystile_change_free(revoked);
}

/* A store binds a version as a signed number: there is none after the last. */
static void the_last_version_is_not_changed(const keystile_record *source) {
    keystile_record_parts parts = parts_of(source);
    keystile_record *record = NULL;
    keystile_change *change = NULL;
    keystile_error why;
    parts.version = UINT64_C(0x7ffffffffffffffe);
    OK(keystile_record_new(&parts, &record, NULL));
    OK(keystile_revoke(record, L("leaked"), NOW, &change, NULL));
    CHECK(parts_of(keystile_change_record_at(change, 0)).version == INT64_MAX);
    keystile_record_free(record);
    record = NULL;
    EXPECT(KEYSTILE_ERROR_STATE, keystile_revoke(keystile_change_record_at(change, 0), L("again"),
                                                 NOW, &change, NULL));
    keystile_change_free(change);
    change = NULL;
    parts.version = INT64_MAX;
    OK(keystile_record_new(&parts, &record, NULL));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_revoke(record, L("leaked"), NOW, &change, &why));
    CHECK(is_text(why.field, "version"));
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_suspend(record, NOW, &change, &why));
    CHECK(is_text(why.field, "version") && change == NULL);
    keystile_record_free(record);
}

int main(void) {
    keystile_format *format = NULL;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    keystile_change *issued = issue(format);
    const keystile_record *record = keystile_change_record_at(issued, 0);
    what_is_zero_stays(record);
    unclear_changes_are_refused(record);
    empty_texts_have_addresses(record);
    fields_are_set_and_cleared(record);
    contradictions_are_refused(record);
    ended_keys_are_not_changed(record);
    the_last_version_is_not_changed(record);
    keystile_change_free(issued);
    keystile_format_free(format);
    puts("keys are changed");
    return 0;
}
