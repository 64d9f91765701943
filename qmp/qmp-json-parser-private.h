/*
 * The parser's inside, shared by the files that it is made of: qmp-json-parser.c (bytes,
 * characters, the grammar and the tree), qmp-json-scalar.c (the inside of strings, numbers and
 * words), qmp-json-held.c (a value that is not finished when the input pauses) and
 * qmp-json-recovery.c (errors, and the way on after them). Nobody else includes it.
 */
#ifndef QMP_QMP_JSON_PARSER_PRIVATE_H
#define QMP_QMP_JSON_PARSER_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/qmp-json.h"

/* How much of the input an error text repeats, in bytes. */
#define EXCERPT_MAX 32

/* What is being read. */
typedef enum {
    STATE_BETWEEN, /* tokens; at depth 0 with no token seen, this is the initial state */
    STATE_STRING,
    STATE_ESCAPE,     /* after a backslash */
    STATE_HEX,        /* among the digits of \u */
    STATE_LOW_ESCAPE, /* after a high surrogate, before the backslash of the low one */
    STATE_LOW_U,      /* after that backslash */
    STATE_NUMBER,
    STATE_WORD,
    /* The same while a broken value is skipped; these come last. */
    STATE_SKIP_BETWEEN,
    STATE_SKIP_STRING,
    STATE_SKIP_ESCAPE,
    STATE_SKIP_SCALAR, /* a broken number or word at depth 0 */
} State;

/* The parts of a number, each named for what has just been read. */
typedef enum {
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_DIGITS,
    NUMBER_POINT,
    NUMBER_FRACTION,
    NUMBER_E,
    NUMBER_E_SIGN,
    NUMBER_EXPONENT,
    NUMBER_BAD,
} NumberPart;

/* Which tokens may come next. */
typedef enum {
    EXPECT_VALUE, /* at top level */
    EXPECT_MEMBER_VALUE,
    EXPECT_ELEMENT,
    EXPECT_ELEMENT_OR_END,
    EXPECT_NAME,
    EXPECT_NAME_OR_END,
    EXPECT_COLON,
    EXPECT_COMMA_OR_END,
} Expect;

/* The names of the open objects' members, while there is no tree; names of closed ones stay. */
typedef struct QmpJsonNames {
    uint64_t *slots; /* hashes; 0 is free */
    size_t n_slots;  /* a power of 2, or 0 */
    size_t used;
    GArray *open;     /* the numbers of the open objects, uint32_t */
    uint32_t objects; /* the next one's number */
    uint32_t points[2];
} QmpJsonNames;

struct QmpJsonParser {
    QmpJsonLimits limits;
    QmpJsonFunc *func;
    void *opaque;

    unsigned line;
    unsigned reported_line;
    bool stopped;
    bool quiet;

    /* The character that is not complete yet. */
    char sequence[4];
    unsigned sequence_len;                     /* bytes read of it; 0 is none */
    unsigned sequence_need;                    /* bytes still to come */
    unsigned char sequence_low, sequence_high; /* the range of the next one */

    /* The token. */
    State state;
    char quote;
    NumberPart number;
    unsigned hex_left; /* digits to come */
    unsigned hex;
    unsigned high_surrogate; /* 0 is none */
    GString *text;

    /* The value. */
    bool active; /* its first character was seen */
    bool unsure; /* while it is skipped: turn quiet at its end */
    unsigned begin_line;
    size_t used; /* bytes */
    size_t tokens;
    size_t delivered_tokens; /* of the value that was handed out last */
    Expect expect;
    json_object *root;
    GString *name;   /* of the member whose value comes next */
    GPtrArray *open; /* the open containers, which root owns; empty while skipping */
    uint8_t *kinds;  /* one bit for each open bracket: whether it is an array */
    size_t depth;    /* bits in use */
    size_t excess;   /* while skipping: brackets opened beyond the last bit, of any kind */

    /* An object or array that began in an earlier feed. */
    bool held;    /* there is no tree: root is NULL and open empty */
    GString *raw; /* its bytes of the feeds before this one; NULL when it began in this one */
    QmpJsonNames names;
    const char *data; /* of this feed */
    size_t taken;     /* bytes of that */
};

/* ---- small helpers ---- */

static inline bool is_skipping(const QmpJsonParser *p)
{
    return p->state >= STATE_SKIP_BETWEEN;
}

static inline bool is_in_string(const QmpJsonParser *p)
{
    return (p->state >= STATE_STRING && p->state <= STATE_LOW_U) || p->state == STATE_SKIP_STRING ||
           p->state == STATE_SKIP_ESCAPE;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* Whether @c ends a number or a word. */
static inline bool is_delimiter(char c)
{
    switch (c) {
    case '{':
    case '}':
    case '[':
    case ']':
    case ':':
    case ',':
        return true;
    default:
        return is_space(c) || is_quote(c);
    }
}

/* Whether the bracket opened at @level, from 0, is that of an array. */
static inline bool is_array_at(const QmpJsonParser *p, size_t level)
{
    return (p->kinds[level / 8] >> level % 8 & 1) != 0;
}

static inline void push_kind(QmpJsonParser *p, bool is_array)
{
    uint8_t bit = (uint8_t)(1u << p->depth % 8);
    uint8_t *byte = &p->kinds[p->depth / 8];

    *byte = (uint8_t)(is_array ? *byte | bit : *byte & ~bit);
    p->depth++;
}

/* For what is small, as json-c says NULL when memory is out; GLib's way, and so ours, is to abort.
 */
static inline json_object *checked(json_object *value)
{
    if (value == NULL) {
        g_error("out of memory for a JSON value");
    }
    return value;
}

/* The container that the next value or member goes into. */
static inline json_object *innermost(QmpJsonParser *p)
{
    return g_ptr_array_index(p->open, p->open->len - 1);
}

/* Whether a string is a member's name here. */
static inline bool is_name(const QmpJsonParser *p)
{
    return p->expect == EXPECT_NAME || p->expect == EXPECT_NAME_OR_END;
}

/* Whether text keeps what a string holds: without a tree, only a name is wanted. */
static inline bool is_text_kept(const QmpJsonParser *p)
{
    return !p->held || is_name(p);
}

/* ---- qmp-json-parser.c ---- */

/* Parse up to the end of @data, or until the parser is stopped. Returns how many bytes that was. */
size_t qmp_json_take(QmpJsonParser *p, const char *data, size_t len);

/* Free what the tree and the buffers hold; the kinds of the open brackets stay. */
void qmp_json_discard(QmpJsonParser *p);

/* To the initial state: the next character begins a value. */
void qmp_json_reset(QmpJsonParser *p);

/* Empty @text, and give its memory back when it is much. */
void qmp_json_empty_text(GString **text);

/* Make room in @text for @more bytes, behind which a NUL fits. False when the memory is out: what a
 * client makes large is its own loss, not the end of the program. */
bool qmp_json_reserve(GString *text, size_t more);

/* Report that the memory is out, and begin to skip the value. */
void qmp_json_fail_memory(QmpJsonParser *p);

/* A string that is no member name, a number or a word is complete; NULL is null. */
void qmp_json_end_scalar(QmpJsonParser *p, json_object *value);

/* ---- qmp-json-scalar.c ---- */

/*
 * Take one character, of @len bytes, while the state is one of a string's, a number or a word.
 * Returns false when the token has ended before it, so that it is still to do.
 */
bool qmp_json_scalar_char(QmpJsonParser *p, const char *c, size_t len);

/* ---- qmp-json-held.c ---- */

/* The feed of @data has ended: hold what is unfinished as its bytes. */
void qmp_json_hold(QmpJsonParser *p, const char *data, size_t len);

/* Build the tree of a held value. The parser is then where it was before it took any of the byte
 * that is being taken, which is ASCII. When the memory is out for that, the error is reported, and
 * the value skipped up to that byte. */
void qmp_json_build_held(QmpJsonParser *p);

/* Free what is held of the value. */
void qmp_json_discard_held(QmpJsonParser *p);

typedef enum {
    QMP_JSON_NAME_NEW,
    QMP_JSON_NAME_KNOWN, /* or it looks so */
    QMP_JSON_NAME_NO_MEMORY,
} QmpJsonNameResult;

/* Add a name to those of the innermost open object. */
QmpJsonNameResult qmp_json_add_name(QmpJsonParser *p, const char *name, size_t len);

/* An object opens, or closes, while the value is held. */
void qmp_json_open_names(QmpJsonParser *p);
void qmp_json_close_names(QmpJsonParser *p);

/* ---- qmp-json-recovery.c ---- */

/* As much of @text as an error text repeats, escaped, and with dots where it was cut. */
char *qmp_json_excerpt(const char *text, size_t len);

/* Report an error, unless the parser is quiet, and begin to skip the value. */
void qmp_json_fail(QmpJsonParser *p, QmpJsonError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* As qmp_json_fail(), for an error after which nothing is known of where the value ends. */
void qmp_json_fail_and_reset(QmpJsonParser *p, const char *format, ...) G_GNUC_PRINTF(2, 3);

/*
 * The error for a token that begins with the character @c where expect allows none such. Returns
 * false when @c is still to do.
 */
bool qmp_json_fail_unexpected(QmpJsonParser *p, const char *c, size_t len);

/* Skip the character @c. Returns false when the broken value has ended before it. */
bool qmp_json_skip_char(QmpJsonParser *p, char c);

#endif
