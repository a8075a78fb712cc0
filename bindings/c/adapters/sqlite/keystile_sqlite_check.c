/* The decision about a request: from memory within the lease, otherwise by what the database has. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "keystile_sqlite_internal.h"

/* Give up if invalidations keep overtaking the fetches. */
enum { ROUNDS_MAX = 8, ROUND_PAUSE_MILLIS = 5 };

keystile_status keystile_sqlite_find(keystile_sqlite *store, const keystile_id *id, keystile_record **out_record,
                                     keystile_usage *out_usage, keystile_sqlite_error *out_error) {
    if (store == NULL || id == NULL || out_record == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    if (!kss_take(&store->reader, kss_clock() + KSS_WAIT_MILLIS)) {
        return kss_busy(out_error);
    }
    keystile_status result = kss_find(&store->reader, id, out_record, out_usage, out_error);
    kss_give(&store->reader);
    return result;
}

static keystile_status look_up(keystile_sqlite *store, const keystile_lookup *lookup, uint64_t deadline,
                               keystile_record **out_record, keystile_usage *out_usage,
                               keystile_sqlite_error *out_error) {
    if (!kss_take(&store->reader, deadline)) {
        return kss_busy(out_error);
    }
    keystile_status result = kss_look_up(&store->reader, lookup, out_record, out_usage, out_error);
    kss_give(&store->reader);
    return result;
}

keystile_status keystile_sqlite_look_up(keystile_sqlite *store, const keystile_lookup *lookup,
                                        keystile_record **out_record, keystile_usage *out_usage,
                                        keystile_sqlite_error *out_error) {
    if (store == NULL || lookup == NULL || out_record == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    return look_up(store, lookup, kss_clock() + KSS_WAIT_MILLIS, out_record, out_usage, out_error);
}

/* Brings a state back that lies further ahead than its limit allows, and stores that: otherwise
 * each fetch would find a full burst spent again. Other keys of the lineage may have a limit that
 * reaches further, so it is stored only if there are none. */
static void hold(keystile_sqlite *store, const keystile_record_parts *parts, keystile_usage *usage, uint64_t now) {
    static const char SQL[] = "UPDATE api_key_usage SET rate_state = ?3 WHERE lineage = ?1 AND rate_state = ?2"
                              " AND (SELECT count(*) FROM api_keys WHERE lineage = ?1) = 1";
    uint64_t before = usage->rate_state;
    keystile_status held = parts->has_rate_limit ? keystile_rate_limit_hold(&parts->rate_limit, &usage->rate_state, now)
                                                 : KEYSTILE_OK;
    if (held == KEYSTILE_OK && usage->rate_state != before) {
        kss_connection *on = &store->quick;
        /* Without waiting: it has no counted uses, whose requests queue here. The next fetch
         * tries again. */
        if (!kss_take(on, 0)) {
            return;
        }
        kss_statement *statement = kss_prepare(on, SQL);
        kss_bind_id(statement, 1, kss_is_none(&parts->lineage) ? &parts->id : &parts->lineage);
        kss_bind_number(statement, 2, before);
        kss_bind_number(statement, 3, usage->rate_state);
        kss_done(on, statement);
        kss_give(on);
    }
}

/* Whether a text is the key of a record whose uses are counted. The keyring remembers those that
 * are not: guesses must not wait in the queue of the owner's requests. */
static int is_counted_key(const keystile_sqlite *store, const char *key, size_t key_len,
                          const keystile_record *record, const keystile_usage *usage, uint64_t now) {
    keystile_usage spent = *usage;
    keystile_request any;
    keystile_decision decision;
    memset(&any, 0, sizeof any);
    any.struct_size = sizeof any;
    memset(&decision, 0, sizeof decision);
    if (!usage->has_remaining_uses) {
        return 0;
    }
    keystile_status status = keystile_verify(store->verifier, key, key_len, record, &any, &spent, now, &decision);
    return status == KEYSTILE_OK || !kss_is_none(&decision.key_id);
}

/* Writes the last use of a key, unless a later one is there. */
static void note_use(kss_connection *on, const keystile_record_parts *parts, uint64_t now) {
    static const char SQL[] = "UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1";
    if (parts->last_used_at < now) {
        kss_statement *statement = kss_prepare(on, SQL);
        kss_bind_id(statement, 1, &parts->id);
        kss_bind_instant(statement, 2, now);
        kss_done(on, statement);
    }
}

/* The refusal of a key whose record could not be read. A text that is not the key is an invalid
 * key, also if the row of the key is damaged: nobody else learns that there is one. */
static keystile_status refuse_unread(keystile_sqlite *store, const keystile_lookup *lookup, const char *key,
                                     size_t key_len, uint64_t now, uint64_t deadline, keystile_status found,
                                     const keystile_sqlite_error *error, keystile_decision *decision) {
    const keystile_id *id = keystile_lookup_key_id(lookup);
    kss_refused(store, error);
    if (found == KEYSTILE_DENIED_RECORD_DAMAGED && id != NULL && kss_take(&store->reader, deadline)) {
        keystile_record *stand_in = NULL;
        keystile_digest digest;
        keystile_request any;
        keystile_usage usage;
        memset(&any, 0, sizeof any);
        any.struct_size = sizeof any;
        memset(&usage, 0, sizeof usage);
        int is_known = kss_find_digest(&store->reader, id, &digest) &&
                       kss_stand_in(id, 1, &digest, now, &stand_in, NULL) == KEYSTILE_OK;
        kss_give(&store->reader);
        keystile_status status =
            is_known ? keystile_verify(store->verifier, key, key_len, stand_in, &any, &usage, now, decision) : found;
        keystile_record_free(stand_in);
        if (status == KEYSTILE_DENIED_INVALID_KEY) {
            return status;
        }
    }
    return keystile_refuse(found == KEYSTILE_DENIED_RECORD_DAMAGED ? KEYSTILE_CAUSE_RECORD_DAMAGED
                                                                  : KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
}

/* Decides about a key with counted uses by what the database has, and spends there, in one
 * transaction: no other request can spend the same use. KEYSTILE_NEEDS_RECORD if the key is gone. */
static keystile_status claim(keystile_sqlite *store, const keystile_lookup *lookup, const char *key, size_t key_len,
                             const keystile_request *request, uint64_t now, uint64_t deadline,
                             keystile_decision *decision) {
    static const char SQL[] = "UPDATE api_key_usage SET rate_state = ?2, remaining_uses = ?3 WHERE lineage = ?1";
    kss_connection *on = &store->quick;
    keystile_record *record = NULL;
    keystile_usage usage;
    if (!kss_take(on, deadline)) {
        return keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
    }
    /* A late write is not begun. */
    int begun = kss_clock() < deadline && kss_begin(on), written = 0;
    keystile_status result = begun ? kss_look_up(on, lookup, &record, &usage, NULL) : KEYSTILE_DENIED_STORE_UNAVAILABLE;
    if (result == KEYSTILE_OK) {
        keystile_record_parts parts = kss_parts(record);
        if (parts.has_rate_limit &&
            keystile_rate_limit_hold(&parts.rate_limit, &usage.rate_state, now) != KEYSTILE_OK) {
            usage.rate_state = 0;
        }
        result = keystile_verify(store->verifier, key, key_len, record, request, &usage, now, decision);
        if (result == KEYSTILE_OK) {
            kss_statement *statement = kss_prepare(on, SQL);
            kss_bind_id(statement, 1, kss_is_none(&parts.lineage) ? &parts.id : &parts.lineage);
            kss_bind_number(statement, 2, usage.rate_state);
            if (usage.has_remaining_uses) {
                kss_bind_number(statement, 3, usage.remaining_uses);
            }
            written = kss_done(on, statement) == 1;
            note_use(on, &parts, now);
            written = written && kss_commit(on);
            result = written ? KEYSTILE_OK : keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
        }
    } else if (result == KEYSTILE_ERROR_ABSENT) {
        result = KEYSTILE_NEEDS_RECORD;
    } else {
        result = keystile_refuse(result == KEYSTILE_DENIED_RECORD_DAMAGED ? KEYSTILE_CAUSE_RECORD_DAMAGED
                                                                         : KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
    }
    kss_roll_back(on);
    kss_give(on);
    keystile_record_free(record);
    return result;
}

/* Fetches for a ticket, and decides by what was found. */
static keystile_status fetch_and_admit(keystile_sqlite *store, const char *key, size_t key_len,
                                       const keystile_request *request, uint64_t now, uint64_t deadline,
                                       keystile_decision *decision, keystile_ticket *ticket) {
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (round > 1) {
            sqlite3_sleep(ROUND_PAUSE_MILLIS);
        }
        keystile_record *record = NULL;
        keystile_usage usage;
        memset(&usage, 0, sizeof usage);
        keystile_sqlite_error error;
        const keystile_lookup *lookup = keystile_ticket_lookup(ticket);
        keystile_status found = look_up(store, lookup, deadline, &record, &usage, &error);
        if (found != KEYSTILE_OK && found != KEYSTILE_ERROR_ABSENT) {
            return refuse_unread(store, lookup, key, key_len, now, deadline, found, &error, decision);
        }
        keystile_status status;
        if (record != NULL && is_counted_key(store, key, key_len, record, &usage, now)) {
            status = claim(store, keystile_ticket_lookup(ticket), key, key_len, request, now, deadline, decision);
        } else {
            if (record != NULL) {
                keystile_record_parts parts = kss_parts(record);
                hold(store, &parts, &usage, now);
            }
            status = keystile_keyring_admit(store->keyring, ticket, key, key_len, request, record,
                                            record == NULL ? NULL : &usage, NULL, now, decision, NULL, ticket);
        }
        keystile_record_free(record);
        if (status != KEYSTILE_NEEDS_RECORD) {
            return status;
        }
    }
    return keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
}

keystile_status keystile_sqlite_check(keystile_sqlite *store, const char *key, size_t key_len,
                                      const keystile_request *request, uint64_t now,
                                      keystile_decision *out_decision) {
    keystile_decision own;
    keystile_ticket ticket;
    keystile_decision *decision = out_decision == NULL ? &own : out_decision;
    memset(decision, 0, sizeof *decision);
    if (store == NULL) {
        return KEYSTILE_ERROR_NULL_POINTER;
    }
    /* One wait for all that the request needs. */
    uint64_t deadline = kss_clock() + KSS_WAIT_MILLIS;
    /* Before the cache is read. */
    if (!kss_lease_holds(store, deadline)) {
        return keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
    }
    keystile_status status =
        keystile_keyring_check(store->keyring, key, key_len, request, now, decision, NULL, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        status = fetch_and_admit(store, key, key_len, request, now, deadline, decision, &ticket);
    }
    if (status == KEYSTILE_OK && (decision->needs_rehash || !kss_is_none(&decision->ends_overlap_of))) {
        kss_schedule(store, decision, key, key_len, now);
    }
    return status;
}
