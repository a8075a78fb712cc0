/* Rotates a key: for a week both the old key and its successor are accepted.
 *
 * cc rotate.c $(pkg-config --cflags --libs keystile) -o rotate */
#include <keystile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY UINT64_C(86400000)

static void must(keystile_status status) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), keystile_status_text(status));
        exit(1);
    }
}

/* The result of a request that presents the key at that time. */
static const char *ask(const keystile_verifier *verifier, keystile_str key,
                       const keystile_record *record, uint64_t now) {
    keystile_request request;
    keystile_usage usage;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    must(keystile_record_usage(record, &usage));
    return keystile_status_name(
        keystile_verify(verifier, key.data, key.len, record, &request, &usage, now, NULL));
}

int main(void) {
    uint64_t now = UINT64_C(1790000000000);
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    must(keystile_format_structured("acme", 4, &format, NULL));
    must(keystile_verifier_new(format, NULL, &verifier));

    keystile_issue_request asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name.data = "Acme Ltd";
    asked.client_name.len = 8;
    keystile_change *issued = NULL;
    must(keystile_issue(format, NULL, &asked, NULL, 0, now, &issued, NULL));
    const keystile_record *record = keystile_change_record_at(issued, 0);

    /* A lifetime of 90 days and an overlap of a week: the plan lists what is due when. */
    keystile_plan_item due[2];
    size_t count = 0;
    now += 83 * DAY;
    must(keystile_plan(&record, 1, NULL, now, due, 2, &count, NULL));
    for (size_t index = 0; index < count; index++) {
        printf("due on day 83: %s\n",
               due[index].action == KEYSTILE_PLAN_ROTATE ? "a rotation" : "a notice");
    }

    /* A store writes all records of a change, or none. The first is the successor's. */
    keystile_change *rotated = NULL;
    must(keystile_rotate(record, NULL, 0, NULL, format, NULL, NULL, 0, now, &rotated, NULL));
    const keystile_record *successor = keystile_change_record_at(rotated, 0);
    const keystile_record *replaced = keystile_change_record_at(rotated, 1);
    keystile_str old_key, new_key;
    must(keystile_change_key(issued, &old_key));
    must(keystile_change_key(rotated, &new_key));

    printf("on day 84: the old key %s, the new key %s\n",
           ask(verifier, old_key, replaced, now + DAY), ask(verifier, new_key, successor, now + DAY));
    printf("on day 90: the old key %s, the new key %s\n",
           ask(verifier, old_key, replaced, now + 7 * DAY),
           ask(verifier, new_key, successor, now + 7 * DAY));

    keystile_change_free(rotated);
    keystile_change_free(issued);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    return 0;
}
