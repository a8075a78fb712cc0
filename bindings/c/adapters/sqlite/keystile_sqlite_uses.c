/* Writing what was used: last uses, and the states of rate limits. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "keystile_sqlite_internal.h"

enum {
    /* Last uses are written so often, and rate limits with each tick. */
    USES_MILLIS = 5000,
    /* So many keys are written in one step: others who write do not wait for all of them. */
    STEP = 1000,
    /* A limit that is free again so soon is written only at the end: a restart takes longer. */
    FREE_SOON_MILLIS = 2000,
    /* While they cannot be written: so many keys. */
    USES_MAX = 1 << 20
};

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
    kss_statement *statement = kss_prepare(on, FIND);
    kss_bind_id(statement, 1, &use->lineage);
    int step = kss_step(statement);
    if (step == SQLITE_ROW && sqlite3_column_type(statement->handle, 0) == SQLITE_INTEGER) {
        stored = (uint64_t)sqlite3_column_int64(statement->handle, 0);
        is_there = 1;
    }
    kss_reset(statement);
    /* Compared here: a state is an unsigned number, and SQLite has signed ones. It is only
     * raised, since another key of the lineage may have a limit that reaches further. */
    if (!is_there || stored >= use->rate_state) {
        return step == SQLITE_ROW || step == SQLITE_DONE;
    }
    statement = kss_prepare(on, WRITE);
    kss_bind_id(statement, 1, &use->lineage);
    kss_bind_number(statement, 2, use->rate_state);
    return kss_done(on, statement) >= 0;
}

static int note_use(kss_connection *on, const keystile_use *use) {
    static const char FIND[] = "SELECT last_used_at FROM api_keys WHERE key_id = ?1";
    static const char WRITE[] = "UPDATE api_keys SET last_used_at = ?2 WHERE key_id = ?1";
    int is_later = 0;
    kss_statement *statement = kss_prepare(on, FIND);
    kss_bind_id(statement, 1, &use->key_id);
    int step = kss_step(statement);
    if (step == SQLITE_ROW && use->last_used_at != 0) {
        /* Compared here and not in SQL: other code may have written another form. A damaged
         * one stays, and does not prevent the others. */
        const char *text = (const char *)sqlite3_column_text(statement->handle, 0);
        uint64_t noted = text == NULL ? 0 : kss_parse_instant(text, (size_t)sqlite3_column_bytes(statement->handle, 0));
        is_later = (sqlite3_column_type(statement->handle, 0) == SQLITE_NULL || noted != 0) && noted < use->last_used_at;
    }
    kss_reset(statement);
    if (!is_later) {
        return step == SQLITE_ROW || step == SQLITE_DONE;
    }
    statement = kss_prepare(on, WRITE);
    kss_bind_id(statement, 1, &use->key_id);
    kss_bind_instant(statement, 2, use->last_used_at);
    return kss_done(on, statement) >= 0;
}

/* By the key; of one key, in any order. */
static int by_key(const void *left, const void *right) {
    const kss_use *one = left, *other = right;
    return memcmp(&one->use.key_id, &other->use.key_id, sizeof one->use.key_id);
}

/* Adds what was used since the last call to what waits: one entry of each key. Without room or
 * memory it is given up, since the database was away for long. */
static void drain(keystile_sqlite *store) {
    keystile_uses *uses = NULL;
    if (keystile_keyring_drain_uses(store->keyring, &uses) != KEYSTILE_OK) {
        return;
    }
    size_t count = keystile_uses_count(uses), room = USES_MAX - store->uses_count, kept = 0;
    count = count < room ? count : room;
    kss_use *all = count == 0 ? NULL : realloc(store->uses, (store->uses_count + count) * sizeof *all);
    if (all == NULL) {
        keystile_uses_free(uses);
        return;
    }
    store->uses = all;
    for (size_t at = 0; at < count; at++) {
        kss_use *added = &all[store->uses_count];
        added->rate_waits = added->use_waits = 1;
        store->uses_count += keystile_uses_at(uses, at, &added->use) == KEYSTILE_OK;
    }
    keystile_uses_free(uses);
    qsort(all, store->uses_count, sizeof *all, by_key);
    for (size_t at = 1; at < store->uses_count; at++) {
        kss_use *last = &all[kept];
        const kss_use *next = &all[at];
        if (by_key(last, next) != 0) {
            all[++kept] = *next;
            continue;
        }
        last->rate_waits |= next->rate_waits;
        last->use_waits |= next->use_waits;
        if (next->use.last_used_at > last->use.last_used_at) {
            last->use.last_used_at = next->use.last_used_at;
        }
        if (next->use.rate_state > last->use.rate_state) {
            last->use.rate_state = next->use.rate_state;
        }
    }
    store->uses_count = store->uses_count == 0 ? 0 : kept + 1;
}

/* Writes those from `*at` on, at most a step; `*at` is then the next one. */
static int write_step(kss_connection *on, keystile_sqlite *store, size_t *at, uint64_t now, int uses_due, int all) {
    size_t end = *at;
    int written = 0, done = kss_begin(on);
    for (; done && end < store->uses_count && written < STEP; end++) {
        const kss_use *waits = &store->uses[end];
        int rate = waits->rate_waits || all, use = waits->use_waits && uses_due;
        written += rate || use;
        done = (!rate || note_rate(on, &waits->use, now, all)) && (!use || note_use(on, &waits->use));
    }
    done = done && kss_commit(on);
    for (; done && *at < end; ++*at) {
        store->uses[*at].rate_waits = 0;
        store->uses[*at].use_waits &= !uses_due;
    }
    return done;
}

keystile_status kss_flush(keystile_sqlite *store, uint64_t now, int all, keystile_sqlite_error *error) {
    kss_connection *on = &store->quick;
    keystile_status result = KEYSTILE_OK;
    drain(store);
    int uses_due = all || now < store->uses_written || now - store->uses_written >= USES_MILLIS;
    size_t at = 0, kept = 0;
    while (result == KEYSTILE_OK && at < store->uses_count) {
        if (!kss_take(on, kss_clock() + (all ? KSS_WAIT_MILLIS : KSS_WORK_MILLIS))) {
            return kss_busy(error);
        }
        if (!write_step(on, store, &at, now, uses_due, all)) {
            result = kss_unavailable(on, error);
        }
        kss_roll_back(on);
        kss_give(on);
        if (result == KEYSTILE_OK && !all && at < store->uses_count) {
            /* A revocation does not wait for all of them. */
            result = kss_poll(store, error);
        }
    }
    for (at = 0; at < store->uses_count; at++) {
        if (store->uses[at].rate_waits || store->uses[at].use_waits) {
            store->uses[kept++] = store->uses[at];
        }
    }
    store->uses_count = kept;
    if (result == KEYSTILE_OK && uses_due) {
        store->uses_written = now;
    }
    return result;
}

void kss_drop_uses(keystile_sqlite *store) {
    free(store->uses);
    store->uses = NULL;
    store->uses_count = 0;
}
