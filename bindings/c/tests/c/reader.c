/* Reads parts of a test vector into the library's own types. */
#include "reader.h"

const json_t *field(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    if (value == NULL) {
        fprintf(stderr, "a field is missing: %s\n", name);
        exit(1);
    }
    return value;
}

keystile_str text_of(const json_t *value) {
    keystile_str text = {NULL, 0};
    if (!json_is_null(value)) {
        CHECK(json_is_string(value));
        text.data = json_string_value(value);
        text.len = json_string_length(value);
    }
    return text;
}

uint64_t number_of(const json_t *value) {
    CHECK(json_is_integer(value) && json_integer_value(value) >= 0);
    return (uint64_t)json_integer_value(value);
}

json_t *null_or_text(keystile_str value) {
    return value.data == NULL ? json_null() : json_stringn(value.data, value.len);
}

json_t *null_or_id(keystile_id id) {
    return null_or_text(str(id.text[0] == '\0' ? NULL : id.text));
}

json_t *null_or_number(int is_there, uint64_t number) {
    return is_there ? json_integer((json_int_t)number) : json_null();
}

json_t *error_or_null(keystile_status status) {
    return status == KEYSTILE_OK ? json_null() : json_string(keystile_status_name(status));
}

static int digit_of(char c) {
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

bytes unhex(keystile_str hex) {
    bytes made = {malloc(hex.len / 2 + 1), hex.len / 2};
    CHECK(made.data != NULL);
    for (size_t at = 0; at < made.len; at++) {
        int high = digit_of(hex.data[2 * at]), low = digit_of(hex.data[2 * at + 1]);
        made.data[at] = (char)(high * 16 + low);
    }
    return made;
}

static bytes repeated(const json_t *form) {
    keystile_str before = text_of(field(form, "before")), text = text_of(field(form, "text"));
    size_t times = (size_t)number_of(field(form, "times"));
    bytes made = {malloc(before.len + text.len * times + 1), before.len + text.len * times};
    CHECK(made.data != NULL);
    memcpy(made.data, before.data, before.len);
    for (size_t turn = 0; turn < times; turn++) {
        memcpy(made.data + before.len + turn * text.len, text.data, text.len);
    }
    return made;
}

bytes bytes_of(const json_t *object, const char *name) {
    char longer[64];
    snprintf(longer, sizeof longer, "%s_hex", name);
    const json_t *hex = json_object_get(object, longer);
    snprintf(longer, sizeof longer, "%s_repeat", name);
    const json_t *repeat = json_object_get(object, longer);
    if (hex != NULL) {
        return unhex(text_of(hex));
    }
    if (repeat != NULL) {
        return repeated(repeat);
    }
    keystile_str text = text_of(field(object, name));
    bytes made = {malloc(text.len + 1), text.len};
    CHECK(made.data != NULL);
    memcpy(made.data, text.data == NULL ? "" : text.data, text.len);
    return made;
}

keystile_str *texts_of(const json_t *list, size_t *count) {
    size_t index;
    json_t *item;
    *count = json_array_size(list);
    keystile_str *texts = calloc(*count + 1, sizeof *texts);
    CHECK(texts != NULL);
    json_array_foreach((json_t *)(uintptr_t)list, index, item) {
        texts[index] = text_of(item);
    }
    return texts;
}

keystile_format *format_of(const json_t *form) {
    keystile_str kind = text_of(field(form, "kind"));
    const json_t *key = json_object_get(form, "checksum_key_hex");
    const json_t *count = json_object_get(form, "random_bytes");
    keystile_format *format = NULL, *other = NULL;
    if (is_text(kind, "any_structured")) {
        OK(keystile_format_any_structured(&format));
    } else if (is_text(kind, "any_opaque")) {
        OK(keystile_format_any_opaque(&format));
    } else if (is_text(kind, "structured")) {
        keystile_str prefix = text_of(field(form, "prefix"));
        OK(keystile_format_structured(prefix.data, prefix.len, &format, NULL));
    } else {
        CHECK(is_text(kind, "opaque"));
        keystile_str prefix = text_of(field(form, "prefix"));
        OK(keystile_format_opaque(prefix.data, prefix.len, &format, NULL));
    }
    if (key != NULL && !json_is_null(key)) {
        bytes secret = unhex(text_of(key));
        OK(keystile_format_with_checksum_key(format, (uint8_t *)secret.data, secret.len, &other, NULL));
        free(secret.data);
    } else if (count != NULL && !json_is_null(count)) {
        OK(keystile_format_with_random_bytes(format, (uint8_t)number_of(count), &other, NULL));
    } else {
        return format;
    }
    keystile_format_free(format);
    return other;
}

keystile_status peppers_of(const json_t *list, keystile_peppers **peppers) {
    size_t index;
    json_t *form;
    keystile_status status = KEYSTILE_OK;
    *peppers = NULL;
    json_array_foreach((json_t *)(uintptr_t)list, index, form) {
        if (json_is_null(form)) {
            continue;
        }
        uint32_t version = (uint32_t)number_of(field(form, "version"));
        bytes secret = unhex(text_of(field(form, "secret_hex")));
        keystile_peppers *before = *peppers;
        if (before == NULL) {
            status = keystile_peppers_new(version, (uint8_t *)secret.data, secret.len, peppers, NULL);
        } else {
            status = keystile_peppers_with_retired(before, version, (uint8_t *)secret.data,
                                                   secret.len, peppers, NULL);
        }
        free(secret.data);
        if (status != KEYSTILE_OK) {
            return status;
        }
        keystile_peppers_free(before);
    }
    /* In the place of the current one: none is current. */
    if (json_is_null(json_array_get(list, 0))) {
        keystile_peppers *known = *peppers;
        status = keystile_peppers_without_current(known, peppers);
        keystile_peppers_free(known);
    }
    return status;
}

keystile_rate_limit limit_of(const json_t *form) {
    keystile_rate_limit limit;
    limit.limit = (uint32_t)number_of(field(form, "limit"));
    limit.burst = (uint32_t)number_of(field(form, "burst"));
    limit.window_millis = number_of(field(form, "window_ms"));
    return limit;
}

keystile_record *record_of(const json_t *form) {
    if (json_is_null(form)) {
        return NULL;
    }
    keystile_record *record = NULL, *again = NULL;
    char *text = json_dumps(form, JSON_COMPACT);
    CHECK(text != NULL);
    OK(keystile_record_from_json(text, strlen(text), &record, NULL));
    free(text);
    /* To plain fields and back, as with a table. */
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(record, &parts));
    OK(keystile_record_new(&parts, &again, NULL));
    keystile_record_free(record);
    return again;
}

keystile_status policy_of(const json_t *form, keystile_rotation_policy *policy) {
    size_t index;
    json_t *lead;
    keystile_plan_item plan[2];
    size_t count;
    memset(policy, 0, sizeof *policy);
    policy->struct_size = sizeof *policy;
    policy->max_age_millis = number_of(field(form, "max_age_ms"));
    policy->overlap_millis = number_of(field(form, "overlap_ms"));
    policy->retention_millis = number_of(field(form, "retention_ms"));
    policy->end_on_first_use = json_is_true(field(form, "end_on_first_use"));
    json_array_foreach((json_t *)(uintptr_t)field(form, "notice_leads_ms"), index, lead) {
        CHECK(index < KEYSTILE_NOTICE_LEADS_MAX);
        policy->notice_leads_millis[index] = number_of(lead);
        policy->notice_lead_count++;
    }
    /* A policy is checked when it is used, so use it in a plan without records. */
    return keystile_plan(NULL, 0, policy, NOW, plan, 2, &count, NULL);
}

#define LIST_OF(name)                                                                     \
    keystile_status name##_of(const json_t *list, keystile_##name **made) {                \
        size_t count;                                                                     \
        *made = NULL;                                                                     \
        if (list == NULL || json_is_null(list)) {                                         \
            return KEYSTILE_OK;                                                           \
        }                                                                                 \
        keystile_str *texts = texts_of(list, &count);                                     \
        keystile_status status = keystile_##name##_new(texts, count, made, NULL);         \
        free(texts);                                                                      \
        return status;                                                                    \
    }

LIST_OF(permissions)
LIST_OF(endpoints)
LIST_OF(networks)

keystile_template *template_of(const json_t *form) {
    keystile_template *template = NULL;
    if (form == NULL || json_is_null(form)) {
        return NULL;
    }
    if (json_is_string(form)) {
        keystile_str name = text_of(form);
        OK(keystile_template_preset(name.data, name.len, &template));
        return template;
    }
    keystile_str name = text_of(field(form, "name"));
    const json_t *limited = field(form, "rate_limit");
    keystile_rate_limit limit = {0, 0, 0};
    keystile_permissions *permissions;
    keystile_endpoints *endpoints;
    OK(permissions_of(field(form, "permissions"), &permissions));
    OK(endpoints_of(field(form, "allowed_endpoints"), &endpoints));
    if (!json_is_null(limited)) {
        limit = limit_of(limited);
    }
    OK(keystile_template_new(name.data, name.len, permissions, endpoints,
                             json_is_null(limited) ? NULL : &limit, &template, NULL));
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    return template;
}
