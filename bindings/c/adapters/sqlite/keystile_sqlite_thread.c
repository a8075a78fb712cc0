/* The thread of a store, and the work of each of its turns. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keystile_sqlite_internal.h"

keystile_status keystile_sqlite_tick(keystile_sqlite *store, uint64_t now, keystile_sqlite_error *out_error) {
    if (store == NULL) {
        return kss_library(out_error, KEYSTILE_ERROR_NULL_POINTER);
    }
    pthread_mutex_lock(&store->work_lock);
    keystile_status polled = kss_poll(store, out_error);
    keystile_status performed = kss_perform_tasks(store, now, polled == KEYSTILE_OK ? out_error : NULL);
    keystile_status first = polled == KEYSTILE_OK ? performed : polled;
    keystile_status flushed = kss_flush(store, now, 0, first == KEYSTILE_OK ? out_error : NULL);
    pthread_mutex_unlock(&store->work_lock);
    return first == KEYSTILE_OK ? flushed : first;
}

void kss_refused(keystile_sqlite *store, const keystile_sqlite_error *error) {
    pthread_mutex_lock(&store->tasks_lock);
    memcpy(store->refused, error->text, sizeof store->refused);
    pthread_mutex_unlock(&store->tasks_lock);
}

void kss_report_refused(keystile_sqlite *store) {
    char text[sizeof store->refused];
    pthread_mutex_lock(&store->tasks_lock);
    int is_new = store->refused[0] != '\0' && strcmp(store->refused, store->reported) != 0;
    if (is_new) {
        memcpy(store->reported, store->refused, sizeof store->reported);
        memcpy(text, store->refused, sizeof text);
    }
    store->refused[0] = '\0';
    pthread_mutex_unlock(&store->tasks_lock);
    if (is_new && store->options.on_failure != NULL) {
        store->options.on_failure(store->options.context, text);
    }
}

/* As for the signal to stop. */
#ifdef __APPLE__
#define WAITING_CLOCK CLOCK_REALTIME
#else
#define WAITING_CLOCK CLOCK_MONOTONIC
#endif

static void *work(void *argument) {
    keystile_sqlite *store = argument;
    pthread_mutex_lock(&store->stop_lock);
    while (!store->stopping) {
        struct timespec next, time;
        keystile_sqlite_error error;
        memset(&error, 0, sizeof error);
        clock_gettime(WAITING_CLOCK, &next);
        next.tv_sec += (time_t)(store->options.poll_millis / 1000);
        next.tv_nsec += (long)(store->options.poll_millis % 1000) * 1000000;
        if (next.tv_nsec >= 1000000000) {
            next.tv_sec++;
            next.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&store->stop_signal, &store->stop_lock, &next);
        if (store->stopping) {
            break;
        }
        pthread_mutex_unlock(&store->stop_lock);
        clock_gettime(CLOCK_REALTIME, &time);
        uint64_t now = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
        if (keystile_sqlite_tick(store, now, &error) != KEYSTILE_OK && store->options.on_failure != NULL) {
            store->options.on_failure(store->options.context, error.text);
        }
        kss_report_refused(store);
        pthread_mutex_lock(&store->stop_lock);
    }
    pthread_mutex_unlock(&store->stop_lock);
    return NULL;
}

int kss_start_thread(keystile_sqlite *store) {
    sigset_t all, before;
    /* The signals of the program are for its own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    store->has_thread = pthread_create(&store->thread, NULL, work, store) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return store->has_thread;
}

void kss_stop_thread(keystile_sqlite *store) {
    pthread_mutex_lock(&store->stop_lock);
    store->stopping = 1;
    pthread_cond_signal(&store->stop_signal);
    pthread_mutex_unlock(&store->stop_lock);
    if (store->has_thread) {
        pthread_join(store->thread, NULL);
        store->has_thread = 0;
    }
}

void kss_drop_work(keystile_sqlite *store) {
    for (int at = 0; at < KSS_TASKS_MAX; at++) {
        keystile_change_free(store->tasks[at].renewed);
    }
    kss_drop_uses(store);
}
