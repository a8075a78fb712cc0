/* A small HTTP service: keys in SQLite, decisions from memory, and two routes,
 * which read the name of the client from the database.
 *
 *   GET  /api/profile   any valid key
 *   POST /api/data      a key with the permission `write`
 *
 * cc service.c ../adapters/sqlite/keystile_sqlite*.c -I../adapters/sqlite \
 *     $(pkg-config --cflags --libs keystile libmicrohttpd sqlite3) -lpthread -o service
 *
 *   service keys.db issue CLIENT PERMISSION... [limit=N]     shows a new key, once
 *   service keys.db revoke KEY-ID
 *   service keys.db change KEY-ID [-PERMISSION...] [limit=N] takes permissions away
 *   service keys.db serve PORT
 *
 * The program `keystile`, and services in Rust and Go, can use the same file at the same time: a
 * change by any of them is in force here within about a second. An interrupt or SIGTERM stops the
 * service after it has recorded the last uses. It listens on loopback only. */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <keystile.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "keystile_sqlite.h"

enum { HEADERS_MAX = 8, WORDS_MAX = 16 };

typedef struct service {
    keystile_sqlite *keys;
    keystile_format *format;
    keystile_verifier *verifier;
    keystile_credential_extractor *extractor;
    keystile_requirement *write;
} service;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static keystile_str str(const char *text) {
    keystile_str value = {text, text == NULL ? 0 : strlen(text)};
    return value;
}

/* For calls that fail only if the program is wrong. */
static void must(keystile_status status) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), keystile_status_text(status));
        exit(1);
    }
}

/* ---- What the routes answer. ---- */

/* A text as a JSON string. */
static void write_string(FILE *to, keystile_str text) {
    fputc('"', to);
    for (size_t at = 0; at < text.len; at++) {
        unsigned char byte = (unsigned char)text.data[at];
        if (byte == '"' || byte == '\\') {
            fputc('\\', to);
        }
        if (byte < ' ') {
            fprintf(to, "\\u%04x", byte);
        } else {
            fputc(byte, to);
        }
    }
    fputc('"', to);
}

/* The body of a route, from the record of the key; NULL if it cannot be read. Free it. */
static char *describe(service *service, int is_data, const keystile_id *id) {
    keystile_record *record = NULL;
    keystile_record_parts parts;
    char permissions[16384], *body = NULL;
    size_t len = 0, needed = 0;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    if (keystile_sqlite_find(service->keys, id, &record, NULL, NULL) != KEYSTILE_OK) {
        return NULL;
    }
    must(keystile_record_parts_of(record, &parts));
    must(keystile_permissions_to_json(parts.permissions, permissions, sizeof permissions, &needed));
    FILE *to = open_memstream(&body, &len);
    if (to != NULL) {
        fputs(is_data ? "{\"message\":\"Data created successfully\",\"client\":" : "{\"client\":", to);
        write_string(to, parts.client_name);
        if (!is_data) {
            fprintf(to, ",\"permissions\":%.*s", (int)needed, permissions);
        }
        fputc('}', to);
        fclose(to);
    }
    keystile_record_free(record);
    return body;
}

/* ---- The guard: from the headers of a request to a decision. ---- */

typedef struct headers {
    keystile_header fields[HEADERS_MAX];
    size_t count;
    int too_many;
} headers;

/* Only these carry keys. */
static enum MHD_Result collect(void *place, enum MHD_ValueKind kind, const char *name,
                               const char *value) {
    headers *own = place;
    (void)kind;
    if (strcasecmp(name, "x-api-key") == 0 || strcasecmp(name, "authorization") == 0) {
        if (own->count == HEADERS_MAX) {
            own->too_many = 1;
            return MHD_NO;
        }
        own->fields[own->count].name = str(name);
        own->fields[own->count].value = str(value);
        own->count++;
    }
    return MHD_YES;
}

static keystile_status guard(service *service, struct MHD_Connection *connection,
                             const char *method, const char *path,
                             const keystile_requirement *requirement, keystile_decision *decision) {
    headers headers;
    keystile_credential key;
    keystile_request request;
    memset(&headers, 0, sizeof headers);
    MHD_get_connection_values(connection, MHD_HEADER_KIND, collect, &headers);
    if (headers.too_many) {
        return keystile_refuse(KEYSTILE_CAUSE_CONFLICTING_CREDENTIALS, decision);
    }
    keystile_status status = keystile_credential_extract(service->extractor, headers.fields,
                                                         headers.count, decision, &key);
    if (status != KEYSTILE_OK) {
        return status;
    }
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    request.requirement = requirement;
    request.method = str(method);
    request.path = str(path);
    status = keystile_sqlite_check(service->keys, key.text, key.len, &request, now(), decision);
    keystile_credential_wipe(&key);
    return status;
}

/* ---- The routes. ---- */

static enum MHD_Result reply(struct MHD_Connection *connection, const keystile_response *guarded,
                            unsigned status, const char *body, size_t len) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    for (size_t index = 0; index < keystile_response_header_count(guarded); index++) {
        keystile_str name, value;
        must(keystile_response_header_at(guarded, index, &name, &value));
        MHD_add_response_header(response, name.data, value.data);
    }
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **state) {
    static int seen;
    service *service = context;
    const keystile_requirement *requirement = NULL;
    (void)version;
    (void)upload;
    if (*state == NULL || *upload_len > 0) {
        /* The body is read and ignored. */
        *state = &seen;
        *upload_len = 0;
        return MHD_YES;
    }
    int is_profile = strcmp(path, "/api/profile") == 0 && strcmp(method, "GET") == 0;
    int is_data = strcmp(path, "/api/data") == 0 && strcmp(method, "POST") == 0;
    if (!is_profile && !is_data) {
        return reply(connection, NULL, 404, "", 0);
    }
    if (is_data) {
        requirement = service->write;
    }
    keystile_decision decision;
    keystile_response *response = NULL;
    memset(&decision, 0, sizeof decision);
    keystile_status status = guard(service, connection, method, path, requirement, &decision);
    /* After a misuse no decision was written, so there is no response to it either. */
    if (keystile_respond(&decision, KEYSTILE_STATUS_POLICY_RFC9110,
                          KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6, requirement, service->extractor, now(),
                         &response) != KEYSTILE_OK) {
        return reply(connection, NULL, 500, "", 0);
    }
    enum MHD_Result sent;
    if (status == KEYSTILE_OK) {
        char *body = describe(service, is_data, &decision.key_id);
        sent = body == NULL ? reply(connection, response, 503, "", 0)
                            : reply(connection, response, is_data ? 201 : 200, body, strlen(body));
        free(body);
    } else {
        keystile_str body;
        must(keystile_response_body(response, &body));
        sent = reply(connection, response, keystile_response_status(response), body.data, body.len);
    }
    keystile_response_free(response);
    return sent;
}

/* ---- The commands. ---- */

static int report(keystile_status status, const keystile_sqlite_error *error) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), error->text);
    }
    return status == KEYSTILE_OK ? 0 : 1;
}

/* Takes a limit of so many requests an hour from the words, and leaves the permissions; returns
 * how many these are, or -1. */
static int read_words(int count, char **words, keystile_str *permissions, keystile_rate_limit *limit,
                      uint8_t *has_limit) {
    int found = 0;
    for (int index = 0; index < count; index++) {
        const char *digits = words[index] + 6;
        if (strncmp(words[index], "limit=", 6) != 0) {
            permissions[found++] = str(words[index]);
            continue;
        }
        /* Without a sign, and at most nine digits, so that it cannot wrap. */
        if (*digits == '\0' || strlen(digits) > 9 || strspn(digits, "0123456789") != strlen(digits)) {
            fprintf(stderr, "limit: expected a whole number of at most nine digits\n");
            return -1;
        }
        limit->limit = limit->burst = (uint32_t)strtoul(digits, NULL, 10);
        limit->window_millis = 3600000;
        *has_limit = 1;
    }
    return found;
}

static int issue(service *service, const keystile_sqlite_by *by, int count, char **words) {
    keystile_str granted[WORDS_MAX], key;
    keystile_permissions *permissions = NULL;
    keystile_change *issued = NULL;
    keystile_issue_request asked;
    keystile_sqlite_error error;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name = str(words[0]);
    int granted_count = read_words(count - 1, words + 1, granted, &asked.rate_limit, &asked.has_rate_limit);
    if (granted_count < 0) {
        return 2;
    }
    must(keystile_permissions_new(granted, (size_t)granted_count, &permissions, NULL));
    asked.permissions = permissions;
    keystile_status status =
        keystile_sqlite_issue(service->keys, service->format, NULL, &asked, by, now(), &issued, &error);
    if (status == KEYSTILE_OK) {
        must(keystile_change_key(issued, &key));
        printf("%.*s\n", (int)key.len, key.data);
    }
    keystile_change_free(issued); /* wipes the key */
    keystile_permissions_free(permissions);
    return report(status, &error);
}

static int change(service *service, const keystile_sqlite_by *by, const keystile_id *id, int count, char **words) {
    keystile_str taken[WORDS_MAX];
    keystile_permissions *removed = NULL;
    keystile_key_change asked;
    keystile_sqlite_error error;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    int taken_count = read_words(count, words, taken, &asked.rate_limit, &asked.has_rate_limit);
    if (taken_count < 0) {
        return 2;
    }
    for (int index = 0; index < taken_count; index++) {
        int dashes = taken[index].data[0] == '-';
        taken[index].data += dashes;
        taken[index].len -= (size_t)dashes;
    }
    if (taken_count > 0) {
        must(keystile_permissions_new(taken, (size_t)taken_count, &removed, NULL));
        asked.remove_permissions = removed;
    }
    keystile_status status = keystile_sqlite_change(service->keys, id, &asked, by, now(), &error);
    keystile_permissions_free(removed);
    return report(status, &error);
}

static int serve(service *service, const char *port, const sigset_t *signals) {
    /* Keys are sent in clear text, so only this machine may connect. */
    uint16_t number = (uint16_t)strtoul(port, NULL, 10);
    struct sockaddr_in address;
    int caught = 0;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(number);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, number, NULL, NULL,
        answer, service, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "cannot listen on port %s\n", port);
        return 1;
    }
    printf("serving on port %s\n", port);
    fflush(stdout);
    sigwait(signals, &caught);
    MHD_stop_daemon(daemon);
    return 0;
}

static int run(service *service, int count, char **words, const sigset_t *signals) {
    keystile_sqlite_by by = {{"service", 7}, {NULL, 0}};
    keystile_sqlite_error error;
    keystile_id id;
    if (count - 2 > WORDS_MAX) {
        fprintf(stderr, "expected at most %d words\n", WORDS_MAX);
        return 2;
    }
    if (strcmp(words[0], "issue") == 0) {
        return issue(service, &by, count - 1, words + 1);
    }
    if (strcmp(words[0], "serve") == 0) {
        return serve(service, words[1], signals);
    }
    if (keystile_id_parse(words[1], strlen(words[1]), &id, NULL) != KEYSTILE_OK) {
        fprintf(stderr, "expected the id of a key\n");
        return 2;
    }
    if (strcmp(words[0], "revoke") == 0) {
        return report(keystile_sqlite_revoke(service->keys, &id, str("by hand"), &by, now(), &error), &error);
    }
    return change(service, &by, &id, count - 2, words + 2);
}

/* What the store does in the background. */
static void complain(void *context, const char *text) {
    (void)context;
    fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv) {
    service service;
    keystile_sqlite_options options;
    keystile_sqlite_error error;
    sigset_t signals;
    int result = 1;
    memset(&service, 0, sizeof service);
    memset(&options, 0, sizeof options);
    if (argc < 4 || (strcmp(argv[2], "issue") != 0 && strcmp(argv[2], "revoke") != 0 &&
                     strcmp(argv[2], "change") != 0 && strcmp(argv[2], "serve") != 0)) {
        fprintf(stderr, "usage: service DATABASE issue CLIENT PERMISSION... [limit=N]\n"
                        "       service DATABASE revoke KEY-ID\n"
                        "       service DATABASE change KEY-ID [-PERMISSION...] [limit=N]\n"
                        "       service DATABASE serve PORT\n");
        return 2;
    }
    /* All threads inherit this: the signals arrive only where they are waited for. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    must(keystile_format_structured("acme", 4, &service.format, NULL));
    must(keystile_verifier_new(service.format, NULL, &service.verifier));
    must(keystile_credential_extractor_new(service.verifier, NULL, &service.extractor, NULL));
    must(keystile_requirement_parse("write", 5, &service.write, NULL));
    options.verifier = service.verifier;
    options.on_failure = complain;
    if (report(keystile_sqlite_open(argv[1], &options, &service.keys, &error), &error) == 0) {
        result = run(&service, argc - 2, argv + 2, &signals);
        result |= report(keystile_sqlite_close(service.keys, now(), &error), &error);
    }
    keystile_requirement_free(service.write);
    keystile_credential_extractor_free(service.extractor);
    keystile_verifier_free(service.verifier);
    keystile_format_free(service.format);
    return result;
}
