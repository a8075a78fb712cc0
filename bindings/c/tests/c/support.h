/* What every C test uses: checks that print where they failed, and texts from literals. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keystile.h"

/* An instant, and the expected statuses. */
#define NOW UINT64_C(1790000000000)
#define DAY UINT64_C(86400000)

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);               \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* Compares a status with the expected one. */
#define EXPECT(expected, call)                                                            \
    do {                                                                                  \
        int expect_got = (int)(call);                                                     \
        if (expect_got != (int)(expected)) {                                              \
            fprintf(stderr, "%s:%d: %s\n  gave %d (%s), not %d\n", __FILE__, __LINE__,     \
                    #call, expect_got, keystile_status_name(expect_got), (int)(expected)); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

#define OK(call) EXPECT(KEYSTILE_OK, call)

/* The pointer and the length of a literal, as two arguments. */
#define L(literal) ("" literal), (sizeof(literal) - 1)

static inline keystile_str str(const char *text) {
    keystile_str value;
    value.data = text;
    value.len = text == NULL ? 0 : strlen(text);
    return value;
}

static inline int is_text(keystile_str value, const char *text) {
    return value.len == strlen(text) && memcmp(value.data, text, value.len) == 0;
}

#endif
