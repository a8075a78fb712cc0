/* Each allocation of SQLite fails once, and from it on: a key is never left, stored or read with
 * less restrictions than it has. */
#define _POSIX_C_SOURCE 200809L
#include <unistd.h>

#include "sqlite_store.h"

static sqlite3_mem_methods own;
/* Of the thread: the number of allocations, the one that fails, and whether later ones do. */
static __thread long count, failing;
static __thread int lasting;

static int fails(void) {
    count++;
    return failing != 0 && (lasting ? count >= failing : count == failing);
}

static void *allocate(int size) { return fails() ? NULL : own.xMalloc(size); }
static void *reallocate(void *place, int size) { return fails() ? NULL : own.xRealloc(place, size); }

void watch_memory(void) {
    sqlite3_mem_methods watched;
    CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &own) == SQLITE_OK);
    watched = own;
    watched.xMalloc = allocate;
    watched.xRealloc = reallocate;
    CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &watched) == SQLITE_OK);
    /* Its small blocks would not be counted. */
    CHECK(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
}

static void begin(long nth, int from_then_on) {
    count = 0;
    failing = nth;
    lasting = from_then_on;
}

/* Whether the allocation that was to fail was reached. */
static int end(void) {
    int reached = count >= failing;
    failing = 0;
    return reached;
}

static key tried, added;

static keystile_status finds(keystile_sqlite *store) {
    keystile_record *record = NULL;
    keystile_status status = keystile_sqlite_find(store, &tried.id, &record, NULL, NULL);
    if (status == KEYSTILE_OK) {
        keystile_record_parts parts = parts_of(record);
        CHECK(parts.allowed_endpoints != NULL && parts.allowed_networks != NULL);
        CHECK(!parts.never_expires && is_text(parts.owner, "tenant-7"));
        CHECK(parts.overlap_until != 0 && parts.replaced_by.text[0] != '\0');
        keystile_record_free(record);
    }
    return status;
}

static keystile_status changes(keystile_sqlite *store) {
    /* Each time another one: a change to what is there is an error. */
    static uint32_t limit = 100;
    keystile_key_change change;
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    change.rate_limit.limit = change.rate_limit.burst = ++limit;
    change.rate_limit.window_millis = 60000;
    change.has_rate_limit = 1;
    return keystile_sqlite_change(store, &tried.id, &change, NULL, now, &error);
}

static keystile_status issues(keystile_sqlite *store) {
    keystile_str granted[1] = {str("read")}, rules[1] = {str("/api/*")};
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_issue_request request;
    keystile_change *change = NULL;
    OK(keystile_permissions_new(granted, 1, &permissions, NULL));
    OK(keystile_endpoints_new(rules, 1, &endpoints, NULL));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme");
    request.permissions = permissions;
    request.allowed_endpoints = endpoints;
    keystile_status status = keystile_sqlite_issue(store, format, NULL, &request, NULL, now, &change, &error);
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    keystile_change_free(change);
    return status;
}

static void try_each(keystile_status (*call)(keystile_sqlite *), keystile_sqlite *store, const char *unchanged) {
    sqlite3 *database = NULL;
    sqlite3_stmt *checks = NULL;
    CHECK(sqlite3_open(path, &database) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(database, unchanged, -1, &checks, NULL) == SQLITE_OK);
    for (int from_then_on = 0; from_then_on < 2; from_then_on++) {
        int reached = 1;
        for (long nth = 1; reached; nth++) {
            begin(nth, from_then_on);
            keystile_status status = call(store);
            reached = end();
            if (status != KEYSTILE_OK && status != KEYSTILE_DENIED_STORE_UNAVAILABLE) {
                fprintf(stderr, "allocation %ld: %s\n", nth, error.text);
                EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, status);
            }
            CHECK(reached || status == KEYSTILE_OK);
            CHECK(sqlite3_step(checks) == SQLITE_ROW && sqlite3_column_int(checks, 0) == 1);
            sqlite3_reset(checks);
        }
    }
    sqlite3_finalize(checks);
    sqlite3_close(database);
}

void without_memory(void) {
    static const char UNCHANGED[] =
        "SELECT count(*) = 1 FROM api_keys WHERE allowed_endpoints = '[\"/api/*\"]'"
        " AND allowed_networks = '[\"192.0.2.0/24\"]' AND expires_at = '2100-02-28T23:59:59.000Z'"
        " AND owner = 'tenant-7' AND (overlap_until IS NULL) = (replaced_by IS NULL)";
    char statement[512];
    unlink(path);
    /* Each text that is read needs memory. */
    sql("PRAGMA encoding = 'UTF-16'; CREATE TABLE other (id INTEGER)");
    keystile_sqlite *store = opened();
    tried = issued(store, 0, 10);
    added = issued(store, 0, 0);
    snprintf(statement, sizeof statement,
             "UPDATE api_keys SET allowed_endpoints = '[\"/api/*\"]', allowed_networks = '[\"192.0.2.0/24\"]',"
             " expires_at = '2100-02-28T23:59:59.000Z', overlap_until = '2099-02-28T23:59:59.000Z',"
             " replaced_by = '%s', owner = 'tenant-7' WHERE key_id = '%s'", added.id.text, tried.id.text);
    sql(statement);
    try_each(finds, store, UNCHANGED);
    /* A key that was replaced cannot be changed. */
    sql("UPDATE api_keys SET replaced_by = NULL, overlap_until = NULL");
    try_each(changes, store, UNCHANGED);
    try_each(issues, store, "SELECT count(*) = 2 FROM api_keys WHERE allowed_endpoints IS NULL OR owner IS NOT NULL");
    OK(keystile_sqlite_close(store, now, &error));
}
