/* What the files of the store share. Programs include keystile_sqlite.h. */
#ifndef KEYSTILE_SQLITE_INTERNAL_H
#define KEYSTILE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "keystile_sqlite.h"

enum {
    KSS_STATEMENTS_MAX = 32,
    /* What uses have called for, and was not done yet. */
    KSS_TASKS_MAX = 64
};

/* A connection, its prepared statements, and the lock of both. */
typedef struct kss_connection {
    sqlite3 *database;
    pthread_mutex_t lock;
    const char *texts[KSS_STATEMENTS_MAX];
    sqlite3_stmt *statements[KSS_STATEMENTS_MAX];
} kss_connection;

/* What the use of a key has called for: a renewed digest, or the end of the overlap of
 * `predecessor`. Nothing of it has key text. */
typedef struct kss_task {
    keystile_id key;
    keystile_id predecessor;
    keystile_change *renewed;
    /* The next try; none before. */
    uint64_t not_before;
} kss_task;

/* Uses that were drained and are not written entirely. */
typedef struct kss_batch {
    struct kss_batch *next;
    keystile_uses *uses;
    int rates_written;
} kss_batch;

struct keystile_sqlite {
    const keystile_verifier *verifier;
    keystile_keyring *keyring;
    keystile_sqlite_options options;
    /* Fetches, the feed, durable writes, and writes of which a power failure may undo the last
     * moments. No thread holds two of their locks. */
    kss_connection reader, feed, writer, quick;
    /* By the clock that runs on while the machine sleeps: before the last read that found no
     * further change. Atomic, as `failing`. */
    uint64_t lease_begun;
    int failing;
    /* The last event that was read. Under the lock of `feed`, as `restored`. */
    sqlite3_int64 position;
    int known, restored;
    /* Under `tasks_lock`. */
    pthread_mutex_t tasks_lock;
    kss_task tasks[KSS_TASKS_MAX];
    /* The turns of the background work. Under `work_lock`, which is taken before all others. */
    pthread_mutex_t work_lock;
    kss_batch *batches;
    uint64_t uses_written;
    /* The thread, and how it is stopped. */
    pthread_t thread;
    pthread_mutex_t stop_lock;
    pthread_cond_t stop_signal;
    int has_thread, stopping;
};

/* Errors. */
keystile_status kss_fail(keystile_sqlite_error *error, keystile_status status, const char *format, ...);
keystile_status kss_unavailable(const kss_connection *on, keystile_sqlite_error *error);
/* An error of the library: its sentence, or what it says of a field. */
keystile_status kss_library(keystile_sqlite_error *error, keystile_status status);
keystile_status kss_field(keystile_sqlite_error *error, keystile_status status, const keystile_error *why);

/* Statements. Each text is a constant, and its statement is prepared once; NULL if that fails,
 * after which each use of it fails too. kss_done steps once and resets: the number of changed
 * rows, or -1. */
sqlite3_stmt *kss_prepare(kss_connection *on, const char *sql);
int kss_done(kss_connection *on, sqlite3_stmt *statement);
int kss_begin(kss_connection *on);
int kss_commit(kss_connection *on);
void kss_roll_back(kss_connection *on);
void kss_bind_id(sqlite3_stmt *statement, int at, const keystile_id *id);
void kss_bind_str(sqlite3_stmt *statement, int at, keystile_str text);
void kss_bind_instant(sqlite3_stmt *statement, int at, uint64_t instant);
int kss_is_none(const keystile_id *id);

/* Rows. KSS_RECORD selects what kss_read_record reads. */
#define KSS_RECORD                                                                             \
    "SELECT k.rowid, k.key_id, k.key_hash, k.digest_pepper, k.key_prefix, k.client_name,"      \
    " k.client_email, k.owner, k.environment, k.permissions, k.allowed_endpoints,"             \
    " k.allowed_networks, k.rate_limit, k.rate_window_ms, k.rate_burst, k.scope_type,"         \
    " k.metadata, k.created_at, k.last_used_at, k.expires_at, k.is_active, k.status,"          \
    " k.revoked_at, k.revoke_reason, k.lineage, k.replaced_by, k.overlap_until,"               \
    " k.ends_at_first_use, k.lifetime_ms, k.derived_from, k.derived_lineage,"                  \
    " k.suspended_with, k.version, u.lineage, u.remaining_uses, u.rate_state"                  \
    " FROM api_keys k LEFT JOIN api_key_usage u ON u.lineage = k.lineage "
/* The key k is not revoked and has not ended at an instant; what is no date is taken as not
 * ended, because it may be damaged. */
#define KSS_NOT_OVER(end, now)                                                                 \
    "(k." end " IS NULL OR typeof(k." end ") <> 'text' OR k." end " NOT LIKE '____-__-__%'"    \
    " OR coalesce(julianday(k." end ") > " now " / 86400000.0 + 2440587.5, 1))"
#define KSS_IS_LEFT(now)                                                                       \
    "k.status <> 'revoked' AND " KSS_NOT_OVER("expires_at", now) " AND " KSS_NOT_OVER("overlap_until", now)
keystile_status kss_read_record(sqlite3_stmt *statement, keystile_record **out_record,
                                keystile_usage *out_usage, keystile_sqlite_error *error);
/* 0 if the text is no instant. */
uint64_t kss_parse_instant(const char *text, size_t len);
void kss_format_instant(uint64_t instant, char text[25]);
keystile_status kss_find(kss_connection *on, const keystile_id *id, keystile_record **out_record,
                         keystile_usage *out_usage, keystile_sqlite_error *error);
keystile_status kss_look_up(kss_connection *on, const keystile_lookup *lookup,
                            keystile_record **out_record, keystile_usage *out_usage,
                            keystile_sqlite_error *error);
/* The fields of a record, which it lends. */
keystile_record_parts kss_parts(const keystile_record *record);

/* Writes, in a transaction that was begun. `sets_uses`: the change sets the remaining uses. */
keystile_status kss_write(kss_connection *on, const keystile_change *change, int sets_uses,
                          const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *error);
/* Writes the event of a changed key of which the library made none. */
keystile_status kss_note(kss_connection *on, uint32_t kind, const keystile_id *key, uint64_t version,
                         const char *changes, uint64_t now, const keystile_sqlite_by *by,
                         keystile_sqlite_error *error);
/* Puts the records of a change in force: at their versions if they were written. */
void kss_in_force(const keystile_sqlite *store, const keystile_change *change, int written);

/* The lease, and the work that is called for. */
uint64_t kss_clock(void);
int kss_lease_holds(keystile_sqlite *store);
void kss_schedule(keystile_sqlite *store, const keystile_decision *decision, const char *key,
                  size_t key_len, uint64_t now);
keystile_status kss_poll(keystile_sqlite *store, keystile_sqlite_error *error);
/* Both under `work_lock`. */
keystile_status kss_perform_tasks(keystile_sqlite *store, uint64_t now, keystile_sqlite_error *error);
keystile_status kss_flush(keystile_sqlite *store, uint64_t now, int all, keystile_sqlite_error *error);
int kss_start_thread(keystile_sqlite *store);
void kss_stop_thread(keystile_sqlite *store);
/* Gives up what waits. */
void kss_drop_work(keystile_sqlite *store);
/* Creates or upgrades the tables, or requires them as they are. */
keystile_status kss_migrate(kss_connection *on, int require, keystile_sqlite_error *error);

#endif
