/* Vectors about changes of a key. */
#include "reader.h"

/* Whether a field of a change is stated, and whether it is null, which clears it. */
static const json_t *stated(const json_t *ask, const char *name, uint8_t *clear) {
    const json_t *value = json_object_get(ask, name);
    if (value != NULL && json_is_null(value)) {
        *clear = 1;
        return NULL;
    }
    return value;
}

static keystile_str text_or_none(const json_t *ask, const char *name, uint8_t *clear) {
    const json_t *value = stated(ask, name, clear);
    return value == NULL ? str(NULL) : text_of(value);
}

static json_t *fields_of(const keystile_change *change) {
    json_t *fields = json_array();
    keystile_field_change field;
    size_t count = keystile_change_field_count(change);
    for (size_t index = 0; index < count; index++) {
        OK(keystile_change_field_at(change, index, &field));
        json_array_append_new(
            fields, json_pack("{s:o, s:o, s:o}", "field", null_or_text(field.field), "from",
                              null_or_text(field.from), "to", null_or_text(field.to)));
    }
    EXPECT(KEYSTILE_ERROR_INDEX, keystile_change_field_at(change, count, &field));
    return fields;
}

static json_t *outcome_of(const keystile_change *change) {
    static char text[65536];
    size_t needed;
    keystile_event event;
    keystile_str key;
    CHECK(keystile_change_record_count(change) == 1);
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_change_key(change, &key));
    OK(keystile_record_to_json(keystile_change_record_at(change, 0), text, sizeof text, &needed));
    json_t *record = json_loadb(text, needed, JSON_ALLOW_NUL, NULL);
    CHECK(record != NULL);
    OK(keystile_change_event(change, &event));
    CHECK(event.kind == KEYSTILE_EVENT_CHANGED && event.reason.data == NULL);
    json_t *noted = json_pack("{s:s, s:o, s:I, s:I, s:o}", "kind", "changed", "key_id",
                              null_or_id(event.key_id), "at", (json_int_t)event.at, "version",
                              (json_int_t)event.version, "changes", fields_of(change));
    return json_pack("{s:o, s:o, s:n}", "record", record, "event", noted, "error");
}

static json_t *change(const json_t *input) {
    const json_t *ask = field(input, "change");
    uint64_t now = number_of(field(input, "now"));
    keystile_record *record = record_of(field(input, "record"));
    keystile_permissions *all = NULL, *more = NULL, *some = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_networks *networks = NULL;
    keystile_template *template = NULL;
    keystile_change *changed = NULL;
    keystile_key_change asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    if (json_object_get(ask, "client_name") != NULL) {
        asked.client_name = text_of(json_object_get(ask, "client_name"));
    }
    asked.client_email = text_or_none(ask, "client_email", &asked.clear_client_email);
    asked.owner = text_or_none(ask, "owner", &asked.clear_owner);
    asked.metadata = text_or_none(ask, "metadata", &asked.clear_metadata);
    const json_t *named = stated(ask, "template", &asked.clear_scope_template);
    const json_t *rules = stated(ask, "endpoints", &asked.clear_allowed_endpoints);
    const json_t *blocks = stated(ask, "networks", &asked.clear_allowed_networks);
    const json_t *limited = stated(ask, "rate_limit", &asked.clear_rate_limit);
    const json_t *uses = stated(ask, "uses", &asked.clear_uses);
    const json_t *life = json_object_get(ask, "expires_in_ms");
    keystile_status status = permissions_of(json_object_get(ask, "permissions"), &all);
    if (status == KEYSTILE_OK) {
        status = permissions_of(json_object_get(ask, "add_permissions"), &more);
    }
    if (status == KEYSTILE_OK) {
        status = permissions_of(json_object_get(ask, "remove_permissions"), &some);
    }
    if (status == KEYSTILE_OK) {
        status = endpoints_of(rules, &endpoints);
    }
    if (status == KEYSTILE_OK) {
        status = networks_of(blocks, &networks);
    }
    if (named != NULL) {
        template = template_of(named);
    }
    if (limited != NULL) {
        asked.rate_limit = limit_of(limited);
        asked.has_rate_limit = 1;
    }
    if (uses != NULL) {
        asked.uses = number_of(uses);
        asked.has_uses = 1;
    }
    if (life != NULL) {
        asked.lifetime_millis = number_of(life);
        asked.has_lifetime = 1;
    }
    asked.never_expires = json_is_true(json_object_get(ask, "never_expires"));
    asked.scope_template = template;
    asked.permissions = all;
    asked.add_permissions = more;
    asked.remove_permissions = some;
    asked.allowed_endpoints = endpoints;
    asked.allowed_networks = networks;
    if (status == KEYSTILE_OK) {
        bool alters = false;
        status = keystile_record_change(record, &asked, now, &changed, NULL);
        keystile_status would = keystile_record_would_change(record, &asked, now, &alters, NULL);
        CHECK(alters == (status == KEYSTILE_OK));
        CHECK(would == status || (would == KEYSTILE_OK && status == KEYSTILE_ERROR_STATE));
    }
    json_t *outcome = status == KEYSTILE_OK
                          ? outcome_of(changed)
                          : json_pack("{s:n, s:n, s:o}", "record", "event", "error",
                                      error_or_null(status));
    keystile_change_free(changed);
    keystile_template_free(template);
    keystile_networks_free(networks);
    keystile_endpoints_free(endpoints);
    keystile_permissions_free(some);
    keystile_permissions_free(more);
    keystile_permissions_free(all);
    keystile_record_free(record);
    return outcome;
}

const topic CHANGES[] = {{"change", change}, {NULL, NULL}};
