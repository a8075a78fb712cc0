/* What the tests of the store share. */
#define _POSIX_C_SOURCE 200809L
#include "sqlite_store.h"

char path[512];
keystile_format *format;
keystile_verifier *verifier;
uint64_t now;
keystile_sqlite_error error;

keystile_sqlite *opened(void) {
    keystile_sqlite_options options;
    keystile_sqlite *store = NULL;
    memset(&options, 0, sizeof options);
    options.verifier = verifier;
    options.without_thread = 1;
    keystile_status status = keystile_sqlite_open(path, &options, &store, &error);
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s\n", error.text);
    }
    OK(status);
    return store;
}

/* As other code, which knows nothing of keystile. */
void sql(const char *statement) {
    sqlite3 *database = NULL;
    char *text = NULL;
    CHECK(sqlite3_open(path, &database) == SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    if (sqlite3_exec(database, statement, NULL, NULL, &text) != SQLITE_OK) {
        fprintf(stderr, "%s: %s\n", statement, text);
        exit(1);
    }
    sqlite3_close(database);
}

long long number(const char *query) {
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    CHECK(sqlite3_open(path, &database) == SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    CHECK(sqlite3_prepare_v2(database, query, -1, &statement, NULL) == SQLITE_OK);
    CHECK(sqlite3_step(statement) == SQLITE_ROW);
    long long value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return value;
}

key taken_from(keystile_change *change) {
    key own;
    keystile_str text;
    OK(keystile_change_key(change, &text));
    CHECK(text.len < sizeof own.text);
    memcpy(own.text, text.data, text.len);
    own.len = text.len;
    own.id = parts_of(keystile_change_record_at(change, 0)).id;
    keystile_change_free(change);
    return own;
}

key issued(keystile_sqlite *store, uint64_t uses, uint32_t limit) {
    keystile_str granted[2] = {str("read"), str("write")};
    keystile_permissions *permissions = NULL;
    keystile_issue_request request;
    keystile_change *change = NULL;
    OK(keystile_permissions_new(granted, 2, &permissions, NULL));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme \"Ltd\"");
    request.metadata = str(" 1.0");
    request.permissions = permissions;
    request.uses = uses;
    request.has_uses = uses != 0;
    request.rate_limit.limit = request.rate_limit.burst = limit;
    request.rate_limit.window_millis = limit == 0 ? 0 : 3600000;
    request.has_rate_limit = limit != 0;
    OK(keystile_sqlite_issue(store, format, NULL, &request, NULL, now, &change, &error));
    keystile_permissions_free(permissions);
    return taken_from(change);
}

keystile_status asks(keystile_sqlite *store, const key *own) {
    keystile_request request = request_for(NULL, "GET", "/");
    return keystile_sqlite_check(store, own->text, own->len, &request, now, NULL);
}

keystile_status asks_to_write(keystile_sqlite *store, const key *own) {
    keystile_requirement *requirement = NULL;
    OK(keystile_requirement_parse(L("write"), &requirement, NULL));
    keystile_request request = request_for(requirement, "GET", "/");
    keystile_status status = keystile_sqlite_check(store, own->text, own->len, &request, now, NULL);
    keystile_requirement_free(requirement);
    return status;
}

keystile_status without_write(keystile_sqlite *store, const key *own) {
    keystile_str taken[1] = {str("write")};
    keystile_permissions *permissions = NULL;
    keystile_key_change change;
    OK(keystile_permissions_new(taken, 1, &permissions, NULL));
    memset(&change, 0, sizeof change);
    change.struct_size = sizeof change;
    change.remove_permissions = permissions;
    keystile_status status = keystile_sqlite_change(store, &own->id, &change, NULL, now, &error);
    keystile_permissions_free(permissions);
    return status;
}

void tick(keystile_sqlite *store) {
    keystile_status status = keystile_sqlite_tick(store, now, &error);
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s\n", error.text);
    }
    OK(status);
}

keystile_sqlite_by me(void) {
    keystile_sqlite_by by = {{"me", 2}, {"192.0.2.7", 9}};
    return by;
}

/* Ends the lease, as if its bound were over. */
void expire(keystile_sqlite *store) {
    __atomic_sub_fetch(&store->lease_begun, store->options.bound_millis + 1, __ATOMIC_SEQ_CST);
}

void *spend(void *argument) {
    spender *own = argument;
    for (int turn = 0; turn < 20; turn++) {
        keystile_status status = asks(own->store, own->own);
        CHECK(status == KEYSTILE_OK || status == KEYSTILE_DENIED_USES_SPENT);
        own->allowed += status == KEYSTILE_OK;
    }
    return NULL;
}
