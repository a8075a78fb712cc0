/* The header alone is clean under the strictest warnings. */
#include <keystile.h>

int main(void) { return KEYSTILE_OK; }
