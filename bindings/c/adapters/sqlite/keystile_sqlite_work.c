/* The background work: reading the changes by others, and writing what was used. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keystile_sqlite_internal.h"

enum {
    PAGE = 1000,
    PAGES_MAX = 16,
    /* Last uses are written so often, and rate limits with each tick. */
    USES_MILLIS = 5000,
    /* A limit that is free again so soon is written only at the end: a restart takes longer. */
    FREE_SOON_MILLIS = 2000,
    BATCHES_MAX = 600
};

/* ---- The lease. ---- */

/* It runs on while the machine sleeps. */
uint64_t kss_clock(void) {
    struct timespec time;
#ifdef CLOCK_BOOTTIME
    clock_gettime(CLOCK_BOOTTIME, &time);
#else
    clock_gettime(CLOCK_MONOTONIC, &time);
#endif
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static int within_bound(keystile_sqlite *store) {
    uint64_t begun = __atomic_load_n(&store->lease_begun, __ATOMIC_ACQUIRE), now = kss_clock();
    /* If the clock has gone back, the lease does not hold. */
    return begun != 0 && now >= begun && now - begun <= store->options.bound_millis;
}

/* ---- The feed. ---- */

static keystile_status last_event(kss_connection *on, sqlite3_int64 *out_number, keystile_sqlite_error *error) {
    static const char SQL[] = "SELECT coalesce(max(number), 0) FROM api_key_events";
    sqlite3_stmt *statement = kss_prepare(on, SQL);
    int step = sqlite3_step(statement);
    *out_number = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
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
    sqlite3_stmt *statement = kss_prepare(&store->feed, SQL);
    int step;
    sqlite3_bind_int64(statement, 1, store->position);
    sqlite3_bind_int(statement, 2, PAGE);
    for (*out_count = 0; (step = sqlite3_step(statement)) == SQLITE_ROW; ++*out_count) {
        put_in_force(store->keyring, statement);
        store->position = sqlite3_column_int64(statement, 0);
    }
    keystile_status result = step == SQLITE_DONE ? KEYSTILE_OK : kss_unavailable(&store->feed, error);
    sqlite3_reset(statement);
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
    pthread_mutex_lock(&store->feed.lock);
    keystile_status result = poll_held(store, error);
    pthread_mutex_unlock(&store->feed.lock);
    return result;
}

/* If the lease has ended, this request reads the changes itself. While the store seems to be
 * away, one request at a time tries it, and all others are refused at once. */
int kss_lease_holds(keystile_sqlite *store) {
    if (within_bound(store)) {
        return 1;
    }
    if (!__atomic_load_n(&store->failing, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&store->feed.lock);
    } else if (pthread_mutex_trylock(&store->feed.lock) != 0) {
        return 0;
    }
    int holds = within_bound(store) || (poll_held(store, NULL) == KEYSTILE_OK && within_bound(store));
    pthread_mutex_unlock(&store->feed.lock);
    return holds;
}

/* ---- What was used. ---- */

/* Of two processes, the one that has spent more counts. */
static int note_rate(kss_connection *on, const keystile_use *use, uint64_t now, int all) {
    static const char FIND[] = "SELECT rate_state FROM api_key_usage WHERE lineage = ?1";
    static const char WRITE[] = "UPDATE api_key_usage SET rate_state = ?2 WHERE lineage = ?1";
    uint64_t free_at = 0, stored = 0;
    int is_there = 0;
    if (use->rate_state == 0 || keystile_rate_state_full_at(use->rate_state, &free_at) != KEYSTILE_OK ||
        free_at <= now + (all ? 0 : FREE_SOON_MILLIS)) {
        return 1;
    }
    sqlite3_stmt *statement = kss_prepare(on, FIND);
    kss_bind_id(statement, 1, &use->lineage);
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_INTEGER) {
        stored = (uint64_t)sqlite3_column_int64(statement, 0);
        is_there = 1;
    }
    sqlite3_reset(statement);
    /* Compared here: a state is an unsigned number, and SQLite has signed ones. It is only
     * raised, since another key of the lineage may have a limit that reaches further. */
    if (!is_there || stored >= use->rate_state) {
        return step == SQLITE_ROW || step == SQLITE_DONE;
    }
    statement = kss_prepare(on, WRITE);
    kss_bind_id(statement, 1, &use->lineage);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)use->rate_state);
    return kss_done(on, statement) >= 0;
}

static int note_use(kss_connection *on, const keystile_use *use) {
    static const char FIND[] = "SELECT last_used_at FROM api_keys WHERE key_id = ?1";
    static const char WRITE[] = "UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1";
    int is_later = 0;
    sqlite3_stmt *statement = kss_prepare(on, FIND);
    kss_bind_id(statement, 1, &use->key_id);
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW && use->last_used_at != 0) {
        /* Compared here and not in SQL: other code may have written another form. A damaged
         * one stays, and does not prevent the others. */
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        uint64_t noted = text == NULL ? 0 : kss_parse_instant(text, (size_t)sqlite3_column_bytes(statement, 0));
        is_later = (text == NULL || noted != 0) && noted < use->last_used_at;
    }
    sqlite3_reset(statement);
    if (!is_later) {
        return step == SQLITE_ROW || step == SQLITE_DONE;
    }
    statement = kss_prepare(on, WRITE);
    kss_bind_id(statement, 1, &use->key_id);
    kss_bind_instant(statement, 2, use->last_used_at);
    return kss_done(on, statement) >= 0;
}

/* Adds what was used since the last call to what waits. Without room, the oldest is given up. */
static void drain(keystile_sqlite *store) {
    keystile_uses *uses = NULL;
    kss_batch **last = &store->batches, *oldest = store->batches;
    int count = 0;
    kss_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL || keystile_keyring_drain_uses(store->keyring, &uses) != KEYSTILE_OK ||
        keystile_uses_count(uses) == 0) {
        keystile_uses_free(uses);
        free(batch);
        return;
    }
    batch->uses = uses;
    for (; *last != NULL; last = &(*last)->next) {
        count++;
    }
    *last = batch;
    if (count >= BATCHES_MAX) {
        store->batches = oldest->next;
        keystile_uses_free(oldest->uses);
        free(oldest);
    }
}

keystile_status kss_flush(keystile_sqlite *store, uint64_t now, int all, keystile_sqlite_error *error) {
    kss_connection *on = &store->quick;
    keystile_status result = KEYSTILE_OK;
    drain(store);
    int uses_due = all || now < store->uses_written || now - store->uses_written >= USES_MILLIS, done = 1;
    if (store->batches != NULL) {
        pthread_mutex_lock(&on->lock);
        done = kss_begin(on);
        for (kss_batch *batch = store->batches; done && batch != NULL; batch = batch->next) {
            size_t count = keystile_uses_count(batch->uses);
            for (size_t at = 0; done && at < count; at++) {
                keystile_use use;
                if (keystile_uses_at(batch->uses, at, &use) == KEYSTILE_OK) {
                    done = (batch->rates_written && !all) || note_rate(on, &use, now, all);
                    done = done && (!uses_due || note_use(on, &use));
                }
            }
        }
        done = done && kss_commit(on);
        if (!done) {
            result = kss_unavailable(on, error);
        }
        kss_roll_back(on);
        pthread_mutex_unlock(&on->lock);
    }
    for (kss_batch *batch = store->batches; done && batch != NULL; batch = batch->next) {
        batch->rates_written = 1;
    }
    if (done && uses_due) {
        store->uses_written = now;
        while (store->batches != NULL) {
            kss_batch *written = store->batches;
            store->batches = written->next;
            keystile_uses_free(written->uses);
            free(written);
        }
    }
    return result;
}
