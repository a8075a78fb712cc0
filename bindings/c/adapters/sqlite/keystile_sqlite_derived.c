/* Keys that derive from others, and keys whose rows cannot be read, in the verbs. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

/* The lineages that derive from the one in the first parameter, and itself. */
#define SOURCES                                                                                \
    "WITH RECURSIVE sources (lineage) AS (SELECT u.lineage FROM api_key_usage u"               \
    " WHERE u.lineage = ?1 UNION SELECT k.lineage FROM api_keys k"                             \
    " JOIN sources s ON k.derived_lineage = s.lineage) "
#define DERIVED "JOIN sources s ON s.lineage = k.derived_lineage WHERE " KSS_IS_LEFT("?2")

/* Whether a query of an instant and a key has a row; -1 if it failed. */
static int has_row(kss_connection *on, const char *sql, const keystile_id *first, uint64_t now,
                   const keystile_id *third) {
    kss_statement *statement = kss_prepare(on, sql);
    kss_bind_id(statement, 1, first);
    kss_bind_number(statement, 2, now);
    if (third != NULL) {
        kss_bind_id(statement, 3, third);
    }
    int step = kss_step(statement);
    kss_reset(statement);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
}

keystile_id kss_lineage_of(const keystile_record_parts *parts) {
    return kss_is_none(&parts->lineage) ? parts->id : parts->lineage;
}

keystile_status kss_refuse_derived(const kss_call *of, int how, const keystile_record *before,
                                      const keystile_record *after) {
    static const char ANY[] = SOURCES "SELECT 1 FROM api_keys k " DERIVED " LIMIT 1";
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(before);
    keystile_id lineage = kss_lineage_of(&parts);
    bool more = true, less = true;
    if (how == KSS_REFUSES_LESS) {
        keystile_record_parts counted = kss_parts(after);
        keystile_record *same_uses = NULL;
        keystile_status known = keystile_record_is_within(after, before, &more);
        more = !(known == KEYSTILE_OK && more);
        /* Uses were taken off when a derived key got them, so the source may have fewer. But if
         * its uses were not counted, neither are those of a derived key. */
        if (parts.has_remaining_uses && counted.has_remaining_uses) {
            counted.remaining_uses = parts.remaining_uses;
        }
        known = keystile_record_new(&counted, &same_uses, NULL);
        if (known == KEYSTILE_OK) {
            known = keystile_record_is_within(before, same_uses, &less);
        }
        less = !(known == KEYSTILE_OK && less);
        keystile_record_free(same_uses);
    }
    if ((how == KSS_REFUSES_BOTH || (how == KSS_REFUSES_LESS && more)) && !kss_is_none(&parts.derived_from)) {
        return kss_fail(of->error, KEYSTILE_ERROR_STATE,
                        "the key derives from another one; the program keystile can do this");
    }
    int any = less ? has_row(on, ANY, &lineage, of->now, NULL) : 0;
    if (any < 0) {
        return kss_unavailable(on, of->error);
    }
    return any == 0 ? KEYSTILE_OK
                    : kss_fail(of->error, KEYSTILE_ERROR_STATE,
                               "live keys derive from the key; the program keystile can do this");
}

/* The revocation of the key of a row. One that is damaged does not keep its source alive. */
static keystile_status revocation_of(const kss_call *of, sqlite3_stmt *row, kss_derived *out) {
    keystile_record *record = NULL;
    keystile_id id;
    uint64_t version = 0;
    keystile_status result = kss_read_record(row, &record, NULL, of->error);
    if (result == KEYSTILE_DENIED_RECORD_DAMAGED && kss_read_damaged(row, &id, &version)) {
        out->is_damaged = 1;
        result = kss_revoke_damaged(&id, version, of->reason, of->now, &out->change, of->error);
    } else if (result == KEYSTILE_OK) {
        result = kss_library(of->error, keystile_revoke(record, of->reason.data, of->reason.len, of->now, &out->change, NULL));
    }
    keystile_record_free(record);
    return result;
}

keystile_status kss_revoke_derived(const kss_call *of, const keystile_record *source, kss_derived **out_changes,
                                      size_t *out_count) {
    static const char HEIR[] = "SELECT 1 FROM api_keys k WHERE k.lineage = ?1 AND k.key_id <> ?3 AND " KSS_IS_LEFT("?2")
                               " LIMIT 1";
    static const char ALL[] = SOURCES KSS_RECORD DERIVED " ORDER BY k.rowid";
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(source);
    keystile_id lineage = kss_lineage_of(&parts);
    keystile_status result = KEYSTILE_OK;
    int heir = kss_is_none(&parts.replaced_by) ? 0 : has_row(on, HEIR, &lineage, of->now, &parts.id), step = SQLITE_DONE;
    if (heir != 0) {
        return heir > 0 ? KEYSTILE_OK : kss_unavailable(on, of->error);
    }
    kss_statement *statement = kss_prepare(on, ALL);
    kss_bind_id(statement, 1, &lineage);
    /* A minute ago: another process, whose clock is behind, may still accept a key that has ended. */
    kss_bind_number(statement, 2, of->now - 60000);
    while (result == KEYSTILE_OK && (step = kss_step(statement)) == SQLITE_ROW) {
        kss_derived change = {NULL, 0};
        result = revocation_of(of, statement->handle, &change);
        kss_derived *longer = realloc(*out_changes, (*out_count + 1) * sizeof *longer);
        if (longer != NULL) {
            *out_changes = longer;
            longer[(*out_count)++] = change;
        } else {
            keystile_change_free(change.change);
            result = kss_fail(of->error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "out of memory");
        }
    }
    kss_reset(statement);
    if (result == KEYSTILE_OK && step != SQLITE_DONE) {
        result = kss_unavailable(on, of->error);
    }
    for (size_t at = 0; at < *out_count && result == KEYSTILE_OK; at++) {
        const kss_derived *one = &(*out_changes)[at];
        result = one->is_damaged ? kss_write_status(on, one->change, of->by, of->now, of->error)
                                 : kss_write(on, one->change, NULL, of->by, of->now, of->error);
    }
    return result;
}

keystile_status kss_revoke_unread(const kss_call *of, keystile_change **out_change) {
    kss_connection *on = &of->store->writer;
    uint64_t version = 0;
    int is_revoked = 0;
    keystile_status result = kss_find_damaged(on, of->id, &version, &is_revoked, of->error);
    if (result == KEYSTILE_OK && !is_revoked) {
        result = kss_revoke_damaged(of->id, version, of->reason, of->now, out_change, of->error);
        if (result == KEYSTILE_OK) {
            result = kss_write_status(on, *out_change, of->by, of->now, of->error);
        }
    }
    return result;
}
