/* Vectors about what a key may do, and where. */
#include "reader.h"

static json_t *permissions(const json_t *input) {
    keystile_str wanted = text_of(field(input, "wanted"));
    keystile_permissions *set;
    keystile_status status = permissions_of(field(input, "granted"), &set);
    json_t *granted = json_null();
    if (status == KEYSTILE_OK) {
        keystile_status answer = keystile_permissions_grant(set, wanted.data, wanted.len);
        CHECK(answer == KEYSTILE_OK || answer == KEYSTILE_DENIED_PERMISSION);
        granted = json_boolean(answer == KEYSTILE_OK);
    }
    keystile_permissions_free(set);
    return json_pack("{s:o, s:o}", "granted", granted, "error", error_or_null(status));
}

static json_t *requirements(const json_t *input) {
    keystile_str text = text_of(field(input, "requirement")), missing;
    keystile_permissions *set;
    keystile_requirement *requirement = NULL;
    json_t *met = json_null(), *names = json_null();
    OK(permissions_of(field(input, "granted"), &set));
    keystile_status status = keystile_requirement_parse(text.data, text.len, &requirement, NULL);
    if (status == KEYSTILE_OK) {
        keystile_status answer = keystile_requirement_check(requirement, set);
        CHECK(answer == KEYSTILE_OK || answer == KEYSTILE_DENIED_PERMISSION);
        met = json_boolean(answer == KEYSTILE_OK);
        names = json_array();
        size_t index = 0;
        while (keystile_requirement_missing_at(requirement, set, index++, &missing) == KEYSTILE_OK) {
            json_array_append_new(names, null_or_text(missing));
        }
        OK(keystile_requirement_text(requirement, &missing));
        CHECK(missing.len == text.len && memcmp(missing.data, text.data, text.len) == 0);
    }
    keystile_requirement_free(requirement);
    keystile_permissions_free(set);
    return json_pack("{s:o, s:o, s:o}", "met", met, "missing", names, "error", error_or_null(status));
}

static json_t *endpoints(const json_t *input) {
    keystile_str method = text_of(field(input, "method")), path = text_of(field(input, "path"));
    keystile_endpoints *rules;
    keystile_status status = endpoints_of(field(input, "rules"), &rules);
    json_t *allowed = json_null();
    if (status == KEYSTILE_OK) {
        keystile_status answer =
            keystile_endpoints_allow(rules, method.data, method.len, path.data, path.len);
        CHECK(answer == KEYSTILE_OK || answer == KEYSTILE_DENIED_ENDPOINT);
        allowed = json_boolean(answer == KEYSTILE_OK);
    }
    keystile_endpoints_free(rules);
    return json_pack("{s:o, s:o}", "allowed", allowed, "error", error_or_null(status));
}

static json_t *never_matching(const json_t *input) {
    keystile_endpoints *rules;
    keystile_str rule, message, hint;
    uint32_t why;
    json_t *found = json_array();
    OK(endpoints_of(field(input, "rules"), &rules));
    for (size_t index = 0; keystile_endpoints_never_matching_at(rules, index, &rule, &why) == KEYSTILE_OK; index++) {
        OK(keystile_never_matches_texts(why, &message, &hint));
        CHECK(message.len > 0 && hint.len > 0);
        CHECK(why == KEYSTILE_NEVER_MATCHES_METHOD || why == KEYSTILE_NEVER_MATCHES_PARAMETER);
        json_array_append_new(found, json_pack("{s:s%, s:s}", "rule", rule.data, rule.len, "why",
                                               why == KEYSTILE_NEVER_MATCHES_METHOD ? "method" : "parameter"));
    }
    EXPECT(KEYSTILE_ERROR_INDEX,
           keystile_endpoints_never_matching_at(rules, json_array_size(found), &rule, &why));
    EXPECT(KEYSTILE_ERROR_VALUE, keystile_never_matches_texts(KEYSTILE_NEVER_MATCHES_OTHER, &message, &hint));
    keystile_endpoints_free(rules);
    return json_pack("{s:o}", "never_matching", found);
}

static json_t *paths(const json_t *input) {
    bytes path = bytes_of(input, "path");
    keystile_status strict = keystile_path_check(KEYSTILE_PATH_PROFILE_STRICT, path.data, path.len);
    keystile_status with_slash =
        keystile_path_check(KEYSTILE_PATH_PROFILE_ENCODED_SLASH_IS_DATA, path.data, path.len);
    CHECK(strict == KEYSTILE_OK || strict == KEYSTILE_DENIED_PATH_NOT_CANONICAL);
    CHECK(with_slash == KEYSTILE_OK || with_slash == KEYSTILE_DENIED_PATH_NOT_CANONICAL);
    CHECK(keystile_path_check(2, path.data, path.len) == KEYSTILE_ERROR_VALUE);
    free(path.data);
    return json_pack("{s:b, s:b}", "canonical", strict == KEYSTILE_OK, "with_encoded_slash",
                     with_slash == KEYSTILE_OK);
}

static json_t *path_sweeps(const json_t *input) {
    keystile_str before = text_of(field(input, "before")), behind = text_of(field(input, "behind"));
    keystile_str fill = text_of(field(input, "fill"));
    char canonical[513] = "", path[512], hole[8];
    for (int byte = 0; byte < 256; byte++) {
        size_t len = 1;
        if (is_text(fill, "raw")) {
            hole[0] = (char)byte;
        } else {
            const char *form = is_text(fill, "percent_upper")   ? "%%%02X"
                               : is_text(fill, "percent_lower") ? "%%%02x"
                                                                : "%%25%02X";
            len = (size_t)snprintf(hole, sizeof hole, form, byte);
        }
        memcpy(path, before.data, before.len);
        memcpy(path + before.len, hole, len);
        memcpy(path + before.len + len, behind.data, behind.len);
        if (keystile_path_check(0, path, before.len + len + behind.len) == KEYSTILE_OK) {
            snprintf(canonical + strlen(canonical), 3, "%02x", byte);
        }
    }
    return json_pack("{s:s}", "canonical_hex", canonical);
}

static json_t *networks(const json_t *input) {
    keystile_str text = text_of(field(input, "address"));
    keystile_networks *list;
    keystile_address address;
    keystile_status status = networks_of(field(input, "networks"), &list);
    json_t *contained = json_null();
    if (status == KEYSTILE_OK) {
        OK(keystile_address_parse(text.data, text.len, &address, NULL));
        keystile_status answer = keystile_networks_contain(list, &address);
        CHECK(answer == KEYSTILE_OK || answer == KEYSTILE_DENIED_NETWORK);
        contained = json_boolean(answer == KEYSTILE_OK);
    }
    keystile_networks_free(list);
    return json_pack("{s:o, s:o}", "contained", contained, "error", error_or_null(status));
}

static json_t *rights_of(const keystile_record *record) {
    static const char *const kept[] = {"owner",            "environment", "permissions",
                                       "allowed_endpoints", "allowed_networks", "rate_limit",
                                       "remaining_uses",   "scope_type",  "expires_at"};
    char text[8192];
    size_t needed, index;
    OK(keystile_record_to_json(record, text, sizeof text, &needed));
    json_t *whole = json_loadb(text, needed, 0, NULL), *rights = json_object();
    for (index = 0; index < sizeof kept / sizeof *kept; index++) {
        json_object_set(rights, kept[index], json_object_get(whole, kept[index]));
    }
    json_decref(whole);
    return rights;
}

/* Networks compare as blocks: an address is a block of one. */
static json_t *as_blocks(const json_t *networks) {
    keystile_networks *list;
    json_t *blocks = json_array();
    OK(networks_of(networks, &list));
    for (size_t index = 0; index < keystile_networks_count(list); index++) {
        keystile_network_text text;
        OK(keystile_networks_at(list, index, &text));
        json_array_append_new(blocks, json_string(text.text));
    }
    keystile_networks_free(list);
    return blocks;
}

static json_t *grants(const json_t *input) {
    const json_t *ask = field(input, "ask"), *limited = json_object_get(ask, "rate_limit");
    const json_t *uses = json_object_get(ask, "uses"), *life = json_object_get(ask, "expires_in_ms");
    uint64_t now = number_of(field(input, "now"));
    keystile_record *source = record_of(field(input, "source"));
    keystile_template *template = template_of(json_object_get(ask, "template"));
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_networks *networks = NULL;
    keystile_format *format = NULL;
    keystile_change *change = NULL;
    keystile_issue_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    if (json_object_get(ask, "owner") != NULL) {
        request.owner = text_of(json_object_get(ask, "owner"));
    }
    if (json_object_get(ask, "environment") != NULL) {
        request.environment = text_of(json_object_get(ask, "environment"));
    }
    keystile_status status = permissions_of(json_object_get(ask, "permissions"), &permissions);
    if (status == KEYSTILE_OK) {
        status = endpoints_of(json_object_get(ask, "endpoints"), &endpoints);
    }
    if (status == KEYSTILE_OK) {
        status = networks_of(json_object_get(ask, "networks"), &networks);
    }
    if (limited != NULL && !json_is_null(limited)) {
        request.rate_limit = limit_of(limited);
        request.has_rate_limit = 1;
    }
    if (uses != NULL && !json_is_null(uses)) {
        request.uses = number_of(uses);
        request.has_uses = 1;
    }
    if (life != NULL && !json_is_null(life)) {
        request.lifetime_millis = number_of(life);
        request.has_lifetime = 1;
    }
    request.never_expires = json_is_true(json_object_get(ask, "never_expires"));
    request.scope_template = template;
    request.permissions = permissions;
    request.allowed_endpoints = endpoints;
    request.allowed_networks = networks;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    if (status == KEYSTILE_OK) {
        status = source == NULL
                     ? keystile_issue(format, NULL, &request, NULL, 0, now, &change, NULL)
                     : keystile_delegate(source, format, NULL, &request, NULL, 0, now, &change, NULL);
    }
    json_t *rights = json_null();
    if (status == KEYSTILE_OK && source != NULL) {
        bool is_within = false;
        OK(keystile_record_is_within(keystile_change_record_at(change, 0), source, &is_within));
        CHECK(is_within);
    }
    if (status == KEYSTILE_OK) {
        rights = rights_of(keystile_change_record_at(change, 0));
        /* The expected ones are written as in the request. */
        const json_t *expected = json_object_get(field(field(input, "expected"), "rights"),
                                                 "allowed_networks");
        const json_t *own = json_object_get(rights, "allowed_networks");
        if (json_is_array(expected) && json_is_array(own)) {
            json_t *left = as_blocks(expected), *right = as_blocks(own);
            CHECK(json_equal(left, right));
            json_object_set(rights, "allowed_networks", (json_t *)(uintptr_t)expected);
            json_decref(left);
            json_decref(right);
        }
    }
    keystile_change_free(change);
    keystile_format_free(format);
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    keystile_networks_free(networks);
    keystile_template_free(template);
    keystile_record_free(source);
    return json_pack("{s:o, s:o}", "rights", rights, "error", error_or_null(status));
}

const topic RIGHTS[] = {
    {"permissions", permissions}, {"requirements", requirements}, {"endpoints", endpoints},
    {"never_matching", never_matching},
    {"paths", paths},             {"path_sweeps", path_sweeps},   {"networks", networks},
    {"grants", grants},           {NULL, NULL},
};
