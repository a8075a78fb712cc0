/* Many threads on one keyring: checks, admits, invalidations and drains at once.
 *
 * usage: threads TURNS [racy]; for ThreadSanitizer, which must report the racy control. */
#include <pthread.h>

#include "support.h"

enum { KEYS = 8, WORKERS = 4 };

static keystile_keyring *keyring;
static keystile_change *changes[KEYS];
static long turns, unguarded;
static int racy;

static void ask(unsigned number) {
    const keystile_record *record = keystile_change_record_at(changes[number], 0);
    keystile_request request;
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_str key;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    OK(keystile_change_key(changes[number], &key));
    keystile_status status =
        keystile_keyring_check(keyring, key.data, key.len, &request, NOW, &decision, &ticket);
    while (status == KEYSTILE_NEEDS_RECORD) {
        status = keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NOW,
                                        &decision, &ticket);
    }
    OK(status);
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
        keystile_record_parts parts;
        keystile_uses *uses = NULL;
        memset(&parts, 0, sizeof parts);
        parts.struct_size = sizeof parts;
        OK(keystile_record_parts_of(keystile_change_record_at(changes[turn % KEYS], 0), &parts));
        OK(keystile_keyring_invalidate(keyring, &parts.id));
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
    CHECK(argc == 2 || argc == 3);
    racy = argc == 3 && strcmp(argv[2], "racy") == 0;
    turns = strtol(argv[1], NULL, 10);
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    OK(keystile_format_structured(L("acme"), &format));
    OK(keystile_verifier_new(format, NULL, &verifier));
    OK(keystile_keyring_new(verifier, NULL, &keyring));
    for (unsigned number = 0; number < KEYS; number++) {
        OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &changes[number]));
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
    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    printf("%d threads, %ld turns each\n", WORKERS, turns);
    return 0;
}
