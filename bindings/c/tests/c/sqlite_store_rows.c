/* Keys that derive from others, rows that cannot be read, and forms of instants. */
#define _POSIX_C_SOURCE 200809L
#include "sqlite_store.h"

/* A revocation reaches the keys that derive from a key; the other verbs refuse them. */
void derived(keystile_sqlite *one) {
    char statement[512];
    key source = issued(one, 0, 0), below = issued(one, 0, 0);
    snprintf(statement, sizeof statement,
             "UPDATE api_keys SET derived_from = '%s', derived_lineage = '%s' WHERE key_id = '%s'", source.id.text,
             source.id.text, below.id.text);
    sql(statement);
    OK(asks(one, &below));
    EXPECT(KEYSTILE_ERROR_STATE, keystile_sqlite_suspend(one, &source.id, NULL, now, &error));
    CHECK(strstr(error.text, "derive") != NULL);
    EXPECT(KEYSTILE_ERROR_STATE, without_write(one, &source));
    /* Its uses may be counted only if those of the derived key are. */
    keystile_key_change counts;
    memset(&counts, 0, sizeof counts);
    counts.struct_size = sizeof counts;
    counts.uses = 5;
    counts.has_uses = 1;
    EXPECT(KEYSTILE_ERROR_STATE, keystile_sqlite_change(one, &source.id, &counts, NULL, now, &error));
    sql("UPDATE api_key_usage SET remaining_uses = 9");
    OK(keystile_sqlite_change(one, &source.id, &counts, NULL, now, &error));
    OK(without_write(one, &below));
    keystile_change *change = NULL;
    EXPECT(KEYSTILE_ERROR_STATE,
           keystile_sqlite_rotate(one, &below.id, NULL, NULL, NULL, NULL, now, &change, &error));
    OK(keystile_sqlite_revoke(one, &source.id, str("leaked"), NULL, now, &error));
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(one, &source));
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(one, &below));
}

/* Rows that cannot be read are refused, and named without what is in them. */
void damage(keystile_sqlite *one) {
    static const char *const DAMAGES[][2] = {
        {"permissions = '[7]'", "permissions"},    {"expires_at = 'soon'", "expires_at"},
        {"expires_at = 5", "expires_at"},          {"expires_at = '2026-02-30T00:00:00Z'", "expires_at"},
        {"key_hash = upper(key_hash)", "key_hash"}, {"rate_burst = -1", "rate_burst"},
        {"rate_burst = 7", "rate_limit"},          {"rate_window_ms = 5", "rate_limit"},
        {"rate_limit = 5", "rate_limit"},          {"lineage = NULL", "lineage"},
        {"allowed_endpoints = '{}'", "allowed_endpoints"}, {"client_name = x'41'", "client_name"},
        {"allowed_networks = '[7]'", "allowed_networks"},
        {"revoke_reason = 'x'", "status"},         {"derived_from = key_id", "derived_from"},
    };
    for (size_t at = 0; at < sizeof DAMAGES / sizeof DAMAGES[0]; at++) {
        char statement[512];
        keystile_record *record = NULL;
        key own = issued(one, 0, 0);
        snprintf(statement, sizeof statement, "UPDATE api_keys SET %s WHERE key_id = '%s'", DAMAGES[at][0], own.id.text);
        sql(statement);
        EXPECT(KEYSTILE_DENIED_RECORD_DAMAGED, asks(one, &own));
        /* Reported, if there is a function for it. */
        kss_report_refused(one);
        CHECK(strstr(one->reported, DAMAGES[at][1]) != NULL);
        EXPECT(KEYSTILE_DENIED_RECORD_DAMAGED, keystile_sqlite_find(one, &own.id, &record, NULL, &error));
        CHECK(record == NULL && strstr(error.text, DAMAGES[at][1]) != NULL);
        EXPECT(KEYSTILE_DENIED_RECORD_DAMAGED, keystile_sqlite_suspend(one, &own.id, NULL, now, &error));
        /* It can be revoked all the same, and once. */
        OK(keystile_sqlite_revoke(one, &own.id, str("leaked"), NULL, now, &error));
        OK(keystile_sqlite_revoke(one, &own.id, str("again"), NULL, now, &error));
        snprintf(statement, sizeof statement,
                 "SELECT count(*) FROM api_keys k JOIN api_key_events e ON e.key_id = k.key_id AND e.version = k.version"
                 " AND e.kind = 'revoked' WHERE k.status = 'revoked' AND revoke_reason = 'leaked' AND k.key_id = '%s'",
                 own.id.text);
        CHECK(number(statement) == 1);
    }
    static const char *const USAGES[] = {"UPDATE api_key_usage SET remaining_uses = 'many'", "DELETE FROM api_key_usage",
                                         "UPDATE api_key_usage SET rate_state = 'full'"};
    for (size_t at = 0; at < sizeof USAGES / sizeof USAGES[0]; at++) {
        char statement[256];
        key used = issued(one, 5, 0);
        snprintf(statement, sizeof statement, "%s WHERE lineage = '%s'", USAGES[at], used.id.text);
        sql(statement);
        EXPECT(KEYSTILE_DENIED_RECORD_DAMAGED, asks(one, &used));
    }
    /* Of another secret: guessing does not show that there is such a row. */
    key guessed = issued(one, 0, 0);
    sql("UPDATE api_keys SET permissions = '[7]', key_hash = replace(hex(zeroblob(32)), 'A', 'a') WHERE rowid = (SELECT max(rowid) FROM api_keys)");
    EXPECT(KEYSTILE_DENIED_INVALID_KEY, asks(one, &guessed));
}

/* A derived key that cannot be read is revoked with its source, as the others are. */
void damaged_derived(keystile_sqlite *one) {
    char statement[512];
    key source = issued(one, 0, 0);
    for (int at = 0; at < 3; at++) {
        key below = issued(one, 0, 0);
        snprintf(statement, sizeof statement,
                 "UPDATE api_keys SET derived_from = '%s', derived_lineage = '%s'%s WHERE key_id = '%s'", source.id.text,
                 source.id.text, at == 1 ? ", permissions = '[7]'" : "", below.id.text);
        sql(statement);
    }
    OK(keystile_sqlite_revoke(one, &source.id, str("leaked"), NULL, now, &error));
    CHECK(number("SELECT count(*) FROM api_keys WHERE status = 'revoked'") == 4);
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind = 'revoked'") == 4);
    CHECK(number("SELECT count(*) FROM api_keys WHERE permissions = '[7]'") == 1);
}

/* Uses that are set are in force for each key of the lineage at once. */
void siblings(keystile_sqlite *one) {
    keystile_change *change = NULL;
    keystile_key_change counts;
    key old = issued(one, 0, 0), successor;
    OK(keystile_sqlite_rotate(one, &old.id, NULL, NULL, NULL, NULL, now, &change, &error));
    successor = taken_from(change);
    OK(asks(one, &old));
    OK(asks(one, &successor));
    memset(&counts, 0, sizeof counts);
    counts.struct_size = sizeof counts;
    counts.uses = 1;
    counts.has_uses = 1;
    OK(keystile_sqlite_change(one, &successor.id, &counts, NULL, now, &error));
    OK(asks(one, &old));
    EXPECT(KEYSTILE_DENIED_USES_SPENT, asks(one, &old));
}

/* Other forms of instants. */
void instants(keystile_sqlite *one) {
    static const char *const FORMS[] = {"2100-02-28 23:59:59", "2100-02-28T23:59:59Z", "2100-03-01T00:59:59.9999+01",
                                        "2100-02-28T22:29:59.999-01:30"};
    for (size_t at = 0; at < sizeof FORMS / sizeof FORMS[0]; at++) {
        char statement[256];
        keystile_record *record = NULL;
        key own = issued(one, 0, 0);
        snprintf(statement, sizeof statement, "UPDATE api_keys SET expires_at = '%s' WHERE key_id = '%s'", FORMS[at],
                 own.id.text);
        sql(statement);
        OK(keystile_sqlite_find(one, &own.id, &record, NULL, &error));
        CHECK(parts_of(record).expires_at / 1000 == UINT64_C(4107542399));
        keystile_record_free(record);
    }
}
