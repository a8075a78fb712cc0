/* Writes of a few columns. The others of the row are not written from what was read of them: a
 * value that cannot be read, or that another program has written in another form, stays. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

#define NEXT_VERSION " WHERE key_id = ?1 AND version = ?2 - 1"

int kss_raise(kss_raised *list, const keystile_id *id, uint64_t version) {
    kss_version *longer = realloc(list->versions, (list->count + 1) * sizeof *longer);
    if (longer == NULL) {
        return 0;
    }
    list->versions = longer;
    longer[list->count].id = *id;
    longer[list->count++].version = version;
    return 1;
}

static kss_statement *next_version(kss_connection *on, const char *sql, const keystile_record_parts *parts) {
    kss_statement *statement = kss_prepare(on, sql);
    kss_bind_id(statement, 1, &parts->id);
    kss_bind_number(statement, 2, parts->version);
    return statement;
}

keystile_status kss_write_digest(kss_connection *on, const keystile_change *change, uint64_t now,
                                 keystile_sqlite_error *error) {
    static const char SQL[] = "UPDATE api_keys SET version = ?2, key_hash = ?3, digest_pepper = ?4" NEXT_VERSION
                              " AND status <> 'revoked'";
    keystile_status result = kss_write_events(on, change, NULL, now, error);
    for (size_t at = 0; at < keystile_change_record_count(change) && result == KEYSTILE_OK; at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        kss_statement *statement = next_version(on, SQL, &parts);
        kss_bind_digest(statement, 3, 4, &parts.digest);
        result = kss_changes_one(on, statement, error);
    }
    return result;
}

keystile_status kss_write_overlap(kss_connection *on, const keystile_change *change, const keystile_id *predecessor,
                                  uint64_t now, keystile_sqlite_error *error) {
    static const char ENDS[] = "UPDATE api_keys SET version = ?2, overlap_until = ?3" NEXT_VERSION
                               " AND status <> 'revoked'";
    static const char FIRST_USE[] = "UPDATE api_keys SET version = ?2, ends_at_first_use = ?3" NEXT_VERSION
                                    " AND status <> 'revoked'";
    keystile_status result = kss_write_events(on, change, NULL, now, error);
    for (size_t at = 0; at < keystile_change_record_count(change) && result == KEYSTILE_OK; at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        int ends = memcmp(&parts.id, predecessor, sizeof parts.id) == 0;
        kss_statement *statement = next_version(on, ends ? ENDS : FIRST_USE, &parts);
        if (ends) {
            kss_bind_instant(statement, 3, parts.overlap_until);
        } else {
            kss_bind_id(statement, 3, &parts.ends_at_first_use);
        }
        result = kss_changes_one(on, statement, error);
    }
    return result;
}

keystile_status kss_write_status(kss_connection *on, const keystile_change *change, const keystile_sqlite_by *by,
                                 uint64_t now, keystile_sqlite_error *error) {
    static const char SQL[] = "UPDATE api_keys SET version = ?2, status = 'revoked', is_active = 0, revoked_at = ?3,"
                              " revoke_reason = ?4" NEXT_VERSION;
    keystile_status result = kss_write_events(on, change, by, now, error);
    for (size_t at = 0; at < keystile_change_record_count(change) && result == KEYSTILE_OK; at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        kss_statement *statement = next_version(on, SQL, &parts);
        kss_bind_instant(statement, 3, parts.revoked_at);
        kss_bind_str(statement, 4, parts.revoked_reason);
        result = kss_changes_one(on, statement, error);
    }
    return result;
}

keystile_status kss_stand_in(const keystile_id *id, uint64_t version, const keystile_digest *digest, uint64_t now,
                             keystile_record **out_record, keystile_error *why) {
    keystile_record_parts parts;
    keystile_permissions *none = NULL;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    parts.id = parts.lineage = *id;
    parts.key_prefix.data = parts.client_name.data = "-";
    parts.key_prefix.len = parts.client_name.len = 1;
    parts.state = KEYSTILE_STATE_ACTIVE;
    parts.created_at = now;
    parts.never_expires = 1;
    parts.version = version;
    parts.digest = *digest;
    keystile_status result = keystile_permissions_from_json("[]", 2, &none, why);
    parts.permissions = none;
    if (result == KEYSTILE_OK) {
        result = keystile_record_new(&parts, out_record, why);
    }
    keystile_permissions_free(none);
    return result;
}

keystile_status kss_revoke_damaged(const keystile_id *id, uint64_t version, keystile_str reason, uint64_t now,
                                   keystile_change **out_change, keystile_sqlite_error *error) {
    static const char NO_DIGEST[] = "0000000000000000000000000000000000000000000000000000000000000000";
    keystile_digest digest;
    keystile_record *stand_in = NULL;
    keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
    keystile_status result = keystile_digest_parse(NO_DIGEST, sizeof NO_DIGEST - 1, &digest, &why);
    if (result == KEYSTILE_OK) {
        result = kss_stand_in(id, version, &digest, now, &stand_in, &why);
    }
    if (result == KEYSTILE_OK) {
        result = keystile_revoke(stand_in, reason.data, reason.len, now, out_change, &why);
    }
    keystile_record_free(stand_in);
    return kss_field(error, result, &why);
}

keystile_status kss_find_damaged(kss_connection *on, const keystile_id *id, uint64_t *out_version,
                                 int *out_is_revoked, keystile_sqlite_error *error) {
    static const char SQL[] = "SELECT version, status = 'revoked' FROM api_keys WHERE key_id = ?1";
    kss_statement *statement = kss_prepare(on, SQL);
    kss_bind_id(statement, 1, id);
    keystile_status result = KEYSTILE_OK;
    if (kss_step(statement) != SQLITE_ROW) {
        result = kss_unavailable(on, error);
    } else if (!kss_read_version(statement->handle, 0, out_version)) {
        result = kss_fail(error, KEYSTILE_DENIED_RECORD_DAMAGED, "the version of the key cannot be read");
    } else {
        *out_is_revoked = sqlite3_column_int(statement->handle, 1);
    }
    kss_reset(statement);
    return result;
}

int kss_read_version(sqlite3_stmt *row, int column, uint64_t *out_version) {
    sqlite3_int64 version = sqlite3_column_int64(row, column);
    *out_version = (uint64_t)version;
    return sqlite3_column_type(row, column) == SQLITE_INTEGER && version > 0 && version < INT64_MAX;
}
