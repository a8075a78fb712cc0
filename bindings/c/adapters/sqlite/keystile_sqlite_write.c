/* Changes as rows. The event of a change is written before it: a change without one is by other
 * code, to the triggers of the tables. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

/* The columns that a change writes, numbered from 1. The first six also select the row of an
 * update. The last use and the remaining uses are not among them: others write those. */
#define SET                                                                                    \
    "version = ?3, status = ?4, revoked_at = ?5, revoke_reason = ?6, is_active = ?7,"          \
    " key_hash = ?8, digest_pepper = ?9, key_prefix = ?10, client_name = ?11,"                 \
    " client_email = ?12, owner = ?13, environment = ?14, permissions = ?15,"                  \
    " allowed_endpoints = ?16, allowed_networks = ?17, rate_limit = ?18, rate_window_ms = ?19," \
    " rate_burst = ?20, scope_type = ?21, metadata = ?22, created_at = ?23, expires_at = ?24," \
    " replaced_by = ?25, overlap_until = ?26, ends_at_first_use = ?27, lifetime_ms = ?28,"     \
    " derived_from = ?29, derived_lineage = ?30, suspended_with = ?31"

static const char UPDATE[] =
    "UPDATE api_keys SET " SET " WHERE key_id = ?1 AND lineage = ?2 AND version = ?3 - 1"
    " AND (status <> 'revoked' OR (status = ?4 AND revoked_at = ?5 AND revoke_reason = ?6))";

static const char INSERT[] =
    "INSERT INTO api_keys (key_id, lineage, version, status, revoked_at, revoke_reason, is_active,"
    " key_hash, digest_pepper, key_prefix, client_name, client_email, owner, environment,"
    " permissions, allowed_endpoints, allowed_networks, rate_limit, rate_window_ms, rate_burst,"
    " scope_type, metadata, created_at, expires_at, replaced_by, overlap_until,"
    " ends_at_first_use, lifetime_ms, derived_from, derived_lineage, suspended_with, last_used_at)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
    " ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, NULL)";

static const char EVENT[] =
    "INSERT INTO api_key_events (kind, key_id, at, version, reason, successor, actor, origin, changes)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

static const char *kind_name(uint32_t kind) {
    switch (kind) {
    case KEYSTILE_EVENT_ISSUED: return "issued";
    case KEYSTILE_EVENT_ROTATED: return "rotated";
    case KEYSTILE_EVENT_REVOKED: return "revoked";
    case KEYSTILE_EVENT_SUSPENDED: return "suspended";
    case KEYSTILE_EVENT_RESUMED: return "resumed";
    case KEYSTILE_EVENT_EXPIRED: return "expired";
    case KEYSTILE_EVENT_REHASHED: return "rehashed";
    default: return "changed";
    }
}

/* A list as a JSON text; `copy` is the function of the library that writes it. Without its
 * parameter a list would be NULL, which is no restriction. */
#define BIND_LIST(statement, at, list, copy)                                                   \
    do {                                                                                       \
        size_t needed = 0;                                                                     \
        char *json = NULL;                                                                     \
        if ((list) != NULL && copy(list, NULL, 0, &needed) == KEYSTILE_ERROR_BUFFER_TOO_SMALL) { \
            json = sqlite3_malloc64(needed);                                                   \
        }                                                                                      \
        if (json != NULL && copy(list, json, needed, &needed) == KEYSTILE_OK) {                \
            /* It frees the text, whatever it returns. */                                      \
            kss_bound(statement, sqlite3_bind_text64((statement)->handle, at, json, needed,    \
                                                     sqlite3_free, SQLITE_UTF8));              \
        } else if ((list) != NULL) {                                                           \
            sqlite3_free(json);                                                                \
            kss_bound(statement, SQLITE_NOMEM);                                                \
        }                                                                                      \
    } while (0)

void kss_bind_digest(kss_statement *statement, int hash, int pepper, const keystile_digest *digest) {
    keystile_digest_text written;
    static const char KEYED[] = "hmac-sha256:";
    if (keystile_digest_to_text(digest, &written) == KEYSTILE_OK) {
        const char *hex = strrchr(written.text, ':');
        kss_bind_text(statement, hash, hex == NULL ? written.text : hex + 1);
        if (strncmp(written.text, KEYED, sizeof KEYED - 1) == 0) {
            kss_bind_number(statement, pepper, strtoull(written.text + sizeof KEYED - 1, NULL, 10));
        }
    } else {
        kss_bound(statement, SQLITE_ERROR);
    }
}

static void bind_number(kss_statement *statement, int at, uint64_t value, int is_set) {
    if (is_set) {
        kss_bind_number(statement, at, value);
    }
}

/* Kept to the byte: in a column of the type JSONB, SQLite would make a number of the text
 * `1.0`; it never converts a blob. */
static void bind_metadata(kss_statement *statement, int at, keystile_str text) {
    size_t start = 0;
    while (start < text.len && strchr(" \t\n\v\f\r", text.data[start]) != NULL && text.data[start] != '\0') {
        start++;
    }
    if (start < text.len && text.data[start] != '\0' && strchr("0123456789+-.", text.data[start]) != NULL) {
        kss_bound(statement, sqlite3_bind_blob64(statement->handle, at, text.data, text.len, SQLITE_TRANSIENT));
    } else {
        kss_bind_str(statement, at, text);
    }
}

static void bind_record(kss_statement *statement, const keystile_record_parts *parts, const keystile_id *lineage) {
    static const char *const STATES[] = {NULL, "active", "suspended", "revoked"};
    int is_revoked = parts->state == KEYSTILE_STATE_REVOKED;
    kss_bind_id(statement, 1, &parts->id);
    kss_bind_id(statement, 2, lineage);
    kss_bind_number(statement, 3, parts->version);
    kss_bind_text(statement, 4, parts->state <= 3 ? STATES[parts->state] : NULL);
    kss_bind_instant(statement, 5, is_revoked ? parts->revoked_at : 0);
    if (is_revoked) {
        keystile_str none = {"", 0};
        kss_bind_str(statement, 6, parts->revoked_reason.len == 0 ? none : parts->revoked_reason);
    }
    kss_bind_number(statement, 7, parts->state == KEYSTILE_STATE_ACTIVE);
    kss_bind_digest(statement, 8, 9, &parts->digest);
    kss_bind_str(statement, 10, parts->key_prefix);
    kss_bind_str(statement, 11, parts->client_name);
    kss_bind_str(statement, 12, parts->client_email);
    kss_bind_str(statement, 13, parts->owner);
    kss_bind_str(statement, 14, parts->environment);
    BIND_LIST(statement, 15, parts->permissions, keystile_permissions_to_json);
    BIND_LIST(statement, 16, parts->allowed_endpoints, keystile_endpoints_to_json);
    BIND_LIST(statement, 17, parts->allowed_networks, keystile_networks_to_json);
    bind_number(statement, 18, parts->rate_limit.limit, parts->has_rate_limit);
    bind_number(statement, 19, parts->rate_limit.window_millis, parts->has_rate_limit);
    bind_number(statement, 20, parts->rate_limit.burst,
                parts->has_rate_limit && parts->rate_limit.burst != parts->rate_limit.limit);
    kss_bind_str(statement, 21, parts->scope_type);
    bind_metadata(statement, 22, parts->metadata);
    kss_bind_instant(statement, 23, parts->created_at);
    kss_bind_instant(statement, 24, parts->never_expires ? 0 : parts->expires_at);
    kss_bind_id(statement, 25, &parts->replaced_by);
    kss_bind_instant(statement, 26, parts->overlap_until);
    kss_bind_id(statement, 27, &parts->ends_at_first_use);
    bind_number(statement, 28, parts->lifetime_millis, parts->lifetime_millis != 0);
    kss_bind_id(statement, 29, &parts->derived_from);
    kss_bind_id(statement, 30, &parts->derived_lineage);
    kss_bind_id(statement, 31, &parts->suspended_with);
}

keystile_status kss_changes_one(kss_connection *on, kss_statement *statement, keystile_sqlite_error *error) {
    int failed = statement->failed;
    int changed = kss_done(on, statement);
    if (changed == 1) {
        return KEYSTILE_OK;
    }
    if (failed) {
        return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "the store is unavailable: out of memory");
    }
    if (changed == 0 || sqlite3_extended_errcode(on->database) == SQLITE_CONSTRAINT_TRIGGER) {
        return kss_fail(error, KEYSTILE_ERROR_STATE, "another program has changed the key meanwhile");
    }
    if (sqlite3_extended_errcode(on->database) == SQLITE_CONSTRAINT_UNIQUE) {
        return kss_fail(error, KEYSTILE_ERROR_STATE, "another key has this id or digest");
    }
    return kss_unavailable(on, error);
}

keystile_status kss_write_event(kss_connection *on, const keystile_event *event, const char *changes,
                                   const keystile_sqlite_by *by, keystile_sqlite_error *error) {
    static const keystile_sqlite_by NO_ONE;
    kss_statement *statement = kss_prepare(on, EVENT);
    by = by == NULL ? &NO_ONE : by;
    kss_bind_text(statement, 1, kind_name(event->kind));
    kss_bind_id(statement, 2, &event->key_id);
    kss_bind_instant(statement, 3, event->at);
    bind_number(statement, 4, event->version, event->version != 0);
    kss_bind_str(statement, 5, event->reason);
    kss_bind_id(statement, 6, &event->successor);
    kss_bind_str(statement, 7, by->actor);
    kss_bind_str(statement, 8, by->origin);
    kss_bind_text(statement, 9, changes);
    return kss_done(on, statement) == 1 ? KEYSTILE_OK : kss_unavailable(on, error);
}

keystile_status kss_note(kss_connection *on, uint32_t kind, const keystile_id *key, uint64_t version,
                         const char *changes, uint64_t now, const keystile_sqlite_by *by,
                         keystile_sqlite_error *error) {
    keystile_event event;
    memset(&event, 0, sizeof event);
    event.kind = kind;
    event.key_id = *key;
    event.version = version;
    event.at = now;
    return kss_write_event(on, &event, changes, by, error);
}

/* The changed fields as a JSON array; NULL if there are none, or if memory ran out, of which
 * `failed` is set. Free it with sqlite3_free. */
static char *changed_fields(kss_connection *on, const keystile_change *change, int *failed) {
    /* A merge removes the members that are null. */
    static const char SQL[] =
        "SELECT json_insert(?1, '$[#]', json_patch('{}', json_object('field', ?2, 'from', ?3, 'to', ?4)))";
    char *array = NULL;
    size_t count = keystile_change_field_count(change);
    for (size_t at = 0; at < count && !*failed; at++) {
        keystile_field_change field;
        char *longer = NULL;
        kss_statement *statement = kss_prepare(on, SQL);
        if (keystile_change_field_at(change, at, &field) == KEYSTILE_OK) {
            kss_bind_text(statement, 1, array == NULL ? "[]" : array);
            kss_bind_str(statement, 2, field.field);
            kss_bind_str(statement, 3, field.from);
            kss_bind_str(statement, 4, field.to);
            if (kss_step(statement) == SQLITE_ROW && sqlite3_column_text(statement->handle, 0) != NULL) {
                longer = sqlite3_mprintf("%s", sqlite3_column_text(statement->handle, 0));
            }
        }
        kss_reset(statement);
        sqlite3_free(array);
        array = longer;
        *failed = array == NULL;
    }
    return array;
}

keystile_status kss_write_events(kss_connection *on, const keystile_change *change, const keystile_sqlite_by *by,
                                    uint64_t now, keystile_sqlite_error *error) {
    keystile_event event;
    keystile_status result = KEYSTILE_OK;
    int is_noted = keystile_change_event(change, &event) == KEYSTILE_OK, failed = 0;
    char *fields = changed_fields(on, change, &failed);
    if (failed) {
        return kss_unavailable(on, error);
    }
    if (is_noted) {
        result = kss_write_event(on, &event, fields, by, error);
    }
    sqlite3_free(fields);
    /* Each other key that is changed gets an event of its own, so that readers notice it. */
    for (size_t at = 0; at < keystile_change_record_count(change) && result == KEYSTILE_OK; at++) {
        const keystile_record *record = keystile_change_record_at(change, at);
        keystile_record_parts parts = kss_parts(record);
        bool live = false;
        if ((is_noted && memcmp(&parts.id, &event.key_id, sizeof parts.id) == 0) || parts.version == 1) {
            continue;
        }
        result = kss_library(error, keystile_record_is_live(record, now, &live));
        if (result == KEYSTILE_OK) {
            result = kss_note(on, live ? KEYSTILE_EVENT_CHANGED : KEYSTILE_EVENT_EXPIRED, &parts.id,
                                parts.version, NULL, now, by, error);
        }
    }
    return result;
}

/* Each other live key of a lineage gets a version and an event: its remaining uses are shared. */
static keystile_status write_siblings(kss_connection *on, const keystile_record_parts *of, const keystile_id *lineage,
                                      kss_raised *siblings, const keystile_sqlite_by *by, uint64_t now,
                                      keystile_sqlite_error *error) {
    static const char FIND[] = "SELECT key_id, version FROM api_keys k WHERE lineage = ?1 AND key_id <> ?2"
                               " AND " KSS_IS_LEFT("?3") " ORDER BY key_id";
    static const char RAISE[] = "UPDATE api_keys SET version = ?2 WHERE key_id = ?1 AND version = ?2 - 1";
    int step;
    kss_statement *statement = kss_prepare(on, FIND);
    keystile_status result = KEYSTILE_OK;
    kss_bind_id(statement, 1, lineage);
    kss_bind_id(statement, 2, &of->id);
    kss_bind_number(statement, 3, now);
    while (result == KEYSTILE_OK && (step = kss_step(statement)) != SQLITE_DONE) {
        keystile_id id;
        const char *text = step == SQLITE_ROW ? (const char *)sqlite3_column_text(statement->handle, 0) : NULL;
        /* Without its version, it would be cached with its former uses. */
        if (text == NULL || keystile_id_parse(text, strlen(text), &id, NULL) != KEYSTILE_OK ||
            !kss_raise(siblings, &id, (uint64_t)sqlite3_column_int64(statement->handle, 1) + 1)) {
            result = kss_unavailable(on, error);
        }
    }
    kss_reset(statement);
    for (size_t at = 0; at < siblings->count && result == KEYSTILE_OK; at++) {
        const kss_version *sibling = &siblings->versions[at];
        result = kss_note(on, KEYSTILE_EVENT_CHANGED, &sibling->id, sibling->version,
                          "[{\"field\":\"remaining_uses\"}]", now, by, error);
        if (result == KEYSTILE_OK) {
            statement = kss_prepare(on, RAISE);
            kss_bind_id(statement, 1, &sibling->id);
            kss_bind_number(statement, 2, sibling->version);
            result = kss_changes_one(on, statement, error);
        }
    }
    return result;
}

keystile_status kss_write(kss_connection *on, const keystile_change *change, kss_raised *siblings,
                          const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *error) {
    static const char USAGE[] = "INSERT INTO api_key_usage (lineage, remaining_uses, rate_state)"
                                " VALUES (?1, ?2, 0) ON CONFLICT (lineage) DO NOTHING";
    static const char USES[] = "UPDATE api_key_usage SET remaining_uses = ?2 WHERE lineage = ?1";
    keystile_status result = kss_write_events(on, change, by, now, error);
    for (size_t at = 0; at < keystile_change_record_count(change) && result == KEYSTILE_OK; at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        keystile_id lineage = kss_is_none(&parts.lineage) ? parts.id : parts.lineage;
        int is_new = parts.version == 1;
        kss_statement *statement;
        if (is_new || siblings != NULL) {
            /* Before the key: the trigger of this table finds the event of the next version. */
            statement = kss_prepare(on, is_new ? USAGE : USES);
            kss_bind_id(statement, 1, &lineage);
            bind_number(statement, 2, parts.remaining_uses, parts.has_remaining_uses);
            if (kss_done(on, statement) < 0) {
                return kss_unavailable(on, error);
            }
        }
        statement = kss_prepare(on, is_new ? INSERT : UPDATE);
        bind_record(statement, &parts, &lineage);
        result = kss_changes_one(on, statement, error);
        if (siblings != NULL && result == KEYSTILE_OK) {
            result = write_siblings(on, &parts, &lineage, siblings, by, now, error);
        }
    }
    return result;
}
