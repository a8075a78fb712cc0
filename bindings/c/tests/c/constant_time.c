/* Proves constant time with valgrind: a secret is marked as undefined memory, so that any
 * branch or address that depends on it is an error.
 *
 * usage: constant_time digest|leaky; `leaky` is the control, which valgrind must report. */
#include <valgrind/memcheck.h>

#include "support.h"

/* A naive comparison: it stops at the first byte that differs. */
static int leaky_equal(const uint8_t *one, const uint8_t *other, size_t len) {
    for (volatile size_t at = 0; at < len; at++) {
        if (one[at] != other[at]) {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv) {
    char key[] = "acme_live_1QJ4bo0RE6F7ptpH_I4xbO9xdOMtcZFEvOwCwasfln8oPlvdBU3XVJz7MYw24ErgXr";
    keystile_digest stored, presented;
    uint8_t pepper[32] = {9};
    keystile_peppers *peppers = NULL;
    bool equal = false;
    int answer;
    CHECK(argc == 2 && RUNNING_ON_VALGRIND);
    OK(keystile_digest_of(NULL, key, sizeof key - 1, &stored));
    VALGRIND_MAKE_MEM_UNDEFINED(key, sizeof key - 1);
    VALGRIND_MAKE_MEM_UNDEFINED(stored.private_bytes, sizeof stored.private_bytes);
    OK(keystile_digest_of(NULL, key, sizeof key - 1, &presented));
    if (strcmp(argv[1], "leaky") == 0) {
        answer = leaky_equal(stored.private_bytes, presented.private_bytes, sizeof stored.private_bytes);
    } else {
        OK(keystile_digest_equal(&stored, &presented, &equal));
        /* The answer is not secret: it is the decision. */
        VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof equal);
        CHECK(equal);
        /* With a pepper too, which is also secret. */
        VALGRIND_MAKE_MEM_UNDEFINED(pepper, sizeof pepper);
        OK(keystile_peppers_new(1, pepper, sizeof pepper, &peppers, NULL));
        OK(keystile_digest_of(peppers, key, sizeof key - 1, &stored));
        OK(keystile_digest_of(peppers, key, sizeof key - 1, &presented));
        OK(keystile_digest_equal(&stored, &presented, &equal));
        VALGRIND_MAKE_MEM_DEFINED(&equal, sizeof equal);
        CHECK(equal);
        keystile_peppers_free(peppers);
        answer = equal;
    }
    VALGRIND_MAKE_MEM_DEFINED(&answer, sizeof answer);
    CHECK(answer == 1);
    return 0;
}
