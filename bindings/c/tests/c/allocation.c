/* Each allocation of a whole tour fails once, in a separate process: the process aborts, and
 * never continues with an incomplete value. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long count, failing = -1;
void *__real_malloc(size_t size);
void *__real_calloc(size_t number, size_t size);
void *__real_realloc(void *place, size_t size);
int __real_posix_memalign(void **place, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t number, size_t size);
void *__wrap_realloc(void *place, size_t size);
int __wrap_posix_memalign(void **place, size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    return ++count == failing ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size) {
    return ++count == failing ? NULL : __real_calloc(number, size);
}

void *__wrap_realloc(void *place, size_t size) {
    return ++count == failing ? NULL : __real_realloc(place, size);
}

int __wrap_posix_memalign(void **place, size_t alignment, size_t size) {
    /* ENOMEM */
    return ++count == failing ? 12 : __real_posix_memalign(place, alignment, size);
}

static void tour(void) {
    keystile_str granted[2] = {str("read"), str("write")}, rules[1] = {str("/api/*")}, key;
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_keyring_options options;
    keystile_requirement *requirement = NULL;
    keystile_change *issued = NULL, *rotated = NULL;
    keystile_response *response = NULL;
    keystile_uses *uses = NULL;
    keystile_issue_request asked;
    keystile_request request;
    keystile_decision decision;
    keystile_ticket ticket;
    OK(keystile_permissions_new(granted, 2, &permissions, NULL));
    OK(keystile_endpoints_new(rules, 1, &endpoints, NULL));
    OK(keystile_requirement_parse(L("read AND audit"), &requirement, NULL));
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = 4;
    OK(keystile_keyring_new(verifier, &options, &keyring, NULL));
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name = str("Acme Ltd");
    asked.permissions = permissions;
    asked.allowed_endpoints = endpoints;
    OK(keystile_issue(format, NULL, &asked, NULL, 0, NOW, &issued, NULL));
    const keystile_record *record = keystile_change_record_at(issued, 0);
    OK(keystile_change_key(issued, &key));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.requirement = requirement;
    request.method = str("GET");
    request.path = str("/api/x");
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, NULL, &ticket));
    EXPECT(KEYSTILE_DENIED_PERMISSION,
           keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request, record, NULL, NULL, NOW,
                                  &decision, NULL, &ticket));
    OK(keystile_respond(&decision, 0, 0, requirement, NULL, NOW, &response));
    OK(keystile_rotate(record, NULL, 0, NULL, format, NULL, NULL, 0, NOW, &rotated, NULL));
    OK(keystile_keyring_drain_uses(keyring, &uses));
    keystile_uses_free(uses);
    keystile_response_free(response);
    keystile_change_free(rotated);
    keystile_change_free(issued);
    keystile_keyring_free(keyring);
    keystile_requirement_free(requirement);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    keystile_endpoints_free(endpoints);
    keystile_permissions_free(permissions);
}

int main(void) {
    struct rlimit no_core = {0, 0};
    long aborted = 0, survived = 0;
    CHECK(setrlimit(RLIMIT_CORE, &no_core) == 0);
    tour();
    /* The first tour sets up what is needed once per process; only a second one is counted. */
    count = 0;
    tour();
    long all = count;
    CHECK(all > 20);
    for (long at = 1; at <= all; at++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            CHECK(freopen("/dev/null", "w", stderr) != NULL);
            count = 0;
            failing = at;
            tour();
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        if (WIFSIGNALED(status)) {
            CHECK(WTERMSIG(status) == SIGABRT);
            aborted++;
        } else {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            survived++;
        }
    }
    printf("%ld allocations failed: %ld aborts, %ld done without\n", all, aborted, survived);
    CHECK(aborted > 0);
    return 0;
}
