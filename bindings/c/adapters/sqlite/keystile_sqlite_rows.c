/* Rows as records. A value that cannot be read is an error, and never a record that grants more. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

/* The columns of KSS_RECORD, in their order. */
enum {
    ROW, KEY_ID, KEY_HASH, DIGEST_PEPPER, KEY_PREFIX, CLIENT_NAME, CLIENT_EMAIL, OWNER,
    ENVIRONMENT, PERMISSIONS, ALLOWED_ENDPOINTS, ALLOWED_NETWORKS, RATE_LIMIT, RATE_WINDOW,
    RATE_BURST, SCOPE_TYPE, METADATA, CREATED_AT, LAST_USED_AT, EXPIRES_AT, IS_ACTIVE, STATUS,
    REVOKED_AT, REVOKE_REASON, LINEAGE, REPLACED_BY, OVERLAP_UNTIL, ENDS_AT_FIRST_USE,
    LIFETIME, DERIVED_FROM, DERIVED_LINEAGE, SUSPENDED_WITH, VERSION, USAGE_LINEAGE,
    REMAINING_USES, RATE_STATE
};

/* A row while it is read; the first column that is not as expected ends it. */
typedef struct row {
    sqlite3_stmt *statement;
    const char *column;
    const char *expected;
    /* Memory ran out: nothing is known of the row. */
    int unavailable;
} row;

static void damaged(row *from, int column, const char *expected) {
    if (from->expected == NULL) {
        from->column = sqlite3_column_name(from->statement, column);
        from->expected = expected;
    }
}

static int is_null(const row *from, int column) {
    return sqlite3_column_type(from->statement, column) == SQLITE_NULL;
}

static keystile_str text(row *from, int column) {
    keystile_str value = {NULL, 0};
    int kind = sqlite3_column_type(from->statement, column);
    if (kind == SQLITE_TEXT) {
        value.data = (const char *)sqlite3_column_text(from->statement, column);
        value.len = (size_t)sqlite3_column_bytes(from->statement, column);
        /* A copy of the text was needed. Taken as NULL, a restriction would be lost. */
        from->unavailable |= value.data == NULL;
    } else if (kind != SQLITE_NULL) {
        damaged(from, column, "text in UTF-8");
    }
    return value;
}

static keystile_str required(row *from, int column) {
    keystile_str value = text(from, column);
    if (value.data == NULL) {
        damaged(from, column, "a value");
        value.data = "";
    }
    return value;
}

/* A number from 0 to `most`; 0 for NULL. */
static uint64_t count(row *from, int column, uint64_t most) {
    sqlite3_int64 value = sqlite3_column_int64(from->statement, column);
    if (is_null(from, column)) {
        return 0;
    }
    if (sqlite3_column_type(from->statement, column) != SQLITE_INTEGER || value < 0 ||
        (uint64_t)value > most) {
        damaged(from, column, "a whole number in the range of the column");
        return 0;
    }
    return (uint64_t)value;
}

/* A time that cannot be read is an error, and never "no time". */
static uint64_t instant(row *from, int column) {
    keystile_str value = text(from, column);
    uint64_t parsed = value.data == NULL ? 0 : kss_parse_instant(value.data, value.len);
    if (value.data != NULL && parsed == 0) {
        damaged(from, column, "an instant from 1973 to 9999, such as 2026-09-21T14:13:20.000Z");
    }
    return parsed;
}

static keystile_id id(row *from, int column) {
    keystile_id value;
    keystile_str read = text(from, column);
    memset(&value, 0, sizeof value);
    if (read.data != NULL && keystile_id_parse(read.data, read.len, &value, NULL) != KEYSTILE_OK) {
        damaged(from, column, "the id of a key");
    }
    return value;
}

static void digest(row *from, keystile_digest *out_digest) {
    keystile_str hex = required(from, KEY_HASH);
    uint64_t pepper = count(from, DIGEST_PEPPER, UINT32_MAX);
    char written[128];
    /* With upper-case digits the same digest would have a second text, which no lookup finds. */
    int lower = hex.len == 64;
    for (size_t at = 0; lower && at < hex.len; at++) {
        lower = strchr("0123456789abcdef", hex.data[at]) != NULL && hex.data[at] != '\0';
    }
    if (lower && is_null(from, DIGEST_PEPPER)) {
        sqlite3_snprintf(sizeof written, written, "%.64s", hex.data);
    } else if (lower) {
        sqlite3_snprintf(sizeof written, written, "hmac-sha256:%llu:%.64s", (unsigned long long)pepper, hex.data);
    }
    if (!lower || keystile_digest_parse(written, strlen(written), out_digest, NULL) != KEYSTILE_OK) {
        damaged(from, KEY_HASH, "64 lower-case hex digits");
    }
}

/* As it was given; SQLite may have made a number of it. */
static keystile_str metadata(row *from) {
    keystile_str value = {NULL, 0};
    int kind = sqlite3_column_type(from->statement, METADATA);
    if (kind != SQLITE_BLOB && kind != SQLITE_INTEGER) {
        return text(from, METADATA);
    }
    value.data = kind == SQLITE_BLOB ? sqlite3_column_blob(from->statement, METADATA)
                                     : (const char *)sqlite3_column_text(from->statement, METADATA);
    value.len = (size_t)sqlite3_column_bytes(from->statement, METADATA);
    if (value.data == NULL) {
        from->unavailable |= kind != SQLITE_BLOB || value.len != 0;
        value.data = "";
    }
    return value;
}

static void status(row *from, keystile_record_parts *parts) {
    keystile_str name = required(from, STATUS), reason = text(from, REVOKE_REASON);
    int active = !is_null(from, IS_ACTIVE) && count(from, IS_ACTIVE, 1) == 1;
    int inactive = !is_null(from, IS_ACTIVE) && !active;
    uint64_t revoked_at = instant(from, REVOKED_AT);
    int untouched = revoked_at == 0 && reason.data == NULL;
    if (name.len == 6 && memcmp(name.data, "active", 6) == 0 && active && untouched) {
        parts->state = KEYSTILE_STATE_ACTIVE;
    } else if (name.len == 9 && memcmp(name.data, "suspended", 9) == 0 && inactive && untouched) {
        parts->state = KEYSTILE_STATE_SUSPENDED;
        /* Other code that resumes a key does not know this column. */
        parts->suspended_with = id(from, SUSPENDED_WITH);
    } else if (name.len == 7 && memcmp(name.data, "revoked", 7) == 0 && inactive &&
               revoked_at != 0 && reason.data != NULL) {
        parts->state = KEYSTILE_STATE_REVOKED;
        parts->revoked_at = revoked_at;
        parts->revoked_reason = reason;
    } else {
        damaged(from, STATUS, "consistent values of status, is_active, revoked_at and revoke_reason");
    }
}

static void rate_limit(row *from, keystile_record_parts *parts) {
    parts->rate_limit.limit = (uint32_t)count(from, RATE_LIMIT, UINT32_MAX);
    parts->rate_limit.window_millis = count(from, RATE_WINDOW, INT64_MAX);
    parts->rate_limit.burst = is_null(from, RATE_BURST) ? parts->rate_limit.limit
                                                        : (uint32_t)count(from, RATE_BURST, UINT32_MAX);
    parts->has_rate_limit = is_null(from, RATE_LIMIT) ? 0 : 1;
    if (is_null(from, RATE_LIMIT) != is_null(from, RATE_WINDOW) ||
        (is_null(from, RATE_LIMIT) && !is_null(from, RATE_BURST))) {
        damaged(from, RATE_LIMIT, "rate_limit and rate_window_ms, or neither");
    }
}

/* All but the lists. */
static void fields(row *from, keystile_record_parts *parts) {
    parts->id = id(from, KEY_ID);
    digest(from, &parts->digest);
    parts->key_prefix = required(from, KEY_PREFIX);
    parts->client_name = required(from, CLIENT_NAME);
    parts->client_email = text(from, CLIENT_EMAIL);
    parts->owner = text(from, OWNER);
    parts->environment = text(from, ENVIRONMENT);
    parts->scope_type = text(from, SCOPE_TYPE);
    parts->metadata = metadata(from);
    rate_limit(from, parts);
    parts->has_remaining_uses = is_null(from, REMAINING_USES) ? 0 : 1;
    parts->remaining_uses = count(from, REMAINING_USES, INT64_MAX);
    parts->created_at = instant(from, CREATED_AT);
    parts->last_used_at = instant(from, LAST_USED_AT);
    parts->expires_at = instant(from, EXPIRES_AT);
    parts->never_expires = is_null(from, EXPIRES_AT) ? 1 : 0;
    parts->overlap_until = instant(from, OVERLAP_UNTIL);
    parts->version = count(from, VERSION, INT64_MAX);
    status(from, parts);
    parts->lineage = id(from, LINEAGE);
    parts->replaced_by = id(from, REPLACED_BY);
    parts->ends_at_first_use = id(from, ENDS_AT_FIRST_USE);
    parts->lifetime_millis = count(from, LIFETIME, INT64_MAX);
    parts->derived_from = id(from, DERIVED_FROM);
    parts->derived_lineage = id(from, DERIVED_LINEAGE);
    if (kss_is_none(&parts->derived_from) != kss_is_none(&parts->derived_lineage)) {
        damaged(from, DERIVED_FROM, "derived_from and derived_lineage, or neither");
    }
    /* Without it, uses that are counted would appear to be unlimited. */
    if (is_null(from, USAGE_LINEAGE)) {
        damaged(from, LINEAGE, "a lineage with a row in api_key_usage");
    }
    if (kss_is_none(&parts->id) || kss_is_none(&parts->lineage)) {
        damaged(from, KEY_ID, "a value");
    }
    if (parts->created_at == 0 || parts->version == 0) {
        damaged(from, parts->version == 0 ? VERSION : CREATED_AT, "a value");
    }
}

keystile_status kss_read_record(sqlite3_stmt *statement, keystile_record **out_record,
                                keystile_usage *out_usage, keystile_sqlite_error *error) {
    row from = {statement, NULL, NULL, 0};
    keystile_record_parts parts;
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_networks *networks = NULL;
    keystile_status made = KEYSTILE_DENIED_RECORD_DAMAGED;
    keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    fields(&from, &parts);
    keystile_str list = required(&from, PERMISSIONS);
    if (keystile_permissions_from_json(list.data, list.len, &permissions, NULL) != KEYSTILE_OK) {
        damaged(&from, PERMISSIONS, "a JSON array of permissions");
    }
    list = text(&from, ALLOWED_ENDPOINTS);
    if (list.data != NULL && keystile_endpoints_from_json(list.data, list.len, &endpoints, NULL) != KEYSTILE_OK) {
        damaged(&from, ALLOWED_ENDPOINTS, "a JSON array of endpoint rules");
    }
    list = text(&from, ALLOWED_NETWORKS);
    if (list.data != NULL && keystile_networks_from_json(list.data, list.len, &networks, NULL) != KEYSTILE_OK) {
        damaged(&from, ALLOWED_NETWORKS, "a JSON array of networks");
    }
    /* Any 64 bits are a state of the limit. */
    if (!is_null(&from, USAGE_LINEAGE) && sqlite3_column_type(statement, RATE_STATE) != SQLITE_INTEGER) {
        damaged(&from, RATE_STATE, "an integer");
    }
    parts.permissions = permissions;
    parts.allowed_endpoints = endpoints;
    parts.allowed_networks = networks;
    if (from.expected == NULL && !from.unavailable) {
        made = keystile_record_new(&parts, out_record, &why);
    }
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    keystile_networks_free(networks);
    if (from.unavailable) {
        return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "the store is unavailable: out of memory");
    }
    if (from.expected != NULL) {
        return kss_fail(error, KEYSTILE_DENIED_RECORD_DAMAGED,
                        "row %lld of api_keys cannot be read: %s must be %s",
                        sqlite3_column_int64(statement, ROW), from.column, from.expected);
    }
    if (made != KEYSTILE_OK) {
        return kss_fail(error, KEYSTILE_DENIED_RECORD_DAMAGED,
                        "row %lld of api_keys cannot be read: %.*s: %.*s", sqlite3_column_int64(statement, ROW),
                        (int)why.field.len, why.field.data == NULL ? "" : why.field.data, (int)why.message.len,
                        why.message.data == NULL ? "" : why.message.data);
    }
    if (out_usage != NULL) {
        memset(out_usage, 0, sizeof *out_usage);
        out_usage->rate_state = (uint64_t)sqlite3_column_int64(statement, RATE_STATE);
        out_usage->remaining_uses = parts.remaining_uses;
        out_usage->has_remaining_uses = parts.has_remaining_uses;
    }
    return KEYSTILE_OK;
}

int kss_read_damaged(sqlite3_stmt *statement, keystile_id *out_id, uint64_t *out_version) {
    row from = {statement, NULL, NULL, 0};
    *out_id = id(&from, KEY_ID);
    return !kss_is_none(out_id) && from.expected == NULL && kss_read_version(statement, VERSION, out_version);
}

int kss_find_digest(kss_connection *on, const keystile_id *key, keystile_digest *out_digest) {
    static const char SQL[] = KSS_RECORD "WHERE k.key_id = ?1";
    kss_statement *statement = kss_prepare(on, SQL);
    row from = {statement->handle, NULL, NULL, 0};
    kss_bind_id(statement, 1, key);
    int found = kss_step(statement) == SQLITE_ROW;
    if (found) {
        digest(&from, out_digest);
        found = from.expected == NULL && !from.unavailable;
    }
    kss_reset(statement);
    return found;
}

/* Reads the one row of a statement whose parameters are bound, and resets it. */
static keystile_status one(kss_connection *on, kss_statement *statement, keystile_record **out_record,
                           keystile_usage *out_usage, keystile_sqlite_error *error) {
    keystile_status result;
    int step = kss_step(statement);
    if (step == SQLITE_ROW) {
        result = kss_read_record(statement->handle, out_record, out_usage, error);
    } else if (step == SQLITE_DONE) {
        result = kss_fail(error, KEYSTILE_ERROR_ABSENT, "there is no such key");
    } else {
        result = kss_unavailable(on, error);
    }
    kss_reset(statement);
    return result;
}

keystile_status kss_find(kss_connection *on, const keystile_id *key, keystile_record **out_record,
                         keystile_usage *out_usage, keystile_sqlite_error *error) {
    static const char SQL[] = KSS_RECORD "WHERE k.key_id = ?1";
    kss_statement *statement = kss_prepare(on, SQL);
    *out_record = NULL;
    kss_bind_id(statement, 1, key);
    return one(on, statement, out_record, out_usage, error);
}

keystile_status kss_look_up(kss_connection *on, const keystile_lookup *lookup,
                            keystile_record **out_record, keystile_usage *out_usage,
                            keystile_sqlite_error *error) {
    static const char SQL[] = KSS_RECORD "WHERE k.key_hash = ?1";
    if (keystile_lookup_key_id(lookup) != NULL) {
        return kss_find(on, keystile_lookup_key_id(lookup), out_record, out_usage, error);
    }
    *out_record = NULL;
    for (size_t at = 0; at < keystile_lookup_digest_count(lookup); at++) {
        keystile_digest_text written;
        const keystile_digest *digest_of_key = keystile_lookup_digest_at(lookup, at);
        kss_statement *statement = kss_prepare(on, SQL);
        if (keystile_digest_to_text(digest_of_key, &written) != KEYSTILE_OK) {
            continue;
        }
        const char *colon = strrchr(written.text, ':');
        kss_bind_text(statement, 1, colon == NULL ? written.text : colon + 1);
        keystile_status found = one(on, statement, out_record, out_usage, error);
        if (found == KEYSTILE_OK) {
            /* Compared again: the pepper is in a column of its own, and an adopted column may
             * ignore case when it compares. */
            keystile_record_parts parts = kss_parts(*out_record);
            bool equal = false;
            if (keystile_digest_equal(&parts.digest, digest_of_key, &equal) == KEYSTILE_OK && equal) {
                return KEYSTILE_OK;
            }
            keystile_record_free(*out_record);
            *out_record = NULL;
        } else if (found != KEYSTILE_ERROR_ABSENT) {
            return found;
        }
    }
    return kss_fail(error, KEYSTILE_ERROR_ABSENT, "there is no such key");
}

keystile_record_parts kss_parts(const keystile_record *record) {
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    (void)(keystile_record_parts_of(record, &parts) == KEYSTILE_OK);
    return parts;
}
