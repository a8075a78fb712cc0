/* keystile over SQLite: a store and a keyring over it, for services in C.
 *
 * The tables are those of the program `keystile` and of the libraries for Rust and Go: all of
 * them can use one file at once. What one of them changes is in force in the others within
 * about a second.
 *
 * Copy the files of this folder into your project, and compile them with it:
 *
 *   cc app.c keystile_sqlite*.c $(pkg-config --cflags --libs keystile sqlite3) -lpthread
 *
 * They need SQLite 3.39 or later and POSIX threads. The rules that they follow are those of
 * docs/protocol.md. What they leave to the program `keystile`, or to Rust and Go: adopting an
 * application's table, keys that derive from others (a revocation reaches them, any other verb
 * refuses them), templates, lists, and rows that cannot be read (a revocation ends them, any
 * other verb refuses them).
 *
 * No call waits longer than about 5 s for other threads and programs: it returns
 * KEYSTILE_DENIED_STORE_UNAVAILABLE.
 *
 * Counted uses are exact over all processes. A rate limit is kept by each process for itself; its
 * state is written with each tick, so it survives a restart, but not the last moments of a crash.
 *
 * Any thread may call any function at any time, except keystile_sqlite_close. Open a store
 * after fork, never before. Instants are milliseconds since 1970. */
#ifndef KEYSTILE_SQLITE_H
#define KEYSTILE_SQLITE_H

#include <keystile.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A database file, and a keyring over it. */
typedef struct keystile_sqlite keystile_sqlite;

/* Why a call failed. The text is a sentence for people, and has no part of a key. Parameters
 * of this type may be NULL. */
typedef struct keystile_sqlite_error {
    keystile_status status;
    char text[256];
} keystile_sqlite_error;

/* Zero it first: each field that is not set is the default. */
typedef struct keystile_sqlite_options {
    /* The keys that are accepted. Required; it must live until the store is closed. */
    const keystile_verifier *verifier;
    /* NULL: the defaults of a keyring. */
    const keystile_keyring_options *keyring;
    /* How often changes by others are read; by default each 500 ms. */
    uint64_t poll_millis;
    /* The revocation bound, 1 s or more and at least twice poll_millis; by default 60 s. If
     * changes could not be read for so long, no check answers from memory. */
    uint64_t bound_millis;
    /* 1: missing or older tables are an error; otherwise they are created, or upgraded. */
    uint8_t require_tables;
    /* 1: no thread is started, and the program calls keystile_sqlite_tick itself. */
    uint8_t without_thread;
    /* Optional: is called with failures of the background work, and with why the last request
     * could not be answered, on the thread of the store. */
    void (*on_failure)(void *context, const char *text);
    void *context;
} keystile_sqlite_options;

/* Who does something, for the audit; see keystile_actor_check. Zero it to leave it out. */
typedef struct keystile_sqlite_by {
    keystile_str actor;
    keystile_str origin;
} keystile_sqlite_by;

/* Opens a file, and reads its last event. If there is none, it is created with mode 0600, unless
 * require_tables is set.
 *
 * Returns KEYSTILE_OK or KEYSTILE_DENIED_STORE_UNAVAILABLE, for example because the tables are
 * newer than this program; KEYSTILE_ERROR_LIMIT for an option that is out of its range;
 * KEYSTILE_ERROR_NULL_POINTER; or an error of keystile_keyring_new. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_open(const char *path, const keystile_sqlite_options *options,
                                     keystile_sqlite **out_store, keystile_sqlite_error *out_error);

/* Decides about a request, and fetches the record if it is not cached. The request may go on
 * only if this returns KEYSTILE_OK. Counted uses are spent in the database, exactly.
 *
 * Arguments and result as for keystile_keyring_check, except that there is always a decision
 * unless the call was wrong. If the database cannot be read, or changes could not be read for
 * the revocation bound, that is KEYSTILE_DENIED_STORE_UNAVAILABLE. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_check(keystile_sqlite *store, const char *key, size_t key_len,
                                      const keystile_request *request, uint64_t now,
                                      keystile_decision *out_decision);

/* Reads the record of a key; free it with keystile_record_free. `out_usage` may be NULL.
 *
 * Returns KEYSTILE_OK; KEYSTILE_ERROR_ABSENT if there is no such key;
 * KEYSTILE_DENIED_RECORD_DAMAGED; KEYSTILE_DENIED_STORE_UNAVAILABLE. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_find(keystile_sqlite *store, const keystile_id *id,
                                     keystile_record **out_record, keystile_usage *out_usage,
                                     keystile_sqlite_error *out_error);

/* As keystile_sqlite_find, for what keystile_key_lookup returns: also for keys without an id. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_look_up(keystile_sqlite *store, const keystile_lookup *lookup,
                                        keystile_record **out_record, keystile_usage *out_usage,
                                        keystile_sqlite_error *out_error);

/* ---- Verbs. Each is written with its event in one transaction, and is in force in this
 * process when it returns. `by` may be NULL. They return KEYSTILE_OK, the errors of
 * keystile_sqlite_find, and those of the function of the library that they are named after. ---- */

/* Issues a key. `out_change` receives its text, to be shown once, and its record; free it with
 * keystile_change_free. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_issue(keystile_sqlite *store, const keystile_format *format,
                                      const keystile_peppers *peppers,
                                      const keystile_issue_request *request,
                                      const keystile_sqlite_by *by, uint64_t now,
                                      keystile_change **out_change,
                                      keystile_sqlite_error *out_error);

/* Revokes a key for good, and the keys that derive from it, unless its successor lives. A key
 * that is revoked already stays as it is, which is no error. If the row of the key cannot be
 * read, only its status is written, and no other key is reached. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_revoke(keystile_sqlite *store, const keystile_id *id,
                                       keystile_str reason, const keystile_sqlite_by *by,
                                       uint64_t now, keystile_sqlite_error *out_error);

/* Suspends a key until it is resumed; KEYSTILE_ERROR_STATE if live keys derive from it. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_suspend(keystile_sqlite *store, const keystile_id *id,
                                        const keystile_sqlite_by *by, uint64_t now,
                                        keystile_sqlite_error *out_error);

/* Resumes a suspended key; KEYSTILE_ERROR_STATE if it derives from another one or live keys
 * derive from it. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_resume(keystile_sqlite *store, const keystile_id *id,
                                       const keystile_sqlite_by *by, uint64_t now,
                                       keystile_sqlite_error *out_error);

/* Changes a key; uses that are set are those of all keys of its lineage. KEYSTILE_ERROR_STATE
 * if it derives from another one and would get more, or if live keys derive from it and it would
 * get less. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_change(keystile_sqlite *store, const keystile_id *id,
                                       const keystile_key_change *change,
                                       const keystile_sqlite_by *by, uint64_t now,
                                       keystile_sqlite_error *out_error);

/* Issues a successor, as keystile_sqlite_issue does. `policy`: NULL for the default. `format`:
 * NULL for that of the key. KEYSTILE_ERROR_STATE if the key derives from another one, or live
 * keys derive from it. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_rotate(keystile_sqlite *store, const keystile_id *id,
                                       const keystile_rotation_policy *policy,
                                       const keystile_format *format,
                                       const keystile_peppers *peppers,
                                       const keystile_sqlite_by *by, uint64_t now,
                                       keystile_change **out_change,
                                       keystile_sqlite_error *out_error);

/* ---- Background work. ---- */

/* Reads the changes by others and puts them in force, does what uses have called for (a new
 * digest, the end of an overlap), and writes what was used. The store's own thread calls it. */
KEYSTILE_MUST_USE
keystile_status keystile_sqlite_tick(keystile_sqlite *store, uint64_t now,
                                     keystile_sqlite_error *out_error);

/* The keyring, for its counters. It lives until the store is closed. */
const keystile_keyring *keystile_sqlite_keyring(const keystile_sqlite *store);

/* Stops the thread, writes what was used, and frees the store, which no other thread may be
 * using; NULL is allowed. Returns KEYSTILE_OK, or KEYSTILE_DENIED_STORE_UNAVAILABLE if the last
 * uses could not be written, which are lost then. */
keystile_status keystile_sqlite_close(keystile_sqlite *store, uint64_t now,
                                      keystile_sqlite_error *out_error);

#ifdef __cplusplus
}
#endif

#endif
