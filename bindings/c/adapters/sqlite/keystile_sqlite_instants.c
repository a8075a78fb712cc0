/* Instants as text: the one form that is written, and those of other code that are read. */
#include <string.h>

#include "keystile_sqlite_internal.h"

#define DAY_MILLIS UINT64_C(86400000)

/* The date that is so many days after 1970-01-01. A year is counted from March on, so that the
 * leap day is its last; 400 of them have 146,097 days. Howard Hinnant, "chrono-compatible
 * low-level date algorithms". */
static void date_of(uint64_t days, unsigned *year, unsigned *month, unsigned *day) {
    uint64_t since_march = days + 719468, era = since_march / 146097, of_era = since_march % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t from_march = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (unsigned)(year_of_era + era * 400 + (from_march < 10 ? 0 : 1));
}

/* The days from 1970-01-01 to a date; UINT64_MAX if there is none. */
static uint64_t days_to(unsigned year, unsigned month, unsigned day) {
    unsigned found_year, found_month, found_day;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31) {
        return UINT64_MAX;
    }
    uint64_t from = month > 2 ? year : year - 1, of_era = from % 400;
    uint64_t of_year = (153 * ((uint64_t)(month + 9) % 12) + 2) / 5 + day - 1;
    uint64_t days = from / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    /* 30 February would be the 2nd of March. */
    date_of(days, &found_year, &found_month, &found_day);
    return found_year == year && found_month == month && found_day == day ? days : UINT64_MAX;
}

void kss_format_instant(uint64_t instant, char text[25]) {
    unsigned year, month, day;
    uint64_t in_day = instant % DAY_MILLIS;
    date_of(instant / DAY_MILLIS, &year, &month, &day);
    sqlite3_snprintf(25, text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
                     (unsigned)(in_day / 3600000), (unsigned)(in_day / 60000 % 60),
                     (unsigned)(in_day / 1000 % 60), (unsigned)(in_day % 1000));
}

/* What is not parsed yet. */
typedef struct rest {
    const char *text;
    size_t len;
    int bad;
} rest;

static unsigned number(rest *from, size_t digits) {
    unsigned value = 0;
    if (from->len < digits) {
        from->bad = 1;
        return 0;
    }
    for (size_t at = 0; at < digits; at++) {
        from->bad |= from->text[at] < '0' || from->text[at] > '9';
        value = value * 10 + (unsigned)(from->text[at] - '0');
    }
    from->text += digits;
    from->len -= digits;
    return value;
}

static int has(rest *from, const char *either) {
    if (from->len == 0 || from->text[0] == '\0' || strchr(either, from->text[0]) == NULL) {
        return 0;
    }
    from->text++;
    from->len--;
    return 1;
}

static unsigned after(rest *from, const char *either, unsigned below) {
    from->bad |= !has(from, either);
    unsigned value = number(from, 2);
    from->bad |= value >= below;
    return value;
}

/* The milliseconds of one to nine digits; what is below is cut off, so that a key never ends
 * later than was written. */
static unsigned fraction(rest *from) {
    unsigned millis = 0, digits = 0;
    if (!has(from, ".")) {
        return 0;
    }
    for (; from->len > 0 && from->text[0] >= '0' && from->text[0] <= '9'; digits++) {
        unsigned digit = number(from, 1);
        millis += digits == 0 ? digit * 100 : digits == 1 ? digit * 10 : digits == 2 ? digit : 0;
    }
    from->bad |= digits < 1 || digits > 9;
    return millis;
}

uint64_t kss_parse_instant(const char *text, size_t len) {
    rest from = {text, len, 0};
    unsigned year = number(&from, 4), month = after(&from, "-", 13), day = after(&from, "-", 32);
    unsigned hour = after(&from, "T ", 24), minute = after(&from, ":", 60);
    unsigned second = after(&from, ":", 60), millis = fraction(&from);
    int64_t ahead = 0;
    if (from.len > 0 && !has(&from, "Z")) {
        /* Without an offset it is UTC, as SQLite's CURRENT_TIMESTAMP is. */
        int sign = from.text[0] == '-' ? -1 : 1;
        unsigned hours = after(&from, "+-", 24), minutes = from.len == 0 ? 0 : after(&from, ":", 60);
        ahead = sign * ((int64_t)hours * 60 + minutes) * 60000;
    }
    uint64_t days = from.bad || from.len > 0 ? UINT64_MAX : days_to(year, month, day);
    if (days == UINT64_MAX) {
        return 0;
    }
    int64_t instant = (int64_t)(days * DAY_MILLIS + hour * UINT64_C(3600000) +
                                minute * UINT64_C(60000) + second * UINT64_C(1000) + millis) - ahead;
    return instant < INT64_C(100000000000) || instant > INT64_C(253402300799999) ? 0 : (uint64_t)instant;
}
