/*
 * JSON parser, an object or array that is not finished when the input pauses.
 *
 * A tree takes many times what its text does, so a client that stops in the middle of a value must
 * not make the daemon keep one. At the end of a feed the tree so far is freed and the bytes that it
 * was made of are held. From then on the value is checked, byte by byte as ever, but nothing is
 * built; at its last byte the held bytes are parsed once more, into the tree.
 *
 * One thing that the grammar asks for is in the tree alone: whether an object has a member of that
 * name. A set of hashes stands in for it. When it knows a name's hash already, the tree is built at
 * once, and says whether the name is there.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "qmp/qmp-json-parser-private.h"

/* ---- names ---- */

#define SLOTS_MIN 16

/* The hashes are polynomials modulo this prime, the largest of 32 bits. */
#define PRIME UINT64_C(4294967291)

/* An odd number, of no pattern, that lets each bit of a hash have a say in where it goes. */
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

static uint64_t polynomial(uint64_t object, const char *name, size_t len, uint64_t at)
{
    uint64_t sum = object + 1;

    for (size_t i = 0; i < len; i++) {
        sum = (sum * at + (unsigned char)name[i]) % PRIME;
    }
    /* So that an empty name's is not known either. */
    return sum * at % PRIME;
}

/* The hash, not 0, of a member's name in the object of that number. Both polynomials are taken at
 * random points. Whoever does not know these can't find two names whose hashes are the same, so
 * that each makes the parser build the tree. */
static uint64_t hash_name(const QmpJsonNames *names, uint32_t object, const char *name, size_t len)
{
    uint64_t hash = polynomial(object, name, len, names->points[0]) << 32 |
                    polynomial(object, name, len, names->points[1]);

    return hash != 0 ? hash : 1;
}

/* Where @hash is, or goes. */
static uint64_t *find_slot(uint64_t *slots, size_t n_slots, uint64_t hash)
{
    size_t i = (hash * SPREAD >> 32) & (n_slots - 1);

    while (slots[i] != 0 && slots[i] != hash) {
        i = (i + 1) & (n_slots - 1);
    }
    return &slots[i];
}

/* Make room for one more. Returns false when the memory is out. */
static bool reserve_slot(QmpJsonNames *names)
{
    size_t n_slots = MAX(names->n_slots * 2, SLOTS_MIN);
    uint64_t *slots;

    if ((names->used + 1) * 4 <= names->n_slots * 3) {
        return true;
    }
    slots = g_try_malloc0_n(n_slots, sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < names->n_slots; i++) {
        if (names->slots[i] != 0) {
            *find_slot(slots, n_slots, names->slots[i]) = names->slots[i];
        }
    }
    g_free(names->slots);
    names->slots = slots;
    names->n_slots = n_slots;
    return true;
}

QmpJsonNameResult qmp_json_add_name(QmpJsonParser *p, const char *name, size_t len)
{
    QmpJsonNames *names = &p->names;
    uint32_t object = g_array_index(names->open, uint32_t, names->open->len - 1);
    uint64_t hash = hash_name(names, object, name, len);
    uint64_t *slot;

    if (!reserve_slot(names)) {
        return QMP_JSON_NAME_NO_MEMORY;
    }
    slot = find_slot(names->slots, names->n_slots, hash);
    if (*slot == hash) {
        return QMP_JSON_NAME_KNOWN;
    }
    *slot = hash;
    names->used++;
    return QMP_JSON_NAME_NEW;
}

void qmp_json_open_names(QmpJsonParser *p)
{
    g_array_append_val(p->names.open, p->names.objects);
    p->names.objects++;
}

void qmp_json_close_names(QmpJsonParser *p)
{
    g_array_set_size(p->names.open, p->names.open->len - 1);
}

static void begin_names(QmpJsonNames *names)
{
    names->open = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    names->points[0] = g_random_int();
    names->points[1] = g_random_int();
}

static void discard_names(QmpJsonNames *names)
{
    g_clear_pointer(&names->open, g_array_unref);
    g_free(names->slots);
    *names = (QmpJsonNames){ 0 };
}

/* Take the names from the open objects of the tree. Returns false when the memory is out. */
static bool add_names_of_tree(QmpJsonParser *p)
{
    for (guint i = 0; i < p->open->len; i++) {
        json_object *container = g_ptr_array_index(p->open, i);
        struct json_object_iterator at, end;

        if (!json_object_is_type(container, json_type_object)) {
            continue;
        }
        qmp_json_open_names(p);
        at = json_object_iter_begin(container);
        end = json_object_iter_end(container);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
            const char *name = json_object_iter_peek_name(&at);

            /* One that is known only by chance will be found out again by the tree. */
            if (qmp_json_add_name(p, name, strlen(name)) == QMP_JSON_NAME_NO_MEMORY) {
                return false;
            }
        }
    }
    /* A name whose value is still to come. */
    return p->expect != EXPECT_COLON && p->expect != EXPECT_MEMBER_VALUE
               ? true
               : qmp_json_add_name(p, p->name->str, p->name->len) != QMP_JSON_NAME_NO_MEMORY;
}

/* ---- holding ---- */

void qmp_json_discard_held(QmpJsonParser *p)
{
    p->held = false;
    if (p->raw != NULL) {
        g_string_free(p->raw, TRUE);
        p->raw = NULL;
        discard_names(&p->names);
    }
}

/* Free the tree, and go on without it. Returns false when the memory is out. */
static bool drop_tree(QmpJsonParser *p)
{
    discard_names(&p->names);
    begin_names(&p->names);
    if (!add_names_of_tree(p)) {
        return false;
    }
    json_object_put(p->root);
    p->root = NULL;
    g_ptr_array_set_size(p->open, 0);
    p->held = true;
    if (is_in_string(p) && !is_name(p)) {
        qmp_json_empty_text(&p->text);
    }
    return true;
}

void qmp_json_hold(QmpJsonParser *p, const char *data, size_t len)
{
    if (p->depth == 0 || is_skipping(p)) {
        return;
    }
    if (p->raw == NULL) {
        /* The value has begun among these bytes. */
        data += len - p->used;
        len = p->used;
        p->raw = g_string_new(NULL);
    }
    if (!qmp_json_reserve(p->raw, len)) {
        qmp_json_fail_memory(p);
        return;
    }
    g_string_append_len(p->raw, data, (gssize)len);
    if (!p->held && !drop_tree(p)) {
        qmp_json_fail_memory(p);
    }
}

/* ---- building ---- */

/* As qmp_json_take(), of bytes that must all be taken. */
static void take_all(QmpJsonParser *p, const char *data, size_t len)
{
    bool stopped = p->stopped;

    for (size_t i = 0; i < len;) {
        p->stopped = false;
        i += qmp_json_take(p, data + i, len - i);
        stopped |= p->stopped;
    }
    p->stopped = stopped;
}

void qmp_json_build_held(QmpJsonParser *p)
{
    GString *raw = g_steal_pointer(&p->raw);
    const char *data = p->data;
    size_t taken = p->taken;

    discard_names(&p->names);
    qmp_json_reset(p);
    p->line = p->begin_line;
    take_all(p, raw->str, raw->len);
    take_all(p, data, taken);
    p->data = data;
    p->taken = taken;
    if (is_skipping(p)) {
        g_string_free(raw, TRUE);
    } else {
        p->raw = raw;
    }
}
