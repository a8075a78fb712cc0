/* What the use of a key has called for: a new digest, or the end of the overlap of the key that it
 * has replaced. It is not done on the way of the request. */
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "keystile_sqlite_internal.h"

/* After a failure, the work for a key pauses. */
enum { PAUSE_MILLIS = 5000 };

static kss_task *task_of(keystile_sqlite *store, const keystile_id *key) {
    for (int at = 0; at < KSS_TASKS_MAX; at++) {
        if (memcmp(&store->tasks[at].key, key, sizeof *key) == 0) {
            return &store->tasks[at];
        }
    }
    return NULL;
}

void kss_schedule(keystile_sqlite *store, const keystile_decision *decision, const char *key, size_t key_len,
                  uint64_t now) {
    static const keystile_id NONE;
    keystile_change *renewed = NULL;
    pthread_mutex_lock(&store->tasks_lock);
    kss_task *task = task_of(store, &decision->key_id) != NULL ? NULL : task_of(store, &NONE);
    if (task != NULL) {
        /* One at a time: the next use brings the other. From here on no other request does this. */
        task->key = decision->key_id;
        task->predecessor = decision->ends_overlap_of;
        task->not_before = now;
    }
    pthread_mutex_unlock(&store->tasks_lock);
    if (task == NULL || !kss_is_none(&decision->ends_overlap_of)) {
        return;
    }
    /* While the key is at hand: what waits has no key text. */
    keystile_record *record = NULL;
    if (keystile_sqlite_find(store, &decision->key_id, &record, NULL, NULL) == KEYSTILE_OK &&
        keystile_rehash(store->verifier, record, key, key_len, now, &renewed, NULL) != KEYSTILE_OK) {
        renewed = NULL;
    }
    keystile_record_free(record);
    pthread_mutex_lock(&store->tasks_lock);
    task->renewed = renewed;
    if (renewed == NULL) {
        memset(task, 0, sizeof *task);
    }
    pthread_mutex_unlock(&store->tasks_lock);
}

/* Forgets a predecessor whose row was deleted, so that later uses do not try again. */
static keystile_status forget(kss_connection *on, const kss_task *task, const keystile_record *successor,
                              uint64_t now, keystile_sqlite_error *error) {
    static const char SQL[] = "UPDATE api_keys SET ends_at_first_use = NULL, version = ?2"
                              " WHERE key_id = ?1 AND version = ?2 - 1 AND ends_at_first_use = ?3";
    keystile_record_parts parts = kss_parts(successor);
    if (memcmp(&parts.ends_at_first_use, &task->predecessor, sizeof task->predecessor) != 0) {
        return KEYSTILE_OK;
    }
    keystile_status result = kss_note(on, KEYSTILE_EVENT_CHANGED, &task->key, parts.version + 1,
                                      "[{\"field\":\"ends_at_first_use\"}]", now, NULL, error);
    kss_statement *statement = kss_prepare(on, SQL);
    kss_bind_id(statement, 1, &task->key);
    kss_bind_number(statement, 2, parts.version + 1);
    kss_bind_id(statement, 3, &task->predecessor);
    return result != KEYSTILE_OK || kss_done(on, statement) == 1 ? result : kss_unavailable(on, error);
}

/* Ends the overlap of a predecessor, in a transaction that was begun. `out_change` receives what
 * was written, and stays NULL if there is nothing to do. */
static keystile_status end_overlap(kss_connection *on, const kss_task *task, uint64_t now,
                                   keystile_change **out_change, keystile_sqlite_error *error) {
    keystile_record *old = NULL, *successor = NULL;
    keystile_status found = kss_find(on, &task->predecessor, &old, NULL, error);
    keystile_status result = kss_find(on, &task->key, &successor, NULL, error);
    if (result == KEYSTILE_OK && found == KEYSTILE_ERROR_ABSENT) {
        result = forget(on, task, successor, now, error);
    } else if (result == KEYSTILE_OK && found != KEYSTILE_OK) {
        result = found;
    } else if (result == KEYSTILE_OK && keystile_end_overlap(old, successor, now, out_change, NULL) == KEYSTILE_OK) {
        result = kss_write_overlap(on, *out_change, &task->predecessor, now, error);
    }
    keystile_record_free(old);
    keystile_record_free(successor);
    return result == KEYSTILE_ERROR_ABSENT ? KEYSTILE_OK : result;
}

static keystile_status perform(keystile_sqlite *store, kss_task *task, uint64_t now, keystile_sqlite_error *error) {
    kss_connection *on = &store->writer;
    keystile_change *ended = NULL;
    if (!kss_take(on, kss_clock() + KSS_WORK_MILLIS)) {
        return kss_busy(error);
    }
    keystile_status result = kss_begin(on) ? KEYSTILE_OK : kss_unavailable(on, error);
    if (result == KEYSTILE_OK) {
        result = task->renewed != NULL ? kss_write_digest(on, task->renewed, now, error)
                                       : end_overlap(on, task, now, &ended, error);
    }
    if (result == KEYSTILE_OK && !kss_commit(on)) {
        result = kss_unavailable(on, error);
    }
    kss_roll_back(on);
    kss_give(on);
    kss_in_force(store, task->renewed != NULL ? task->renewed : ended, result == KEYSTILE_OK);
    if (ended == NULL) {
        /* Another process may have been faster. */
        (void)(keystile_keyring_invalidate(store->keyring, &task->key) == KEYSTILE_OK);
    }
    keystile_change_free(ended);
    /* A key that was changed meanwhile is done: its next use calls for it again. */
    return result == KEYSTILE_ERROR_STATE ? KEYSTILE_OK : result;
}

/* The work that is due, by the slot. */
static int due(keystile_sqlite *store, int at, uint64_t now, kss_task *out_task) {
    pthread_mutex_lock(&store->tasks_lock);
    kss_task *task = &store->tasks[at];
    *out_task = *task;
    int is_due = !kss_is_none(&task->key) && (task->renewed != NULL || !kss_is_none(&task->predecessor)) &&
                 task->not_before <= now;
    pthread_mutex_unlock(&store->tasks_lock);
    return is_due;
}

void kss_drop_tasks(keystile_sqlite *store) {
    pthread_mutex_lock(&store->tasks_lock);
    for (int at = 0; at < KSS_TASKS_MAX; at++) {
        kss_task *task = &store->tasks[at];
        /* One that is being scheduled has neither; its request ends it. */
        if (task->renewed != NULL || !kss_is_none(&task->predecessor)) {
            keystile_change_free(task->renewed);
            memset(task, 0, sizeof *task);
        }
    }
    pthread_mutex_unlock(&store->tasks_lock);
}

keystile_status kss_perform_tasks(keystile_sqlite *store, uint64_t now, keystile_sqlite_error *error) {
    keystile_status first = KEYSTILE_OK;
    for (int at = 0; at < KSS_TASKS_MAX && first != KEYSTILE_DENIED_STORE_UNAVAILABLE; at++) {
        kss_task task;
        /* A restored backup is noticed before each task, and drops them all. */
        if (__atomic_exchange_n(&store->tasks_are_void, 0, __ATOMIC_ACQ_REL)) {
            kss_drop_tasks(store);
        }
        if (!due(store, at, now, &task)) {
            continue;
        }
        keystile_status result =
            task.is_given_up ? KEYSTILE_OK : perform(store, &task, now, first == KEYSTILE_OK ? error : NULL);
        first = first == KEYSTILE_OK ? result : first;
        pthread_mutex_lock(&store->tasks_lock);
        if (result == KEYSTILE_OK) {
            keystile_change_free(task.renewed);
            memset(&store->tasks[at], 0, sizeof task);
        } else {
            store->tasks[at].not_before = now + PAUSE_MILLIS;
            store->tasks[at].is_given_up = result != KEYSTILE_DENIED_STORE_UNAVAILABLE;
        }
        pthread_mutex_unlock(&store->tasks_lock);
        /* A revocation does not wait for all of the work. */
        keystile_status polled = kss_poll(store, first == KEYSTILE_OK ? error : NULL);
        first = first == KEYSTILE_OK ? polled : first;
    }
    return first;
}
