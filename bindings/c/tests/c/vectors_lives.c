/* Vectors about limits, records, policies and the life of a lineage. */
#include "reader.h"

static json_t *limits(const json_t *input) {
    keystile_rate_limit limit = limit_of(field(input, "limit"));
    const json_t *requests = field(input, "requests");
    keystile_status status = keystile_rate_limit_check(&limit, NULL);
    uint64_t state = 0;
    if (status != KEYSTILE_OK) {
        return json_pack("{s:n, s:o}", "steps", "error", error_or_null(status));
    }
    json_t *steps = json_array();
    for (size_t index = 0; index < json_array_size(requests); index++) {
        keystile_quota quota;
        uint32_t remaining;
        uint64_t reset, wait = 0, now = number_of(json_array_get(requests, index));
        keystile_status answer = keystile_rate_limit_admit(&limit, &state, now, &quota);
        CHECK(answer == KEYSTILE_OK || answer == KEYSTILE_DENIED_RATE_LIMITED);
        OK(keystile_quota_remaining(&quota, &remaining));
        OK(keystile_quota_reset_millis(&quota, &reset));
        int ever = keystile_quota_retry_after_millis(&quota, &wait) == KEYSTILE_OK;
        json_array_append_new(
            steps, json_pack("{s:b, s:I, s:I, s:o}", "admitted", answer == KEYSTILE_OK,
                             "remaining", (json_int_t)remaining, "reset_ms", (json_int_t)reset,
                             "retry_after_ms", null_or_number(ever, wait)));
    }
    return json_pack("{s:o, s:n}", "steps", steps, "error");
}

static json_t *limit_runs(const json_t *input) {
    keystile_rate_limit limit = limit_of(field(input, "limit"));
    uint64_t now = number_of(field(input, "first_at")), state = 0, admitted = 0;
    uint64_t count = number_of(field(input, "count")), first_refused = count;
    for (uint64_t index = 0; index < count; index++) {
        if (keystile_rate_limit_admit(&limit, &state, now, NULL) == KEYSTILE_OK) {
            admitted++;
        } else if (first_refused == count) {
            first_refused = index;
        }
        now += number_of(field(input, "every_ms"));
    }
    return json_pack("{s:I, s:o}", "admitted", (json_int_t)admitted, "first_refused",
                     null_or_number(first_refused != count, first_refused));
}

static json_t *policies(const json_t *input) {
    keystile_rotation_policy policy;
    keystile_status status = policy_of(field(input, "policy"), &policy);
    CHECK(status == KEYSTILE_OK || status == KEYSTILE_ERROR_TIME);
    return json_pack("{s:b}", "legal", status == KEYSTILE_OK);
}

static json_t *plans(const json_t *input) {
    static const char *const actions[] = {"", "notice", "rotate", "clean_up"};
    const json_t *list = field(input, "records");
    size_t count = json_array_size(list), index, due_count;
    const keystile_record **records = calloc(count + 1, sizeof *records);
    keystile_plan_item *plan = calloc(2 * count + 1, sizeof *plan);
    keystile_rotation_policy policy;
    json_t *due = json_array();
    CHECK(records != NULL && plan != NULL);
    OK(policy_of(field(input, "policy"), &policy));
    for (index = 0; index < count; index++) {
        records[index] = record_of(json_array_get(list, index));
    }
    OK(keystile_plan(records, count, &policy, number_of(field(input, "now")), plan, 2 * count,
                     &due_count, NULL));
    for (index = 0; index < due_count; index++) {
        CHECK(plan[index].action >= 1 && plan[index].action <= 3);
        json_array_append_new(
            due, json_pack("{s:o, s:s, s:I, s:o}", "key_id", null_or_id(plan[index].key_id),
                           "action", actions[plan[index].action], "at",
                           (json_int_t)plan[index].at, "lead_ms",
                           null_or_number(plan[index].action == KEYSTILE_PLAN_NOTICE,
                                          plan[index].lead_millis)));
    }
    for (index = 0; index < count; index++) {
        keystile_record_free((keystile_record *)(uintptr_t)records[index]);
    }
    free(records);
    free(plan);
    return json_pack("{s:o}", "due", due);
}

static json_t *records(const json_t *input) {
    keystile_str text = text_of(field(input, "json"));
    keystile_record *record = NULL;
    keystile_status status = keystile_record_from_json(text.data, text.len, &record, NULL);
    if (status == KEYSTILE_OK) {
        static char own[65536];
        size_t needed;
        OK(keystile_record_to_json(record, own, sizeof own, &needed));
        /* Jansson has no unsigned numbers: if one is too large, all are read as real. */
        size_t flags = JSON_ALLOW_NUL;
        json_t *before = json_loadb(text.data, text.len, flags, NULL);
        if (before == NULL) {
            flags |= JSON_DECODE_INT_AS_REAL;
            before = json_loadb(text.data, text.len, flags, NULL);
        }
        json_t *after = json_loadb(own, needed, flags, NULL);
        CHECK(before != NULL && json_equal(before, after));
        json_decref(before);
        json_decref(after);
    } else {
        EXPECT(KEYSTILE_ERROR_JSON, status);
    }
    keystile_record_free(record);
    return json_pack("{s:b}", "accepted", status == KEYSTILE_OK);
}

/* A store of one lineage: at most this many keys. */
enum { KEYS_MAX = 8 };

typedef struct key {
    keystile_str label;
    char text[257];
    keystile_record *record;
} key;

typedef struct lineage {
    key keys[KEYS_MAX];
    size_t count;
    keystile_format *format;
    keystile_verifier *verifier;
    keystile_rotation_policy policy;
    keystile_usage usage;
} lineage;

static keystile_record_parts parts_of(const keystile_record *record) {
    keystile_record_parts parts;
    memset(&parts, 0, sizeof parts);
    parts.struct_size = sizeof parts;
    OK(keystile_record_parts_of(record, &parts));
    return parts;
}

static key *by_id(lineage *lineage, const keystile_id *id) {
    for (size_t index = 0; index < lineage->count; index++) {
        keystile_record_parts parts = parts_of(lineage->keys[index].record);
        if (memcmp(&parts.id, id, sizeof *id) == 0) {
            return &lineage->keys[index];
        }
    }
    return NULL;
}

static key *by_label(lineage *lineage, keystile_str label) {
    for (size_t index = 0; index < lineage->count; index++) {
        keystile_str own = lineage->keys[index].label;
        if (own.len == label.len && memcmp(own.data, label.data, own.len) == 0) {
            return &lineage->keys[index];
        }
    }
    CHECK(0);
    return NULL;
}

/* A copy of a record, through plain fields. */
static keystile_record *copy_of(const keystile_record *record) {
    keystile_record_parts parts = parts_of(record);
    keystile_record *copy = NULL;
    OK(keystile_record_new(&parts, &copy, NULL));
    return copy;
}

/* Writes the records of a change as a store does: all of them, over the version before. */
static void write_all(lineage *lineage, const keystile_change *change, keystile_str successor) {
    for (size_t index = 0; index < keystile_change_record_count(change); index++) {
        const keystile_record *record = keystile_change_record_at(change, index);
        keystile_record_parts parts = parts_of(record);
        key *place = by_id(lineage, &parts.id);
        if (place == NULL) {
            keystile_str text;
            CHECK(parts.version == 1 && lineage->count < KEYS_MAX);
            OK(keystile_change_key(change, &text));
            place = &lineage->keys[lineage->count++];
            place->label = successor;
            memcpy(place->text, text.data, text.len);
            place->text[text.len] = '\0';
        } else {
            CHECK(parts.version == parts_of(place->record).version + 1);
            keystile_record_free(place->record);
        }
        place->record = copy_of(record);
    }
}

static keystile_status rotate(lineage *lineage, const key *own, uint64_t now,
                              keystile_change **change) {
    const keystile_record *siblings[KEYS_MAX];
    size_t count = 0;
    for (size_t index = 0; index < lineage->count; index++) {
        if (&lineage->keys[index] != own) {
            siblings[count++] = lineage->keys[index].record;
        }
    }
    return keystile_rotate(own->record, siblings, count, &lineage->policy, lineage->format, NULL,
                           NULL, 0, now, change, NULL);
}

static json_t *use(lineage *lineage, const key *own, uint64_t now) {
    keystile_request request;
    keystile_decision decision;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    keystile_status status =
        keystile_verify(lineage->verifier, own->text, strlen(own->text), own->record, &request,
                        &lineage->usage, now, &decision);
    json_t *left = null_or_number(lineage->usage.has_remaining_uses, lineage->usage.remaining_uses);
    if (status != KEYSTILE_OK) {
        return json_pack("{s:s, s:n, s:s, s:o}", "outcome", "deny", "keys", "code",
                         keystile_status_name(status), "remaining_uses", left);
    }
    if (decision.ends_overlap_of.text[0] != '\0') {
        key *old = by_id(lineage, &decision.ends_overlap_of);
        keystile_change *change = NULL;
        CHECK(old != NULL);
        if (keystile_end_overlap(old->record, own->record, now, &change, NULL) == KEYSTILE_OK) {
            write_all(lineage, change, str(NULL));
            keystile_change_free(change);
        }
    }
    return json_pack("{s:s, s:n, s:n, s:o}", "outcome", "allow", "keys", "code", "remaining_uses",
                     left);
}

static json_t *live(const lineage *lineage, uint64_t now) {
    json_t *keys = json_array();
    for (size_t index = 0; index < lineage->count; index++) {
        bool is_live = false;
        OK(keystile_record_is_live(lineage->keys[index].record, now, &is_live));
        if (is_live) {
            json_array_append_new(keys, null_or_text(lineage->keys[index].label));
        }
    }
    CHECK(json_array_size(keys) <= 2);
    return keys;
}

static json_t *act(lineage *lineage, const json_t *step) {
    keystile_str verb = text_of(field(step, "do")), label = text_of(field(step, "key"));
    keystile_str reason = text_of(field(step, "reason"));
    uint64_t now = number_of(field(step, "at"));
    keystile_change *change = NULL;
    keystile_event event;
    keystile_status status = KEYSTILE_ERROR_VALUE;
    if (is_text(verb, "live")) {
        return json_pack("{s:s, s:o, s:n, s:n}", "outcome", "live", "keys", live(lineage, now),
                         "code", "remaining_uses");
    }
    key *own = by_label(lineage, label);
    if (is_text(verb, "use")) {
        return use(lineage, own, now);
    } else if (is_text(verb, "rotate")) {
        status = rotate(lineage, own, now, &change);
    } else if (is_text(verb, "expire")) {
        status = keystile_expire(own->record, now, &event, NULL);
        CHECK(status != KEYSTILE_OK || (event.kind == KEYSTILE_EVENT_EXPIRED && event.at == now));
    } else if (is_text(verb, "revoke")) {
        status = keystile_revoke(own->record, reason.data, reason.len, now, &change, NULL);
    } else if (is_text(verb, "suspend")) {
        status = keystile_suspend(own->record, now, &change, NULL);
    } else if (is_text(verb, "resume")) {
        status = keystile_resume(own->record, now, &change, NULL);
    }
    if (change != NULL) {
        OK(keystile_change_event(change, &event));
        CHECK(event.at == now);
        write_all(lineage, change, text_of(field(step, "as")));
        keystile_change_free(change);
    }
    return json_pack("{s:s, s:n, s:o, s:n}", "outcome", status == KEYSTILE_OK ? "done" : "refused",
                     "keys", "code", error_or_null(status), "remaining_uses");
}

static json_t *label_of(lineage *lineage, const keystile_id *id) {
    return id->text[0] == '\0' ? json_null() : null_or_text(by_id(lineage, id)->label);
}

static json_t *kept(lineage *lineage) {
    static const char *const states[] = {"", "active", "suspended", "revoked"};
    json_t *records = json_object();
    for (size_t index = 0; index < lineage->count; index++) {
        keystile_record_parts parts = parts_of(lineage->keys[index].record);
        char label[8];
        snprintf(label, sizeof label, "%.*s", (int)lineage->keys[index].label.len,
                 lineage->keys[index].label.data);
        json_object_set_new(
            records, label,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:I}", "status", states[parts.state],
                      "replaced_by", label_of(lineage, &parts.replaced_by), "ends_at_first_use",
                      label_of(lineage, &parts.ends_at_first_use), "expires_at",
                      null_or_number(!parts.never_expires, parts.expires_at), "overlap_until",
                      null_or_number(parts.overlap_until != 0, parts.overlap_until), "version",
                      (json_int_t)parts.version));
    }
    return records;
}

static json_t *rotations(const json_t *input) {
    const json_t *steps = field(input, "steps");
    json_t *outcomes = json_array();
    lineage lineage;
    memset(&lineage, 0, sizeof lineage);
    lineage.format = format_of(field(input, "format"));
    OK(policy_of(field(input, "policy"), &lineage.policy));
    OK(keystile_verifier_new(lineage.format, NULL, &lineage.verifier));
    lineage.keys[0].label = str("A");
    lineage.keys[0].record = record_of(field(input, "record"));
    keystile_str text = text_of(field(input, "key"));
    memcpy(lineage.keys[0].text, text.data, text.len);
    lineage.count = 1;
    OK(keystile_record_usage(lineage.keys[0].record, &lineage.usage));
    for (size_t index = 0; index < json_array_size(steps); index++) {
        json_array_append_new(outcomes, act(&lineage, json_array_get(steps, index)));
    }
    json_t *outcome = json_pack("{s:o, s:o}", "outcomes", outcomes, "records", kept(&lineage));
    for (size_t index = 0; index < lineage.count; index++) {
        keystile_record_free(lineage.keys[index].record);
    }
    keystile_verifier_free(lineage.verifier);
    keystile_format_free(lineage.format);
    return outcome;
}

const topic LIVES[] = {
    {"limits", limits},   {"limit_runs", limit_runs}, {"policies", policies}, {"plans", plans},
    {"records", records}, {"rotations", rotations},   {NULL, NULL},
};
