/* Reading the changes by others, and the lease that this gives. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keystile_sqlite_internal.h"

enum { PAGE = 1000, PAGES_MAX = 16 };

/* ---- The lease. ---- */

static int within_bound(keystile_sqlite *store) {
    uint64_t begun = __atomic_load_n(&store->lease_begun, __ATOMIC_ACQUIRE), now = kss_clock();
    /* If the clock has gone back, the lease does not hold. */
    return begun != 0 && now >= begun && now - begun <= store->options.bound_millis;
}

/* ---- The feed. ---- */

static keystile_status last_event(kss_connection *on, sqlite3_int64 *out_number, keystile_sqlite_error *error) {
    static const char SQL[] = "SELECT coalesce(max(number), 0) FROM api_key_events";
    kss_statement *statement = kss_prepare(on, SQL);
    int step = kss_step(statement);
    *out_number = step == SQLITE_ROW ? sqlite3_column_int64(statement->handle, 0) : 0;
    kss_reset(statement);
    return step == SQLITE_ROW ? KEYSTILE_OK : kss_unavailable(on, error);
}

static int parse_column(sqlite3_stmt *statement, int column, keystile_id *out_id) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL && sqlite3_column_type(statement, column) == SQLITE_TEXT &&
           keystile_id_parse(text, (size_t)sqlite3_column_bytes(statement, column), out_id, NULL) == KEYSTILE_OK;
}

static void put_in_force(const keystile_keyring *keyring, sqlite3_stmt *event) {
    keystile_id key, successor;
    sqlite3_int64 version = sqlite3_column_int64(event, 2);
    int has_version = sqlite3_column_type(event, 2) == SQLITE_INTEGER && version > 0;
    int has_successor = sqlite3_column_type(event, 3) != SQLITE_NULL;
    /* `*` is every key; and what a damaged event has changed is not known. */
    if (!parse_column(event, 1, &key) || (has_successor && !parse_column(event, 3, &successor)) ||
        (!has_version && sqlite3_column_type(event, 2) != SQLITE_NULL) ||
        (has_version ? keystile_keyring_invalidate_at(keyring, &key, (uint64_t)version)
                     : keystile_keyring_invalidate(keyring, &key)) != KEYSTILE_OK ||
        (has_successor && keystile_keyring_invalidate(keyring, &successor) != KEYSTILE_OK)) {
        (void)(keystile_keyring_invalidate_all(keyring) == KEYSTILE_OK);
    }
}

/* Reads a page of events; `out_count` receives how many there were. */
static keystile_status read_page(keystile_sqlite *store, int *out_count, keystile_sqlite_error *error) {
    static const char SQL[] = "SELECT number, key_id, version, successor FROM api_key_events"
                              " WHERE number > ?1 ORDER BY number LIMIT ?2";
    kss_statement *statement = kss_prepare(&store->feed, SQL);
    int step;
    kss_bind_number(statement, 1, (uint64_t)store->position);
    kss_bind_number(statement, 2, PAGE);
    for (*out_count = 0; (step = kss_step(statement)) == SQLITE_ROW; ++*out_count) {
        put_in_force(store->keyring, statement->handle);
        store->position = sqlite3_column_int64(statement->handle, 0);
    }
    keystile_status result = step == SQLITE_DONE ? KEYSTILE_OK : kss_unavailable(&store->feed, error);
    kss_reset(statement);
    return result;
}

static keystile_status catch_up(keystile_sqlite *store, keystile_sqlite_error *error) {
    sqlite3_int64 last = 0;
    keystile_status result = KEYSTILE_OK;
    uint64_t sent;
    for (int page = 0; store->known && page < PAGES_MAX; page++) {
        int count = 0;
        sent = kss_clock();
        result = read_page(store, &count, error);
        if (result == KEYSTILE_OK && count == 0) {
            result = last_event(&store->feed, &last, error);
            if (result == KEYSTILE_OK && last < store->position) {
                /* The file was restored from a backup: later changes are undone, and numbers repeat. */
                store->known = 0;
                store->restored = 1;
                __atomic_store_n(&store->tasks_are_void, 1, __ATOMIC_RELEASE);
                break;
            }
        }
        if (result != KEYSTILE_OK) {
            return result;
        }
        if (count < PAGE) {
            /* Counted from before the read, and renewed after all that it found is in force. */
            __atomic_store_n(&store->lease_begun, sent, __ATOMIC_RELEASE);
            return KEYSTILE_OK;
        }
    }
    /* At the start, after a restored backup, and if there is too much: from the end on. */
    sent = kss_clock();
    result = last_event(&store->feed, &last, error);
    if (result == KEYSTILE_OK) {
        /* What was cached before this number was read may be out of date. */
        result = kss_library(error, store->restored ? keystile_keyring_reset(store->keyring)
                                                    : keystile_keyring_invalidate_all(store->keyring));
    }
    if (result == KEYSTILE_OK) {
        store->position = last;
        store->known = 1;
        store->restored = 0;
        __atomic_store_n(&store->lease_begun, sent, __ATOMIC_RELEASE);
    }
    return result;
}

/* Reads the changes; the lock of `feed` is held. */
static keystile_status poll_held(keystile_sqlite *store, keystile_sqlite_error *error) {
    keystile_status result = catch_up(store, error);
    __atomic_store_n(&store->failing, result != KEYSTILE_OK, __ATOMIC_RELEASE);
    return result;
}

keystile_status kss_poll(keystile_sqlite *store, keystile_sqlite_error *error) {
    if (!kss_take(&store->feed, kss_clock() + KSS_WAIT_MILLIS)) {
        return kss_busy(error);
    }
    keystile_status result = poll_held(store, error);
    kss_give(&store->feed);
    return result;
}

/* If the lease has ended, this request reads the changes itself. While the store seems to be
 * away, one request at a time tries it, and all others are refused at once. */
int kss_lease_holds(keystile_sqlite *store, uint64_t deadline) {
    if (within_bound(store)) {
        return 1;
    }
    if (!kss_take(&store->feed, __atomic_load_n(&store->failing, __ATOMIC_ACQUIRE) ? 0 : deadline)) {
        return 0;
    }
    int holds = within_bound(store) || (poll_held(store, NULL) == KEYSTILE_OK && within_bound(store));
    kss_give(&store->feed);
    return holds;
}
