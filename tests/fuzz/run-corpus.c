/*
 * A fuzz target as a test: runs it on every file of the corpus and of what was found once.
 *
 *   fuzz-NAME [FILE-OR-FOLDER...]
 *
 * Without arguments these are the folders corpus/NAME and regressions/NAME. Prints TAP; an input
 * that makes the target fail ends the program, and the last line names it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

static unsigned count;

static void run_file(const char *path)
{
    g_autofree char *data = NULL;
    g_autofree char *copy = NULL;
    g_autoptr(GError) error = NULL;
    gsize len;

    printf("# %s\n", path);
    fflush(stdout);
    if (!g_file_get_contents(path, &data, &len, &error)) {
        fuzz_fail("%s", error->message);
    }
    /* GLib ends it with a NUL, behind which a sanitizer sees no read. */
    copy = g_memdup2(data, len);
    LLVMFuzzerTestOneInput((const uint8_t *)copy, len);
    printf("ok %u %s\n", ++count, strrchr(path, '/') + 1);
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void run_folder(const char *path)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *name;

    if (!dir) {
        fuzz_fail("%s", error->message);
    }
    while ((name = g_dir_read_name(dir))) {
        g_ptr_array_add(names, g_build_filename(path, name, NULL));
    }
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        run_file(g_ptr_array_index(names, i));
    }
}

static void run(const char *path)
{
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        run_folder(path);
    } else {
        g_autofree char *absolute = g_canonicalize_filename(path, NULL);

        run_file(absolute);
    }
}

/* The folders of the tree, when the target's name is that of the program. */
static void run_tree(const char *program)
{
    static const char *const folders[] = { "corpus", "regressions" };
    const char *srcdir = g_getenv("srcdir");
    const char *dash = strrchr(program, '-');

    if (!dash) {
        fuzz_fail("%s is not called fuzz-NAME", program);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path =
            g_build_filename(srcdir ? srcdir : ".", "tests", "fuzz", folders[i], dash + 1, NULL);

        run(path);
    }
}

int main(int argc, char **argv)
{
    LLVMFuzzerInitialize(&argc, &argv);
    if (argc == 1) {
        run_tree(argv[0]);
    }
    for (int i = 1; i < argc; i++) {
        run(argv[i]);
    }
    printf("1..%u\n", count);
    return EXIT_SUCCESS;
}
