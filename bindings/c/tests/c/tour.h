/* What the tours share: a request, the fields of a record, and a key. Not each of them uses all. */
#ifndef TOUR_H
#define TOUR_H

#include "support.h"

static inline keystile_request request_for(const keystile_requirement *requirement, const char *method,
                                    const char *path) {
    keystile_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.requirement = requirement;
    request.method = str(method);
    request.path = str(path);
    return request;
}

static inline keystile_record_parts parts_of(const keystile_record *record) {
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(record, &parts));
    return parts;
}

/* A key with permissions, endpoint rules and a limit of three an hour. */
static inline keystile_change *issue(const keystile_format *format, uint32_t limit) {
    keystile_str granted[2] = {str("read"), str("invoices:*")};
    keystile_str rules[1] = {str("GET,HEAD /api/*")};
    keystile_permissions *permissions = NULL;
    keystile_endpoints *endpoints = NULL;
    keystile_change *change = NULL;
    keystile_issue_request request;
    OK(keystile_permissions_new(granted, 2, &permissions, NULL));
    OK(keystile_endpoints_new(rules, 1, &endpoints, NULL));
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.client_name = str("Acme Ltd");
    request.owner = str("tenant-7");
    request.environment = str("live");
    request.permissions = permissions;
    request.allowed_endpoints = endpoints;
    request.rate_limit.limit = limit;
    request.rate_limit.burst = limit;
    request.rate_limit.window_millis = 3600000;
    request.has_rate_limit = 1;
    OK(keystile_issue(format, NULL, &request, NULL, 0, NOW, &change, NULL));
    keystile_permissions_free(permissions);
    keystile_endpoints_free(endpoints);
    return change;
}

#endif
