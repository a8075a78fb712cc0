/* Checks keys in one call, which fetches the record if it is not cached: reads a key and a record, a
 * line each, and decides twice about a request that requires the permission that is given, if any. */
#include <keystile.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Your store: here one record. Look for keystile_lookup_key_id(lookup); leave found->record NULL if there is none. */
static int32_t fetch(void *store, const keystile_lookup *lookup, keystile_fetched *found) {
    (void)lookup;
    return keystile_record_from_json(store, strlen(store), &found->record, NULL);
}

static int may(keystile_keyring *keys, keystile_str key, const keystile_requirement *required, void *store) {
    keystile_request request = {0};
    request.struct_size = sizeof request;
    request.requirement = required;
    uint64_t now = (uint64_t)time(NULL) * 1000;
    return keystile_keyring_decide(keys, key.data, key.len, &request, now, fetch, store, NULL) == KEYSTILE_OK;
}

int main(int argc, char **argv) {
    char text[300], json[4096];
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keys = NULL;
    keystile_requirement *required = NULL;
    if (!fgets(text, sizeof text, stdin) || !fgets(json, sizeof json, stdin) ||
        keystile_format_structured("acme", 4, &format, NULL) != KEYSTILE_OK ||
        keystile_verifier_new(format, NULL, &verifier) != KEYSTILE_OK ||
        keystile_keyring_new(verifier, NULL, &keys, NULL) != KEYSTILE_OK ||
        (argc == 2 && keystile_requirement_parse(argv[1], strlen(argv[1]), &required, NULL) != KEYSTILE_OK)) {
        return 2;
    }
    keystile_str key = {text, strcspn(text, "\n")};
    puts(may(keys, key, required, json) ? "allowed" : "refused");
    json[0] = '\0'; /* from memory now */
    puts(may(keys, key, required, json) ? "allowed" : "refused");
    return 0; /* the end of the process frees the handles */
}
