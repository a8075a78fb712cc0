/* What changes keys. A verb reads, decides and writes in one transaction that begins as a
 * writer, so nothing that it has read can change meanwhile. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

typedef keystile_status (*verb)(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                                keystile_error *why);

void kss_version_in_force(const keystile_sqlite *store, const keystile_id *id, uint64_t version, int written) {
    keystile_status known = written ? keystile_keyring_invalidate_at(store->keyring, id, version)
                                    : keystile_keyring_invalidate(store->keyring, id);
    if (known != KEYSTILE_OK) {
        (void)(keystile_keyring_invalidate_all(store->keyring) == KEYSTILE_OK);
    }
}

void kss_in_force(const keystile_sqlite *store, const keystile_change *change, int written) {
    for (size_t at = 0; at < keystile_change_record_count(change); at++) {
        keystile_record_parts parts = kss_parts(keystile_change_record_at(change, at));
        kss_version_in_force(store, &parts.id, parts.version, written);
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

/* Decides and writes, in a transaction that was begun. */
static keystile_status decide(const kss_call *of, verb makes, int how, keystile_change **out_change, kss_raised *siblings,
                              kss_derived **derived, size_t *derived_count) {
    kss_connection *on = &of->store->writer;
    keystile_record *record = NULL;
    keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
    keystile_status result = kss_find(on, of->id, &record, NULL, of->error);
    if (result == KEYSTILE_DENIED_RECORD_DAMAGED && how == KSS_REACHES_DERIVED) {
        return kss_revoke_unread(of, out_change);
    }
    if (result == KEYSTILE_OK) {
        result = kss_field(of->error, makes(of, record, out_change, &why), &why);
    }
    if (result == KEYSTILE_OK && how != KSS_REACHES_DERIVED) {
        result = kss_refuse_derived(of, how, record, keystile_change_record_at(*out_change, 0));
    }
    if (result == KEYSTILE_OK) {
        int sets_uses = of->change != NULL && (of->change->has_uses || of->change->clear_uses);
        result = kss_write(on, *out_change, sets_uses ? siblings : NULL, of->by, of->now, of->error);
    }
    if (result == KEYSTILE_OK && how == KSS_REACHES_DERIVED) {
        result = kss_revoke_derived(of, record, derived, derived_count);
    }
    keystile_record_free(record);
    return result;
}

/* Runs a verb on the record of a key. */
static keystile_status run(const kss_call *of, verb makes, int how, keystile_change **out_change) {
    keystile_change *change = NULL;
    kss_derived *derived = NULL;
    kss_raised siblings = {NULL, 0};
    size_t derived_count = 0;
    if (of->store == NULL || of->id == NULL) {
        return kss_library(of->error, KEYSTILE_ERROR_NULL_POINTER);
    }
    kss_connection *on = &of->store->writer;
    keystile_status result = check_by(of->by, of->error);
    if (result != KEYSTILE_OK) {
        return result;
    }
    if (!kss_take(on, kss_clock() + KSS_WAIT_MILLIS)) {
        return kss_busy(of->error);
    }
    result = kss_begin(on) ? decide(of, makes, how, &change, &siblings, &derived, &derived_count)
                           : kss_unavailable(on, of->error);
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, of->error);
    }
    kss_roll_back(on);
    kss_give(on);
    /* However it ends: a change that failed may have been written, and one that another process
     * has made may not be in force here. */
    (void)(keystile_keyring_invalidate(of->store->keyring, of->id) == KEYSTILE_OK);
    kss_in_force(of->store, change, result == KEYSTILE_OK);
    for (size_t at = 0; at < derived_count; at++) {
        kss_in_force(of->store, derived[at].change, result == KEYSTILE_OK);
        keystile_change_free(derived[at].change);
    }
    free(derived);
    for (size_t at = 0; at < siblings.count; at++) {
        kss_version_in_force(of->store, &siblings.versions[at].id, siblings.versions[at].version, result == KEYSTILE_OK);
    }
    free(siblings.versions);
    if (result == KEYSTILE_OK && out_change != NULL) {
        *out_change = change;
    } else {
        keystile_change_free(change);
    }
    return result;
}

static keystile_status revokes(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    keystile_record_parts parts = kss_parts(record);
    /* It keeps its first reason; what derives from it is reached all the same. */
    return parts.state == KEYSTILE_STATE_REVOKED
               ? KEYSTILE_OK
               : keystile_revoke(record, of->reason.data, of->reason.len, of->now, out_change, why);
}

keystile_status keystile_sqlite_revoke(keystile_sqlite *store, const keystile_id *id, keystile_str reason,
                                       const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *out_error) {
    kss_call of = {store, id, by, now, out_error, reason, NULL, NULL, NULL, NULL};
    if (reason.len == 0) {
        of.reason.data = "unspecified";
        of.reason.len = 11;
    }
    return run(&of, revokes, KSS_REACHES_DERIVED, NULL);
}

static keystile_status suspends(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_suspend(record, of->now, out_change, why);
}

keystile_status keystile_sqlite_suspend(keystile_sqlite *store, const keystile_id *id, const keystile_sqlite_by *by,
                                        uint64_t now, keystile_sqlite_error *out_error) {
    kss_call of = {store, id, by, now, out_error, {NULL, 0}, NULL, NULL, NULL, NULL};
    return run(&of, suspends, KSS_REFUSES_SOURCES, NULL);
}

static keystile_status resumes(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_resume(record, of->now, out_change, why);
}

keystile_status keystile_sqlite_resume(keystile_sqlite *store, const keystile_id *id, const keystile_sqlite_by *by,
                                       uint64_t now, keystile_sqlite_error *out_error) {
    kss_call of = {store, id, by, now, out_error, {NULL, 0}, NULL, NULL, NULL, NULL};
    return run(&of, resumes, KSS_REFUSES_BOTH, NULL);
}

static keystile_status changes(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    return keystile_record_change(record, of->change, of->now, out_change, why);
}

keystile_status keystile_sqlite_change(keystile_sqlite *store, const keystile_id *id, const keystile_key_change *change,
                                       const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *out_error) {
    kss_call of = {store, id, by, now, out_error, {NULL, 0}, change, NULL, NULL, NULL};
    if (change == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    return run(&of, changes, KSS_REFUSES_LESS, NULL);
}

/* With the other records of the lineage that are not over: an overlap among them ends. */
static keystile_status rotates(const kss_call *of, const keystile_record *record, keystile_change **out_change,
                              keystile_error *why) {
    static const char SQL[] = KSS_RECORD "WHERE k.lineage = ?1 AND k.key_id <> ?2 AND " KSS_IS_LEFT("?3");
    enum { SIBLINGS_MAX = 64 };
    kss_connection *on = &of->store->writer;
    keystile_record_parts parts = kss_parts(record);
    keystile_id lineage = kss_lineage_of(&parts);
    const keystile_record *siblings[SIBLINGS_MAX];
    keystile_format *like = NULL;
    size_t count = 0;
    int step = SQLITE_DONE;
    kss_statement *statement = kss_prepare(on, SQL);
    keystile_status result = of->format == NULL ? keystile_format_like(record, &like, why) : KEYSTILE_OK;
    kss_bind_id(statement, 1, &lineage);
    kss_bind_id(statement, 2, &parts.id);
    kss_bind_number(statement, 3, of->now);
    while (result == KEYSTILE_OK && count < SIBLINGS_MAX && (step = kss_step(statement)) == SQLITE_ROW) {
        keystile_record *sibling = NULL;
        result = kss_read_record(statement->handle, &sibling, NULL, NULL);
        siblings[count] = sibling;
        count += sibling != NULL;
    }
    kss_reset(statement);
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
    kss_call of = {store, id, by, now, out_error, {NULL, 0}, NULL, policy, format, peppers};
    if (out_change == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    return run(&of, rotates, KSS_REFUSES_BOTH, out_change);
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
    if (!kss_take(on, kss_clock() + KSS_WAIT_MILLIS)) {
        keystile_change_free(issued);
        return kss_busy(out_error);
    }
    result = kss_begin(on) ? kss_write(on, issued, NULL, by, now, out_error) : kss_unavailable(on, out_error);
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, out_error);
    }
    kss_roll_back(on);
    kss_give(on);
    kss_in_force(store, issued, result == KEYSTILE_OK);
    if (result == KEYSTILE_OK) {
        *out_change = issued;
    } else {
        keystile_change_free(issued);
    }
    return result;
}
