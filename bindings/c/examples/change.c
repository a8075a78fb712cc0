/* Changes what an issued key may do, without a new key.
 *
 * cc change.c $(pkg-config --cflags --libs keystile) -o change */
#include <keystile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(keystile_status status) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), keystile_status_text(status));
        exit(1);
    }
}

static keystile_str str(const char *text) {
    keystile_str value = {text, strlen(text)};
    return value;
}

int main(void) {
    uint64_t now = UINT64_C(1790000000000);
    keystile_format *format = NULL;
    keystile_change *issued = NULL, *changed = NULL, *again = NULL;
    keystile_issue_request request = {0};
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    request.owner = str("tenant-1");
    request.uses = 5;
    request.has_uses = 1;
    must(keystile_format_structured("acme", 4, &format, NULL));
    must(keystile_issue(format, NULL, &request, NULL, 0, now, &issued, NULL));

    /* What is zero stays as it is. */
    keystile_str names[] = {str("read"), str("write")};
    keystile_permissions *more = NULL;
    must(keystile_permissions_new(names, 2, &more, NULL));
    keystile_key_change upgrade = {0};
    upgrade.struct_size = sizeof upgrade;
    upgrade.add_permissions = more;
    upgrade.clear_owner = 1;
    upgrade.uses = 1000;
    upgrade.has_uses = 1;
    must(keystile_record_change(keystile_change_record_at(issued, 0), &upgrade, now, &changed, NULL));
    for (size_t index = 0; index < keystile_change_field_count(changed); index++) {
        keystile_field_change field;
        must(keystile_change_field_at(changed, index, &field));
        printf("%.*s: \"%.*s\" -> \"%.*s\"\n", (int)field.field.len, field.field.data,
               (int)field.from.len, field.from.data ? field.from.data : "", (int)field.to.len,
               field.to.data ? field.to.data : "");
    }
    /* A store writes in one transaction: the record over the version before it, the event, and,
     * because uses are set, the remaining uses of the lineage. All keys of the lineage share
     * these, so that each other live one gets a version that is 1 higher, and an event
     * KEYSTILE_EVENT_CHANGED with it. Then invalidate each of these keys at its new version, which
     * a replica that lags cannot undo. */
    keystile_event event;
    keystile_verifier *verifier = NULL;
    keystile_keyring *keyring = NULL;
    must(keystile_verifier_new(format, NULL, &verifier));
    must(keystile_keyring_new(verifier, NULL, &keyring, NULL));
    must(keystile_change_event(changed, &event));
    must(keystile_keyring_invalidate_at(keyring, &event.key_id, event.version));

    /* The same again changes nothing, and is refused. */
    keystile_status status =
        keystile_record_change(keystile_change_record_at(changed, 0), &upgrade, now, &again, NULL);
    printf("again: %s\n", keystile_status_name(status));

    keystile_keyring_free(keyring);
    keystile_verifier_free(verifier);
    keystile_permissions_free(more);
    keystile_change_free(changed);
    keystile_change_free(issued);
    keystile_format_free(format);
    return 0;
}
