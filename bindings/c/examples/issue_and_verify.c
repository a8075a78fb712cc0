/* Issues a key, then decides about three requests that present one.
 *
 * cc issue_and_verify.c $(pkg-config --cflags --libs keystile) -o issue_and_verify */
#include <keystile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now(void) {
    return (uint64_t)time(NULL) * 1000;
}

static keystile_str str(const char *text) {
    keystile_str value = {text, strlen(text)};
    return value;
}

/* All calls must succeed here, except the decisions. */
static void must(keystile_status status) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), keystile_status_text(status));
        exit(1);
    }
}

/* What a person typed may be wrong: the error says which field and item, and what was expected. */
static void must_be_right(keystile_status status, const keystile_error *why) {
    if (status == KEYSTILE_OK) {
        return;
    }
    fprintf(stderr, "%.*s", (int)why->field.len, why->field.data);
    if (why->index != KEYSTILE_INDEX_NONE) {
        fprintf(stderr, "[%zu]", why->index);
    }
    fprintf(stderr, ": %.*s\n", (int)why->message.len, why->message.data);
    exit(1);
}

int main(void) {
    /* The format of keys, and which of them this service accepts. */
    keystile_format *format = NULL;
    keystile_verifier *verifier = NULL;
    must(keystile_format_structured("acme", 4, &format, NULL));
    must(keystile_verifier_new(format, NULL, &verifier));

    /* Issue: show the key once, and store its record. */
    keystile_str granted[] = {str("invoices:read")};
    keystile_permissions *permissions = NULL;
    keystile_error why;
    must_be_right(keystile_permissions_new(granted, 1, &permissions, &why), &why);
    keystile_issue_request asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name = str("Acme Ltd");
    asked.environment = str("live");
    asked.permissions = permissions;
    keystile_change *issued = NULL;
    must_be_right(keystile_issue(format, NULL, &asked, NULL, 0, now(), &issued, &why), &why);
    keystile_str key;
    must(keystile_change_key(issued, &key));
    const keystile_record *record = keystile_change_record_at(issued, 0);
    printf("issued a key of %zu characters\n", key.len);

    /* Verify: the status is the decision, and there is no other. */
    keystile_requirement *read = NULL, *write = NULL;
    must(keystile_requirement_parse("invoices:read", 13, &read, NULL));
    must(keystile_requirement_parse("invoices:write", 14, &write, NULL));
    keystile_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.method = str("GET");
    request.path = str("/invoices/7");
    keystile_usage usage;
    must(keystile_record_usage(record, &usage));

    request.requirement = read;
    keystile_status status =
        keystile_verify(verifier, key.data, key.len, record, &request, &usage, now(), NULL);
    printf("to read: %s\n", keystile_status_name(status));

    /* A refusal names what is missing, and becomes an HTTP response. */
    keystile_decision decision;
    request.requirement = write;
    status = keystile_verify(verifier, key.data, key.len, record, &request, &usage, now(), &decision);
    printf("to write: %s\n", keystile_status_name(status));
    keystile_response *response = NULL;
    keystile_str body;
    must(keystile_respond(&decision, KEYSTILE_STATUS_POLICY_RFC9110,
                          KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6, write, NULL, now(), &response));
    must(keystile_response_body(response, &body));
    printf("HTTP %u %.*s\n", keystile_response_status(response), (int)body.len, body.data);

    /* A key that was cut off is refused without a lookup. */
    keystile_lookup lookup;
    status = keystile_key_lookup(verifier, key.data, key.len - 1, &lookup);
    printf("cut off: %s\n", keystile_status_name(status));

    keystile_response_free(response);
    keystile_requirement_free(write);
    keystile_requirement_free(read);
    keystile_change_free(issued); /* wipes the key */
    keystile_permissions_free(permissions);
    keystile_verifier_free(verifier);
    keystile_format_free(format);
    return 0;
}
