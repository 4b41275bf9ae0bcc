// SPDX-License-Identifier: Apache-2.0
/* conf/file: whole files within the limit, and every way in which one changes. */
#include "base/limits.h"
#include "conf/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state) {
    snprintf(dir, sizeof(dir), "/tmp/gpuscale-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    static const char *const names[] = {"f.yaml",     "g.yaml", "link", "data", "one/f.yaml",
                                        "two/f.yaml", "one",    "two",  "fifo"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        remove(path);
    }
    return rmdir(dir);
}

static const char *in_dir(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *text) {
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void reads_what_stands_there(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    put("f.yaml", "replicas: 7\n");
    assert_int_equal(conf_read(&sample_spec, in_dir("f.yaml"), &s, &a, &e), 0);
    assert_int_equal(s.replicas, 7);
    put("f.yaml", "");
    assert_int_equal(conf_read(&sample_spec, in_dir("f.yaml"), &s, &a, &e), ERR_PARSE);
    assert_non_null(strstr(e.msg, "f.yaml: the file is empty"));
    assert_int_equal(conf_read(&sample_spec, in_dir("none"), &s, &a, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "none: No such file or directory"));
    assert_int_equal(conf_read(&sample_spec, dir, &s, &a, &e), ERR_IO);
    assert_non_null(strstr(e.msg, ": is a directory, a file is needed"));
}

static void a_file_that_is_too_large(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    put("f.yaml", "replicas: 7\n#");
    static char filler[1 << 16];
    memset(filler, '#', sizeof(filler));
    int fd = open(in_dir("f.yaml"), O_WRONLY | O_APPEND | O_CLOEXEC);
    size_t n = strlen("replicas: 7\n#");
    while (n < LIMIT_CONFIG_BYTES) {
        size_t k = LIMIT_CONFIG_BYTES - n < sizeof(filler) ? LIMIT_CONFIG_BYTES - n
                                                           : sizeof(filler);
        assert_int_equal(write(fd, filler, k), k);
        n += k;
    }
    if (conf_read(&sample_spec, in_dir("f.yaml"), &s, &a, &e) < 0) // exactly the limit
        fail_msg("%s", e.msg);
    assert_int_equal(write(fd, "#", 1), 1);
    close(fd);
    assert_int_equal(conf_read(&sample_spec, in_dir("f.yaml"), &s, &a, &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "f.yaml: larger than 4 MiB (LIMIT_CONFIG_BYTES)"));
}

static void *write_fifo(void *path) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    static const char *const parts[] = {"repli", "cas: ", "8\n"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        ssize_t n = write(fd, parts[i], strlen(parts[i]));
        (void)n;
    }
    close(fd);
    return NULL;
}

// `--config <(command)`: no size, and the bytes come in pieces.
static void a_pipe_is_read_to_its_end(void **state) {
    CLEANUP_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    struct sample s;
    struct err e = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s", in_dir("fifo"));
    assert_int_equal(mkfifo(path, 0600), 0);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, write_fifo, path), 0);
    int r = conf_read(&sample_spec, path, &s, &a, &e);
    pthread_join(t, NULL);
    if (r < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(s.replicas, 8);
    assert_int_equal(conf_file_check_again(path, &e), ERR_INVALID); // it would wait for a writer
    assert_non_null(strstr(e.msg, "fifo: is a pipe"));
    assert_int_equal(conf_file_check_again(in_dir("none"), &e), 0);
    assert_int_equal(conf_file_check_again(in_dir("."), &e), 0);
}

static void each_change_is_seen_once(void **state) {
    struct conf_stamp stamp = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s", in_dir("f.yaml"));
    remove(path);
    assert_false(conf_file_changed(path, &stamp)); // is not there, was not there
    put("f.yaml", "a: 1");
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
    put("f.yaml", "a: 12"); // in place, other size
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
    struct timespec times[2] = {{1000, 0}, {1000, 1}}; // in place, same size, a nanosecond apart
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(conf_file_changed(path, &stamp));
    put("g.yaml", "a: 12"); // swapped for another with the same size and time
    assert_int_equal(utimensat(AT_FDCWD, in_dir("g.yaml"), times, 0), 0);
    assert_int_equal(rename(in_dir("g.yaml"), path), 0);
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
    remove(path);
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
}

// How the kubelet updates a ConfigMap: f.yaml -> data/f.yaml, data -> one, then data -> two.
static void a_config_maps_swap_is_seen(void **state) {
    struct conf_stamp stamp = {0};
    assert_int_equal(mkdir(in_dir("one"), 0700) | mkdir(in_dir("two"), 0700), 0);
    put("one/f.yaml", "a: 1");
    put("two/f.yaml", "a: 2");
    struct timespec times[2] = {{1000, 0}, {1000, 0}};
    utimensat(AT_FDCWD, in_dir("one/f.yaml"), times, 0);
    utimensat(AT_FDCWD, in_dir("two/f.yaml"), times, 0);
    assert_int_equal(symlink("one", in_dir("data")), 0);
    remove(in_dir("f.yaml"));
    assert_int_equal(symlink("data/f.yaml", in_dir("f.yaml")), 0);
    char path[128];
    snprintf(path, sizeof(path), "%s", in_dir("f.yaml"));
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
    assert_int_equal(symlink("two", in_dir("link")), 0);
    assert_int_equal(rename(in_dir("link"), in_dir("data")), 0);
    assert_true(conf_file_changed(path, &stamp));
    assert_false(conf_file_changed(path, &stamp));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_stands_there),    cmocka_unit_test(a_file_that_is_too_large),
        cmocka_unit_test(a_pipe_is_read_to_its_end),  cmocka_unit_test(each_change_is_seen_once),
        cmocka_unit_test(a_config_maps_swap_is_seen),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
