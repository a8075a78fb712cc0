/* Issues a key. Prints its text, which the client gets once, and its record, which you store. */
#include <keystile.h>
#include <stdio.h>
#include <time.h>

int main(void) {
    keystile_format *format = NULL;
    keystile_change *issued = NULL;
    keystile_issue_request request = {0};
    request.struct_size = sizeof request;
    request.client_name.data = "Acme Ltd";
    request.client_name.len = 8;
    uint64_t now = (uint64_t)time(NULL) * 1000;
    if (keystile_format_structured("acme", 4, &format, NULL) != KEYSTILE_OK ||
        keystile_issue(format, NULL, &request, NULL, 0, now, &issued, NULL) != KEYSTILE_OK) {
        return 1;
    }
    keystile_str key;
    char record[4096];
    size_t len;
    if (keystile_change_key(issued, &key) != KEYSTILE_OK ||
        keystile_record_to_json(keystile_change_record_at(issued, 0), record, sizeof record, &len) != KEYSTILE_OK) {
        return 1;
    }
    printf("%.*s\n%.*s\n", (int)key.len, key.data, (int)len, record);
    keystile_change_free(issued); /* wipes the key */
    keystile_format_free(format);
    return 0;
}
