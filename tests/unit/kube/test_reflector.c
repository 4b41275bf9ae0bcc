// SPDX-License-Identifier: Apache-2.0
/*
 * kube/reflector: what each end of a request leads to, and that any mixture of faults ends with
 * exactly the server's objects.
 */
#include "kube/reflector_lab.h"

static void lists_in_pages_then_watches_from_the_first_pages_version(void **state) {
    struct lab l;
    lab_open(&l, 2, 0, unit_seed());
    for (int i = 0; i < 5; i++)
        model_set(l.m, i, true);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
    assert_true(kube_reflector_due_ns(l.r) <= l.now);
    list_page(&l);
    assert_string_equal(l.query, "limit=2");
    assert_false(kube_reflector_synced(l.r));
    model_set(l.m, 5, true); // after the snapshot
    list_page(&l);
    assert_string_equal(l.query, "limit=2&continue=6.2");
    list_page(&l);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_WATCH_DUE);
    assert_true(kube_reflector_synced(l.r));
    assert_int_equal(l.s.added, 5);
    begin(&l);
    unsigned timeout = 0;
    assert_int_equal(
        sscanf(l.query, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u", &timeout), 1);
    assert_true(timeout >= 300 && timeout < 600);
    assert_true(str_ends(str_from(l.query), "&resourceVersion=6"));
    int at = 6;
    feed_events(&l, &at);
    assert_int_equal(l.s.added, 6);
    expect_cache(l.r, &l.s);
    lab_close(&l);
}

// A server whose pages are not of one moment: what changed between them is told again.
static void a_later_pages_version_skips_nothing(void **state) {
    struct lab l;
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    begin(&l);
    assert_int_equal(feed(&l,
                          "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"5\","
                          "\"continue\":\"a/b c\"},\"items\":[]}",
                          &e),
                     0);
    end_whole(&l);
    begin(&l);
    assert_string_equal(l.query, "limit=250&continue=a%2Fb%20c");
    assert_int_equal(
        feed(&l, "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}",
             &e),
        0);
    end_whole(&l);
    begin(&l);
    assert_true(str_ends(str_from(l.query), "&resourceVersion=5"));
    lab_close(&l);
}

static void a_watch_that_was_cut_goes_on_behind_its_last_whole_event(void **state) {
    struct lab l;
    static char text[MODEL_TEXT];
    lab_open(&l, 0, 0, unit_seed());
    model_set(l.m, 0, true);
    list_all(&l);
    begin(&l);
    model_set(l.m, 1, true);
    model_set(l.m, 2, true);
    int at = 2;
    struct err e = {0};
    size_t n = model_events(l.m, &at, text, sizeof(text));
    l.now += 2 * NS_PER_S;
    assert_int_equal(kube_reflector_feed(l.r, l.now, text, n - 10, &e), 0);
    end_cut(&l, 200);
    assert_int_equal(l.s.added, 2);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_WATCH_DUE);
    assert_true(kube_reflector_due_ns(l.r) <= l.now); // at once
    begin(&l);
    assert_true(str_ends(str_from(l.query), "&resourceVersion=3"));
    assert_int_equal(kube_reflector_stats(l.r)->failures, 0);
    lab_close(&l);
}

static void a_bookmark_moves_the_place_and_changes_nothing(void **state) {
    struct lab l;
    char text[400];
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    list_all(&l);
    begin(&l);
    model_bookmark(l.m, 4711, text, sizeof(text));
    assert_int_equal(feed(&l, text, &e), 0);
    l.now += 5 * NS_PER_S;
    end_whole(&l);
    begin(&l);
    assert_true(str_ends(str_from(l.query), "&resourceVersion=4711"));
    assert_int_equal(kube_reflector_stats(l.r)->bookmarks, 1);
    assert_int_equal(l.s.added + l.s.updated + l.s.deleted, 0);
    lab_close(&l);
}

static void a_place_that_is_gone_is_listed_anew_at_once_the_next_time_with_patience(void **state) {
    for (int in_stream = 0; in_stream < 2; in_stream++) {
        struct lab l;
        char text[400];
        lab_open(&l, 0, 0, unit_seed());
        model_set(l.m, 0, true);
        model_set(l.m, 1, true);
        list_all(&l);
        model_set(l.m, 1, false);
        for (int round = 0; round < 6; round++) {
            begin(&l);
            if (in_stream) {
                struct err e = {0};
                model_error(410, text, sizeof(text));
                assert_int_equal(feed(&l, text, &e), ERR_CLOSED);
                kube_reflector_end(
                    l.r, l.now,
                    &(struct kube_end){.status = 200, .retry_after_ms = -1, .error = &e});
            } else {
                end_status(&l, 410, -1);
            }
            assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
            if (round == 0)
                assert_true(kube_reflector_due_ns(l.r) <= l.now);
            else // the wait grows although each list is good
                assert_true(kube_reflector_due_ns(l.r) - l.now >= 400000000LL << (round - 1));
            list_all(&l);
        }
        assert_int_equal(l.s.deleted, 1);
        assert_int_equal(l.s.added, 2);
        assert_int_equal(kube_reflector_stats(l.r)->expired, 6);
        lab_close(&l);
    }
}

static void pages_that_expire_end_in_one_list_without_pages(void **state) {
    struct lab l;
    lab_open(&l, 2, 0, unit_seed());
    for (int i = 0; i < 6; i++)
        model_set(l.m, i, true);
    for (int round = 0; round < 3; round++) {
        list_page(&l);
        assert_string_equal(l.query, "limit=2");
        begin(&l);
        end_status(&l, 410, -1);
    }
    list_page(&l);
    assert_string_equal(l.query, "limit=0");
    assert_true(kube_reflector_synced(l.r));
    expect_same(l.s.things, l.m->things);
    lab_close(&l);
}

static void a_list_that_broke_off_deletes_nothing_and_its_page_is_asked_again(void **state) {
    struct lab l;
    static char text[MODEL_TEXT];
    struct err e = {0};
    lab_open(&l, 3, 0, unit_seed());
    for (int i = 0; i < 6; i++)
        model_set(l.m, i, true);
    list_all(&l);
    begin(&l);
    end_status(&l, 410, -1);
    list_page(&l);
    for (size_t cut = 0;; cut += 7) {
        begin(&l);
        assert_string_equal(l.query, "limit=3&continue=7.3");
        assert_true(model_page(l.m, l.query, text, sizeof(text)));
        if (cut >= strlen(text))
            break;
        assert_int_equal(kube_reflector_feed(l.r, l.now, text, cut, &e), 0);
        if (cut % 2) // a body that looks whole to HTTP but is not
            end_whole(&l);
        else
            end_cut(&l, 200);
        assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
        assert_true(kube_reflector_due_ns(l.r) > l.now);
        assert_int_equal(l.s.deleted, 0);
    }
    lab_close(&l);
}

static void what_a_refused_watch_leads_to(void **state) {
    static const struct {
        int status;
        bool lists;
    } cases[] = {{400, true},  {404, true},  {422, true},  {401, false}, {403, false},
                 {429, false}, {500, false}, {503, false}, {0, false}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct lab l;
        lab_open(&l, 0, 0, unit_seed());
        list_all(&l);
        begin(&l);
        end_status(&l, cases[i].status, -1);
        assert_int_equal(kube_reflector_phase(l.r),
                         cases[i].lists ? KUBE_LIST_DUE : KUBE_WATCH_DUE);
        assert_true(kube_reflector_due_ns(l.r) >= l.now + 400000000LL);
        assert_int_equal(kube_reflector_stats(l.r)->failing, 1);
        for (int more = 0; more < 3 && !cases[i].lists; more++) {
            begin(&l);
            end_status(&l, cases[i].status, -1);
        }
        // Four answers that are no watch (a version from the future, say): list. A server that is
        // away has said nothing about the place.
        assert_int_equal(kube_reflector_phase(l.r),
                         cases[i].status ? KUBE_LIST_DUE : KUBE_WATCH_DUE);
        lab_close(&l);
    }
}

static void retry_after_is_kept_to(void **state) {
    struct lab l;
    lab_open(&l, 0, 0, unit_seed());
    begin(&l);
    end_status(&l, 429, 20000);
    assert_true(kube_reflector_due_ns(l.r) >= l.now + 20 * NS_PER_S);
    assert_true(kube_reflector_due_ns(l.r) <= l.now + 21 * NS_PER_S);
    lab_close(&l);
}

static void a_server_away_for_an_hour_is_asked_less_than_every_15_seconds(void **state) {
    struct lab l;
    lab_open(&l, 0, 0, unit_seed());
    int64_t until = l.now + 3600 * NS_PER_S;
    unsigned asked = 0;
    for (; l.now < until; asked++) {
        begin(&l);
        end_cut(&l, 0);
    }
    assert_true(asked >= 120 && asked < 250);
    assert_false(kube_reflector_synced(l.r));
    lab_close(&l);
}

static void a_watch_that_ends_at_once_each_time_is_not_asked_in_a_loop(void **state) {
    struct lab l;
    char text[400];
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    list_all(&l);
    int64_t from = l.now;
    for (int i = 0; i < 20; i++) {
        begin(&l);
        model_bookmark(l.m, 10 + i, text, sizeof(text));
        assert_int_equal(feed(&l, text, &e), 0);
        end_whole(&l);
        assert_int_equal(kube_reflector_phase(l.r), KUBE_WATCH_DUE);
    }
    assert_true(l.now - from > 200 * NS_PER_S);
    lab_close(&l);
}

static void a_watch_that_was_short_but_brought_something_is_no_failure(void **state) {
    struct lab l;
    char text[400];
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    list_all(&l);
    begin(&l);
    end_cut(&l, 200);
    assert_int_equal(kube_reflector_stats(l.r)->failing, 1);
    begin(&l);
    model_bookmark(l.m, 9, text, sizeof(text));
    assert_int_equal(feed(&l, text, &e), 0);
    assert_int_equal(kube_reflector_stats(l.r)->failing, 0); // as soon as it brings something
    end_cut(&l, 200);
    assert_int_equal(kube_reflector_stats(l.r)->failing, 0);
    assert_int_equal(kube_reflector_stats(l.r)->failures, 1);
    assert_true(kube_reflector_due_ns(l.r) > l.now);
    lab_close(&l);
}

// Retry a little later, not at once without end.
static void a_query_that_does_not_fit_is_due_again_after_a_while(void **state) {
    struct lab l;
    struct err e = {0};
    CLEANUP_BUF struct buf tiny;
    lab_open(&l, 0, 0, unit_seed());
    buf_init(&tiny, 3);
    assert_int_equal(kube_reflector_begin(l.r, l.now, &tiny, &e), ERR_LIMIT);
    assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
    assert_true(kube_reflector_due_ns(l.r) >= l.now + 400000000LL);
    lab_close(&l);
}

static void silence_has_an_end_and_every_byte_moves_it(void **state) {
    struct lab l;
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    begin(&l);
    assert_int_equal(kube_reflector_due_ns(l.r), l.now + 60 * NS_PER_S);
    l.now += 50 * NS_PER_S;
    assert_int_equal(feed(&l, "{", &e), 0);
    assert_int_equal(kube_reflector_due_ns(l.r), l.now + 60 * NS_PER_S);
    assert_int_equal(kube_reflector_stats(l.r)->contact_ns, l.now);
    end_cut(&l, 200);
    list_all(&l);
    begin(&l);
    assert_int_equal(kube_reflector_due_ns(l.r), l.now + 150 * NS_PER_S);
    lab_close(&l);
}

static void events_without_sense_end_the_watch_and_are_listed_around(void **state) {
    static const char *const bad[] = {
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"x1\"}}}",
        "{\"type\":\"WHAT\",\"object\":{\"metadata\":{\"resourceVersion\":\"3\"}}}",
        "{\"object\":{\"metadata\":{\"resourceVersion\":\"3\"}}}",
        "{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"etc\\nd \\u001b\"}}",
        "{\"type\":\"ERROR\"}",
        "upstream connect error",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct lab l;
        struct err e = {0};
        lab_open(&l, 0, 0, unit_seed());
        list_all(&l);
        begin(&l);
        l.now += 10 * NS_PER_S; // however long it was good
        assert_true(feed(&l, bad[i], &e) < 0);
        kube_reflector_end(l.r, l.now,
                           &(struct kube_end){.status = 200, .retry_after_ms = -1, .error = &e});
        assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
        assert_true(kube_reflector_due_ns(l.r) > l.now);
        assert_null(strpbrk(kube_reflector_stats(l.r)->last_error.msg, "\n\x1b"));
        lab_close(&l);
    }
}

static void lists_without_sense_are_no_lists(void **state) {
    static const char *const bad[] = {
        "{\"kind\":\"Status\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}",
        "{\"kind\":\"ThingList\",\"items\":[]}",
        "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"1\"}}",
        "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"1\"},\"items\":{}}",
        "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"1\"},\"it\\u0065ms\":[{}]}",
        "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":1},\"items\":[]}",
        "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"1\"} \"items\":[]}",
        "<html>",
        "[]",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct lab l;
        struct err e = {0};
        lab_open(&l, 0, 0, unit_seed());
        model_set(l.m, 0, true);
        list_all(&l);
        begin(&l);
        end_status(&l, 410, -1);
        begin(&l);
        int r = feed(&l, bad[i], &e);
        if (r == 0)
            end_whole(&l);
        else
            kube_reflector_end(
                l.r, l.now, &(struct kube_end){.status = 200, .retry_after_ms = -1, .error = &e});
        assert_int_equal(kube_reflector_phase(l.r), KUBE_LIST_DUE);
        assert_int_equal(l.s.synced, 1);
        assert_int_equal(l.s.deleted, 0);
        assert_true(kube_reflector_stats(l.r)->last_error.code < 0);
        lab_close(&l);
    }
}

static void an_object_that_cannot_be_read_is_told_and_nothing_is_deleted_for_it(void **state) {
    struct lab l;
    struct err e = {0};
    lab_open(&l, 0, 0, unit_seed());
    model_set(l.m, 0, true);
    model_set(l.m, 1, true);
    list_all(&l);
    begin(&l);
    end_status(&l, 410, -1);
    begin(&l);
    assert_int_equal(feed(&l,
                          "{\"kind\":\"ThingList\",\"metadata\":{\"resourceVersion\":\"9\"},"
                          "\"items\":[{\"metadata\":{\"name\":bad}}]}",
                          &e),
                     0);
    end_whole(&l);
    assert_int_equal(l.s.synced, 2);
    assert_int_equal(l.s.deleted, 0);
    assert_int_equal(l.s.problems, 1);
    assert_string_equal(l.s.last_problem, "things: no JSON at line 1, column 23");
    lab_close(&l);
}

static void a_name_that_comes_again_is_another_object(void **state) {
    struct lab l;
    lab_open(&l, 0, 0, unit_seed());
    model_set(l.m, 0, true);
    list_all(&l);
    begin(&l);
    end_status(&l, 410, -1);
    model_set(l.m, 0, false);
    model_set(l.m, 0, true);
    list_all(&l);
    assert_int_equal(l.s.added, 2);
    assert_int_equal(l.s.deleted, 1);
    assert_int_equal(l.s.updated, 0);
    // Told late, the end of the first does not end the second.
    begin(&l);
    int at = 2;
    feed_events(&l, &at);
    expect_same(l.s.things, l.m->things);
    assert_int_equal(l.s.added, 2);
    assert_int_equal(l.s.deleted, 1);
    expect_cache(l.r, &l.s);
    lab_close(&l);
}

// The property: whatever goes wrong on the way, in the end the cache is the server's.

struct storm {
    struct random random;
    double faults; // the part of requests that go wrong
    bool changes;
};

static bool chance(struct storm *t, double p) {
    return random_unit(&t->random) < p;
}

static void time_passes(struct lab *l, struct storm *t, int64_t ns) {
    l->now += ns;
    if (!t->changes)
        return;
    for (unsigned n = (unsigned)random_below(&t->random, 4); n > 0; n--)
        model_set(l->m, (int)random_below(&t->random, MODEL_NAMES), chance(t, 0.6));
    if (chance(t, 0.05))
        l->m->compacted = l->m->version - (int)random_below(&t->random, 10);
}

// In pieces; false: the reflector ended it (and was told).
static bool feed_pieces(struct lab *l, struct storm *t, const char *text, size_t n) {
    struct err e = {0};
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + random_below(&t->random, chance(t, 0.5) ? 20 : 2000);
        piece = piece < n - at ? piece : n - at;
        if (kube_reflector_feed(l->r, l->now, text + at, piece, &e) < 0) {
            kube_reflector_end(
                l->r, l->now, &(struct kube_end){.status = 200, .retry_after_ms = -1, .error = &e});
            return false;
        }
        at += piece;
        if (chance(t, 0.1))
            time_passes(l, t, (int64_t)random_below(&t->random, 300) * NS_PER_MS);
    }
    return true;
}

static void end_badly(struct lab *l, struct storm *t) {
    static const int statuses[] = {0, 0, 429, 500, 503, 403, 401};
    end_status(l, statuses[random_below(&t->random, COUNT_OF(statuses))],
               chance(t, 0.3) ? (int64_t)random_below(&t->random, 5000) : -1);
}

static void storm_list(struct lab *l, struct storm *t) {
    static char text[MODEL_TEXT];
    if (chance(t, t->faults / 2)) {
        end_badly(l, t);
        return;
    }
    if (!model_page(l->m, l->query, text, sizeof(text))) {
        end_status(l, 410, -1);
        return;
    }
    size_t n = strlen(text);
    bool cut = chance(t, t->faults / 2);
    if (cut)
        n = random_below(&t->random, n);
    if (!feed_pieces(l, t, text, n))
        return;
    if (cut && chance(t, 0.5)) { // silence
        l->now = kube_reflector_due_ns(l->r);
        end_cut(l, 200);
    } else if (cut) {
        end_cut(l, 200);
    } else {
        end_whole(l);
    }
}

static void storm_watch_end(struct lab *l, struct storm *t, int at) {
    static char text[MODEL_TEXT];
    switch (random_below(&t->random, 5)) {
    case 0: // cut in the middle of an event
        time_passes(l, t, 0);
        size_t n = model_events(l->m, &at, text, sizeof(text));
        if (feed_pieces(l, t, text, n ? random_below(&t->random, n) : 0))
            end_cut(l, 200);
        break;
    case 1:
        l->now = kube_reflector_due_ns(l->r);
        end_cut(l, 200);
        break;
    case 2:
        if (feed_pieces(l, t, text, model_error(chance(t, 0.7) ? 410 : 500, text, sizeof(text))))
            fail();
        break;
    default:
        end_whole(l);
    }
}

static void storm_watch(struct lab *l, struct storm *t) {
    static char text[MODEL_TEXT];
    int at = 0;
    const char *from = strstr(l->query, "resourceVersion=");
    assert_int_equal(sscanf(from, "resourceVersion=%d", &at), 1);
    if (chance(t, t->faults / 2)) {
        end_badly(l, t);
        return;
    }
    if (at < l->m->compacted) {
        end_status(l, 410, -1);
        return;
    }
    unsigned rounds = (unsigned)random_below(&t->random, 12);
    for (unsigned i = 0; i < rounds; i++) {
        time_passes(l, t, (int64_t)random_below(&t->random, 20000) * NS_PER_MS);
        size_t n = model_events(l->m, &at, text, sizeof(text));
        if (chance(t, 0.3))
            n += model_bookmark(l->m, at, text + n, sizeof(text) - n);
        if (!feed_pieces(l, t, text, n))
            return;
    }
    storm_watch_end(l, t, at);
}

static void step(struct lab *l, struct storm *t) {
    time_passes(l, t, (int64_t)random_below(&t->random, 100) * NS_PER_MS);
    begin(l);
    if (kube_reflector_phase(l->r) == KUBE_LISTING)
        storm_list(l, t);
    else
        storm_watch(l, t);
    expect_cache(l->r, &l->s);
}

// The last request of all: everything is quiet, the watch brings what is missing.
static void calm(struct lab *l) {
    for (int i = 0; i < 100; i++) {
        if (kube_reflector_phase(l->r) == KUBE_LIST_DUE) {
            begin(l);
            static char text[MODEL_TEXT];
            struct err e = {0};
            if (!model_page(l->m, l->query, text, sizeof(text))) {
                end_status(l, 410, -1);
                continue;
            }
            assert_int_equal(feed(l, text, &e), 0);
            end_whole(l);
            continue;
        }
        begin(l);
        int at = 0;
        sscanf(strstr(l->query, "resourceVersion="), "resourceVersion=%d", &at);
        if (at < l->m->compacted) {
            end_status(l, 410, -1);
            continue;
        }
        feed_events(l, &at);
        return;
    }
    fail_msg("never calm");
}

static void any_mixture_of_faults_ends_with_exactly_the_servers_objects(void **state) {
    uint64_t seed = unit_seed();
    unsigned updated = 0, deleted = 0, synced = 0, expired = 0;
    for (uint64_t round = 0; round < 150; round++) {
        struct lab l;
        struct storm t = {.faults = (double)(round % 4) * 0.25, .changes = true};
        random_init(&t.random, seed + round);
        lab_open(&l, 1 + (uint32_t)random_below(&t.random, 12), 0, seed ^ round);
        l.s.model = l.m;
        for (int i = 0; i < 60; i++)
            step(&l, &t);
        calm(&l);
        expect_cache(l.r, &l.s);
        expect_same(l.s.things, l.m->things);
        updated += l.s.updated;
        deleted += l.s.deleted;
        synced += l.s.synced;
        expired += (unsigned)kube_reflector_stats(l.r)->expired;
        lab_close(&l);
    }
    print_message("# %u updated, %u deleted, %u lists, %u expired\n", updated, deleted, synced,
                  expired);
    assert_true(updated > 1000 && deleted > 1000 && synced > 300 && expired > 100);
}

// Memory that ends anywhere: the request fails, is asked again, and in the end nothing is missing.
static void memory_that_ends_costs_a_request_not_an_object(void **state) {
    uint64_t seed = unit_seed();
    for (long n = 1; n < 120; n++) {
        struct lab l;
        struct storm t = {0};
        static char text[MODEL_TEXT];
        random_init(&t.random, seed);
        lab_open(&l, 3, 0, seed);
        for (int i = 0; i < 5; i++)
            model_set(l.m, i, true);
        for (int i = 0; i < 3; i++) {
            CLEANUP_BUF struct buf q;
            struct err e = {0};
            buf_init(&q, 1000);
            mem_fail_from(n);
            l.now += 60 * NS_PER_S;
            int r = kube_reflector_begin(l.r, l.now, &q, &e);
            if (r == 0) {
                snprintf(l.query, sizeof(l.query), STR_FMT, STR_ARG(buf_str(&q)));
                bool list = kube_reflector_phase(l.r) == KUBE_LISTING;
                int at = 0;
                if (list)
                    assert_true(model_page(l.m, l.query, text, sizeof(text)));
                else
                    model_events(l.m, &at, text, sizeof(text));
                r = kube_reflector_feed(l.r, l.now, text, strlen(text), &e);
                kube_reflector_end(
                    l.r, l.now,
                    &(struct kube_end){
                        .whole = r == 0, .status = 200, .retry_after_ms = -1, .error = &e});
            }
            mem_fail_never();
            expect_cache(l.r, &l.s);
        }
        l.now += 3600 * NS_PER_S;
        calm(&l);
        expect_same(l.s.things, l.m->things);
        lab_close(&l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_in_pages_then_watches_from_the_first_pages_version),
        cmocka_unit_test(a_later_pages_version_skips_nothing),
        cmocka_unit_test(a_watch_that_was_cut_goes_on_behind_its_last_whole_event),
        cmocka_unit_test(a_bookmark_moves_the_place_and_changes_nothing),
        cmocka_unit_test(a_place_that_is_gone_is_listed_anew_at_once_the_next_time_with_patience),
        cmocka_unit_test(pages_that_expire_end_in_one_list_without_pages),
        cmocka_unit_test(a_list_that_broke_off_deletes_nothing_and_its_page_is_asked_again),
        cmocka_unit_test(what_a_refused_watch_leads_to),
        cmocka_unit_test(retry_after_is_kept_to),
        cmocka_unit_test(a_server_away_for_an_hour_is_asked_less_than_every_15_seconds),
        cmocka_unit_test(a_watch_that_ends_at_once_each_time_is_not_asked_in_a_loop),
        cmocka_unit_test(a_watch_that_was_short_but_brought_something_is_no_failure),
        cmocka_unit_test(a_query_that_does_not_fit_is_due_again_after_a_while),
        cmocka_unit_test(silence_has_an_end_and_every_byte_moves_it),
        cmocka_unit_test(events_without_sense_end_the_watch_and_are_listed_around),
        cmocka_unit_test(lists_without_sense_are_no_lists),
        cmocka_unit_test(an_object_that_cannot_be_read_is_told_and_nothing_is_deleted_for_it),
        cmocka_unit_test(a_name_that_comes_again_is_another_object),
        cmocka_unit_test(any_mixture_of_faults_ends_with_exactly_the_servers_objects),
        cmocka_unit_test(memory_that_ends_costs_a_request_not_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
