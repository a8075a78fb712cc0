/* A third-party program: it uses only the installed keystile. */
#include <keystile.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    keystile_format *format = NULL;
    keystile_change *change = NULL;
    keystile_issue_request request;
    keystile_str key;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name.data = "Somebody";
    request.client_name.len = strlen("Somebody");
    if (keystile_abi_version() != KEYSTILE_ABI_VERSION ||
        keystile_format_structured("else", 4, &format, NULL) != KEYSTILE_OK ||
        keystile_issue(format, NULL, &request, NULL, 0, UINT64_C(1790000000000), &change, NULL) !=
            KEYSTILE_OK ||
        keystile_change_key(change, &key) != KEYSTILE_OK) {
        return 1;
    }
    printf("keystile %s issued a key of %u characters\n", keystile_version(), (unsigned)key.len);
    keystile_change_free(change);
    keystile_format_free(format);
    return 0;
}
