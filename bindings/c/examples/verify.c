/* Verifies a key: reads its text and its record, a line each, and prints the decision. */
#include <keystile.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int main(void) {
    char key[300], json[4096];
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_record *record = NULL;
    if (!fgets(key, sizeof key, stdin) || !fgets(json, sizeof json, stdin) ||
        keystile_format_structured("acme", 4, &format, NULL) != KEYSTILE_OK ||
        keystile_verifier_new(format, NULL, &verifier) != KEYSTILE_OK ||
        keystile_record_from_json(json, strlen(json), &record, NULL) != KEYSTILE_OK) {
        return 2;
    }
    keystile_request request = {0}; /* any valid key will do */
    request.struct_size = sizeof request;
    keystile_usage usage = {0}; /* not used before */
    uint64_t now = (uint64_t)time(NULL) * 1000;
    keystile_status status =
        keystile_verify(verifier, key, strcspn(key, "\n"), record, &request, &usage, now, NULL);
    puts(keystile_status_name(status));
    return status != KEYSTILE_OK; /* the end of the process frees the handles */
}
