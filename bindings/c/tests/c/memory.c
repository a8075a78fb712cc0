/* Issues, checks and frees COUNT keys; memory must not grow.
 *
 * usage: memory COUNT */
#include <sys/resource.h>

#include "support.h"

static long peak_kib(void) {
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    long count = strtol(argv[1], NULL, 10), settled = 0;
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_issue_request ask;
    keystile_request request;
    memset(&ask, 0, sizeof ask);
    ask.struct_size = sizeof ask;
    ask.client_name = str("Acme Ltd");
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    OK(keystile_format_structured(L("acme"), &format, NULL));
    OK(keystile_verifier_new(format, NULL, &verifier));
    for (long turn = 0; turn < count; turn++) {
        keystile_change *change = NULL;
        keystile_usage usage = {0, 0, 0};
        keystile_str key;
        OK(keystile_issue(format, NULL, &ask, NULL, 0, NOW, &change, NULL));
        OK(keystile_change_key(change, &key));
        OK(keystile_verify(verifier, key.data, key.len, keystile_change_record_at(change, 0),
                           &request, &usage, NOW, NULL));
        keystile_change_free(change);
        if (turn == count / 100) {
            settled = peak_kib();
        }
    }
    printf("%ld keys: %ld KiB after one in a hundred, %ld KiB at the end\n", count, settled,
           peak_kib());
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    /* The kernel counts whole pages; a leak of one byte per key would be ten times this. */
    CHECK(peak_kib() - settled < 1024);
    return 0;
}
