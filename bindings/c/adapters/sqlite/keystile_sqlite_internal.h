/* What the files of the store share. Programs include keystile_sqlite.h. */
#ifndef KEYSTILE_SQLITE_INTERNAL_H
#define KEYSTILE_SQLITE_INTERNAL_H

#include <pthread.h>
#include <sqlite3.h>

#include "keystile_sqlite.h"

enum {
    KSS_STATEMENTS_MAX = 48,
    /* What uses have called for, and was not done yet. */
    KSS_TASKS_MAX = 64
};

/* A prepared statement. If one of its parameters could not be bound, it fails and is not run: a
 * missing parameter is NULL, which in many columns is "no limit". */
typedef struct kss_statement {
    const char *text;
    sqlite3_stmt *handle;
    int failed;
} kss_statement;

/* A connection, its prepared statements, and the lock of both. */
typedef struct kss_connection {
    sqlite3 *database;
    pthread_mutex_t lock;
    /* How many threads wait for the lock; atomic. */
    int waiters;
    kss_statement statements[KSS_STATEMENTS_MAX];
    /* Stands for one that could not be prepared: it always fails. */
    kss_statement none;
} kss_connection;

/* Keys whose versions were raised with a change of another one, and which. Free the array. */
typedef struct kss_version {
    keystile_id id;
    uint64_t version;
} kss_version;
typedef struct kss_raised {
    kss_version *versions;
    size_t count;
} kss_raised;

/* What the use of a key has called for: a renewed digest, or the end of the overlap of
 * `predecessor`. Nothing of it has key text. */
typedef struct kss_task {
    keystile_id key;
    keystile_id predecessor;
    keystile_change *renewed;
    /* The next try; none before. */
    uint64_t not_before;
    /* A row cannot be read: after the pause, the next use of the key calls for it again. */
    int is_given_up;
} kss_task;

/* What a key has used and is not written entirely. */
typedef struct kss_use {
    keystile_use use;
    int rate_waits, use_waits;
} kss_use;

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
    /* A restored backup repeats versions, so what waits is of other records. Atomic. */
    int tasks_are_void;
    /* Under `tasks_lock`. */
    pthread_mutex_t tasks_lock;
    kss_task tasks[KSS_TASKS_MAX];
    /* Why a request could not be answered, for on_failure; and what that was called with last. */
    char refused[256], reported[256];
    /* The turns of the background work. Under `work_lock`, which is taken before all others. */
    pthread_mutex_t work_lock;
    kss_use *uses;
    size_t uses_count;
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
/* The connection was not to be had in time. */
keystile_status kss_busy(keystile_sqlite_error *error);
/* An error of the library: its sentence, or what it says of a field. */
keystile_status kss_library(keystile_sqlite_error *error, keystile_status status);
keystile_status kss_field(keystile_sqlite_error *error, keystile_status status, const keystile_error *why);

/* Waits for a connection until an instant of kss_clock, and lets its statements wait for the
 * locks of the file for what is left of that; 0 if it was not to be had. */
enum {
    KSS_WAIT_MILLIS = 5000,
    /* The background work waits for less: it comes again. */
    KSS_WORK_MILLIS = 1000
};
uint64_t kss_clock(void);
int kss_take(kss_connection *on, uint64_t deadline);
void kss_give(kss_connection *on);

/* Statements. Each text is a constant, and its statement is prepared once. If that fails, or a
 * parameter cannot be bound, kss_step fails. kss_done steps once and resets: the number of
 * changed rows, or -1. */
kss_statement *kss_prepare(kss_connection *on, const char *sql);
int kss_step(kss_statement *statement);
void kss_reset(kss_statement *statement);
int kss_done(kss_connection *on, kss_statement *statement);
int kss_begin(kss_connection *on);
int kss_commit(kss_connection *on);
void kss_roll_back(kss_connection *on);
/* Notes the result of a function of SQLite that binds. */
void kss_bound(kss_statement *statement, int result);
void kss_bind_number(kss_statement *statement, int at, uint64_t value);
/* What is NULL, none or 0 is left NULL. */
void kss_bind_text(kss_statement *statement, int at, const char *text);
void kss_bind_id(kss_statement *statement, int at, const keystile_id *id);
void kss_bind_str(kss_statement *statement, int at, keystile_str text);
void kss_bind_instant(kss_statement *statement, int at, uint64_t instant);
void kss_bind_digest(kss_statement *statement, int hash, int pepper, const keystile_digest *digest);
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
/* What is needed to revoke a row that cannot be read; 0 if not even that can be read. */
int kss_read_damaged(sqlite3_stmt *statement, keystile_id *out_id, uint64_t *out_version);
int kss_find_digest(kss_connection *on, const keystile_id *key, keystile_digest *out_digest);
int kss_read_version(sqlite3_stmt *row, int column, uint64_t *out_version);
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

/* Writes, in a transaction that was begun. `siblings` receives the keys whose remaining uses are
 * set with those of the key; NULL if the change sets none. */
keystile_status kss_write(kss_connection *on, const keystile_change *change, kss_raised *siblings,
                          const keystile_sqlite_by *by, uint64_t now, keystile_sqlite_error *error);
/* 0 without memory. */
int kss_raise(kss_raised *list, const keystile_id *id, uint64_t version);
keystile_status kss_write_event(kss_connection *on, const keystile_event *event, const char *changes,
                                const keystile_sqlite_by *by, keystile_sqlite_error *error);
keystile_status kss_write_events(kss_connection *on, const keystile_change *change, const keystile_sqlite_by *by,
                                 uint64_t now, keystile_sqlite_error *error);
/* Steps a statement that must change one row. */
keystile_status kss_changes_one(kss_connection *on, kss_statement *statement, keystile_sqlite_error *error);
/* Write the digests, the end of an overlap, and that keys are revoked, and no other column. */
keystile_status kss_write_digest(kss_connection *on, const keystile_change *change, uint64_t now,
                                 keystile_sqlite_error *error);
keystile_status kss_write_overlap(kss_connection *on, const keystile_change *change, const keystile_id *predecessor,
                                  uint64_t now, keystile_sqlite_error *error);
keystile_status kss_write_status(kss_connection *on, const keystile_change *change, const keystile_sqlite_by *by,
                                 uint64_t now, keystile_sqlite_error *error);
/* A record of which only this is known. */
keystile_status kss_stand_in(const keystile_id *id, uint64_t version, const keystile_digest *digest, uint64_t now,
                             keystile_record **out_record, keystile_error *why);
/* The revocation of a key of which only the id and the version are known, for kss_write_status. */
keystile_status kss_revoke_damaged(const keystile_id *id, uint64_t version, keystile_str reason, uint64_t now,
                                   keystile_change **out_change, keystile_sqlite_error *error);
keystile_status kss_find_damaged(kss_connection *on, const keystile_id *id, uint64_t *out_version,
                                 int *out_is_revoked, keystile_sqlite_error *error);
/* Writes the event of a changed key of which the library made none. */
keystile_status kss_note(kss_connection *on, uint32_t kind, const keystile_id *key, uint64_t version,
                         const char *changes, uint64_t now, const keystile_sqlite_by *by,
                         keystile_sqlite_error *error);
/* Puts the records of a change in force: at their versions if they were written. */
void kss_in_force(const keystile_sqlite *store, const keystile_change *change, int written);
void kss_version_in_force(const keystile_sqlite *store, const keystile_id *id, uint64_t version, int written);

/* What a verb is about, and its arguments. */
typedef struct kss_call {
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
} kss_call;

/* How a verb treats keys that derive from the key, and keys that derive from another. */
enum { KSS_REACHES_DERIVED, KSS_REFUSES_SOURCES, KSS_REFUSES_BOTH, KSS_REFUSES_LESS };

/* A change of a key that derives from another, and whether the rest of its row cannot be read. */
typedef struct kss_derived {
    keystile_change *change;
    int is_damaged;
} kss_derived;

keystile_id kss_lineage_of(const keystile_record_parts *parts);
/* Refuses what this store leaves to others. `after` is what the verb makes of the key. */
keystile_status kss_refuse_derived(const kss_call *of, int how, const keystile_record *before,
                                   const keystile_record *after);
/* Revokes the keys that derive from a key, unless its successor lives. `out_changes` is a list
 * of so many, which the caller frees. */
keystile_status kss_revoke_derived(const kss_call *of, const keystile_record *source, kss_derived **out_changes,
                                   size_t *out_count);
/* Revokes a key whose row cannot be read: only its status is written, and no other key is reached. */
keystile_status kss_revoke_unread(const kss_call *of, keystile_change **out_change);

/* The lease, and the work that is called for. */
int kss_lease_holds(keystile_sqlite *store, uint64_t deadline);
void kss_schedule(keystile_sqlite *store, const keystile_decision *decision, const char *key,
                  size_t key_len, uint64_t now);
keystile_status kss_poll(keystile_sqlite *store, keystile_sqlite_error *error);
/* Both under `work_lock`. */
keystile_status kss_perform_tasks(keystile_sqlite *store, uint64_t now, keystile_sqlite_error *error);
keystile_status kss_flush(keystile_sqlite *store, uint64_t now, int all, keystile_sqlite_error *error);
/* Notes why a request could not be answered; calls on_failure with it, if it is another reason
 * than last time. */
void kss_refused(keystile_sqlite *store, const keystile_sqlite_error *error);
void kss_report_refused(keystile_sqlite *store);
int kss_start_thread(keystile_sqlite *store);
void kss_stop_thread(keystile_sqlite *store);
/* Give up what waits: all of it, the tasks, the uses. */
void kss_drop_work(keystile_sqlite *store);
void kss_drop_tasks(keystile_sqlite *store);
void kss_drop_uses(keystile_sqlite *store);
/* Creates or upgrades the tables, or requires them as they are. */
keystile_status kss_migrate(kss_connection *on, int require, keystile_sqlite_error *error);

#endif
