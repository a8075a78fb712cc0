/* Many threads on one keyring: checks, admits, invalidations and drains at once. Each record
 * is admitted with a value that is counted: no check gets one from before an invalidation,
 * and every reference is released.
 *
 * usage: threads TURNS [racy]; for ThreadSanitizer, which must report the racy control. */
#include <pthread.h>

#include "support.h"

enum { KEYS = 8, WORKERS = 4 };

/* What the service knows of a key, as of so many invalidations of it. */
typedef struct known {
    long references;
    long as_of;
} known;

static keystile_keyring *keyring;
static keystile_change *changes[KEYS];
static keystile_id ids[KEYS];
/* Invalidations of each key that were begun, and that have returned. */
static long begun[KEYS], in_force[KEYS];
static long turns, living, found, handed_out, unguarded;
static int racy;

static long read_long(const long *place) { return __atomic_load_n(place, __ATOMIC_SEQ_CST); }

static void add(long *place, long count) { __atomic_add_fetch(place, count, __ATOMIC_SEQ_CST); }

static void retain(void *value) {
    known *own = value;
    CHECK(__atomic_add_fetch(&own->references, 1, __ATOMIC_RELAXED) > 1);
}

static void release(void *value) {
    known *own = value;
    long left = __atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL);
    CHECK(left >= 0);
    if (left == 0) {
        own->as_of = -1;
        free(own);
        add(&living, -1);
    }
}

/* What is read from the store now; the caller has the one reference to it. */
static known *fetched(unsigned number) {
    known *value = malloc(sizeof *value);
    CHECK(value != NULL);
    value->references = 1;
    value->as_of = read_long(&begun[number]);
    add(&living, 1);
    return value;
}

static void ask(unsigned number) {
    const keystile_record *record = keystile_change_record_at(changes[number], 0);
    keystile_request request;
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_str key;
    void *value = NULL;
    long before = read_long(&in_force[number]);
    OK(keystile_keyring_value(keyring, &ids[number], NOW, &value));
    if (value != NULL) {
        CHECK(((known *)value)->as_of >= before);
        release(value);
        add(&found, 1);
    }
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    OK(keystile_change_key(changes[number], &key));
    keystile_status status = keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                    &decision, &value, &ticket);
    while (status == KEYSTILE_NEEDS_RECORD) {
        known *own = fetched(number);
        status = keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, own,
                                        NOW, &decision, &value, &ticket);
        release(own);
    }
    OK(status);
    CHECK(((known *)value)->as_of >= before);
    release(value);
    add(&handed_out, 1);
}

static void *work(void *argument) {
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (long turn = 0; turn < turns; turn++) {
        seed = seed * 1103515245u + 12345u;
        ask((seed >> 16) % KEYS);
        if (racy) {
            unguarded++;
        }
    }
    return NULL;
}

static void *disturb(void *argument) {
    (void)argument;
    for (long turn = 0; turn < turns / 4; turn++) {
        keystile_uses *uses = NULL;
        long number = turn % KEYS;
        add(&begun[number], 1);
        OK(keystile_keyring_invalidate(keyring, &ids[number]));
        add(&in_force[number], 1);
        OK(keystile_keyring_drain_uses(keyring, &uses));
        keystile_uses_free(uses);
    }
    OK(keystile_keyring_invalidate_all(keyring));
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[WORKERS + 1];
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_issue_request request;
    keystile_keyring_options options;
    CHECK(argc == 2 || argc == 3);
    racy = argc == 3 && strcmp(argv[2], "racy") == 0;
    turns = strtol(argv[1], NULL, 10);
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.retain_value = retain;
    options.release_value = release;
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    for (unsigned number = 0; number < KEYS; number++) {
        keystile_record_parts parts;
        memset(&parts, 0, sizeof parts);
        parts.struct_size = sizeof parts;
        OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &changes[number], NULL));
        OK(keystile_record_parts_of(keystile_change_record_at(changes[number], 0), &parts));
        ids[number] = parts.id;
    }
    for (unsigned number = 0; number < WORKERS; number++) {
        CHECK(pthread_create(&threads[number], NULL, work, (void *)(uintptr_t)(number + 1)) == 0);
    }
    CHECK(pthread_create(&threads[WORKERS], NULL, disturb, NULL) == 0);
    for (unsigned number = 0; number <= WORKERS; number++) {
        CHECK(pthread_join(threads[number], NULL) == 0);
    }
    for (unsigned number = 0; number < KEYS; number++) {
        keystile_change_free(changes[number]);
    }
    CHECK(read_long(&handed_out) == WORKERS * turns && read_long(&living) >= 1);
    CHECK(read_long(&found) >= 1);
    keystile_keyring_free(keyring);
    CHECK(read_long(&living) == 0);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    printf("%d threads, %ld turns each\n", WORKERS, turns);
    return 0;
}
