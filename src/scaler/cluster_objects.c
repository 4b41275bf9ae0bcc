// SPDX-License-Identifier: Apache-2.0
/*
 * The deciders follow the ScaledObjects: a trigger that binds is decided from the watch on, so its
 * windows are full when KEDA first asks. KEDA sends a trigger's metadata whole (external_scaler.go:
 * scalerAddress and all), so the watch's bytes name the object that its calls will name; only where
 * a value comes from the environment (keys that end in FromEnv), or scalerAddress is none of those
 * that are configured, the first call must tell it, and the object goes when KEDA asks no more.
 */
#include "base/clock.h"
#include "base/log.h"
#include "scaler/cluster_internal.h"
#include "scaler/replicas.h"

struct created VEC(struct object *); // or not decided yet

static bool of_environment(struct str key) {
    return str_ends(key, "FromEnv");
}

// The trigger as KEDA will name it. False: more keys than a call may have, or values that only the
// environment knows (*ret_environment).
static bool take_ref(const struct kube_scaled_object *so, const struct kube_trigger *t,
                     struct object_pair pairs[LIMIT_METADATA_KEYS], struct object_ref *ret,
                     bool *ret_environment) {
    *ret_environment = false;
    if (t->n_metadata > LIMIT_METADATA_KEYS)
        return false;
    for (size_t i = 0; i < t->n_metadata; i++) {
        pairs[i] = (struct object_pair){str_from(t->metadata[i].key),
                                        str_from(t->metadata[i].value)};
        *ret_environment |= of_environment(pairs[i].key);
    }
    *ret = (struct object_ref){str_from(so->o.namespace_), str_from(so->o.name), pairs,
                               t->n_metadata};
    return !*ret_environment;
}

static const struct object_pair *pair_of(const struct object_ref *r, struct str key) {
    for (size_t i = 0; i < r->n_pairs; i++)
        if (str_eq(r->pairs[i].key, key))
            return &r->pairs[i];
    return NULL;
}

static struct str address_of(const struct object_ref *r) {
    const struct object_pair *p = pair_of(r, STR("scalerAddress"));
    return p != NULL ? str_trim(p->value) : (struct str){0};
}

// Is the object this trigger, whatever its environment says?
static bool matches_but_environment(const struct object_ref *o, const struct object_ref *t) {
    if (o->rule || !str_eq(o->name, t->name) || !str_eq(o->namespace_, t->namespace_))
        return false;
    for (size_t i = 0; i < o->n_pairs; i++)
        if (pair_of(t, o->pairs[i].key) == NULL)
            return false;
    for (size_t i = 0; i < t->n_pairs; i++) {
        const struct object_pair *p = pair_of(o, t->pairs[i].key);
        if (!of_environment(t->pairs[i].key) && (p == NULL || !str_eq(p->value, t->pairs[i].value)))
            return false;
    }
    return true;
}

static void mark(const struct cluster *c, struct object *o, bool of_call) {
    bool again = o->watched && o->pass == c->pass;
    o->of_call = of_call && (!again || o->of_call); // of two triggers that it is
    o->watched = true;
    o->leaving = false;
    o->pass = c->pass;
}

static void mark_trigger(struct io *io, const struct kube_scaled_object *so,
                         const struct kube_trigger *t, struct created *created) {
    struct cluster *c = io->cluster;
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref r;
    struct object_hash h;
    bool environment;
    if (!take_ref(so, t, pairs, &r, &environment)) {
        // One that KEDA asks for no more has the values of an environment that was.
        for (struct object *o = environment ? io->objects : NULL; o != NULL; o = o->hh.next)
            if (o->rpc_id != 0 && matches_but_environment(&o->key->ref, &r))
                mark(c, o, true);
        return;
    }
    object_ref_hash(&r, &h);
    struct object *o = io_object_find(io, &r, &h);
    if (o == NULL && HASH_COUNT(io->objects) < LIMIT_SCALED_OBJECTS) {
        struct object_key *key = object_key_new(&r, &h);
        o = key ? io_object_new(io, 0, key) : NULL;
    }
    if (o == NULL) {
        c->unbound++;
        return;
    }
    mark(c, o, !cluster_address_is_ours(&c->view, address_of(&r)));
    if (!o->decided)                // ours, or KEDA's call was faster
        (void)vec_push(created, o); // without memory it begins from spec.replicas
}

bool cluster_objects_asked(void *ctx, const struct kube_scaled_object *so,
                           const struct kube_trigger *t) {
    const struct io *io = ctx;
    struct object_pair pairs[LIMIT_METADATA_KEYS];
    struct object_ref r;
    struct object_hash h;
    bool environment;
    if (take_ref(so, t, pairs, &r, &environment)) {
        object_ref_hash(&r, &h);
        const struct object *o = io_object_find(io, &r, &h);
        return o != NULL && o->rpc_id != 0;
    }
    for (const struct object *o = environment ? io->objects : NULL; o != NULL; o = o->hh.next)
        if (o->rpc_id != 0 && matches_but_environment(&o->key->ref, &r))
            return true;
    return false;
}

// KEDA's call came first, or its values are of the environment, or its address is none of ours.
bool io_cluster_has(struct io *io, struct object *o) {
    struct cluster *c = io->cluster;
    if (c == NULL || o->watched || o->key->ref.rule)
        return true;
    const struct object_ref *ref = &o->key->ref;
    const struct kube_scaled_object *so = (const void *)kube_reflector_find(
        c->view.scaled_objects, ref->namespace_.p, ref->name.p);
    for (size_t i = 0; so != NULL && i < so->n_triggers; i++) {
        struct object_pair pairs[LIMIT_METADATA_KEYS];
        struct object_ref r = {0};
        bool environment;
        if (cluster_trigger_is_ours(&c->view, so, &so->triggers[i]) &&
            (take_ref(so, &so->triggers[i], pairs, &r, &environment) || environment) &&
            matches_but_environment(ref, &r))
            mark(c, o, environment || !cluster_address_is_ours(&c->view, address_of(ref)));
    }
    return o->watched;
}

bool io_cluster_meet(struct io *io, struct object *o) {
    struct cluster *c = io->cluster;
    const struct object_ref *ref = &o->key->ref;
    if (c == NULL || cluster_address_is_ours(&c->view, address_of(ref)) ||
        !io_cluster_ready(io, NULL) || !io_cluster_has(io, o))
        return false;
    if (io_leads(io))
        (void)err_set(&o->fault, ERR_UNAVAILABLE,
                      "ScaledObject %s/%s: its workload is not looked at yet", ref->namespace_.p,
                      ref->name.p);
    c->met = true;
    cluster_touch(io);
    return true;
}

static bool leads_here(const struct cluster *c, struct str address) {
    uint64_t hash = map_hash(address.p, address.n);
    for (size_t i = 0; i < c->n_heard; i++)
        if (c->heard[i] == hash)
            return true;
    return false;
}

void io_cluster_heard(struct io *io, const struct object *o) {
    struct cluster *c = io->cluster;
    struct str address = address_of(&o->key->ref);
    if (c != NULL && address.n > 0 && c->n_heard < CLUSTER_HEARD && !leads_here(c, address))
        c->heard[c->n_heard++] = map_hash(address.p, address.n);
}

// Another ScaledObject that scales the same; NULL: none.
static const char *rival_of(const struct workload *w, const char *name) {
    bool own = false;
    const char *other = NULL;
    for (size_t i = 0; i < w->scaled_objects.n; i++) {
        if (strcmp(w->scaled_objects.items[i], name) == 0)
            own = true;
        else if (other == NULL || strcmp(w->scaled_objects.items[i], other) < 0)
            other = w->scaled_objects.items[i];
    }
    return own ? other : NULL;
}

// Does KEDA ask for the same trigger with other values of its environment? Those are the present
// ones then.
static bool has_heir(const struct io *io, const struct object *o, int64_t since_ns) {
    if (!o->of_call)
        return false;
    for (const struct object *x = io->objects; x != NULL; x = x->hh.next)
        if (x != o && x->rpc_id != 0 && x->asked_ns > since_ns &&
            matches_but_environment(&x->key->ref, &o->key->ref))
            return true;
    return false;
}

// Where no addresses are configured: KEDA says that it works, and has never come here by its
// address, so another scaler answers it.
static bool is_elsewhere(const struct cluster *c, const struct object *o,
                         const struct kube_scaled_object *so) {
    return c->view.addresses == NULL && strcmp(so->ready, "True") == 0 &&
           !leads_here(c, address_of(&o->key->ref));
}

// KEDA polls a ScaledObject that is not paused, whatever it finds there.
static void see_silence(const struct io *io, struct object *o, const struct kube_scaled_object *so,
                        int64_t now_ns, struct record_scene *ret) {
    int64_t silence_ns = io->config->kubernetes.keda_silence_ns, led_ns = io_replicas_led_ns(io);
    if (!o->watched || so == NULL || so->paused || o->trigger->mode == MODE_OBSERVE ||
        silence_ns == 0) {
        o->heard_ns = now_ns;
        return;
    }
    int64_t since_ns = now_ns - (o->heard_ns > led_ns ? o->heard_ns : led_ns);
    int64_t told_ns = RPC_CALLED_MS * NS_PER_MS; // so late it is heard of at most
    if (io->replicas != NULL)
        told_ns += REPLICAS_ENROLL_S * NS_PER_S + told_ns;
    int64_t patience_ns = silence_ns + told_ns + 3 * (int64_t)so->polling_s * NS_PER_S;
    if (since_ns < patience_ns || has_heir(io, o, now_ns - patience_ns) ||
        is_elsewhere(io->cluster, o, so))
        return;
    ret->unasked_ns = since_ns;
    const struct object_pair *address = pair_of(&o->key->ref, STR("scalerAddress"));
    kube_clean(ret->address, sizeof(ret->address), address ? address->value.p : NULL);
}

void io_cluster_scene(const struct io *io, struct object *o, int64_t now_ns, int64_t real_ns,
                      struct record_scene *ret) {
    const struct workload *w = o->feed->workload;
    *ret = (struct record_scene){0};
    if (io->cluster == NULL || !w->of_cluster)
        return;
    const struct object_ref *ref = &o->key->ref;
    const struct kube_scaled_object *so = (const void *)kube_reflector_find(
        io->cluster->view.scaled_objects, ref->namespace_.p, ref->name.p);
    int64_t stale_ns = io_cluster_stale_ns(io, now_ns);
    const struct cluster_scales *scales = io->cluster->scales;
    int64_t scale_ns = so && scales ? cluster_scales_stale_ns(scales, so, now_ns) : 0;
    if (scale_ns > stale_ns)
        stale_ns = scale_ns;
    if (stale_ns > o->trigger->max_age_ns)
        ret->unseen_ns = stale_ns;
    see_silence(io, o, so, now_ns, ret);
    ret->paused = so != NULL && so->paused;
    kube_clean(ret->rival, sizeof(ret->rival), rival_of(w, ref->name.p));
    kube_clean(ret->hpa, sizeof(ret->hpa), ref->rule ? NULL : w->hpa); // a rule's HPA is meant
    ret->hpa_desired = w->hpa_desired;
    ret->unschedulable = w->unschedulable;
    if (w->unschedulable > 0 && real_ns > w->unschedulable_real_ns)
        ret->unschedulable_ns = real_ns - w->unschedulable_real_ns;
    char *why = ret->unschedulable_why;
    if (w->unschedulable > 0)
        kube_clean(why, sizeof(ret->unschedulable_why), w->unschedulable_why);
    if (*why != '\0' && why[strlen(why) - 1] == '.') // the sentence has its own
        why[strlen(why) - 1] = '\0';
}

// The decision goes on where a trigger was edited.
static void hand_over(const struct object *from, const struct created *created) {
    if (!from->decided || from->last.state != DECISION_OK)
        return;
    for (size_t i = 0; i < created->n; i++) {
        struct object *to = created->items[i];
        if (!to->decided && str_eq(to->key->ref.name, from->key->ref.name) &&
            str_eq(to->key->ref.namespace_, from->key->ref.namespace_))
            decider_seed(to->decider, from->last.desired, from->last.sequence, clock_mono_ns());
    }
}

void cluster_objects_mark(struct io *io) {
    struct cluster *c = io->cluster;
    struct created created;
    vec_init(&created, LIMIT_SCALED_OBJECTS);
    c->pass++;
    c->unbound = 0;
    for (const struct kube_object *x = NULL;
         (x = kube_reflector_next(c->view.scaled_objects, x)) != NULL;) {
        const struct kube_scaled_object *so = (const void *)x;
        for (size_t i = 0; i < so->n_triggers; i++)
            if (cluster_trigger_is_ours(&c->view, so, &so->triggers[i]))
                mark_trigger(io, so, &so->triggers[i], &created);
    }
    for (struct object *o = io->objects; o != NULL; o = o->hh.next) {
        o->leaving = o->watched && o->pass != c->pass;
        if (o->leaving)
            hand_over(o, &created);
    }
    vec_done(&created);
}

void cluster_objects_settle(struct io *io) {
    struct object *o, *next;
    HASH_ITER(hh, io->objects, o, next) {
        if (!o->leaving)
            continue;
        log_info("trigger gone: its ScaledObject was deleted or edited",
                 LOG_VIEW("namespace", o->key->ref.namespace_), LOG_VIEW("name", o->key->ref.name));
        io_object_remove(io, o);
    }
}
