/* What changes keys. A verb reads, decides and writes in one transaction that begins as a
 * writer, so nothing that it has read can change meanwhile. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

/* What a verb is about, and its arguments. */
typedef struct call {
    keystile_sqlite *store;
    const keystile_id *id;
    const keystile_sqlite_by *by;
    uint64_t now;
    keystile_sqlite_error *error;
    keystile_str reason;
    const keystile_key_change *change;
    const keystile_rotation_policy *policy;
    const keystile_format *format;
    const keystile_peppers *peppers;
} call;

typedef keystile_status (*verb)(const call *of, const keystile_record *record, keystile_change **out_change,
                                keystile_error *why);

/* How a verb treats keys that derive from the key, and keys that derive from another. */
enum { REACHES_DERIVED, REFUSES_SOURCES, REFUSES_BOTH, REFUSES_LESS };

/* The lineages that derive from the one in the first parameter, and itself. */
#define SOURCES                                                                                \
    "WITH RECURSIVE sources (lineage) AS (SELECT u.lineage FROM api_key_usage u"               \
    " WHERE u.lineage = ?1 UNION SELECT k.lineage FROM api_keys k"                             \
    " JOIN sources s ON k.derived_lineage = s.lineage) "
#define DERIVED "JOIN sources s ON s.lineage = k.derived_lineage WHERE " KSS_IS_LEFT("?2")

/* Whether a query of an instant and a key has a row; -1 if it failed. */
static int has_row(kss_connection *on, const char *sql, const keystile_id *first, uint64_t now,
                   const keystile_id *third) {
    sqlite3_stmt *statement = kss_prepare(on, sql);
    kss_bind_id(statement, 1, first);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)now);
    if (third != NULL) {
        kss_bind_id(statement, 3, third);
    }
    int step = sqlite3_step(statement);
    sqlite3_reset(statement);
    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
}

static keystile_id lineage_of(const keystile_record_parts *parts) {
    return kss_is_none(&parts->lineage) ? parts->id : parts->lineage;
}

/* Refuses what this store leaves to others. `after` is what the verb makes of the key. */
static keystile_status refuse_derived(const call *of, int how, const keystile_record *before,
                                      const keystile_record *after) {
    static const char ANY[] = SOURCES "SELECT 1 FROM api_keys k " DERIVED " LIMIT 1";
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(before);
    keystile_id lineage = lineage_of(&parts);
    bool more = true, less = true;
    if (how == REFUSES_LESS) {
        keystile_record_parts counted = kss_parts(after);
        keystile_record *same_uses = NULL;
        keystile_status known = keystile_record_is_within(after, before, &more);
        more = !(known == KEYSTILE_OK && more);
        /* Uses were taken off when a derived key got them, so the source may have fewer. */
        counted.remaining_uses = parts.remaining_uses;
        counted.has_remaining_uses = parts.has_remaining_uses;
        known = keystile_record_new(&counted, &same_uses, NULL);
        if (known == KEYSTILE_OK) {
            known = keystile_record_is_within(before, same_uses, &less);
        }
        less = !(known == KEYSTILE_OK && less);
        keystile_record_free(same_uses);
    }
    if ((how == REFUSES_BOTH || (how == REFUSES_LESS && more)) && !kss_is_none(&parts.derived_from)) {
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

/* Revokes the keys that derive from a key, unless its successor lives. `out_changes` is a list
 * of so many, which the caller frees. */
static keystile_status revoke_derived(const call *of, const keystile_record *source, keystile_change ***out_changes,
                                      size_t *out_count) {
    static const char HEIR[] = "SELECT 1 FROM api_keys k WHERE k.lineage = ?1 AND k.key_id <> ?3 AND " KSS_IS_LEFT("?2")
                               " LIMIT 1";
    static const char ALL[] = SOURCES KSS_RECORD DERIVED " ORDER BY k.rowid";
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(source);
    keystile_id lineage = lineage_of(&parts);
    keystile_status result = KEYSTILE_OK;
    int heir = kss_is_none(&parts.replaced_by) ? 0 : has_row(on, HEIR, &lineage, of->now, &parts.id), step = SQLITE_DONE;
    if (heir != 0) {
        return heir > 0 ? KEYSTILE_OK : kss_unavailable(on, of->error);
    }
    sqlite3_stmt *statement = kss_prepare(on, ALL);
    kss_bind_id(statement, 1, &lineage);
    /* A minute ago: another process, whose clock is behind, may still accept a key that has ended. */
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)(of->now - 60000));
    while (result == KEYSTILE_OK && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        keystile_record *record = NULL;
        keystile_change *change = NULL;
        result = kss_read_record(statement, &record, NULL, of->error);
        if (result == KEYSTILE_OK) {
            result = kss_library(of->error, keystile_revoke(record, of->reason.data, of->reason.len, of->now, &change, NULL));
        }
        keystile_change **longer = realloc(*out_changes, (*out_count + 1) * sizeof *longer);
        if (longer != NULL) {
            *out_changes = longer;
            longer[(*out_count)++] = change;
        } else {
            keystile_change_free(change);
            result = kss_fail(of->error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "out of memory");
        }
        keystile_record_free(record);
    }
    sqlite3_reset(statement);
    if (result == KEYSTILE_OK && step != SQLITE_DONE) {
        result = kss_unavailable(on, of->error);
    }
    for (size_t at = 0; at < *out_count && result == KEYSTILE_OK; at++) {
        result = kss_write(on, (*out_changes)[at], 0, of->by, of->now, of->error);
    }
    return result;
}

void kss_in_force(const keystile_sqlite *store, const keystile_change *change, int written) {
    for (size_t at = 0; at < keystile_change_record_count(change); at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        keystile_status known = written ? keystile_keyring_invalidate_at(store->keyring, &parts.id, parts.version)
                                        : keystile_keyring_invalidate(store->keyring, &parts.id);
        if (known != KEYSTILE_OK) {
            (void)(keystile_keyring_invalidate_all(store->keyring) == KEYSTILE_OK);
        }
    }
}

static keystile_status check_by(const keystile_sqlite_by *by, keystile_sqlite_error *error) {
    const keystile_str texts[2] = {by == NULL ? (keystile_str){NULL, 0} : by->actor,
                                   by == NULL ? (keystile_str){NULL, 0} : by->origin};
    for (int at = 0; at < 2; at++) {
        keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
        keystile_status valid =
            texts[at].data == NULL ? KEYSTILE_OK : keystile_actor_check(texts[at].data, texts[at].len, &why);
        if (valid != KEYSTILE_OK) {
            return kss_fail(error, valid, "%s: %.*s", at == 0 ? "actor" : "origin", (int)why.message.len, why.message.data);
        }
    }
    return KEYSTILE_OK;
}

/* Runs a verb on the record of a key. */
static keystile_status run(const call *of, verb makes, int how, keystile_change **out_change) {
    keystile_change *change = NULL, **derived = NULL;
    keystile_record *record = NULL;
    size_t derived_count = 0;
    keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
    if (of->store == NULL || of->id == NULL) {
        return kss_library(of->error, KEYSTILE_ERROR_NULL_POINTER);
    }
    kss_connection *on = &of->store->writer;
    keystile_status result = check_by(of->by, of->error);
    if (result != KEYSTILE_OK) {
        return result;
    }
    pthread_mutex_lock(&on->lock);
    result = kss_begin(on) ? kss_find(on, of->id, &record, NULL, of->error) : kss_unavailable(on, of->error);
    if (result == KEYSTILE_OK) {
        result = kss_field(of->error, makes(of, record, &change, &why), &why);
    }
    if (result == KEYSTILE_OK && how != REACHES_DERIVED) {
        result = refuse_derived(of, how, record, keystile_change_record_at(change, 0));
    }
    if (result == KEYSTILE_OK) {
        int sets_uses = of->change != NULL && (of->change->has_uses || of->change->clear_uses);
        result = kss_write(on, change, sets_uses, of->by, of->now, of->error);
    }
    if (result == KEYSTILE_OK && how == REACHES_DERIVED) {
        result = revoke_derived(of, record, &derived, &derived_count);
    }
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, of->error);
    }
    kss_roll_back(on);
    pthread_mutex_unlock(&on->lock);
    /* However it ends: a change that failed may have been written, and one that another process
     * has made may not be in force here. */
    (void)(keystile_keyring_invalidate(of->store->keyring, of->id) == KEYSTILE_OK);
    kss_in_force(of->store, change, result == KEYSTILE_OK);
    for (size_t at = 0; at < derived_count; at++) {
        kss_in_force(of->store, derived[at], result == KEYSTILE_OK);
        keystile_change_free(derived[at]);
    }
    free(derived);
    keystile_record_free(record);
    if (result == KEYSTILE_OK && out_change != NULL) {
        *out_change = change;
    } else {
        keystile_change_free(change);
    }
    return result;
}

static keystile_status revokes(const call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    keystile_record_parts parts = kss_parts(record);
    /* It keeps its first reason; what derives from it is reached all the same. */
    return parts.state == KEYSTILE_STATE_REVOKED
               ? KEYSTILE_OK
               : keystile_revoke(record, of->reason.data, of->reason.len, of->now, out_change, why);
}

keystile_status keystile_sqlite_revoke(keystile_sqlite *store, const keystile_id *id, keystile_str reason,
                                       const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *out_error) {
    call of = {store, id, by, now, out_error, reason, NULL, NULL, NULL, NULL};
    if (reason.len == 0) {
        of.reason.data = "unspecified";
        of.reason.len = 11;
    }
    return run(&of, revokes, REACHES_DERIVED, NULL);
}

static keystile_status suspends(const call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_suspend(record, of->now, out_change, why);
}

keystile_status keystile_sqlite_suspend(keystile_sqlite *store, const keystile_id *id, const keystile_sqlite_by *by,
                                        uint64_t now, keystile_sqlite_error *out_error) {
    call of = {store, id, by, now, out_error, {NULL, 0}, NULL, NULL, NULL, NULL};
    return run(&of, suspends, REFUSES_SOURCES, NULL);
}

static keystile_status resumes(const call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_resume(record, of->now, out_change, why);
}

keystile_status keystile_sqlite_resume(keystile_sqlite *store, const keystile_id *id, const keystile_sqlite_by *by,
                                       uint64_t now, keystile_sqlite_error *out_error) {
    call of = {store, id, by, now, out_error, {NULL, 0}, NULL, NULL, NULL, NULL};
    return run(&of, resumes, REFUSES_BOTH, NULL);
}

static keystile_status changes(const call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_record_change(record, of->change, of->now, out_change, why);
}

keystile_status keystile_sqlite_change(keystile_sqlite *store, const keystile_id *id, const keystile_key_change *change,
                                       const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *out_error) {
    call of = {store, id, by, now, out_error, {NULL, 0}, change, NULL, NULL, NULL};
    if (change == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    return run(&of, changes, REFUSES_LESS, NULL);
}

/* With the other records of the lineage that are not over: an overlap among them ends. */
static keystile_status rotates(const call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    static const char SQL[] = KSS_RECORD "WHERE k.lineage = ?1 AND k.key_id <> ?2 AND " KSS_IS_LEFT("?3");
    enum { SIBLINGS_MAX = 64 };
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(record);
    keystile_id lineage = lineage_of(&parts);
    const keystile_record *siblings[SIBLINGS_MAX];
    keystile_format *like = NULL;
    size_t count = 0;
    int step = SQLITE_DONE;
    sqlite3_stmt *statement = kss_prepare(on, SQL);
    keystile_status result = of->format == NULL ? keystile_format_like(record, &like, why) : KEYSTILE_OK;
    kss_bind_id(statement, 1, &lineage);
    kss_bind_id(statement, 2, &parts.id);
    sqlite3_bind_int64(statement, 3, (sqlite3_int64)of->now);
    while (result == KEYSTILE_OK && count < SIBLINGS_MAX && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        keystile_record *sibling = NULL;
        result = kss_read_record(statement, &sibling, NULL, NULL);
        siblings[count] = sibling;
        count += sibling != NULL;
    }
    sqlite3_reset(statement);
    if (result == KEYSTILE_OK && step != SQLITE_DONE) {
        result = KEYSTILE_DENIED_STORE_UNAVAILABLE;
    }
    if (result == KEYSTILE_OK) {
        result = keystile_rotate(record, siblings, count, of->policy, of->format == NULL ? like : of->format,
                                 of->peppers, NULL, 0, of->now, out_change, why);
    }
    while (count > 0) {
        keystile_record_free((keystile_record *)(uintptr_t)siblings[--count]);
    }
    keystile_format_free(like);
    return result;
}

keystile_status keystile_sqlite_rotate(keystile_sqlite *store, const keystile_id *id,
                                       const keystile_rotation_policy *policy, const keystile_format *format,
                                       const keystile_peppers *peppers, const keystile_sqlite_by *by, uint64_t now,
                                       keystile_change **out_change, keystile_sqlite_error *out_error) {
    call of = {store, id, by, now, out_error, {NULL, 0}, NULL, policy, format, peppers};
    if (out_change == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    return run(&of, rotates, REFUSES_BOTH, out_change);
}

keystile_status keystile_sqlite_issue(keystile_sqlite *store, const keystile_format *format,
                                      const keystile_peppers *peppers, const keystile_issue_request *request,
                                      const keystile_sqlite_by *by, uint64_t now, keystile_change **out_change,
                                      keystile_sqlite_error *out_error) {
    keystile_change *issued = NULL;
    if (store == NULL || out_change == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    kss_connection *on = &store->writer;
    keystile_status result = check_by(by, out_error);
    if (result == KEYSTILE_OK) {
        keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
        result = kss_field(out_error, keystile_issue(format, peppers, request, NULL, 0, now, &issued, &why), &why);
    }
    if (result != KEYSTILE_OK) {
        return result;
    }
    pthread_mutex_lock(&on->lock);
    result = kss_begin(on) ? kss_write(on, issued, 0, by, now, out_error) : kss_unavailable(on, out_error);
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, out_error);
    }
    kss_roll_back(on);
    pthread_mutex_unlock(&on->lock);
    kss_in_force(store, issued, result == KEYSTILE_OK);
    if (result == KEYSTILE_OK) {
        *out_change = issued;
    } else {
        keystile_change_free(issued);
    }
    return result;
}
