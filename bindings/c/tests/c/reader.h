/* Reads parts of a test vector into the library's own types. */
#ifndef READER_H
#define READER_H

#include <jansson.h>

#include "support.h"

/* Bytes of any content; the caller frees them. */
typedef struct bytes {
    char *data;
    size_t len;
} bytes;

/* Runs one case and returns its outcome, for comparison with the expected one. */
typedef json_t *(*player)(const json_t *);

/* One file of vectors and the function that runs it. */
typedef struct topic {
    const char *file;
    player play;
} topic;

extern const topic KEYS[], RIGHTS[], REQUESTS[], LIVES[], CHANGES[];

const json_t *field(const json_t *object, const char *name);
keystile_str text_of(const json_t *value);
uint64_t number_of(const json_t *value);
json_t *null_or_text(keystile_str value);
json_t *null_or_id(keystile_id id);
json_t *null_or_number(int is_there, uint64_t number);
json_t *error_or_null(keystile_status status);

bytes bytes_of(const json_t *object, const char *name);
bytes unhex(keystile_str hex);
keystile_str *texts_of(const json_t *list, size_t *count);

keystile_format *format_of(const json_t *form);
keystile_status peppers_of(const json_t *list, keystile_peppers **peppers);
keystile_rate_limit limit_of(const json_t *form);
keystile_record *record_of(const json_t *form);
keystile_status policy_of(const json_t *form, keystile_rotation_policy *policy);
keystile_status permissions_of(const json_t *list, keystile_permissions **permissions);
keystile_status endpoints_of(const json_t *list, keystile_endpoints **endpoints);
keystile_status networks_of(const json_t *list, keystile_networks **networks);
/* A template with its fields, or the preset of a name. */
keystile_template *template_of(const json_t *form);

#endif
