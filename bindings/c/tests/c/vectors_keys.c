/* Vectors about key texts, their digests and their parts. */
#include "reader.h"

static json_t *labels(const json_t *input) {
    keystile_str kind = text_of(field(input, "kind")), text = text_of(field(input, "text"));
    keystile_status status = KEYSTILE_ERROR_VALUE;
    keystile_format *format = NULL;
    keystile_permissions *permissions = NULL;
    keystile_template *template = NULL;
    keystile_change *change = NULL;
    keystile_id id;
    OK(keystile_permissions_new(NULL, 0, &permissions, NULL));
    if (is_text(kind, "prefix")) {
        status = keystile_format_structured(text.data, text.len, &format, NULL);
    } else if (is_text(kind, "key_id")) {
        status = keystile_id_parse(text.data, text.len, &id, NULL);
    } else if (is_text(kind, "template_name")) {
        status = keystile_template_new(text.data, text.len, permissions, NULL, NULL, &template, NULL);
    } else if (is_text(kind, "environment")) {
        keystile_issue_request request;
        memset(&request, 0, sizeof request);
        request.struct_size = sizeof request;
        request.client_name = str("Acme");
        request.environment = text;
        OK(keystile_format_structured(L("acme"), &format, NULL));
        status = keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, NULL);
    }
    CHECK(status == KEYSTILE_OK || status == KEYSTILE_ERROR_NAME || status == KEYSTILE_ERROR_KEY_ID);
    keystile_format_free(format);
    keystile_permissions_free(permissions);
    keystile_template_free(template);
    keystile_change_free(change);
    return json_pack("{s:b}", "legal", status == KEYSTILE_OK);
}

static json_t *times(const json_t *input) {
    uint64_t millis = strtoull(text_of(field(input, "millis")).data, NULL, 10);
    uint64_t plus = strtoull(text_of(field(input, "plus_ms")).data, NULL, 10);
    char sum[32];
    keystile_issue_request request;
    keystile_format *format = NULL;
    keystile_change *change = NULL;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme");
    request.lifetime_millis = plus;
    request.has_lifetime = plus != 0;
    request.never_expires = plus == 0;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    /* Issuing a key adds a lifetime to an instant. */
    keystile_status status = keystile_issue(format, NULL, &request, NULL, 0, millis, &change, NULL);
    keystile_format_free(format);
    if (status != KEYSTILE_OK) {
        EXPECT(KEYSTILE_ERROR_TIME, status);
        return json_pack("{s:n}", "sum");
    }
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(keystile_change_record_at(change, 0), &parts));
    uint64_t end = plus == 0 ? parts.created_at : parts.expires_at;
    snprintf(sum, sizeof sum, "%llu", (unsigned long long)end);
    keystile_change_free(change);
    return json_pack("{s:s}", "sum", sum);
}

static json_t *keys(const json_t *input) {
    keystile_format *format = format_of(field(input, "format"));
    bytes text = bytes_of(input, "text");
    keystile_id id;
    keystile_inspection found;
    keystile_status status = keystile_key_parse(format, text.data, text.len, &id);
    OK(keystile_inspect(format, text.data, text.len, &found));
    int accepted = status == KEYSTILE_OK;
    CHECK(accepted || status == KEYSTILE_DENIED_INVALID_KEY);
    json_t *outcome = json_pack(
        "{s:b, s:o, s:o}", "accepted", accepted, "key_id",
        accepted ? null_or_id(id) : json_null(), "environment",
        null_or_text(str(accepted && found.environment[0] ? found.environment : NULL)));
    keystile_format_free(format);
    free(text.data);
    return outcome;
}

typedef struct tally {
    const keystile_format *format;
    int variants, accepted;
} tally;

static void count(tally *tally, const char *text, size_t len) {
    tally->variants++;
    tally->accepted += keystile_key_parse(tally->format, text, len, NULL) == KEYSTILE_OK;
}

/* Every text that differs from a key by one edit. */
static void edit_at(tally *tally, keystile_str edit, keystile_str own, size_t at) {
    char other[512];
    CHECK(own.len < sizeof other);
    memcpy(other, own.data, own.len);
    if (is_text(edit, "substitute")) {
        for (int byte = 0; byte < 256; byte++) {
            other[at] = (char)byte;
            if (other[at] != own.data[at]) {
                count(tally, other, own.len);
            }
        }
    } else if (is_text(edit, "delete")) {
        memcpy(other + at, own.data + at + 1, own.len - at - 1);
        count(tally, other, own.len - 1);
    } else if (is_text(edit, "truncate")) {
        count(tally, own.data, at);
    } else if (is_text(edit, "behead")) {
        count(tally, own.data + at, at == 0 ? 0 : own.len - at);
    } else if (is_text(edit, "flip_case")) {
        char lower = (char)(own.data[at] | 0x20);
        if (lower >= 'a' && lower <= 'z') {
            other[at] = (char)(own.data[at] ^ 0x20);
            count(tally, other, own.len);
        }
    } else if (is_text(edit, "swap")) {
        if (at + 1 < own.len && own.data[at] != own.data[at + 1]) {
            other[at] = own.data[at + 1];
            other[at + 1] = own.data[at];
            count(tally, other, own.len);
        }
    }
}

static json_t *key_edits(const json_t *input) {
    keystile_format *format = format_of(field(input, "format"));
    keystile_str own = text_of(field(input, "text")), edit = text_of(field(input, "edit"));
    tally tally = {format, 0, 0};
    OK(keystile_key_parse(format, own.data, own.len, NULL));
    if (is_text(edit, "insert")) {
        char other[512];
        for (size_t at = 0; at <= own.len; at++) {
            memcpy(other, own.data, at);
            memcpy(other + at + 1, own.data + at, own.len - at);
            for (int byte = 0; byte < 256; byte++) {
                other[at] = (char)byte;
                count(&tally, other, own.len + 1);
            }
        }
    }
    for (size_t at = 0; at < own.len; at++) {
        edit_at(&tally, edit, own, at);
    }
    CHECK(tally.variants > 0);
    keystile_format_free(format);
    return json_pack("{s:i, s:i}", "variants", tally.variants, "accepted", tally.accepted);
}

/* Whether a key with these last six digits is well formed. */
static int reads(const keystile_format *format, keystile_str covered, const char *check) {
    char text[512];
    int len = snprintf(text, sizeof text, "%.*s%s", (int)covered.len, covered.data, check);
    return keystile_key_parse(format, text, (size_t)len, NULL) == KEYSTILE_OK;
}

static json_t *checksums(const json_t *input) {
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const json_t *key = field(input, "checksum_key_hex"), *expected = field(input, "expected");
    keystile_str covered = text_of(field(input, "covered"));
    const char *check = text_of(field(expected, "check")).data;
    json_t *form = json_pack("{s:s, s:O}", "kind", "any_structured", "checksum_key_hex", key);
    keystile_format *format = format_of(form);
    json_int_t value = 0;
    for (const char *digit = check; *digit != '\0'; digit++) {
        value = value * 62 + (strchr(alphabet, *digit) - alphabet);
    }
    CHECK(reads(format, covered, check));
    /* Only the right checksum is accepted, of all that are close to it. */
    for (size_t at = 0; at < 6; at++) {
        for (const char *other = alphabet; *other != '\0'; other++) {
            char wrong[7];
            memcpy(wrong, check, sizeof wrong);
            wrong[at] = *other;
            CHECK(*other == check[at] || !reads(format, covered, wrong));
        }
    }
    json_t *outcome = json_pack("{s:I, s:s}", "value", value, "check", check);
    keystile_format_free(format);
    json_decref(form);
    return outcome;
}

static json_t *digests(const json_t *input) {
    bytes text = bytes_of(input, "text");
    keystile_peppers *peppers;
    keystile_digest digest;
    keystile_digest_text spelled;
    keystile_status status = peppers_of(field(input, "peppers"), &peppers);
    if (status == KEYSTILE_OK) {
        OK(keystile_digest_of(peppers, text.data, text.len, &digest));
        OK(keystile_digest_to_text(&digest, &spelled));
    }
    keystile_peppers_free(peppers);
    free(text.data);
    return json_pack("{s:o, s:o}", "digest",
                     null_or_text(str(status == KEYSTILE_OK ? spelled.text : NULL)), "error",
                     error_or_null(status));
}

static json_t *digest_texts(const json_t *input) {
    keystile_str text = text_of(field(input, "text"));
    keystile_digest digest, again;
    keystile_digest_text spelled;
    bool equal = false;
    keystile_status status = keystile_digest_parse(text.data, text.len, &digest, NULL);
    if (status != KEYSTILE_OK) {
        EXPECT(KEYSTILE_ERROR_DIGEST, status);
        return json_pack("{s:n}", "digest");
    }
    OK(keystile_digest_to_text(&digest, &spelled));
    OK(keystile_digest_parse(spelled.text, strlen(spelled.text), &again, NULL));
    OK(keystile_digest_equal(&digest, &again, &equal));
    CHECK(equal);
    return json_pack("{s:s}", "digest", spelled.text);
}

static json_t *lookups(const json_t *input) {
    keystile_format *format = format_of(field(input, "format"));
    keystile_str text = text_of(field(input, "text"));
    keystile_peppers *peppers;
    keystile_verifier *verifier = NULL;
    keystile_lookup lookup;
    json_t *digests = json_array();
    OK(peppers_of(field(input, "peppers"), &peppers));
    OK(keystile_verifier_new(format, peppers, &verifier));
    OK(keystile_key_lookup(verifier, text.data, text.len, &lookup));
    for (size_t index = 0; index < keystile_lookup_digest_count(&lookup); index++) {
        keystile_digest_text spelled;
        OK(keystile_digest_to_text(keystile_lookup_digest_at(&lookup, index), &spelled));
        json_array_append_new(digests, json_string(spelled.text));
    }
    keystile_verifier_free(verifier);
    keystile_peppers_free(peppers);
    keystile_format_free(format);
    return json_pack("{s:o, s:o}", "key_id", keystile_lookup_key_id(&lookup) == NULL ? json_null() : null_or_id(*keystile_lookup_key_id(&lookup)), "digests", digests);
}

static json_t *inspections(const json_t *input) {
    static const char *const findings[] = {"",             "well_formed",  "wrong_checksum",
                                           "wrapped",      "wrong_length", "wrong_character",
                                           "foreign",      "empty"};
    keystile_format *format = format_of(field(input, "format"));
    bytes text = bytes_of(input, "text");
    keystile_inspection found;
    OK(keystile_inspect(format, text.data, text.len, &found));
    CHECK(found.finding >= 1 && found.finding <= 7);
    CHECK(keystile_finding_hint(found.finding)[0] != '\0');
    keystile_format_free(format);
    free(text.data);
    return json_pack("{s:s, s:o, s:o}", "finding", findings[found.finding], "environment",
                     null_or_text(str(found.environment[0] ? found.environment : NULL)), "key_id",
                     null_or_id(found.key_id));
}

const topic KEYS[] = {
    {"labels", labels},       {"times", times},     {"keys", keys},
    {"key_edits", key_edits}, {"digests", digests}, {"digest_texts", digest_texts},
    {"lookups", lookups},     {"checksums", checksums}, {"inspections", inspections},
    {NULL, NULL},
};
