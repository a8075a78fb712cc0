/* capi/warm_allow: one call of C and the same call of Rust, in turns within one run.
 *
 * usage: warm_allow TURNS ROUNDS; with one round it only checks that nothing is allocated. */
#include <time.h>

#include "support.h"

uint64_t keystile_bench_warm_allow(const keystile_keyring *keyring, const char *key,
                                   size_t key_len, const keystile_requirement *requirement,
                                   const char *path, size_t path_len, uint64_t now,
                                   uint64_t turns);

/* The linker redirects every allocation of the library to this function. */
static unsigned long allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *place, size_t size);
int __real_posix_memalign(void **place, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *place, size_t size);
int __wrap_posix_memalign(void **place, size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *place, size_t size) {
    allocations++;
    return __real_realloc(place, size);
}

int __wrap_posix_memalign(void **place, size_t alignment, size_t size) {
    allocations++;
    return __real_posix_memalign(place, alignment, size);
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int by_size(const void *one, const void *other) {
    double left = *(const double *)one, right = *(const double *)other;
    return (left > right) - (left < right);
}

static keystile_change *issue(const keystile_format *format) {
    keystile_str granted[2] = {str("invoices:read"), str("metrics:read")};
    keystile_str rules[1] = {str("GET,HEAD /api/metrics/*")};
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_change *change = NULL;
    keystile_issue_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    request.environment = str("live");
    OK(keystile_permissions_new(granted, 2, &permissions, NULL));
    OK(keystile_endpoints_new(rules, 1, &endpoints, NULL));
    request.permissions = permissions;
    request.allowed_endpoints = endpoints;
    /* A limit that is checked each time and never exceeded. */
    request.rate_limit.limit = 1000000;
    request.rate_limit.burst = 4000000000u;
    request.rate_limit.window_millis = 1;
    request.has_rate_limit = 1;
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, NULL));
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    return change;
}

int main(int argc, char **argv) {
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    keystile_requirement *requirement = NULL;
    keystile_request request;
    keystile_decision decision;
    keystile_ticket ticket;
    keystile_str key;
    CHECK(argc == 3);
    uint64_t turns = strtoull(argv[1], NULL, 10);
    size_t rounds = (size_t)strtoull(argv[2], NULL, 10);
    double *in_c = calloc(rounds, sizeof *in_c), *in_rust = calloc(rounds, sizeof *in_rust);
    CHECK(in_c != NULL && in_rust != NULL && rounds > 0);
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    OK(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    OK(keystile_requirement_parse(L("metrics:read"), &requirement, NULL));
    keystile_change *change = issue(format);
    OK(keystile_change_key(change, &key));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.requirement = requirement;
    request.method = str("GET");
    request.path = str("/api/metrics/cpu/load");
    EXPECT(KEYSTILE_NEEDS_RECORD, keystile_keyring_check(keyring, key.data, key.len, &request, NOW,
                                                         &decision, NULL, &ticket));
    OK(keystile_keyring_admit(keyring, &ticket, key.data, key.len, &request,
                              keystile_change_record_at(change, 0), NULL, NULL, NOW, &decision, NULL, &ticket));
    /* The first allow may allocate what a thread needs. */
    OK(keystile_keyring_check(keyring, key.data, key.len, &request, NOW, &decision, NULL, &ticket));

    unsigned long before = allocations;
    for (size_t round = 0; round < rounds; round++) {
        double start = seconds();
        for (uint64_t turn = 0; turn < turns; turn++) {
            keystile_status status = keystile_keyring_check(keyring, key.data, key.len, &request,
                                                            NOW, &decision, NULL, &ticket);
            if (status != KEYSTILE_OK || decision.kind != KEYSTILE_DECISION_ALLOWED) {
                return 1;
            }
        }
        double middle = seconds();
        uint64_t allowed = keystile_bench_warm_allow(keyring, key.data, key.len, requirement,
                                                     request.path.data, request.path.len, NOW,
                                                     turns);
        in_rust[round] = (seconds() - middle) / (double)turns * 1e9;
        in_c[round] = (middle - start) / (double)turns * 1e9;
        CHECK(allowed == turns);
    }
    CHECK(allocations == before);
    qsort(in_c, rounds, sizeof *in_c, by_size);
    qsort(in_rust, rounds, sizeof *in_rust, by_size);
    if (rounds > 1) {
        double c = in_c[rounds / 2], rust = in_rust[rounds / 2];
        printf("capi/warm_allow      %6.1f ns (least %.1f), no allocation\n", c, in_c[0]);
        printf("keyring/warm_allow   %6.1f ns (least %.1f)\n", rust, in_rust[0]);
        printf("ratio                %6.3f (of the least %.3f)\n", c / rust, in_c[0] / in_rust[0]);
    }
    free(in_c);
    free(in_rust);
    keystile_change_free(change);
    keystile_requirement_free(requirement);
    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    return 0;
}
