/*
 * The targets of a relay. A set never changes but for its atomics: setting other targets makes a
 * new one, and connections keep the one that they began with. Which of them are down is known of
 * those that are in both.
 */
#include "config.h"
#include "objects/relay/relay-internal.h"

static bool parse(RelayTarget *target, const char *text, GError **errp)
{
    if (!relay_address_parse(&target->address, text, RELAY_ADDRESS_TARGET, errp)) {
        return false;
    }
    if (target->address.kind == RELAY_ADDRESS_FD) {
        g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                    "'%s': a descriptor can be listened on, but not connected to", text);
        return false;
    }
    if (target->address.kind == RELAY_ADDRESS_TCP && !target->address.host[0]) {
        g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                    "'%s' is no address to connect to: it has no host", text);
        return false;
    }
    return true;
}

RelayTargets *relay_targets_new(const char *const *texts, GError **errp)
{
    unsigned n = g_strv_length((char **)texts);
    g_autoptr(RelayTargets) targets = g_malloc0(sizeof(*targets) + n * sizeof(RelayTarget));

    atomic_init(&targets->refs, 1);
    if (n == 0) {
        g_set_error(errp, RELAY_ERROR, RELAY_ERROR_INVALID,
                    "target: the list is empty, expected an address");
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!parse(&targets->target[i], texts[i], errp)) {
            relay_address_clear(&targets->target[i].address);
            g_prefix_error(errp, "target: ");
            return NULL;
        }
        targets->n++;
    }
    return g_steal_pointer(&targets);
}

RelayTargets *relay_targets_ref(RelayTargets *targets)
{
    /* Relaxed: who has a reference may give another. */
    atomic_fetch_add_explicit(&targets->refs, 1, memory_order_relaxed);
    return targets;
}

void relay_targets_unref(RelayTargets *targets)
{
    /* Each holder's use is over before the last one frees. */
    if (atomic_fetch_sub_explicit(&targets->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (unsigned i = 0; i < targets->n; i++) {
        relay_address_clear(&targets->target[i].address);
    }
    g_free(targets);
}

void relay_targets_inherit(RelayTargets *targets, RelayTargets *former)
{
    g_autoptr(GHashTable) by_text = g_hash_table_new(g_str_hash, g_str_equal);

    for (unsigned i = 0; i < former->n; i++) {
        g_hash_table_insert(by_text, former->target[i].address.text, &former->target[i]);
    }
    for (unsigned i = 0; i < targets->n; i++) {
        RelayTarget *target = g_hash_table_lookup(by_text, targets->target[i].address.text);

        /* Relaxed: it is a hint. */
        if (target) {
            atomic_store_explicit(
                &targets->target[i].down_until_ns,
                atomic_load_explicit(&target->down_until_ns, memory_order_relaxed),
                memory_order_relaxed);
        }
    }
}

bool relay_target_is_down(RelayTarget *target, int64_t now_ns)
{
    /* Relaxed: it is a hint. */
    return atomic_load_explicit(&target->down_until_ns, memory_order_relaxed) > now_ns;
}
