// SPDX-License-Identifier: Apache-2.0
/*
 * Times: what is accepted is the second that the C library's calendar counts for the same digits;
 * any time of the range, written down, is read back to the nanosecond.
 */
#include <time.h>

#include "base/clock.h"
#include "fuzz.h"
#include "base/rfc3339.h"

static void check_written(int64_t ns) {
    char text[64];
    int64_t back;
    time_t s = (time_t)(ns / NS_PER_S);
    struct tm tm;
    require(gmtime_r(&s, &tm) != NULL);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%09dZ", (int)(ns % NS_PER_S));
    require(rfc3339_parse(text, &back, NULL) == 0 && back == ns);
}

static int64_t second_by_libc(const char *text) {
    struct tm tm = {0};
    int h = 0, m = 0;
    require(sscanf(text, "%4d-%2d-%2d%*1c%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                   &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    const char *end = text + strlen(text);
    if (end[-1] != 'Z' && end[-1] != 'z') {
        require(sscanf(end - 5, "%2d:%2d", &h, &m) == 2);
        if (end[-6] == '-')
            h = -h, m = -m;
    }
    return timegm(&tm) - h * 3600 - m * 60;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int64_t ns;
    struct err e = {0};
    char *text = strndup((const char *)data, size);
    if (rfc3339_parse(text, &ns, &e) == 0) {
        int64_t s = second_by_libc(text), below = ns - s * NS_PER_S;
        require(below >= 0 && below < NS_PER_S);
    } else {
        require_message(&e);
    }
    free(text);
    if (size >= sizeof(uint64_t)) {
        uint64_t any;
        memcpy(&any, data, sizeof(any));
        check_written((int64_t)(any % UINT64_C(7258118400000000000))); // to the end of 2199
    }
    return 0;
}
