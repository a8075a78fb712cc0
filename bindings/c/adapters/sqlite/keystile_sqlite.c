/* Opening and closing, errors, and the tables. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keystile_sqlite_internal.h"
#include "keystile_sqlite_migrations.h"

/* How long the opening waits for other processes to release the file's lock. */
enum { BUSY_MILLIS = 5000 };

keystile_status kss_fail(keystile_sqlite_error *error, keystile_status status, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        sqlite3_vsnprintf((int)sizeof error->text, error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

keystile_status kss_unavailable(const kss_connection *on, keystile_sqlite_error *error) {
    return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "the store is unavailable: %s",
                    /* A parameter that could not be copied is no error of the database. */
                    on->database == NULL || (sqlite3_errcode(on->database) & 0xff) == SQLITE_OK ||
                            sqlite3_errcode(on->database) >= SQLITE_ROW
                        ? "out of memory"
                        : sqlite3_errmsg(on->database));
}

keystile_status kss_busy(keystile_sqlite_error *error) {
    return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "the store is unavailable: it was busy for too long");
}

keystile_status kss_library(keystile_sqlite_error *error, keystile_status status) {
    return status == KEYSTILE_OK ? status : kss_fail(error, status, "%s", keystile_status_text(status));
}

keystile_status kss_field(keystile_sqlite_error *error, keystile_status status, const keystile_error *why) {
    char item[32] = "";
    if (status == KEYSTILE_OK || why->message.data == NULL) {
        return kss_library(error, status);
    }
    if (why->index != KEYSTILE_INDEX_NONE) {
        sqlite3_snprintf(sizeof item, item, "[%llu]", (unsigned long long)why->index);
    }
    return kss_fail(error, status, "%.*s%s%s%.*s", (int)why->field.len, why->field.data == NULL ? "" : why->field.data,
                    item, why->field.data == NULL ? "" : ": ", (int)why->message.len, why->message.data);
}

/* ---- The tables. ---- */

static sqlite3_int64 number_of(kss_connection *on, const char *sql, int *failed) {
    sqlite3_int64 value = 0;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(on->database, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        *failed = 1;
    } else {
        value = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return value;
}

/* Runs a file of which each line is a text. */
static int run_lines(kss_connection *on, const char *const *lines) {
    size_t len = 0, used = 0;
    for (size_t at = 0; lines[at] != NULL; at++) {
        len += strlen(lines[at]);
    }
    char *file = malloc(len + 1);
    if (file == NULL) {
        return 0;
    }
    for (size_t at = 0; lines[at] != NULL; at++) {
        size_t line = strlen(lines[at]);
        memcpy(file + used, lines[at], line);
        used += line;
    }
    file[len] = '\0';
    int done = sqlite3_exec(on->database, file, NULL, NULL, NULL) == SQLITE_OK;
    free(file);
    return done;
}

/* The version of the tables; 0 if there are none. */
static keystile_status read_version(kss_connection *on, sqlite3_int64 known, sqlite3_int64 *out_version,
                                    keystile_sqlite_error *error) {
    int failed = 0;
    sqlite3_int64 version = 0;
    sqlite3_int64 keys = number_of(on, "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view')"
                                       " AND name = 'api_keys' COLLATE NOCASE", &failed);
    if (number_of(on, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
                      " AND name = 'keystile_migrations'", &failed) != 0) {
        version = number_of(on, "SELECT coalesce(max(version), 0) FROM keystile_migrations", &failed);
    }
    *out_version = version;
    if (failed) {
        return kss_unavailable(on, error);
    }
    if (version > known || version < 0) {
        return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE,
                        "the tables are of version %lld, and this program knows them up to %lld", version, known);
    }
    if (version == 0 && keys != 0) {
        return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE,
                        "the table api_keys is not keystile's; `keystile migrate` can adopt it");
    }
    return KEYSTILE_OK;
}

keystile_status kss_migrate(kss_connection *on, int require, keystile_sqlite_error *error) {
    const sqlite3_int64 known = sizeof KSS_MIGRATIONS / sizeof KSS_MIGRATIONS[0];
    sqlite3_int64 version = 0;
    keystile_status result = read_version(on, known, &version, error);
    if (result == KEYSTILE_OK && require && version != known) {
        result = kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE,
                          "the tables are of version %lld, expected %lld", version, known);
    }
    if (result != KEYSTILE_OK || version == known) {
        /* Another program that writes for long does not matter. */
        return result;
    }
    /* Each file records its number, so it does not matter which program ran it. */
    result = kss_begin(on) ? read_version(on, known, &version, error) : kss_unavailable(on, error);
    for (; result == KEYSTILE_OK && version < known; version++) {
        if (!run_lines(on, KSS_MIGRATIONS[version])) {
            result = kss_unavailable(on, error);
        }
    }
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, error);
    }
    kss_roll_back(on);
    return result;
}

/* ---- Opening and closing. ---- */

static int connect_to(kss_connection *to, const char *path, const char *pragmas) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &to->database, flags, NULL) != SQLITE_OK) {
        return 0;
    }
    sqlite3_busy_timeout(to->database, BUSY_MILLIS);
    sqlite3_extended_result_codes(to->database, 1);
    return sqlite3_exec(to->database, pragmas, NULL, NULL, NULL) == SQLITE_OK;
}

static void disconnect(kss_connection *from) {
    for (int at = 0; at < KSS_STATEMENTS_MAX; at++) {
        sqlite3_finalize(from->statements[at].handle);
    }
    sqlite3_close(from->database);
    pthread_mutex_destroy(&from->lock);
}

/* The write-ahead log, with which readers and a writer do not wait for each other. */
static int use_wal(kss_connection *on) {
    /* The change of mode ignores the busy timeout. */
    for (int waited = 0; waited < BUSY_MILLIS; waited += 10) {
        sqlite3_stmt *statement = NULL;
        int result = sqlite3_prepare_v2(on->database, "PRAGMA journal_mode = wal", -1, &statement, NULL);
        if (result == SQLITE_OK) {
            result = sqlite3_step(statement);
        }
        int is_wal = result == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
        sqlite3_finalize(statement);
        if (result == SQLITE_ROW || (result & 0xff) != SQLITE_BUSY) {
            return is_wal;
        }
        sqlite3_sleep(10);
    }
    return 0;
}

static keystile_status connect_all(keystile_sqlite *store, const char *path, keystile_sqlite_error *error) {
    kss_connection *all[] = {&store->writer, &store->quick, &store->reader, &store->feed};
    /* SQLite creates its other files with the mode of this one. */
    int created = store->options.require_tables ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (created >= 0) {
        close(created);
    } else if (!store->options.require_tables && errno != EEXIST) {
        return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "the store is unavailable: cannot open the file");
    }
    for (int at = 0; at < 4; at++) {
        const char *pragmas = at == 0   ? "PRAGMA foreign_keys = 1; PRAGMA synchronous = FULL"
                              : at == 1 ? "PRAGMA foreign_keys = 1; PRAGMA synchronous = NORMAL"
                                        : "PRAGMA foreign_keys = 1; PRAGMA query_only = 1";
        if (!connect_to(all[at], path, pragmas)) {
            return kss_unavailable(all[at], error);
        }
        if (at == 0) {
            /* Before the log: another program's file is not changed. */
            keystile_status tables = kss_migrate(all[at], store->options.require_tables, error);
            if (tables != KEYSTILE_OK) {
                return tables;
            }
            if (!use_wal(all[at])) {
                return kss_fail(error, KEYSTILE_DENIED_STORE_UNAVAILABLE,
                                "the store is unavailable: expected a file system that supports SQLite's write-ahead log");
            }
        }
    }
    return KEYSTILE_OK;
}

static keystile_status check_options(keystile_sqlite_options *options, keystile_sqlite_error *error) {
    options->poll_millis = options->poll_millis == 0 ? 500 : options->poll_millis;
    options->bound_millis = options->bound_millis == 0 ? 60000 : options->bound_millis;
    if (options->verifier == NULL) {
        return kss_fail(error, KEYSTILE_ERROR_NULL_POINTER, "options: verifier must be set");
    }
    if (options->bound_millis < 1000 || options->bound_millis > 86400000) {
        return kss_fail(error, KEYSTILE_ERROR_LIMIT, "options: bound_millis must be 1 s to a day");
    }
    if (options->poll_millis > options->bound_millis / 2) {
        return kss_fail(error, KEYSTILE_ERROR_LIMIT, "options: bound_millis must be at least twice poll_millis");
    }
    if (options->require_tables > 1 || options->without_thread > 1) {
        return kss_fail(error, KEYSTILE_ERROR_VALUE, "options: require_tables and without_thread must be 0 or 1");
    }
    return KEYSTILE_OK;
}

static void free_store(keystile_sqlite *store) {
    kss_drop_work(store);
    disconnect(&store->reader);
    disconnect(&store->feed);
    disconnect(&store->quick);
    /* The last one, which may write the log back to the file. */
    disconnect(&store->writer);
    pthread_mutex_destroy(&store->tasks_lock);
    pthread_mutex_destroy(&store->work_lock);
    pthread_mutex_destroy(&store->stop_lock);
    pthread_cond_destroy(&store->stop_signal);
    keystile_keyring_free(store->keyring);
    free(store);
}

keystile_status keystile_sqlite_open(const char *path, const keystile_sqlite_options *options,
                                     keystile_sqlite **out_store, keystile_sqlite_error *out_error) {
    keystile_sqlite_options own;
    if (path == NULL || options == NULL || out_store == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    own = *options;
    keystile_status result = check_options(&own, out_error);
    if (result != KEYSTILE_OK) {
        return result;
    }
    /* The path always names a file: to SQLite `:memory:` and an empty one mean something else. */
    char *file = sqlite3_mprintf(path[0] == '/' ? "%s" : "./%s", path);
    keystile_sqlite *store = calloc(1, sizeof *store);
    if (store == NULL || file == NULL || sqlite3_threadsafe() == 0) {
        free(store);
        sqlite3_free(file);
        return kss_fail(out_error, KEYSTILE_DENIED_STORE_UNAVAILABLE,
                        "expected memory, and an SQLite that several threads can use");
    }
    store->options = own;
    store->verifier = own.verifier;
    pthread_mutex_t *locks[] = {&store->reader.lock, &store->feed.lock, &store->writer.lock, &store->quick.lock,
                                &store->tasks_lock, &store->work_lock, &store->stop_lock};
    for (size_t at = 0; at < sizeof locks / sizeof locks[0]; at++) {
        pthread_mutex_init(locks[at], NULL);
    }
    pthread_condattr_t waits;
    pthread_condattr_init(&waits);
#ifndef __APPLE__
    /* A clock that is set back must not make the thread wait. */
    pthread_condattr_setclock(&waits, CLOCK_MONOTONIC);
#endif
    pthread_cond_init(&store->stop_signal, &waits);
    pthread_condattr_destroy(&waits);
    keystile_error why = {{NULL, 0}, {NULL, 0}, 0};
    result = kss_field(out_error, keystile_keyring_new(own.verifier, own.keyring, &store->keyring, &why), &why);
    if (result == KEYSTILE_OK) {
        result = connect_all(store, file, out_error);
    }
    if (result == KEYSTILE_OK) {
        result = kss_poll(store, out_error);
    }
    if (result == KEYSTILE_OK && !own.without_thread && !kss_start_thread(store)) {
        result = kss_fail(out_error, KEYSTILE_DENIED_STORE_UNAVAILABLE, "no thread can be started");
    }
    sqlite3_free(file);
    if (result != KEYSTILE_OK) {
        free_store(store);
        return result;
    }
    *out_store = store;
    return KEYSTILE_OK;
}

keystile_status keystile_sqlite_close(keystile_sqlite *store, uint64_t now, keystile_sqlite_error *out_error) {
    if (store == NULL) {
        return KEYSTILE_OK;
    }
    kss_stop_thread(store);
    keystile_status result = kss_flush(store, now, 1, out_error);
    free_store(store);
    return result;
}

const keystile_keyring *keystile_sqlite_keyring(const keystile_sqlite *store) {
    return store == NULL ? NULL : store->keyring;
}
