/* The values that a keyring carries for Go: handles of Go values, with a count of references.
 *
 * The keyring retains and releases inside of a call from Go, and must not call Go back. So
 * the last release only adds a value to a list; Go takes the whole list and deletes the
 * handles. */
#ifndef KEYSTILE_GO_KEYRING_VALUE_H
#define KEYSTILE_GO_KEYRING_VALUE_H

#include "keystile.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct ks_value {
    size_t references;
    /* A runtime/cgo.Handle. */
    uintptr_t handle;
    struct ks_value *next;
} ks_value;

/* Those without references, since the last ks_values_take. */
static ks_value *ks_values_released;

static void ks_value_retain(void *value) {
    ks_value *own = value;
    __atomic_add_fetch(&own->references, 1, __ATOMIC_RELAXED);
}

static void ks_value_release(void *value) {
    ks_value *own = value;
    if (__atomic_sub_fetch(&own->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    own->next = __atomic_load_n(&ks_values_released, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&ks_values_released, &own->next, own, true,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

/* Sets the callbacks of a keyring with values; in C, since Go cannot refer to these functions. */
static void ks_values_carry(keystile_keyring_options *options) {
    options->retain_value = ks_value_retain;
    options->release_value = ks_value_release;
}

static ks_value *ks_values_take(void) {
    return __atomic_exchange_n(&ks_values_released, NULL, __ATOMIC_ACQUIRE);
}

#endif
