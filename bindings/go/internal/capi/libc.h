/* An archive is for one C library, and links with another one only by chance. Go knows the
 * system and the processor, but not the C library: the tag musl says it, and this checks it. */
#ifndef KEYSTILE_GO_LIBC_H
#define KEYSTILE_GO_LIBC_H

#if defined(__linux__)
#include <stdlib.h>
#if defined(__GLIBC__) && defined(KEYSTILE_GO_MUSL)
#error "keystile: the C library is glibc; build without the tag musl"
#elif !defined(__GLIBC__) && !defined(KEYSTILE_GO_MUSL)
#error "keystile: the C library is not glibc; with musl, as on Alpine Linux, build with the tag musl"
#endif
#endif

#endif
