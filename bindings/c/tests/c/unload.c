/* A host that loads the library while it runs, and unloads it, as servers do with their modules:
   no handler of a fork is left behind, and a thread that has used it may live longer. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tour.h"

enum { ROUNDS = 20 };

static pthread_barrier_t used, forked;

/* A function of the loaded library, whose type is that of the header. */
#define LOADED(name) (*(__typeof__(&name))(uintptr_t)symbol(library, #name))

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    return found;
}

/* Uses what keeps state: the randomness of a key, a keyring's locks and its watch for forks. */
static void use(void *library) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_change *change = NULL;
    keystile_issue_request asked;
    keystile_ticket ticket;
    keystile_str key;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name = str("Acme Ltd");
    CHECK(LOADED(keystile_format_structured)(L("acme"), &format, NULL) == KEYSTILE_OK);
    CHECK(LOADED(keystile_verifier_new)(format, NULL, &verifier) == KEYSTILE_OK);
    CHECK(LOADED(keystile_keyring_new)(verifier, NULL, &keyring, NULL) == KEYSTILE_OK);
    CHECK(LOADED(keystile_issue)(format, NULL, &asked, NULL, 0, NOW, &change, NULL) == KEYSTILE_OK);
    CHECK(LOADED(keystile_change_key)(change, &key) == KEYSTILE_OK);
    keystile_request request = request_for(NULL, "GET", "/");
    CHECK(LOADED(keystile_keyring_check)(keyring, key.data, key.len, &request, NOW, NULL, NULL, &ticket) ==
          KEYSTILE_NEEDS_RECORD);
    CHECK(LOADED(keystile_keyring_admit)(keyring, &ticket, key.data, key.len, &request,
                                         LOADED(keystile_change_record_at)(change, 0), NULL, NULL, NOW, NULL,
                                         NULL, &ticket) == KEYSTILE_OK);
    CHECK(LOADED(keystile_keyring_invalidate_all)(keyring) == KEYSTILE_OK);
    LOADED(keystile_keyring_free)(keyring);
    LOADED(keystile_verifier_free)(verifier);
    LOADED(keystile_change_free)(change);
    LOADED(keystile_format_free)(format);
}

static void wait_for_others(pthread_barrier_t *barrier) {
    int waited = pthread_barrier_wait(barrier);
    CHECK(waited == 0 || waited == PTHREAD_BARRIER_SERIAL_THREAD);
}

static int is_mapped(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    return library != NULL && dlclose(library) == 0;
}

static void *use_and_end(void *library) {
    use(library);
    return NULL;
}

static void *use_and_live_on(void *library) {
    use(library);
    wait_for_others(&used);
    wait_for_others(&forked);
    return NULL;
}

/* Only threads that end use the library: one that has used it keeps it mapped. */
int main(int count, char **words) {
    CHECK(count == 2);
    CHECK(pthread_barrier_init(&used, NULL, 2) == 0 && pthread_barrier_init(&forked, NULL, 2) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread, longer;
        int status = 0, lives_longer = round % 2;
        void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        CHECK(pthread_create(&thread, NULL, use_and_end, library) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        if (lives_longer) {
            CHECK(pthread_create(&longer, NULL, use_and_live_on, library) == 0);
            wait_for_others(&used);
        }
        CHECK(dlclose(library) == 0);
        CHECK(is_mapped(words[1]) == lives_longer);
        pid_t child = fork();
        if (child == 0) {
            _exit(7);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        if (lives_longer) {
            wait_for_others(&forked);
            CHECK(pthread_join(longer, NULL) == 0);
        }
    }
    printf("loaded and unloaded %d times\n", ROUNDS);
    return 0;
}
