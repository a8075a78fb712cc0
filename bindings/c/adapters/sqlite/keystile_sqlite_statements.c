/* Statements and their parameters, transactions, and the waits for both. */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

#include "keystile_sqlite_internal.h"

/* So many threads wait for a connection; further ones are refused at once. */
enum { WAITERS_MAX = 1024 };

kss_statement *kss_prepare(kss_connection *on, const char *sql) {
    int at = 0;
    while (at < KSS_STATEMENTS_MAX && on->statements[at].text != NULL && on->statements[at].text != sql) {
        at++;
    }
    on->none.failed = 1;
    if (at == KSS_STATEMENTS_MAX) {
        return &on->none;
    }
    kss_statement *own = &on->statements[at];
    if (own->text == NULL) {
        if (sqlite3_prepare_v3(on->database, sql, -1, SQLITE_PREPARE_PERSISTENT, &own->handle, NULL) != SQLITE_OK) {
            return &on->none;
        }
        own->text = sql;
    }
    sqlite3_reset(own->handle);
    sqlite3_clear_bindings(own->handle);
    own->failed = 0;
    return own;
}

int kss_step(kss_statement *statement) {
    return statement->failed ? SQLITE_NOMEM : sqlite3_step(statement->handle);
}

void kss_reset(kss_statement *statement) { sqlite3_reset(statement->handle); }

int kss_done(kss_connection *on, kss_statement *statement) {
    int result = kss_step(statement), changed = sqlite3_changes(on->database);
    kss_reset(statement);
    return result == SQLITE_DONE ? changed : -1;
}

int kss_begin(kss_connection *on) {
    static const char SQL[] = "BEGIN IMMEDIATE";
    return kss_done(on, kss_prepare(on, SQL)) >= 0;
}

int kss_commit(kss_connection *on) {
    static const char SQL[] = "COMMIT";
    return kss_done(on, kss_prepare(on, SQL)) >= 0;
}

void kss_roll_back(kss_connection *on) {
    static const char SQL[] = "ROLLBACK";
    if (!sqlite3_get_autocommit(on->database)) {
        kss_done(on, kss_prepare(on, SQL));
    }
}

/* ---- Parameters. ---- */

int kss_is_none(const keystile_id *id) { return id->text[0] == '\0'; }

void kss_bound(kss_statement *statement, int result) { statement->failed |= result != SQLITE_OK; }

void kss_bind_number(kss_statement *statement, int at, uint64_t value) {
    kss_bound(statement, sqlite3_bind_int64(statement->handle, at, (sqlite3_int64)value));
}

void kss_bind_text(kss_statement *statement, int at, const char *text) {
    if (text != NULL) {
        kss_bound(statement, sqlite3_bind_text(statement->handle, at, text, -1, SQLITE_TRANSIENT));
    }
}

void kss_bind_id(kss_statement *statement, int at, const keystile_id *id) {
    kss_bind_text(statement, at, kss_is_none(id) ? NULL : id->text);
}

void kss_bind_str(kss_statement *statement, int at, keystile_str text) {
    if (text.data != NULL) {
        kss_bound(statement, sqlite3_bind_text64(statement->handle, at, text.data, text.len, SQLITE_TRANSIENT, SQLITE_UTF8));
    }
}

void kss_bind_instant(kss_statement *statement, int at, uint64_t instant) {
    char text[25];
    if (instant != 0) {
        kss_format_instant(instant, text);
        kss_bind_text(statement, at, text);
    }
}

/* ---- Waits. ---- */

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

static int lock_until(pthread_mutex_t *lock, uint64_t deadline) {
    uint64_t begun = kss_clock(), left = deadline > begun ? deadline - begun : 0;
    if (left == 0) {
        return 0;
    }
#ifdef __APPLE__
    /* It has no pthread_mutex_timedlock. */
    while (pthread_mutex_trylock(lock) != 0) {
        if (kss_clock() >= deadline) {
            return 0;
        }
        sqlite3_sleep(1);
    }
    return 1;
#else
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += (time_t)(left / 1000);
    end.tv_nsec += (long)(left % 1000) * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    return pthread_mutex_timedlock(lock, &end) == 0;
#endif
}

int kss_take(kss_connection *on, uint64_t deadline) {
    if (pthread_mutex_trylock(&on->lock) != 0) {
        int waits = __atomic_fetch_add(&on->waiters, 1, __ATOMIC_ACQ_REL) < WAITERS_MAX &&
                    lock_until(&on->lock, deadline);
        __atomic_sub_fetch(&on->waiters, 1, __ATOMIC_ACQ_REL);
        if (!waits) {
            return 0;
        }
    }
    /* One that failed for lack of memory. */
    kss_roll_back(on);
    uint64_t clock = kss_clock();
    /* For the locks of the file, what is left of the same wait. */
    sqlite3_busy_timeout(on->database, deadline > clock ? (int)(deadline - clock) : 0);
    return 1;
}

void kss_give(kss_connection *on) { pthread_mutex_unlock(&on->lock); }
