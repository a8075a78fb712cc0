/* After a fork the child's copy of a keyring refuses, whatever locks other threads held. It never
 * hangs, and all that needs no keyring works in the child.
 *
 * usage: forks COUNT [unguarded]: the control waits for a lock of its own instead, which another
 * thread held at the time of the fork; it must be seen to hang. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tour.h"

enum { WORKERS = 4, PATIENCE_SECONDS = 60 };

static keystile_format *format;
static keystile_verifier *verifier;
static keystile_keyring *keyring;
static keystile_change *change;
static keystile_id id;
static keystile_str key;
static pid_t maker;
static int done;
static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;

static keystile_request request_of_all(void) {
    keystile_request request = request_for(NULL, "GET", "/api/a");
    request.environment = str("live");
    return request;
}

static keystile_status ask(keystile_keyring *asked) {
    keystile_request request = request_of_all();
    keystile_ticket ticket;
    keystile_status status =
        keystile_keyring_check(asked, key.data, key.len, &request, NOW, NULL, NULL, &ticket);
    if (status == KEYSTILE_NEEDS_RECORD) {
        status = keystile_keyring_admit(asked, &ticket, key.data, key.len, &request,
                                        keystile_change_record_at(change, 0), NULL,
                                        asked == keyring ? &done : NULL, NOW, NULL, NULL, &ticket);
    }
    return status;
}

/* The value of a keyring belongs to the process that made it. */
static void only_here(void *value) {
    CHECK(value != NULL && getpid() == maker);
}

/* A keyring that refuses does not fetch. */
static int32_t never(void *unused, const keystile_lookup *lookup, keystile_fetched *found) {
    CHECK(unused != NULL && lookup == NULL && found == NULL);
    return KEYSTILE_OK;
}

/* Takes the locks of the keyring, over and over. */
static void *work(void *unused) {
    while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
        keystile_uses *uses = NULL;
        CHECK(pthread_mutex_lock(&own_lock) == 0);
        (void)!ask(keyring);
        OK(keystile_keyring_invalidate(keyring, &id));
        OK(keystile_keyring_drain_uses(keyring, &uses));
        keystile_uses_free(uses);
        CHECK(pthread_mutex_unlock(&own_lock) == 0);
        (void)!ask(keyring);
        OK(keystile_keyring_invalidate_all(keyring));
        OK(keystile_keyring_drain_uses(keyring, &uses));
        keystile_uses_free(uses);
    }
    return unused;
}

/* Each function of a keyring, in the child. */
static void refused(void) {
    const keystile_record *record = keystile_change_record_at(change, 0);
    keystile_request request = request_of_all();
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_uses *uses = NULL;
    keystile_usage usage;
    keystile_keyring_stats stats;
    void *value = &decision;
    memset(&ticket, 0, sizeof ticket);
    memset(&decision, 0xA5, sizeof decision);
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, &value, &ticket));
    CHECK(decision.kind == 0 && value == NULL);
    EXPECT(KEYSTILE_ERROR_FORKED,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL,
                                  &stats, NOW, &decision, &value, &ticket));
    memset(&decision, 0xA5, sizeof decision);
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_decide(keyring, key.data, key.len, &request, NOW,
                                                          never, NULL, &decision));
    CHECK(decision.kind == 0);
    value = &decision;
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_value(keyring, &id, NOW, &value));
    CHECK(value == NULL);
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_invalidate(keyring, &id));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_invalidate_at(keyring, &id, 2));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_invalidate_owner(keyring, L("tenant-7")));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_invalidate_all(keyring));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_reset(keyring));
    stats.struct_size = sizeof stats;
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_stats_of(keyring, &stats));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_drain_uses(keyring, &uses));
    EXPECT(KEYSTILE_ERROR_FORKED, keystile_keyring_usage(keyring, record, NULL, NOW, &usage));
    keystile_keyring_free(keyring);
}

/* What needs no keyring, and a keyring of the child's own, whose child refuses again. */
static void works(void) {
    keystile_request request = request_of_all();
    keystile_keyring_options options;
    keystile_keyring *own = NULL;
    keystile_usage usage;
    int status = 0;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.monotonic_clock = 1;
    OK(keystile_record_usage(keystile_change_record_at(change, 0), &usage));
    OK(keystile_verify(verifier, key.data, key.len, keystile_change_record_at(change, 0), &request,
                       &usage, NOW, NULL));
    keystile_change_free(issue(format, 3));
    OK(keystile_keyring_new(verifier, &options, &own, NULL));
    OK(ask(own));
    OK(ask(own));
    pid_t child = fork();
    if (child == 0) {
        EXPECT(KEYSTILE_ERROR_FORKED, ask(own));
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    keystile_keyring_free(own);
}

/* 1 if the child ended well, 0 if it hung and was killed. */
static int ended(pid_t child, int seconds) {
    int status = 0;
    for (long waited = 0; waited < seconds * 100L; waited++) {
        struct timespec pause = {0, 10000000};
        pid_t found = waitpid(child, &status, WNOHANG);
        CHECK(found == 0 || found == child);
        if (found == child) {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return 1;
        }
        nanosleep(&pause, NULL);
    }
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    return 0;
}

int main(int count, char **words) {
    pthread_t workers[WORKERS];
    keystile_keyring_options options;
    int forks = count > 1 ? atoi(words[1]) : 200, unguarded = count > 2, hung = 0;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.monotonic_clock = 1;
    options.retain_value = options.release_value = only_here;
    maker = getpid();
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    change = issue(format, 1000000);
    id = parts_of(keystile_change_record_at(change, 0)).id;
    OK(keystile_change_key(change, &key));
    for (int worker = 0; worker < WORKERS; worker++) {
        CHECK(pthread_create(&workers[worker], NULL, work, NULL) == 0);
    }
    for (int round = 0; round < forks && hung == 0; round++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            if (unguarded) {
                pthread_mutex_lock(&own_lock);
            } else {
                refused();
                works();
            }
            _exit(0);
        }
        hung += !ended(child, unguarded ? 1 : PATIENCE_SECONDS);
    }
    __atomic_store_n(&done, 1, __ATOMIC_RELAXED);
    for (int worker = 0; worker < WORKERS; worker++) {
        CHECK(pthread_join(workers[worker], NULL) == 0);
    }
    CHECK(unguarded || ask(keyring) == KEYSTILE_OK || ask(keyring) == KEYSTILE_DENIED_RATE_LIMITED);
    keystile_change_free(change);
    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    printf("%d of %d children hung\n", hung, forks);
    return unguarded ? hung == 0 : hung != 0;
}
