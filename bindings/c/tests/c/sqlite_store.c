/* The store for SQLite: its verbs, what two of them on one file hear of each other, and the rules
 * of its lease. Times are arguments, and the background work is a call, so nothing waits.
 *
 * usage: sqlite_store FOLDER */
#define _POSIX_C_SOURCE 200809L
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sqlite_store.h"

/* What one does is in force in the other after a tick, and in itself at once. */
static void verbs_cross(keystile_sqlite *one, keystile_sqlite *other) {
    keystile_sqlite_by by = me();
    key own = issued(one, 0, 0), rotated;
    keystile_record *record = NULL;
    keystile_change *change = NULL;
    OK(asks_to_write(one, &own));
    OK(asks_to_write(other, &own));
    OK(keystile_sqlite_find(one, &own.id, &record, NULL, &error));
    keystile_record_parts parts = parts_of(record);
    CHECK(is_text(parts.client_name, "Acme \"Ltd\"") && is_text(parts.metadata, " 1.0"));
    keystile_record_free(record);

    OK(without_write(one, &own));
    EXPECT(KEYSTILE_DENIED_PERMISSION, asks_to_write(one, &own));
    OK(asks_to_write(other, &own));
    tick(other);
    EXPECT(KEYSTILE_DENIED_PERMISSION, asks_to_write(other, &own));
    EXPECT(KEYSTILE_ERROR_STATE, without_write(one, &own));
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind = 'changed' AND version = 2 AND changes ="
                 " '[{\"field\":\"permissions\",\"from\":\"read, write\",\"to\":\"read\"}]'") == 1);

    OK(keystile_sqlite_suspend(other, &own.id, &by, now, &error));
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(other, &own));
    tick(one);
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(one, &own));
    OK(keystile_sqlite_resume(one, &own.id, &by, now, &error));
    tick(other);
    OK(asks(one, &own));
    OK(asks(other, &own));
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind IN ('suspended', 'resumed')"
                 " AND actor = 'me' AND origin = '192.0.2.7'") == 2);

    OK(keystile_sqlite_rotate(one, &own.id, NULL, NULL, NULL, &by, now, &change, &error));
    rotated = taken_from(change);
    OK(asks(one, &rotated));
    OK(asks(other, &rotated));
    OK(asks(other, &own));
    OK(keystile_sqlite_revoke(one, &own.id, str("leaked"), &by, now, &error));
    OK(keystile_sqlite_revoke(one, &own.id, str("again"), &by, now, &error));
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(one, &own));
    tick(other);
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(other, &own));
    OK(asks(other, &rotated));
    CHECK(number("SELECT count(*) FROM api_keys WHERE revoke_reason = 'leaked'") == 1);
    EXPECT(KEYSTILE_ERROR_STATE, keystile_sqlite_suspend(one, &own.id, &by, now, &error));

    memset(&own.id, 0, sizeof own.id);
    memcpy(own.id.text, "1aaaaaaaaaaaaaaa", 16);
    EXPECT(KEYSTILE_ERROR_ABSENT, keystile_sqlite_revoke(one, &own.id, str(""), &by, now, &error));
    by.actor = str("a\nline");
    EXPECT(KEYSTILE_ERROR_RECORD, keystile_sqlite_revoke(one, &rotated.id, str(""), &by, now, &error));
    CHECK(strncmp(error.text, "actor: ", 7) == 0);
    /* Other code changes rows, and its triggers leave events. */
    sql("UPDATE api_keys SET is_active = 0 WHERE status = 'active'");
    OK(asks(one, &rotated));
    tick(one);
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(one, &rotated));
}

/* Events of all keys, removed events, and a restored backup. */
static void feed(keystile_sqlite *one, keystile_sqlite *other) {
    key own = issued(one, 0, 0);
    OK(asks(other, &own));
    tick(other);
    OK(asks(other, &own));
    /* Without its own event the change is not heard of, but that of all keys is. */
    sql("INSERT INTO api_key_events (kind, key_id, at, version) SELECT 'changed', key_id, at, 2"
        " FROM api_key_events WHERE number = (SELECT max(number) FROM api_key_events)");
    sql("UPDATE api_keys SET status = 'suspended', is_active = 0, version = 2 WHERE status = 'active'");
    sql("DELETE FROM api_key_events WHERE number = (SELECT max(number) FROM api_key_events);"
        "INSERT INTO api_key_events (kind, key_id, at) VALUES ('pruned', '*', '2026-09-21T14:13:20.000Z')");
    OK(asks(other, &own));
    tick(other);
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(other, &own));
    /* So is one that is damaged. */
    tick(one);
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(one, &own));
    sql("UPDATE api_keys SET status = 'active', is_active = 1 WHERE status = 'suspended'");
    sql("UPDATE api_key_events SET key_id = x'00' WHERE number = (SELECT max(number) FROM api_key_events)");
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(one, &own));
    tick(one);
    OK(asks(one, &own));
    /* Events that were undone: the versions from after the backup are forgotten. */
    tick(other);
    OK(asks(other, &own));
    sql("DROP TRIGGER api_keys_changed; DROP TRIGGER api_keys_version_grows;"
        "UPDATE api_keys SET version = 1, status = 'suspended', is_active = 0 WHERE status = 'active';"
        "DELETE FROM api_key_events WHERE number > 1");
    OK(asks(other, &own));
    tick(other);
    EXPECT(KEYSTILE_DENIED_KEY_SUSPENDED, asks(other, &own));
}

/* If changes cannot be read for the bound, memory does not answer. */
static void lease(keystile_sqlite *store) {
    key own = issued(store, 0, 0);
    OK(asks(store, &own));
    /* The request itself reads the changes, so what was not heard of is in force. */
    sql("UPDATE api_keys SET is_active = 0 WHERE status = 'active'");
    OK(asks(store, &own));
    expire(store);
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(store, &own));
    /* The table of events is away. */
    own = issued(store, 0, 0);
    OK(asks(store, &own));
    sql("ALTER TABLE api_key_events RENAME TO away");
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, keystile_sqlite_tick(store, now, &error));
    OK(asks(store, &own));
    expire(store);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, asks(store, &own));
    /* A clock that has gone back is no lease either. */
    __atomic_store_n(&store->lease_begun, UINT64_MAX, __ATOMIC_SEQ_CST);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, asks(store, &own));
    /* While one request tries the store, all others are refused at once. */
    pthread_mutex_lock(&store->feed.lock);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, asks(store, &own));
    pthread_mutex_unlock(&store->feed.lock);
    sql("ALTER TABLE away RENAME TO api_key_events");
    OK(asks(store, &own));
}

/* Counted uses are exact over threads and stores; other states survive a restart. */
static void usage(keystile_sqlite *one, keystile_sqlite *other) {
    key counted = issued(one, 50, 0), limited = issued(one, 0, 3), wrong = counted;
    pthread_t threads[4];
    spender spenders[4];
    long allowed = 0;
    wrong.text[wrong.len - 1] ^= 1;
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, asks(one, &wrong));
    for (int at = 0; at < 4; at++) {
        spender own = {at % 2 == 0 ? one : other, &counted, 0};
        spenders[at] = own;
        CHECK(pthread_create(&threads[at], NULL, spend, &spenders[at]) == 0);
    }
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
        allowed += spenders[at].allowed;
    }
    CHECK(allowed == 50);
    CHECK(number("SELECT count(*) FROM api_key_usage WHERE remaining_uses = 0") == 1);

    keystile_key_change change;
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    change.uses = 2;
    change.has_uses = 1;
    OK(keystile_sqlite_change(one, &counted.id, &change, NULL, now, &error));
    OK(asks(other, &counted));
    OK(asks(one, &counted));
    EXPECT(KEYSTILE_DENIED_USES_SPENT, asks(other, &counted));

    OK(asks(one, &limited));
    OK(asks(one, &limited));
    tick(one);
    OK(asks(other, &limited));
    EXPECT(KEYSTILE_DENIED_RATE_LIMITED, asks(other, &limited));
    CHECK(number("SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL") == 2);
}

/* The first use of a successor ends the overlap, if the policy says so; a pepper renews digests. */
static void after_care(keystile_sqlite *one) {
    keystile_rotation_policy policy;
    keystile_change *change = NULL;
    key old = issued(one, 0, 0), successor;
    memset(&policy, 0, sizeof policy);
    policy.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy));
    policy.end_on_first_use = 1;
    OK(keystile_sqlite_rotate(one, &old.id, &policy, format, NULL, NULL, now, &change, &error));
    successor = taken_from(change);
    OK(asks(one, &old));
    OK(asks(one, &successor));
    tick(one);
    EXPECT(KEYSTILE_DENIED_KEY_REPLACED, asks(one, &old));
    OK(asks(one, &successor));
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind = 'expired'") == 1);

    /* A change without an event of its own would be taken for one by other code. */
    CHECK(number("SELECT count(*) FROM api_key_events WHERE actor = 'sqlite'") == 0);

    /* A predecessor that was deleted is forgotten. */
    key first = issued(one, 0, 0), second;
    OK(keystile_sqlite_rotate(one, &first.id, &policy, format, NULL, NULL, now, &change, &error));
    second = taken_from(change);
    char statement[256];
    snprintf(statement, sizeof statement, "DELETE FROM api_keys WHERE key_id = '%s'", first.id.text);
    sql(statement);
    OK(asks(one, &second));
    tick(one);
    OK(asks(one, &second));
    CHECK(number("SELECT count(*) FROM api_keys WHERE ends_at_first_use IS NOT NULL") == 0);

    keystile_peppers *peppers = NULL;
    keystile_verifier *peppered = NULL, *before = verifier;
    OK(keystile_peppers_new(7, (const uint8_t *)"01234567890123456789012345678901", 32, &peppers, NULL));
    OK(keystile_verifier_new(format, peppers, &peppered));
    verifier = peppered;
    keystile_sqlite *two = opened();
    /* What waits is given up when a backup is restored: versions repeat. */
    OK(asks(two, &successor));
    two->position += 1000;
    tick(two);
    CHECK(number("SELECT count(*) FROM api_keys WHERE digest_pepper = 7") == 0);
    /* Another form of an instant, which a new digest does not touch. */
    snprintf(statement, sizeof statement, "UPDATE api_keys SET created_at = '2026-09-21 14:13:20.123456' WHERE key_id = '%s'",
             successor.id.text);
    sql(statement);
    tick(two);
    OK(asks(two, &successor));
    OK(asks(two, &successor));
    tick(two);
    CHECK(number("SELECT count(*) FROM api_keys WHERE created_at = '2026-09-21 14:13:20.123456' AND digest_pepper = 7") == 1);
    CHECK(number("SELECT count(*) FROM api_keys WHERE digest_pepper = 7") == 1);
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind = 'rehashed'") == 1);
    OK(asks(two, &successor));
    OK(keystile_sqlite_close(two, now, &error));
    verifier = before;
    keystile_verifier_free(peppered);
    keystile_peppers_free(peppers);
    tick(one);
    EXPECT(KEYSTILE_DENIED_PEPPER_UNAVAILABLE, asks(one, &successor));
}

static void refuses_to_open(const char *expected, uint8_t require) {
    keystile_sqlite_options options;
    keystile_sqlite *store = NULL;
    memset(&options, 0, sizeof options);
    options.verifier = verifier;
    options.require_tables = require;
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, keystile_sqlite_open(path, &options, &store, &error));
    CHECK(store == NULL && strstr(error.text, expected) != NULL);
}

/* Tables that are newer, of someone else, or missing. */
static void tables(void) {
    keystile_sqlite_options options;
    keystile_sqlite *store = NULL;
    struct stat file;
    CHECK(stat(path, &file) == 0 && (file.st_mode & 0777) == 0600);
    sql("INSERT INTO keystile_migrations (version, name) VALUES (99, 'later')");
    refuses_to_open("the tables are of version 99, and this program knows them up to 3", 0);
    /* If the tables are as expected, a program that writes for long does not matter. */
    sqlite3 *blocker = NULL;
    sql("DELETE FROM keystile_migrations WHERE version = 99");
    CHECK(sqlite3_open(path, &blocker) == SQLITE_OK);
    CHECK(sqlite3_exec(blocker, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    store = opened();
    sqlite3_close(blocker);
    OK(keystile_sqlite_close(store, now, &error));
    store = NULL;
    unlink(path);
    sql("CREATE TABLE api_keys (id INTEGER)");
    refuses_to_open("api_keys is not keystile's", 0);
    CHECK(number("SELECT count(*) FROM sqlite_schema") == 1);
    unlink(path);
    /* No file is left at a path that was mistyped. */
    refuses_to_open("unable to open", 1);
    CHECK(stat(path, &file) != 0);
    sql("CREATE TABLE other (id INTEGER)");
    refuses_to_open("expected 3", 1);
    sql("CREATE TABLE keystile_migrations (version INTEGER); INSERT INTO keystile_migrations VALUES (-1)");
    refuses_to_open("of version -1", 0);
    memset(&options, 0, sizeof options);
    EXPECT(KEYSTILE_ERROR_NULL_POINTER, keystile_sqlite_open(path, &options, &store, &error));
    options.verifier = verifier;
    options.bound_millis = 999;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_sqlite_open(path, &options, &store, &error));
    options.bound_millis = 1000;
    options.poll_millis = 501;
    EXPECT(KEYSTILE_ERROR_LIMIT, keystile_sqlite_open(path, &options, &store, &error));
    OK(keystile_sqlite_close(NULL, now, NULL));
}

static void fresh(void (*test)(keystile_sqlite *, keystile_sqlite *), void (*alone)(keystile_sqlite *)) {
    unlink(path);
    keystile_sqlite *one = opened(), *other = opened();
    if (test != NULL) {
        test(one, other);
    } else {
        alone(one);
    }
    OK(keystile_sqlite_close(one, now, &error));
    OK(keystile_sqlite_close(other, now, &error));
}

/* A thread of the store reads the changes while others ask. */
static void with_threads(void) {
    keystile_sqlite_options options;
    keystile_sqlite *store = NULL, *other;
    struct timespec moment = {0, 5000000};
    unlink(path);
    memset(&options, 0, sizeof options);
    options.verifier = verifier;
    options.poll_millis = 10;
    OK(keystile_sqlite_open(path, &options, &store, &error));
    other = opened();
    key own = issued(other, 0, 0), counted = issued(other, 40, 0);
    pthread_t threads[4];
    spender spenders[4];
    for (int at = 0; at < 4; at++) {
        spender asked = {store, &counted, 0};
        spenders[at] = asked;
        CHECK(pthread_create(&threads[at], NULL, spend, &spenders[at]) == 0);
    }
    OK(asks(store, &own));
    OK(keystile_sqlite_revoke(other, &own.id, str(""), NULL, now, &error));
    /* 20 s under any load. */
    for (int waited = 0; asks(store, &own) == KEYSTILE_OK; waited++) {
        CHECK(waited < 4000);
        nanosleep(&moment, NULL);
    }
    for (int at = 0; at < 4; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
    }
    OK(keystile_sqlite_close(other, now, &error));
    OK(keystile_sqlite_close(store, now, &error));
}

int main(int argc, char **argv) {
    /* `quick`: without the part that fails each allocation once, which takes minutes under
     * valgrind; the address sanitizer finds what it leaks. */
    CHECK(argc == 2 || (argc == 3 && strcmp(argv[2], "quick") == 0));
    snprintf(path, sizeof path, "%s/store.db", argv[1]);
    watch_memory();
    now = (uint64_t)time(NULL) * 1000;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    fresh(verbs_cross, NULL);
    fresh(feed, NULL);
    fresh(usage, NULL);
    fresh(NULL, after_care);
    fresh(NULL, derived);
    fresh(NULL, lease);
    fresh(NULL, damage);
    fresh(NULL, damaged_derived);
    fresh(NULL, siblings);
    fresh(waits, NULL);
    fresh(NULL, uses_in_steps);
    if (argc == 2) {
        without_memory();
    }
    fresh(NULL, instants);
    tables();
    with_threads();
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    puts("the store for SQLite");
    return 0;
}
