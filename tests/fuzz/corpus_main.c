// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a fuzz target over the files of a folder, without libFuzzer: each file whole, every prefix
 * of it (of the small ones), and with each byte damaged in turn. A failure is a crash or a
 * sanitizer's report; an empty folder is one too.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 20, DAMAGE_MAX = 4096 };

// A copy of its own for each run, so that a sanitizer sees a read past the end.
static void run_copy(const uint8_t *data, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        abort();
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void run_all(uint8_t *data, size_t n) {
    run_copy(data, n);
    if (n > DAMAGE_MAX)
        return;
    for (size_t i = 0; i < n; i++) {
        static const uint8_t marks[] = {0, '\n', '"', '\\', '{', '}', 0x80, 0xff};
        uint8_t keep = data[i];
        run_copy(data, i);
        data[i] = marks[i % sizeof(marks)];
        run_copy(data, n);
        data[i] = keep ^ 1;
        run_copy(data, n);
        data[i] = keep;
    }
}

static int run_file(const char *folder, const char *name, uint8_t *data) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    size_t n = fread(data, 1, FILE_MAX, f);
    fclose(f);
    run_all(data, n);
    return 0;
}

int main(int argc, char **argv) {
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    uint8_t *data = malloc(FILE_MAX);
    int files = 0, failures = 0;
    if (!d || !data) {
        fprintf(stderr, "usage: %s FOLDER (that can be read)\n", argv[0]);
        return 2;
    }
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        failures += run_file(argv[1], e->d_name, data);
        files++;
    }
    closedir(d);
    free(data);
    printf("%d files\n", files);
    return failures || files == 0;
}
