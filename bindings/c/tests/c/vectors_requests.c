/* Vectors about requests: credentials, decisions and the responses to them. */
#include <ctype.h>

#include "reader.h"

static const char *const causes[] = {
    "",           "missing_credential", "conflicting_credentials", "malformed",
    "unknown_key", "wrong_secret",      "pepper_unavailable",      "revoked",
    "suspended",  "expired",            "replaced",                "environment",
    "network",    "path_not_canonical", "endpoint",                "permission",
    "rate_limit", "uses_spent",         "store_unavailable",       "record_damaged",
    "alien",
};

static const char *cause_name(uint32_t cause) {
    CHECK(cause >= 1 && cause < sizeof causes / sizeof *causes);
    return causes[cause];
}

static keystile_verifier *verifier_of(const json_t *scene) {
    const json_t *formats = field(scene, "formats");
    keystile_peppers *peppers = NULL;
    keystile_verifier *verifier = NULL;
    if (json_object_get(scene, "peppers") != NULL) {
        OK(peppers_of(field(scene, "peppers"), &peppers));
    }
    for (size_t index = 0; index < json_array_size(formats); index++) {
        keystile_format *format = format_of(json_array_get(formats, index));
        keystile_verifier *before = verifier;
        if (before == NULL) {
            OK(keystile_verifier_new(format, peppers, &verifier));
        } else {
            OK(keystile_verifier_with_format(before, format, &verifier));
        }
        keystile_verifier_free(before);
        keystile_format_free(format);
    }
    keystile_peppers_free(peppers);
    return verifier;
}

/* Whether a name is another in any case. */
static bool is_named(keystile_str own, const char *name) {
    if (own.len != strlen(name)) {
        return false;
    }
    for (size_t at = 0; at < own.len; at++) {
        if (tolower((unsigned char)own.data[at]) != tolower((unsigned char)name[at])) {
            return false;
        }
    }
    return true;
}

static keystile_credential_extractor *extractor_of(const json_t *rules) {
    size_t names_len, schemes_len;
    keystile_str *names = texts_of(field(rules, "headers"), &names_len);
    keystile_str *schemes = texts_of(field(rules, "schemes"), &schemes_len);
    keystile_credential_sources sources = {.struct_size = sizeof sources,
                                           .headers = names,
                                           .headers_len = names_len,
                                           .schemes = schemes,
                                           .schemes_len = schemes_len,
                                           .basic = json_is_true(field(rules, "basic")),
                                           .without_defaults = !json_is_true(field(rules, "defaults"))};
    keystile_credential_extractor *extractor = NULL;
    keystile_verifier *verifier = json_is_null(field(rules, "formats")) ? NULL : verifier_of(rules);
    OK(keystile_credential_extractor_new(verifier, &sources, &extractor, NULL));
    keystile_verifier_free(verifier);
    free(names);
    free(schemes);
    return extractor;
}

/* Adds a name to the carriers if a field of it carries a key, and says whether another does not. */
static bool carried_by(const keystile_credential_extractor *extractor, const char *name,
                       const keystile_header *headers, size_t count, json_t *carriers) {
    keystile_credential credential;
    bool has_key = false, has_other = false;
    for (size_t index = 0; index < count; index++) {
        if (!is_named(headers[index].name, name)) {
            continue;
        }
        bool carries = keystile_credential_extract(extractor, &headers[index], 1, NULL, &credential) == KEYSTILE_OK;
        has_key |= carries;
        has_other |= !carries;
    }
    if (has_key) {
        json_array_append_new(carriers, json_string(name));
    }
    return has_key && has_other;
}

static json_t *credentials(const json_t *input) {
    const json_t *rules = field(input, "rules"), *list = field(input, "headers");
    size_t count = json_array_size(list), index;
    keystile_header *headers = calloc(count + 1, sizeof *headers);
    bytes *values = calloc(count + 1, sizeof *values);
    keystile_credential_extractor *extractor = extractor_of(rules);
    keystile_credential credential;
    keystile_decision decision;
    CHECK(headers != NULL && values != NULL);
    for (index = 0; index < count; index++) {
        const json_t *header = json_array_get(list, index);
        values[index] = bytes_of(header, "value");
        headers[index].name = text_of(field(header, "name"));
        headers[index].value.data = values[index].data;
        headers[index].value.len = values[index].len;
    }
    keystile_status status =
        keystile_credential_extract(extractor, headers, count, &decision, &credential);
    json_t *outcome;
    if (status == KEYSTILE_OK) {
        json_t *carriers = json_array(), *name;
        bool mixed = carried_by(extractor, "X-API-Key", headers, count, carriers);
        mixed |= carried_by(extractor, "Authorization", headers, count, carriers);
        json_array_foreach(field(rules, "headers"), index, name) {
            if (!is_named(text_of(name), "X-API-Key")) {
                mixed |= carried_by(extractor, json_string_value(name), headers, count, carriers);
            }
        }
        outcome = json_pack("{s:s%, s:n, s:n, s:o, s:b, s:b}", "credential", credential.text, credential.len,
                            "cause", "code", "carriers", carriers, "mixed", mixed, "guess", 0);
        keystile_credential_wipe(&credential);
        CHECK(credential.len == 0 && credential.text[0] == 0);
    } else {
        int guess = status == KEYSTILE_DENIED_INVALID_KEY && decision.cause != KEYSTILE_CAUSE_ALIEN;
        outcome = json_pack("{s:n, s:s, s:s, s:n, s:b, s:b}", "credential", "cause", cause_name(decision.cause),
                            "code", keystile_status_name(status), "carriers", "mixed", 0, "guess", guess);
    }
    for (index = 0; index < count; index++) {
        free(values[index].data);
    }
    free(values);
    free(headers);
    keystile_credential_extractor_free(extractor);
    return outcome;
}

static json_t *credential_sweeps(const json_t *input) {
    keystile_str before = text_of(field(input, "before")), behind = text_of(field(input, "behind"));
    char part[513] = "", around[513] = "", value[512], whole[512];
    keystile_credential_extractor *extractor = NULL;
    keystile_credential credential;
    keystile_decision decision;
    OK(keystile_credential_extractor_new(NULL, NULL, &extractor, NULL));
    keystile_str token = before;
    if (token.len >= 7 && memcmp(token.data, "Bearer ", 7) == 0) {
        token.data += 7;
        token.len -= 7;
    }
    for (int byte = 0; byte < 256; byte++) {
        keystile_header header;
        memcpy(value, before.data, before.len);
        value[before.len] = (char)byte;
        memcpy(value + before.len + 1, behind.data, behind.len);
        header.name = text_of(field(input, "header"));
        header.value.data = value;
        header.value.len = before.len + 1 + behind.len;
        keystile_status status = keystile_credential_extract(extractor, &header, 1, &decision, &credential);
        if (status != KEYSTILE_OK) {
            CHECK(status == KEYSTILE_DENIED_INVALID_KEY);
            continue;
        }
        memcpy(whole, token.data, token.len);
        memcpy(whole + token.len, behind.data, behind.len);
        char *place = around;
        if (credential.len != token.len + behind.len ||
            memcmp(credential.text, whole, credential.len) != 0) {
            whole[token.len] = (char)byte;
            memcpy(whole + token.len + 1, behind.data, behind.len);
            CHECK(credential.len == token.len + 1 + behind.len);
            CHECK(memcmp(credential.text, whole, credential.len) == 0);
            place = part;
        }
        snprintf(place + strlen(place), 3, "%02x", byte);
    }
    keystile_credential_extractor_free(extractor);
    return json_pack("{s:s, s:s}", "part_hex", part, "around_hex", around);
}

static json_t *header_names(const json_t *input) {
    keystile_str name = text_of(field(input, "header"));
    keystile_credential_extractor *extractor = NULL;
    keystile_credential_sources sources = {.struct_size = sizeof sources, .headers = &name, .headers_len = 1};
    keystile_status status = keystile_credential_extractor_new(NULL, &sources, &extractor, NULL);
    CHECK(status == KEYSTILE_OK || status == KEYSTILE_ERROR_NAME);
    keystile_credential_extractor_free(extractor);
    return json_pack("{s:b}", "legal", status == KEYSTILE_OK);
}

/* The outcome of a scene; the requirement is kept to name what is missing. */
typedef struct judged {
    keystile_status status;
    keystile_decision decision;
    keystile_requirement *requirement;
    uint64_t now;
} judged;

/* What a lineage has spent, from the instants of its admitted requests. */
static keystile_usage usage_of(const json_t *scene) {
    const json_t *form = field(scene, "usage"), *instants = field(form, "admitted_at");
    keystile_usage usage = {0, 0, 0};
    for (size_t index = 0; index < json_array_size(instants); index++) {
        keystile_rate_limit limit = limit_of(field(field(scene, "record"), "rate_limit"));
        OK(keystile_rate_limit_admit(&limit, &usage.rate_state,
                                     number_of(json_array_get(instants, index)), NULL));
    }
    if (!json_is_null(field(form, "remaining"))) {
        usage.remaining_uses = number_of(field(form, "remaining"));
        usage.has_remaining_uses = 1;
    }
    return usage;
}

/* The keyring must make the same decision, from a lookup of the same record. */
static void judge_by_keyring(const keystile_verifier *verifier, keystile_str key,
                             const keystile_record *record, const keystile_request *request,
                             const judged *expected) {
    keystile_keyring *keyring = NULL;
    keystile_ticket ticket;
    keystile_decision decision;
    OK(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    keystile_status status = keystile_keyring_check(keyring, key.data, key.len, request,
                                                    expected->now, &decision, NULL, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        status = keystile_keyring_admit(keyring, &ticket, key.data, key.len, request, record, NULL, NULL,
                                        expected->now, &decision, NULL, &ticket);
    }
    EXPECT(expected->status, status);
    CHECK(decision.cause == expected->decision.cause && decision.kind == expected->decision.kind);
    CHECK(memcmp(&decision.key_id, &expected->decision.key_id, sizeof decision.key_id) == 0);
    keystile_keyring_free(keyring);
}

static int same_usage(const keystile_usage *one, const keystile_usage *other) {
    return one->rate_state == other->rate_state &&
           one->remaining_uses == other->remaining_uses &&
           one->has_remaining_uses == other->has_remaining_uses;
}

/* The request of a scene. It borrows the requirement and the bytes of the path. */
static keystile_request request_of(const json_t *scene, keystile_requirement **requirement, bytes *raw) {
    const json_t *form = field(scene, "request"), *hex = json_object_get(form, "path_hex");
    keystile_str requires_text = text_of(field(form, "requires"));
    keystile_str address = text_of(field(form, "address"));
    keystile_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    if (requires_text.data != NULL) {
        OK(keystile_requirement_parse(requires_text.data, requires_text.len, requirement, NULL));
        request.requirement = *requirement;
    }
    request.method = text_of(field(form, "method"));
    if (hex != NULL && !json_is_null(hex)) {
        *raw = unhex(text_of(hex));
        request.path.data = raw->data;
        request.path.len = raw->len;
    } else {
        request.path = text_of(field(form, "path"));
    }
    request.environment = text_of(field(form, "environment"));
    if (address.data != NULL) {
        OK(keystile_address_parse(address.data, address.len, &request.address, NULL));
    }
    return request;
}

static judged judge(const json_t *scene) {
    judged judged;
    keystile_str key = text_of(field(scene, "key"));
    keystile_verifier *verifier = verifier_of(scene);
    keystile_record *record = record_of(field(scene, "record"));
    keystile_usage before = usage_of(scene), usage = before;
    bytes raw = {NULL, 0};
    memset(&judged, 0, sizeof judged);
    judged.now = number_of(field(scene, "now"));
    keystile_request request = request_of(scene, &judged.requirement, &raw);
    judged.status = keystile_verify(verifier, key.data, key.len, record, &request, &usage,
                                    judged.now, &judged.decision);
    if (judged.status != KEYSTILE_OK) {
        CHECK(judged.status >= 100 && judged.status < 200);
        CHECK(same_usage(&usage, &before));
    }
    /* A keyring counts uses itself, starting from the record. */
    keystile_usage unused = before;
    if (record != NULL) {
        OK(keystile_record_usage(record, &unused));
    }
    if (same_usage(&unused, &before)) {
        judge_by_keyring(verifier, key, record, &request, &judged);
    }
    free(raw.data);
    keystile_record_free(record);
    keystile_verifier_free(verifier);
    return judged;
}

static json_t *quota_of(const keystile_quota *quota) {
    uint32_t remaining;
    uint64_t reset, wait = 0;
    if (keystile_quota_remaining(quota, &remaining) == KEYSTILE_ERROR_ABSENT) {
        return json_null();
    }
    OK(keystile_quota_reset_millis(quota, &reset));
    int ever = keystile_quota_retry_after_millis(quota, &wait) == KEYSTILE_OK;
    return json_pack("{s:I, s:I, s:o}", "remaining", (json_int_t)remaining, "reset_ms",
                     (json_int_t)reset, "retry_after_ms", null_or_number(ever, wait));
}

static json_t *missing_of(const judged *judged) {
    json_t *names = json_array();
    keystile_str name;
    size_t index = 0;
    while (judged->requirement != NULL &&
           keystile_decision_missing_at(&judged->decision, judged->requirement, index++, &name) ==
               KEYSTILE_OK) {
        json_array_append_new(names, null_or_text(name));
    }
    return names;
}

static json_t *decisions(const json_t *input) {
    judged judged = judge(input);
    const keystile_decision *decision = &judged.decision;
    json_t *outcome;
    if (judged.status == KEYSTILE_OK) {
        CHECK(decision->kind == KEYSTILE_DECISION_ALLOWED && decision->cause == 0);
        json_t *notice = json_null();
        if (decision->replaced_until != 0) {
            notice = json_pack("{s:o, s:I}", "replaced_by", null_or_id(decision->replaced_by),
                               "until", (json_int_t)decision->replaced_until);
        }
        outcome = json_pack(
            "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "decision", "allow", "key_id",
            null_or_id(decision->key_id), "lineage", null_or_id(decision->lineage),
            "remaining_uses", null_or_number(decision->has_remaining_uses, decision->remaining_uses),
            "quota", quota_of(&decision->quota), "notice", notice, "ends_overlap_of",
            null_or_id(decision->ends_overlap_of), "needs_rehash", decision->needs_rehash);
    } else {
        CHECK(decision->kind == KEYSTILE_DECISION_REFUSED);
        outcome = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "decision", "deny", "code",
                            keystile_status_name(judged.status), "cause",
                            cause_name(decision->cause), "key_id", null_or_id(decision->key_id),
                            "missing", missing_of(&judged), "quota", quota_of(&decision->quota));
    }
    keystile_requirement_free(judged.requirement);
    return outcome;
}

static json_t *explanations(const json_t *input) {
    keystile_verifier *verifier = verifier_of(input);
    keystile_record *record = record_of(field(input, "record"));
    keystile_requirement *requirement = NULL;
    const keystile_usage usage = usage_of(input);
    bytes raw = {NULL, 0};
    char text[4096];
    size_t needed = 0;
    uint64_t now = number_of(field(input, "now"));
    keystile_request request = request_of(input, &requirement, &raw);
    EXPECT(KEYSTILE_ERROR_BUFFER_TOO_SMALL,
           keystile_explain(verifier, record, &request, &usage, now, NULL, 0, &needed));
    CHECK(needed < sizeof text);
    OK(keystile_explain(verifier, record, &request, &usage, now, text, sizeof text, &needed));
    json_t *explained = json_loadb(text, needed, JSON_REJECT_DUPLICATES, NULL);
    CHECK(explained != NULL);
    /* With the key, the decision is the one that is explained. */
    judged judged = judge(input);
    keystile_str code = text_of(field(explained, "code"));
    CHECK((judged.status == KEYSTILE_OK) == (code.data == NULL));
    CHECK(code.data == NULL || is_text(code, keystile_status_name(judged.status)));
    keystile_requirement_free(judged.requirement);
    free(raw.data);
    keystile_requirement_free(requirement);
    keystile_record_free(record);
    keystile_verifier_free(verifier);
    return explained;
}

static json_t *responses(const json_t *input) {
    keystile_str cause = text_of(field(input, "cause")), name, value;
    uint32_t policy = is_text(text_of(field(input, "policy")), "express")
                          ? KEYSTILE_STATUS_POLICY_EXPRESS
                          : KEYSTILE_STATUS_POLICY_RFC9110;
    keystile_str form = text_of(field(input, "fields"));
    uint32_t fields = is_text(form, "6")   ? KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6
                      : is_text(form, "7") ? KEYSTILE_RATE_LIMIT_FIELDS_DRAFT7
                      : is_text(form, "8") ? KEYSTILE_RATE_LIMIT_FIELDS_DRAFT8
                                           : KEYSTILE_RATE_LIMIT_FIELDS_X;
    keystile_response *response = NULL;
    keystile_credential_extractor *extractor = NULL;
    judged judged;
    memset(&judged, 0, sizeof judged);
    judged.now = NOW;
    if (cause.data == NULL) {
        judged = judge(field(input, "scene"));
    } else {
        uint32_t number = 1;
        while (!is_text(cause, cause_name(number))) {
            number++;
        }
        judged.status = keystile_refuse(number, &judged.decision);
        CHECK(judged.status >= 100 && judged.status < 200);
    }
    if (!json_is_null(field(input, "rules"))) {
        extractor = extractor_of(field(input, "rules"));
    }
    OK(keystile_respond(&judged.decision, policy, fields, judged.requirement, extractor, judged.now, &response));
    keystile_credential_extractor_free(extractor);
    json_t *headers = json_object(), *code = json_null(), *missing = json_array();
    for (size_t index = 0; index < keystile_response_header_count(response); index++) {
        OK(keystile_response_header_at(response, index, &name, &value));
        CHECK(name.data[name.len] == '\0' && value.data[value.len] == '\0');
        CHECK(json_object_get(headers, name.data) == NULL);
        json_object_set_new(headers, name.data, null_or_text(value));
    }
    OK(keystile_response_body(response, &value));
    int denied = judged.status != KEYSTILE_OK;
    CHECK(denied == (value.len > 0));
    if (denied) {
        json_t *body = json_loadb(value.data, value.len, JSON_REJECT_DUPLICATES, NULL);
        CHECK(json_string_length(field(body, "error")) > 0);
        CHECK(json_string_length(field(body, "message")) > 0);
        json_incref((json_t *)(uintptr_t)field(body, "code"));
        code = (json_t *)(uintptr_t)field(body, "code");
        if (json_object_get(body, "missing") != NULL) {
            json_decref(missing);
            missing = json_incref(json_object_get(body, "missing"));
        }
        CHECK(json_object_size(body) == (size_t)(json_object_get(body, "missing") ? 4 : 3));
        json_decref(body);
    }
    json_t *status = null_or_number(denied, keystile_response_status(response));
    keystile_response_free(response);
    keystile_requirement_free(judged.requirement);
    return json_pack("{s:o, s:o, s:o, s:o}", "status", status, "headers", headers, "code", code,
                     "missing", missing);
}

const topic REQUESTS[] = {
    {"credentials", credentials},   {"credential_sweeps", credential_sweeps},
    {"header_names", header_names}, {"decisions", decisions},
    {"explain", explanations},
    {"responses", responses},       {NULL, NULL},
};
