/* While another program holds the write lock: waits end, and changes are read all the same. */
#define _POSIX_C_SOURCE 200809L
#include "sqlite_store.h"

enum { ASKING = 8, PAIRS = 24 };

static void *ask_once(void *argument) {
    spender *own = argument;
    own->allowed = asks(own->store, own->own);
    return NULL;
}

static int commits;

static int note_commit(void *argument) {
    (void)argument;
    commits++;
    return 0;
}

/* The caps are far above the wait of 5 s, and below the sum of such waits. */
void waits(keystile_sqlite *one, keystile_sqlite *other) {
    key counted = issued(one, 50, 0), cached = issued(one, 0, 0), successors[PAIRS];
    pthread_t threads[ASKING];
    spender spenders[ASKING];
    sqlite3 *blocker = NULL;
    keystile_rotation_policy policy;
    memset(&policy, 0, sizeof policy);
    policy.struct_size = sizeof policy;
    OK(keystile_rotation_policy_default(&policy));
    policy.end_on_first_use = 1;
    for (int at = 0; at < PAIRS; at++) {
        keystile_change *change = NULL;
        key old = issued(one, 0, 0);
        OK(keystile_sqlite_rotate(one, &old.id, &policy, format, NULL, NULL, now, &change, &error));
        successors[at] = taken_from(change);
        OK(asks(one, &successors[at]));
    }
    OK(asks(one, &counted));
    OK(asks(one, &cached));
    OK(keystile_sqlite_revoke(other, &cached.id, str(""), NULL, now, &error));
    CHECK(sqlite3_open(path, &blocker) == SQLITE_OK);
    CHECK(sqlite3_exec(blocker, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);

    uint64_t begun = kss_clock();
    for (int at = 0; at < ASKING; at++) {
        spender asked = {one, &counted, 0};
        spenders[at] = asked;
        CHECK(pthread_create(&threads[at], NULL, ask_once, &spenders[at]) == 0);
    }
    for (int at = 0; at < ASKING; at++) {
        CHECK(pthread_join(threads[at], NULL) == 0);
        EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, spenders[at].allowed);
    }
    CHECK(kss_clock() - begun < 25000);

    /* The first task that fails ends the turn; what was changed is in force all the same. */
    begun = kss_clock();
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, keystile_sqlite_tick(one, now, &error));
    CHECK(strstr(error.text, "locked") != NULL);
    EXPECT(KEYSTILE_DENIED_KEY_REVOKED, asks(one, &cached));
    CHECK(kss_clock() - begun < 15000);
    EXPECT(KEYSTILE_DENIED_STORE_UNAVAILABLE, keystile_sqlite_suspend(one, &counted.id, NULL, now, &error));

    CHECK(sqlite3_exec(blocker, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(blocker);
    OK(asks(one, &counted));
    OK(keystile_sqlite_tick(one, now + 5000, &error));
    OK(keystile_sqlite_tick(one, now + 5000, &error));
    CHECK(number("SELECT count(*) FROM api_key_events WHERE kind = 'expired'") == PAIRS);

    /* Too many wait already. */
    pthread_mutex_lock(&one->quick.lock);
    __atomic_store_n(&one->quick.waiters, 1024, __ATOMIC_SEQ_CST);
    begun = kss_clock();
    CHECK(!kss_take(&one->quick, begun + 60000));
    CHECK(kss_clock() - begun < 30000);
    CHECK(__atomic_exchange_n(&one->quick.waiters, 0, __ATOMIC_SEQ_CST) == 1024);
    pthread_mutex_unlock(&one->quick.lock);
    CHECK(kss_take(&one->quick, 0));
    kss_give(&one->quick);
}

/* What was used is merged by the key, and written in steps. */
void uses_in_steps(keystile_sqlite *one) {
    enum { USED = 2500 };
    key own = issued(one, 0, 5);
    OK(asks(one, &own));
    tick(one);
    CHECK(one->uses_count == 0);
    for (int at = 0; at < 3; at++) {
        OK(asks(one, &own));
        tick(one);
        CHECK(one->uses_count == 1);
    }
    free(one->uses);
    one->uses = calloc(USED, sizeof *one->uses);
    CHECK(one->uses != NULL);
    one->uses_count = USED;
    for (int at = 0; at < USED; at++) {
        kss_use *waits_for = &one->uses[at];
        waits_for->use_waits = 1;
        waits_for->use.key_id = own.id;
        waits_for->use.lineage = own.id;
        waits_for->use.last_used_at = now + (uint64_t)at;
    }
    sqlite3_commit_hook(one->quick.database, note_commit, NULL);
    OK(keystile_sqlite_tick(one, now + 5000, &error));
    CHECK(commits == 3 && one->uses_count == 0);
}
