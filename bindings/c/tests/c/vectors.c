/* Runs the shared vectors through the C ABI and compares each entry.
 *
 * usage: vectors DIRECTORY; it prints how many entries agreed. */
#include "reader.h"

static int play(const char *directory, const topic *topic) {
    char path[4096];
    json_error_t error;
    int wrong = 0;
    size_t index;
    json_t *item;
    snprintf(path, sizeof path, "%s/%s.json", directory, topic->file);
    json_t *file = json_load_file(path, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (file == NULL) {
        fprintf(stderr, "%s: line %d: %s\n", path, error.line, error.text);
        exit(1);
    }
    json_t *cases = json_object_get(file, "cases");
    CHECK(json_array_size(cases) > 0);
    json_array_foreach(cases, index, item) {
        json_t *outcome = topic->play(item);
        const json_t *expected = field(item, "expected");
        if (!json_equal(outcome, expected)) {
            char *got = json_dumps(outcome, JSON_COMPACT), *want = json_dumps(expected, JSON_COMPACT);
            fprintf(stderr, "%s\n  expected %s\n       got %s\n",
                    json_string_value(field(item, "name")), want, got);
            free(got);
            free(want);
            wrong++;
        }
        json_decref(outcome);
    }
    printf("%-20s %4u entries, %d differ\n", topic->file, (unsigned)index, wrong);
    json_decref(file);
    return wrong;
}

int main(int argc, char **argv) {
    const topic *groups[] = {KEYS, RIGHTS, REQUESTS, LIVES, CHANGES};
    int wrong = 0;
    CHECK(argc == 2);
    CHECK(keystile_abi_version() == KEYSTILE_ABI_VERSION);
    for (size_t group = 0; group < sizeof groups / sizeof *groups; group++) {
        for (const topic *topic = groups[group]; topic->file != NULL; topic++) {
            wrong += play(argv[1], topic);
        }
    }
    return wrong == 0 ? 0 : 1;
}
