/*
 * JSON parser: RFC 8259's grammar, production by production, as tables of what is a JSON text and
 * what is not. test-qmp-json-exhaustive.c has those too that nobody thinks of.
 *
 * The texts of errors and what follows them are for test-qmp-json-parser.c and its neighbours.
 */
#include <stdbool.h>
#include <string.h>

#include "tests/unit/json-fixture.h"

typedef struct GrammarCase {
    const char *text;
    size_t len;
    bool is_json;
} GrammarCase;

#define YES(literal) JSON_IN(literal), true
#define NO(literal)  JSON_IN(literal), false

static void check_cases(const GrammarCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_check_text(cases[i].text, cases[i].len, cases[i].is_json);
    }
}

/* JSON-text = ws value ws */
static void test_text(void)
{
    static const GrammarCase cases[] = {
        { YES("0") },          { YES("\"\"") },  { YES("{}") },     { YES("[]") },
        { YES("true") },       { YES("false") }, { YES("null") },   { YES(" \t\n\r0 \t\n\r") },
        { YES("\r\n[]\r\n") }, { NO("") },       { NO(" ") },       { NO("\t\r\n") },
        { NO("0 0") },         { NO("{}{}") },   { NO("[],") },     { NO(",[]") },
        { NO("[]]") },         { NO("{}}") },    { NO("]") },       { NO("}") },
        { NO(":") },           { NO(",") },      { NO("\"a\":1") }, { NO("1,2") },
        { NO("a") },           { NO("\\") },     { NO("/") },       { NO("*") },
        { NO("(1)") },         { NO("<1>") },    { NO("=1") },      { NO("@") },
        { NO("[]x") },         { NO("x[]") },    { NO("{};") },     { NO("()") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* ws = *( %x20 / %x09 / %x0A / %x0D ), before and after each structural character */
static void test_white_space(void)
{
    static const GrammarCase cases[] = {
        { YES(" [ 0 , 0 ] ") },
        { YES("\t[\t0\t,\t0\t]\t") },
        { YES("\n[\n0\n,\n0\n]\n") },
        { YES("\r[\r0\r,\r0\r]\r") },
        { YES(" { \"a\" : 0 , \"b\" : 0 } ") },
        { YES("{\"a\":0,\"b\":0}") },
        { YES("[ ]") },
        { YES("{ }") },
        { NO("[0\f]") },           /* form feed */
        { NO("[0\v]") },           /* vertical tab */
        { NO("[0\b]") },           /* backspace */
        { NO("[0\0]") },           /* NUL */
        { NO("[0\x1c]") },         /* file separator */
        { NO("[0\x7f]") },         /* delete */
        { NO("[0\xc2\xa0]") },     /* U+00A0, no-break space */
        { NO("[0\xc2\x85]") },     /* U+0085, next line */
        { NO("[0\xe1\x9a\x80]") }, /* U+1680, ogham space mark */
        { NO("[0\xe2\x80\x83]") }, /* U+2003, em space */
        { NO("[0\xe2\x80\xa8]") }, /* U+2028, line separator */
        { NO("[0\xe2\x81\xa0]") }, /* U+2060, word joiner */
        { NO("[0\xe3\x80\x80]") }, /* U+3000, ideographic space */
        { NO("[1 0]") },           /* not inside a number */
        { NO("[1. 0]") },
        { NO("[- 1]") },
        { NO("[1e 5]") },
        { NO("[1e- 5]") },
        { NO("[tr ue]") }, /* not inside a word */
        { NO("[nul\nl]") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* value = false / null / true / object / array / number / string */
static void test_words(void)
{
    static const GrammarCase cases[] = {
        { YES("[false]") },
        { YES("[null]") },
        { YES("[true]") },
        { NO("[False]") },
        { NO("[FALSE]") },
        { NO("[fals]") },
        { NO("[falsee]") },
        { NO("[alse]") },
        { NO("[Null]") },
        { NO("[NULL]") },
        { NO("[nul]") },
        { NO("[nulll]") },
        { NO("[n]") },
        { NO("[nil]") },
        { NO("[True]") },
        { NO("[TRUE]") },
        { NO("[tru]") },
        { NO("[truee]") },
        { NO("[t]") },
        { NO("[yes]") },
        { NO("[on]") },
        { NO("[none]") },
        { NO("[undefined]") },
        { NO("[NaN]") },
        { NO("[nan]") },
        { NO("[Infinity]") },
        { NO("[-Infinity]") },
        { NO("[inf]") },
        { NO("[truefalse]") },
        { NO("[true false]") },
        { NO("[null1]") },
        { NO("[1null]") },
        { NO("[true\"a\"]") },
        { NO("[tr\\u0075e]") },
        { NO("[\xef\xbd\x94rue]") },
        { NO("[null\0]") },
        { NO("true1") },
        { NO("nul") },
        { NO("t") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* object = begin-object [ member *( value-separator member ) ] end-object
 * member = string name-separator value */
static void test_objects(void)
{
    static const GrammarCase cases[] = {
        { YES("{}") },
        { YES("{\"a\":0}") },
        { YES("{\"a\":0,\"b\":1}") },
        { YES("{\"a\":0,\"b\":1,\"c\":2}") },
        { YES("{\"\":0}") },
        { YES("{\" \":0}") },
        { YES("{\"a\":{}}") },
        { YES("{\"a\":[]}") },
        { YES("{\"a\":\"\"}") },
        { YES("{\"a\":null}") },
        { YES("{\"a\":true,\"A\":false}") },
        { YES("{\"a\":{\"a\":{\"a\":0}}}") },
        { YES("{\"a\\u0062\":0}") },
        { YES("{\"\xc3\xa9\":0}") },
        { YES("{\"{\":\"}\"}") },
        { YES("{\"a:\":0}") },
        { NO("{") },
        { NO("{\"a\"") },
        { NO("{\"a\":") },
        { NO("{\"a\":0") },
        { NO("{\"a\":0,") },
        { NO("{\"a\":0,\"b\"") },
        { NO("{,}") },
        { NO("{:}") },
        { NO("{:0}") },
        { NO("{\"a\"}") },
        { NO("{\"a\":}") },
        { NO("{\"a\":,}") },
        { NO("{\"a\" 0}") },
        { NO("{\"a\",0}") },
        { NO("{\"a\";0}") },
        { NO("{\"a\"=0}") },
        { NO("{\"a\"=>0}") },
        { NO("{\"a\"::0}") },
        { NO("{\"a\":0:1}") },
        { NO("{\"a\":0 1}") },
        { NO("{\"a\":0,}") },
        { NO("{\"a\":0,,}") },
        { NO("{,\"a\":0}") },
        { NO("{\"a\":0,,\"b\":1}") },
        { NO("{\"a\":0 \"b\":1}") },
        { NO("{\"a\":0;\"b\":1}") },
        { NO("{\"a\":0,\"b\"}") },
        { NO("{\"a\":0,1}") },
        { NO("{\"a\" \"b\":0}") },
        { NO("{\"a\"\"b\":0}") },
        { NO("{a:0}") },
        { NO("{0:0}") },
        { NO("{-1:0}") },
        { NO("{true:0}") },
        { NO("{null:0}") },
        { NO("{[]:0}") },
        { NO("{{}:0}") },
        { NO("{[\"a\"]:0}") },
        { NO("{\"a\":0]") },
        { NO("{]") },
        { NO("{)") },
        { NO("{{}}") },
        { NO("{[]}") },
        { NO("{0}") },
        { NO("{\"a\":{}") },
        { NO("{\"a\":[}") },
        { NO("{...}") },
        { NO("{\"a\":0}}") },
        { NO("{\"a\"/**/:0}") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* array = begin-array [ value *( value-separator value ) ] end-array */
static void test_arrays(void)
{
    static const GrammarCase cases[] = {
        { YES("[]") },         { YES("[0]") },         { YES("[0,1]") },
        { YES("[0,1,2]") },    { YES("[[]]") },        { YES("[[],[]]") },
        { YES("[[[]],[]]") },  { YES("[{}]") },        { YES("[{},{}]") },
        { YES("[null]") },     { YES("[\"\"]") },      { YES("[\"a\",0,{}]") },
        { YES("[\"]\"]") },    { YES("[\",\"]") },     { YES("[null,null]") },
        { NO("[") },           { NO("[0") },           { NO("[0,") },
        { NO("[[]") },         { NO("[[") },           { NO("[,]") },
        { NO("[0,]") },        { NO("[,0]") },         { NO("[0,,1]") },
        { NO("[0,,]") },       { NO("[,,]") },         { NO("[0 1]") },
        { NO("[0;1]") },       { NO("[0:1]") },        { NO("[:]") },
        { NO("[\"a\":0]") },   { NO("[\"a\"\"b\"]") }, { NO("[[][]]") },
        { NO("[{}{}]") },      { NO("[[],]") },        { NO("[]]") },
        { NO("[}") },          { NO("[0}") },          { NO("[)") },
        { NO("[{]") },         { NO("[{]}") },         { NO("[a]") },
        { NO("[*]") },         { NO("[...]") },        { NO("[1,2") },
        { NO("[\"a\"") },      { NO("[\"a\",") },      { NO("[0,\n1") },
        { NO("[0 /* 1 */]") }, { NO("[0 // 1\n]") },   { NO("[0 # 1\n]") },
        { NO("[0 -- 1\n]") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* number = [ minus ] int [ frac ] [ exp ] */
static void test_numbers(void)
{
    static const GrammarCase cases[] = {
        { YES("[0]") },
        { YES("[-0]") },
        { YES("[1]") },
        { YES("[-1]") },
        { YES("[9]") },
        { YES("[10]") },
        { YES("[100]") },
        { YES("[1234567890]") },
        { YES("[0.0]") },
        { YES("[-0.0]") },
        { YES("[0.1]") },
        { YES("[1.0]") },
        { YES("[1.05]") },
        { YES("[10.01]") },
        { YES("[0e0]") },
        { YES("[0E0]") },
        { YES("[0e+0]") },
        { YES("[0e-0]") },
        { YES("[1e1]") },
        { YES("[1E1]") },
        { YES("[1e+1]") },
        { YES("[1e-1]") },
        { YES("[1E+1]") },
        { YES("[1E-1]") },
        { YES("[1e01]") },
        { YES("[1e001]") },
        { YES("[1.5e5]") },
        { YES("[-1.5E-05]") },
        { YES("[0.5e10]") },
        { YES("[-0e-0]") },
        { YES("-1") },
        { YES("1.5") },
        { YES("[123456789012345678901234567890]") },
        { YES("[-0.000000000000000000000000000001]") },
        { YES("[1e-400]") },
        { NO("[+1]") },
        { NO("[+0]") },
        { NO("[+]") },
        { NO("[-]") },
        { NO("[--1]") },
        { NO("[-+1]") },
        { NO("[+-1]") },
        { NO("[00]") },
        { NO("[01]") },
        { NO("[-00]") },
        { NO("[-01]") },
        { NO("[000]") },
        { NO("[00.1]") },
        { NO("[.]") },
        { NO("[.0]") },
        { NO("[.5]") },
        { NO("[-.5]") },
        { NO("[0.]") },
        { NO("[1.]") },
        { NO("[-1.]") },
        { NO("[1..5]") },
        { NO("[1.5.5]") },
        { NO("[1.-5]") },
        { NO("[1.+5]") },
        { NO("[0.e1]") },
        { NO("[1.e1]") },
        { NO("[.e1]") },
        { NO("[e]") },
        { NO("[e1]") },
        { NO("[1e]") },
        { NO("[1E]") },
        { NO("[1e+]") },
        { NO("[1e-]") },
        { NO("[1.5e]") },
        { NO("[1ee1]") },
        { NO("[1e1e1]") },
        { NO("[1e++1]") },
        { NO("[1e+-1]") },
        { NO("[1e1.5]") },
        { NO("[1e.5]") },
        { NO("[1e1+]") },
        { NO("[1+1]") },
        { NO("[1-1]") },
        { NO("[1-]") },
        { NO("[1+]") },
        { NO("[0x1]") },
        { NO("[0X1]") },
        { NO("[0b1]") },
        { NO("[0o1]") },
        { NO("[1f]") },
        { NO("[1L]") },
        { NO("[1a]") },
        { NO("[0a]") },
        { NO("[1_0]") },
        { NO("[1'0]") },
        { NO("[1,0.]") },
        { NO("[\xef\xbc\x91]") },
        { NO("[1\xef\xbc\x91]") },
        { NO("[\xe2\x88\x92"
             "1]") },
        { NO("[\xc2\xbd]") },
        { NO("[1/2]") },
        { NO("[$1]") },
        { NO("[1%]") },
        { NO("[1 000]") },
        { NO("-") },
        { NO("1.") },
        { NO("1e") },
        { NO("01") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* string = quotation-mark *char quotation-mark */
static void test_strings(void)
{
    static const GrammarCase cases[] = {
        { YES("[\"\"]") },
        { YES("[\"a\"]") },
        { YES("[\" \"]") },
        { YES("[\"\\\"\"]") },
        { YES("[\"\\\\\"]") },
        { YES("[\"\\/\"]") },
        { YES("[\"\\b\"]") },
        { YES("[\"\\f\"]") },
        { YES("[\"\\n\"]") },
        { YES("[\"\\r\"]") },
        { YES("[\"\\t\"]") },
        { YES("[\"/\"]") },
        { YES("[\"\\u0000\"]") },
        { YES("[\"\\u001f\"]") },
        { YES("[\"\\u0020\"]") },
        { YES("[\"\\u00e9\"]") },
        { YES("[\"\\u00E9\"]") },
        { YES("[\"\\uAbCd\"]") },
        { YES("[\"\\ud7ff\"]") },
        { YES("[\"\\ue000\"]") },
        { YES("[\"\\uffff\"]") },
        { YES("[\"\\ufeff\"]") },
        { YES("[\"\\ud800\\udc00\"]") },
        { YES("[\"\\uDBFF\\uDFFF\"]") },
        { YES("[\"\\\\u0041\"]") },
        { YES("[\"\\u00411\"]") },
        { YES("[\"\x7f\"]") },
        { YES("[\"\xc2\x80\"]") },
        { YES("[\"\xef\xbf\xbf\"]") },
        { YES("[\"\xf4\x8f\xbf\xbf\"]") },
        { YES("[\"\xe2\x80\xa8\"]") },
        { YES("[\"'\"]") },
        { YES("[\"[]{}:,\"]") },
        { YES("[\"/*x*/\"]") },
        { NO("[\"]") },
        { NO("[\"a]") },
        { NO("[a\"]") },
        { NO("[\"\\\"]") },
        { NO("[\"\"\"]") },
        { NO("[\"a\"b\"]") },
        { NO("[\"\\\\\\\"]") },
        { NO("[\"\\ \"]") },
        { NO("[\"\\a\"]") },
        { NO("[\"\\v\"]") },
        { NO("[\"\\e\"]") },
        { NO("[\"\\0\"]") },
        { NO("[\"\\x41\"]") },
        { NO("[\"\\N\"]") },
        { NO("[\"\\B\"]") },
        { NO("[\"\\U0041\"]") },
        { NO("[\"\\u\"]") },
        { NO("[\"\\u0\"]") },
        { NO("[\"\\u00\"]") },
        { NO("[\"\\u004\"]") },
        { NO("[\"\\u004g\"]") },
        { NO("[\"\\ug041\"]") },
        { NO("[\"\\u 041\"]") },
        { NO("[\"\\u+041\"]") },
        { NO("[\"\\u-041\"]") },
        { NO("[\"\\u{41}\"]") },
        { NO("[\"\\u0x41\"]") },
        { NO("[\"\\\n\"]") },
        { NO("[\"\\\xc3\xa9\"]") },
        { NO("[\"\\\0\"]") },
        { NO("[\"\t\"]") },
        { NO("[\"\n\"]") },
        { NO("[\"\r\"]") },
        { NO("[\"\0\"]") },
        { NO("[\"\x1f\"]") },
        { NO("[`a`]") },
        { NO("[\"a\" \"b\"]") },
        { NO("[\xe2\x80\x9c"
             "a\xe2\x80\x9d]") },
        { NO("[u\"a\"]") },
        { NO("[\"a\"u]") },
        { NO("[\\\"a\\\"]") },
        { NO("[\"a\\]") },
        { NO("\"") },
        { NO("\"a") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* Section 8.1: UTF-8, without a byte order mark */
static void test_encoding(void)
{
    static const GrammarCase cases[] = {
        { NO("\xef\xbb\xbf[]") }, /* a byte order mark */
        { NO("\xff\xfe[\0]\0") }, /* UTF-16, little-endian */
        { NO("\xfe\xff\0[\0]") }, /* UTF-16, big-endian */
        { NO("[\0]\0") },         /* the same without a mark */
        { NO("\0[\0]") },
        { NO("[\"\x80\"]") }, /* a continuation byte alone */
        { NO("[\"\xbf\"]") },
        { NO("[\"\xe9\"]") },                     /* Latin-1 */
        { NO("[\"\xc3\"]") },                     /* cut short: of two */
        { NO("[\"\xe2\x82\"]") },                 /* of three */
        { NO("[\"\xf0\x9f\x98\"]") },             /* of four */
        { NO("[\"\xc0\xaf\"]") },                 /* overlong, in two */
        { NO("[\"\xe0\x80\xaf\"]") },             /* in three */
        { NO("[\"\xf0\x80\x80\xaf\"]") },         /* in four */
        { NO("[\"\xc0\x80\"]") },                 /* NUL in two */
        { NO("[\"\xc1\xbf\"]") },                 /* the greatest in two */
        { NO("[\"\xed\xa0\x80\"]") },             /* a surrogate */
        { NO("[\"\xed\xbf\xbf\"]") },             /* the last one */
        { NO("[\"\xed\xa0\x80\xed\xb0\x80\"]") }, /* a pair of them */
        { NO("[\"\xf4\x90\x80\x80\"]") },         /* beyond U+10FFFF */
        { NO("[\"\xf8\x88\x80\x80\x80\"]") },     /* five bytes */
        { NO("[\"\xfc\x84\x80\x80\x80\x80\"]") }, /* six */
        { NO("[\"\xfe\"]") },
        { NO("[\"\xff\"]") },
        { NO("[\xff]") },
        { NO("\xe5") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* What the control protocol allows beyond the grammar, and how far it goes. */
static void test_extensions(void)
{
    static const GrammarCase cases[] = {
        { YES("''") },
        { YES("['']") },
        { YES("['a']") },
        { YES("{'a':'b'}") },
        { YES("{'a':0,\"b\":1}") },
        { YES("['\"']") },
        { YES("['\\\"']") },
        { YES("['\\'']") },
        { YES("[\"\\'\"]") },
        { YES("{'\\'':0}") },
        { YES("['\\u0027']") },
        { YES("['\\n\\\\']") },
        { YES("['[]{}:,']") },
        { NO("[']") },
        { NO("['a\"]") },
        { NO("[\"a']") },
        { NO("['a'b']") },
        { NO("['\\']") },
        { NO("['\n']") },
        { NO("['\0']") },
        { NO("[''']") },
        { NO("{'a':0,'a':1}") },
        { NO("{'a':0,\"a\":1}") },
        { NO("['a''b']") },
        { NO("['\\a']") },
        { NO("[\xe2\x80\x98"
             "a\xe2\x80\x99]") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

/* What the grammar allows and RFC 8259 warns of (sections 4, 6 and 8.2), and we refuse. */
static void test_refusals(void)
{
    static const GrammarCase cases[] = {
        { NO("{\"a\":0,\"a\":0}") },       /* a name twice */
        { NO("{\"a\":0,\"\\u0061\":0}") }, /* spelt in two ways */
        { NO("{\"a\\u0000\":0}") },        /* NUL in a name */
        { NO("[\"\\ud800\"]") },           /* half a surrogate pair: the first one */
        { NO("[\"\\udbffx\"]") },
        { NO("[\"\\ud800\\n\"]") },
        { NO("[\"\\ud800\\u0041\"]") },
        { NO("[\"\\ud800\\ud800\\udc00\"]") },
        { NO("[\"\\udc00\"]") }, /* the second one */
        { NO("[\"\\udfff\\ud800\"]") },
        { NO("[1e309]") }, /* more than a double holds */
        { NO("[-1e309]") },
        { NO("[1e999999999999]") },
    };

    check_cases(cases, G_N_ELEMENTS(cases));
}

#define ADD(name, function) g_test_add_func("/qmp/json-grammar/" name, function)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("a text", test_text);
    ADD("white space", test_white_space);
    ADD("words", test_words);
    ADD("objects", test_objects);
    ADD("arrays", test_arrays);
    ADD("numbers", test_numbers);
    ADD("strings", test_strings);
    ADD("encoding", test_encoding);
    ADD("what is allowed beyond the grammar", test_extensions);
    ADD("what is refused within the grammar", test_refusals);
    return g_test_run();
}
