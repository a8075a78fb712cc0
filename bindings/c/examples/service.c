/* A small HTTP service: keys in SQLite, decisions by a keyring, and two routes.
 *
 *   GET  /api/profile   any valid key
 *   POST /api/data      a key with the permission `write`
 *
 * cc service.c $(pkg-config --cflags --libs keystile libmicrohttpd sqlite3) -o service
 *
 *   service keys.db issue CLIENT PERMISSION... [limit=N]   shows a new key, once
 *   service keys.db serve PORT
 *
 * While it serves it reads lines: `revoke KEY-ID` revokes a key at once. An interrupt or SIGTERM
 * stops the service after it has recorded the last uses. It listens on loopback only. */
#include <arpa/inet.h>
#include <keystile.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* Give up if invalidations keep overtaking the fetches. */
enum { ROUNDS_MAX = 4, HEADERS_MAX = 8 };

typedef struct service {
    sqlite3 *database;
    keystile_format *format;
    keystile_verifier *verifier;
    keystile_keyring *keyring;
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

static void must(keystile_status status) {
    if (status != KEYSTILE_OK) {
        fprintf(stderr, "%s: %s\n", keystile_status_name(status), keystile_status_text(status));
        exit(1);
    }
}

static void must_sql(sqlite3 *database, int result) {
    if (result != SQLITE_OK && result != SQLITE_DONE && result != SQLITE_ROW) {
        fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(database));
        exit(1);
    }
}

/* ---- The store: one row for each key, with its record as one JSON text. ---- */

static const char SCHEMA[] =
    "CREATE TABLE IF NOT EXISTS api_keys ("
    " id TEXT PRIMARY KEY, key_hash TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,"
    " record TEXT NOT NULL, uses INTEGER NOT NULL DEFAULT 0, last_used_at INTEGER)";

/* Writes all records of a change or none; each replaces only the version before it. */
static int store_change(sqlite3 *database, const keystile_change *change) {
    static const char SQL[] =
        "INSERT INTO api_keys (id, key_hash, version, record) VALUES (?1, ?2, ?3, ?4)"
        " ON CONFLICT (id) DO UPDATE SET key_hash = ?2, version = ?3, record = ?4"
        " WHERE version = ?3 - 1";
    sqlite3_stmt *statement = NULL;
    int written = 1;
    must_sql(database, sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL));
    must_sql(database, sqlite3_prepare_v2(database, SQL, -1, &statement, NULL));
    for (size_t index = 0; index < keystile_change_record_count(change); index++) {
        const keystile_record *record = keystile_change_record_at(change, index);
        keystile_record_parts parts;
        keystile_digest_text digest;
        size_t needed = 0;
        memset(&parts, 0, sizeof parts);
        parts.struct_size = sizeof parts;
        must(keystile_record_parts_of(record, &parts));
        must(keystile_digest_to_text(&parts.digest, &digest));
        keystile_record_to_json(record, NULL, 0, &needed);
        char *json = malloc(needed);
        if (json == NULL) {
            exit(1);
        }
        must(keystile_record_to_json(record, json, needed, &needed));
        sqlite3_bind_text(statement, 1, parts.id.text, -1, SQLITE_TRANSIENT);
        sqlite3_bind_text(statement, 2, digest.text, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)parts.version);
        sqlite3_bind_text(statement, 4, json, (int)needed, SQLITE_TRANSIENT);
        must_sql(database, sqlite3_step(statement));
        written = written && sqlite3_changes(database) == 1;
        sqlite3_reset(statement);
        free(json);
    }
    sqlite3_finalize(statement);
    must_sql(database, sqlite3_exec(database, written ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL));
    return written;
}

/* Reads the record of an id; `found` is set if there is one. Returns 0 if the store failed. */
static int fetch(sqlite3 *database, const char *id, keystile_record **record) {
    sqlite3_stmt *statement = NULL;
    int answered = 0;
    *record = NULL;
    if (sqlite3_prepare_v2(database, "SELECT record FROM api_keys WHERE id = ?1", -1, &statement,
                           NULL) == SQLITE_OK) {
        sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
        int result = sqlite3_step(statement);
        if (result == SQLITE_ROW) {
            answered = keystile_record_from_json((const char *)sqlite3_column_text(statement, 0),
                                                 (size_t)sqlite3_column_bytes(statement, 0),
                                                 record, NULL) == KEYSTILE_OK;
        } else {
            answered = result == SQLITE_DONE;
        }
    }
    sqlite3_finalize(statement);
    return answered;
}

/* Formats the answer of a route as JSON; SQLite quotes the client's name. */
static char *describe(sqlite3 *database, int is_data, const char *id) {
    static const char PROFILE[] =
        "SELECT json_object('client', json_extract(record, '$.client_name'),"
        " 'permissions', json_extract(record, '$.permissions')) FROM api_keys WHERE id = ?1";
    static const char DATA[] =
        "SELECT json_object('message', 'Data created successfully',"
        " 'client', json_extract(record, '$.client_name')) FROM api_keys WHERE id = ?1";
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    must_sql(database, sqlite3_prepare_v2(database, is_data ? DATA : PROFILE, -1, &statement, NULL));
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        text = sqlite3_mprintf("%s", sqlite3_column_text(statement, 0));
    }
    sqlite3_finalize(statement);
    return text != NULL ? text : sqlite3_mprintf("{}");
}

/* Uses are recorded in bulk, so that no request waits for a write. */
static void note_uses(service *service) {
    static const char SQL[] = "UPDATE api_keys SET uses = uses + ?2, last_used_at = ?3 WHERE id = ?1";
    keystile_uses *uses = NULL;
    sqlite3_stmt *statement = NULL;
    must(keystile_keyring_drain_uses(service->keyring, &uses));
    must_sql(service->database, sqlite3_prepare_v2(service->database, SQL, -1, &statement, NULL));
    for (size_t index = 0; index < keystile_uses_count(uses); index++) {
        keystile_use use;
        must(keystile_uses_at(uses, index, &use));
        sqlite3_bind_text(statement, 1, use.key_id.text, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(statement, 2, (sqlite3_int64)use.count);
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)use.last_used_at);
        must_sql(service->database, sqlite3_step(statement));
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    keystile_uses_free(uses);
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
    keystile_ticket ticket;
    uint64_t at = now();
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
    status = keystile_keyring_check(service->keyring, key.text, key.len, &request, at, decision,
                                    NULL, &ticket);
    for (int round = 0; status == KEYSTILE_NEEDS_RECORD; round++) {
        keystile_record *record = NULL;
        if (round == ROUNDS_MAX || !fetch(service->database, keystile_lookup_key_id(keystile_ticket_lookup(&ticket))->text, &record)) {
            status = keystile_refuse(KEYSTILE_CAUSE_STORE_UNAVAILABLE, decision);
            break;
        }
        status = keystile_keyring_admit(service->keyring, &ticket, key.text, key.len, &request,
                                        record, NULL, NULL, at, decision, NULL, &ticket);
        keystile_record_free(record);
    }
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
                          KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6, requirement, now(),
                         &response) != KEYSTILE_OK) {
        return reply(connection, NULL, 500, "", 0);
    }
    enum MHD_Result sent;
    if (status == KEYSTILE_OK) {
        char *body = describe(service->database, is_data, decision.key_id.text);
        sent = reply(connection, response, is_data ? 201 : 200, body, strlen(body));
        sqlite3_free(body);
    } else {
        keystile_str body;
        must(keystile_response_body(response, &body));
        sent = reply(connection, response, keystile_response_status(response), body.data, body.len);
    }
    keystile_response_free(response);
    return sent;
}

/* ---- The commands. ---- */

static int issue(service *service, int count, char **words) {
    keystile_str granted[16];
    size_t granted_count = 0;
    keystile_permissions *permissions = NULL;
    keystile_change *issued = NULL;
    keystile_issue_request asked;
    keystile_str key;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    asked.client_name = str(words[0]);
    for (int index = 1; index < count && granted_count < 16; index++) {
        if (strncmp(words[index], "limit=", 6) == 0) {
            asked.rate_limit.limit = (uint32_t)strtoul(words[index] + 6, NULL, 10);
            asked.rate_limit.burst = asked.rate_limit.limit;
            asked.rate_limit.window_millis = 3600000;
            asked.has_rate_limit = 1;
        } else {
            granted[granted_count++] = str(words[index]);
        }
    }
    must(keystile_permissions_new(granted, granted_count, &permissions, NULL));
    asked.permissions = permissions;
    must(keystile_issue(service->format, NULL, &asked, NULL, 0, now(), &issued, NULL));
    must(keystile_change_key(issued, &key));
    int stored = store_change(service->database, issued);
    if (stored) {
        printf("%.*s\n", (int)key.len, key.data);
    }
    keystile_change_free(issued);
    keystile_permissions_free(permissions);
    return stored ? 0 : 1;
}

/* Invalidate only after the store has accepted the revocation. */
static void end_key(service *service, const char *id) {
    keystile_record *record = NULL;
    keystile_change *revoked = NULL;
    keystile_id key_id;
    int done = keystile_id_parse(id, strlen(id), &key_id, NULL) == KEYSTILE_OK &&
               fetch(service->database, id, &record) && record != NULL &&
               keystile_revoke(record, "by hand", 7, now(), &revoked, NULL) == KEYSTILE_OK &&
               store_change(service->database, revoked);
    if (done) {
        must(keystile_keyring_invalidate(service->keyring, &key_id));
    }
    printf(done ? "revoked %s\n" : "cannot revoke %s\n", id);
    fflush(stdout);
    keystile_change_free(revoked);
    keystile_record_free(record);
}

/* Runs the commands on standard input; returns 0 at its end. */
static int obey(service *service) {
    char lines[256];
    ssize_t length = read(STDIN_FILENO, lines, sizeof lines - 1);
    if (length <= 0) {
        return 0;
    }
    lines[length] = '\0';
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strncmp(line, "revoke ", 7) == 0) {
            end_key(service, line + 7);
        }
    }
    return 1;
}

static volatile sig_atomic_t stopping;

static void stop(int number) {
    (void)number;
    stopping = 1;
}

/* Signals arrive only in this thread, and only while it waits. */
static void hear_signals(sigset_t *while_waiting) {
    struct sigaction action;
    sigset_t held;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A background process of a terminal has no input, and should not be stopped for that. */
    action.sa_handler = SIG_IGN;
    sigaction(SIGTTIN, &action, NULL);
    sigemptyset(&held);
    sigaddset(&held, SIGINT);
    sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, while_waiting);
}

static int serve(service *service, const char *port) {
    sigset_t while_waiting;
    int reads = 1;
    /* Keys are sent in clear text, so only this machine may connect. */
    uint16_t number = (uint16_t)strtoul(port, NULL, 10);
    struct sockaddr_in address = {0};
    address.sin_family = AF_INET;
    address.sin_port = htons(number);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    hear_signals(&while_waiting);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, number, NULL, NULL,
        answer, service, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_END);
    if (daemon == NULL) {
        fprintf(stderr, "cannot listen on port %s\n", port);
        return 1;
    }
    printf("serving on port %s\n", port);
    fflush(stdout);
    while (!stopping) {
        struct timespec second = {1, 0};
        fd_set ready;
        FD_ZERO(&ready);
        if (reads) {
            FD_SET(STDIN_FILENO, &ready);
        }
        if (pselect(1, &ready, NULL, NULL, &second, &while_waiting) > 0) {
            reads = obey(service);
        }
        note_uses(service);
    }
    MHD_stop_daemon(daemon);
    note_uses(service);
    return 0;
}

int main(int argc, char **argv) {
    service service;
    int result = 2;
    memset(&service, 0, sizeof service);
    if (argc < 4) {
        fprintf(stderr, "usage: service DATABASE issue CLIENT PERMISSION... [limit=N]\n"
                        "       service DATABASE serve PORT\n");
        return result;
    }
    must_sql(service.database, sqlite3_open_v2(argv[1], &service.database,
                                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                                   SQLITE_OPEN_FULLMUTEX,
                                               NULL));
    /* Another process may be writing, such as `issue` during `serve`. */
    sqlite3_busy_timeout(service.database, 5000);
    must_sql(service.database, sqlite3_exec(service.database, SCHEMA, NULL, NULL, NULL));
    must(keystile_format_structured("acme", 4, &service.format, NULL));
    must(keystile_verifier_new(service.format, NULL, &service.verifier));
    must(keystile_keyring_new(service.verifier, NULL, &service.keyring, NULL));
    must(keystile_credential_extractor_new(service.verifier, NULL, &service.extractor, NULL));
    must(keystile_requirement_parse("write", 5, &service.write, NULL));
    if (strcmp(argv[2], "issue") == 0) {
        result = issue(&service, argc - 3, argv + 3);
    } else if (strcmp(argv[2], "serve") == 0) {
        result = serve(&service, argv[3]);
    }
    keystile_requirement_free(service.write);
    keystile_credential_extractor_free(service.extractor);
    keystile_keyring_free(service.keyring);
    keystile_verifier_free(service.verifier);
    keystile_format_free(service.format);
    sqlite3_close(service.database);
    return result;
}
