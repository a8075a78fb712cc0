/* The tests of the store for SQLite. Times are arguments, and the background work is a call. */
#ifndef SQLITE_STORE_H
#define SQLITE_STORE_H

#include <pthread.h>
#include <sqlite3.h>

#include "keystile_sqlite_internal.h"
#include "tour.h"

extern char path[512];
extern keystile_format *format;
extern keystile_verifier *verifier;
/* The triggers use the machine's clock, so this is it. */
extern uint64_t now;
extern keystile_sqlite_error error;

typedef struct key {
    keystile_id id;
    char text[128];
    size_t len;
} key;

typedef struct spender {
    keystile_sqlite *store;
    const key *own;
    long allowed;
} spender;

keystile_sqlite *opened(void);
void sql(const char *statement);
long long number(const char *query);
key taken_from(keystile_change *change);
key issued(keystile_sqlite *store, uint64_t uses, uint32_t limit);
keystile_status asks(keystile_sqlite *store, const key *own);
keystile_status asks_to_write(keystile_sqlite *store, const key *own);
keystile_status without_write(keystile_sqlite *store, const key *own);
void tick(keystile_sqlite *store);
keystile_sqlite_by me(void);
void expire(keystile_sqlite *store);
void *spend(void *argument);

/* The tests of the other files. */
void derived(keystile_sqlite *one);
void damage(keystile_sqlite *one);
void damaged_derived(keystile_sqlite *one);
void instants(keystile_sqlite *one);
void siblings(keystile_sqlite *one);
void waits(keystile_sqlite *one, keystile_sqlite *other);
void uses_in_steps(keystile_sqlite *one);
void without_memory(void);
/* Before SQLite is used. */
void watch_memory(void);

#endif
