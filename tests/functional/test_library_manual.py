"""evloop(3): every example is built against the installed library and run; no function is left out."""

import re

import pytest

from installed_library import Installed, run
from manual import displays, page_text

NAME = "evloop.3"
C_LIBRARY = ["errno", "fcntl", "inttypes", "stdatomic", "stddef", "stdio", "stdlib", "string",
             "unistd"]
HEADERS = [*re.findall(r"^\.In (.*\.h)$", page_text(NAME).split(".Sh DESCRIPTION")[0],
                       re.MULTILINE), *(f"{name}.h" for name in C_LIBRARY), "liburing.h"]
EXAMPLES = [display.text for display in displays(NAME) if not display.is_session()]

# What uses the functions of an example, which it finds by one of them, and what is printed then.
CONTEXT = "AioContext *ctx = aio_context_new(NULL);"
USES = {
    "ask": ("""
        int answer = 0;
        bool asked = ask(&answer, NULL);
        printf("%d %d\\n", asked, answer);
    """, "1 42\n"),
    "count_input": (CONTEXT + """
        int fds[2];
        Input input = { .ctx = ctx };
        if (pipe(fds) < 0 || write(fds[1], "hello", 5) != 5) {
            return 1;
        }
        input.fd = fds[0];
        close(fds[1]);
        count_input(&input);
        while (fcntl(fds[0], F_GETFD) >= 0) {
            aio_poll(ctx, true);
        }
        printf("%" PRIu64 "\\n", input.total);
        aio_context_unref(ctx);
    """, "5\n"),
    "peer_init": (CONTEXT + """
        Peer peer;
        peer_init(&peer, ctx);
        aio_poll(ctx, false);
        printf("%d %d\\n", timer_pending(&peer.timeout), peer.lost);
        timer_mod(&peer.timeout, 0);
        aio_poll(ctx, true);
        printf("%d %d\\n", timer_pending(&peer.timeout), peer.lost);
        peer_cleanup(&peer);
        aio_context_unref(ctx);
    """, "1 0\n0 1\n"),
    "pass_an_hour": (CONTEXT + """
        QEMUTimer timer;
        aio_timer_init(ctx, &timer, QEMU_CLOCK_VIRTUAL, SCALE_MS, print, "rings");
        timer_mod(&timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) / SCALE_MS + 1800 * 1000);
        pass_an_hour(ctx);
        timer_deinit(&timer);
        aio_context_unref(ctx);
    """, "rings\n"),
    "mailbox_post": (CONTEXT + """
        Mailbox mailbox;
        GThread *thread;
        mailbox_init(&mailbox, ctx);
        mailbox_post(&mailbox, "one");
        thread = g_thread_new("other", post_from_another_thread, &mailbox);
        g_thread_join(thread);
        aio_poll(ctx, true);
        mailbox_cleanup(&mailbox);
        aio_context_unref(ctx);
    """, "one\ntwo\n"),
    "doorbell_init": (CONTEXT + """
        EventNotifier doorbell;
        if (!doorbell_init(&doorbell, ctx, NULL)) {
            return 1;
        }
        event_notifier_set(&doorbell);
        while (!aio_poll(ctx, true)) {
        }
        doorbell_cleanup(&doorbell, ctx);
        aio_context_unref(ctx);
    """, "somebody rang\n"),
    "attach": (CONTEXT + """
        GMainLoop *loop = g_main_loop_new(NULL, FALSE);
        GSource *source = aio_get_g_source(ctx);
        attach(ctx, NULL);
        aio_bh_schedule_oneshot(ctx, print, "called");
        aio_bh_schedule_oneshot(ctx, quit, loop);
        g_main_loop_run(loop);
        g_source_destroy(source);
        g_source_unref(source);
        g_main_loop_unref(loop);
        aio_context_unref(ctx);
    """, "called\n"),
    "ring_attach": (CONTEXT + """
        Ring ring = { 0 };
        event_notifier_init(&ring.doorbell, false, NULL);
        if (!ring_attach(&ring, ctx, NULL)) {
            return 1;
        }
        atomic_fetch_add(&ring.produced, 3);
        event_notifier_set(&ring.doorbell);
        while (ring.consumed == 0) {
            aio_poll(ctx, true);
        }
        printf("%u\\n", ring.consumed);
        aio_set_event_notifier(ctx, &ring.doorbell, NULL, NULL, NULL);
        event_notifier_cleanup(&ring.doorbell);
        aio_context_unref(ctx);
    """, "3\n"),
    "remove_without_waiting": (CONTEXT + """
        FILE *file = fopen("useless", "w");
        ThreadPoolStats stats;
        fclose(file);
        remove_without_waiting(ctx, "useless");
        remove_without_waiting(ctx, "none/useless");
        do {
            aio_poll(ctx, false);
            thread_pool_get_stats(ctx, &stats);
        } while (stats.queued > 0 || stats.idle < stats.threads);
        while (aio_poll(ctx, false)) {
        }
        aio_context_unref(ctx);
        printf("%d\\n", access("useless", F_OK));
    """, "none/useless: No such file or directory\n-1\n"),
    "print_beginning": (CONTEXT + """
        FILE *file = fopen("text", "w+");
        fputs("beginning\\n", file);
        fflush(file);
        if (aio_has_io_uring(ctx)) {
            print_beginning(ctx, fileno(file));
            while (!aio_poll(ctx, true)) {
            }
        } else {
            puts("beginning");
        }
        fclose(file);
        aio_context_unref(ctx);
    """, "beginning\n"),
    "print_sources": (CONTEXT + """
        QEMUBH *bh = aio_bh_new(ctx, look, ctx);
        qemu_bh_schedule(bh);
        aio_poll(ctx, true);
        print_sources(ctx);
        qemu_bh_delete(bh);
        aio_context_unref(ctx);
    """, r"look: 1 calls, \d+ ns\n(.+: 0 calls, 0 ns\n)*"),
    "print_trace": (CONTEXT + """
        AioTrace *trace = trace_loop(ctx);
        aio_bh_schedule_oneshot(ctx, print, "called");
        aio_poll(ctx, true);
        print_trace(trace);
        aio_context_set_trace(ctx, NULL);
        aio_trace_unref(trace);
        aio_context_unref(ctx);
    """, r"called\n(.+ took \d+ ns\n)+"),
}
# What these need, after the example.
PRINT = "static void print(void *opaque) { puts(opaque); }"
BEFORE = {
    "pass_an_hour": PRINT,
    "mailbox_post": """
        static void *post_from_another_thread(void *opaque)
        {
            mailbox_post(opaque, "two");
            return NULL;
        }
    """,
    "attach": PRINT + "static void quit(void *opaque) { g_main_loop_quit(opaque); }",
    "print_sources": "static void look(void *opaque) { complain_when_stuck(opaque); }",
    "print_trace": PRINT,
}
OUTPUTS = {"say_hello": "hello\n", "main_loop_wait": ""}  # of the examples that are programs


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return Installed(tmp_path_factory.mktemp("installed"))


def example_with(name):
    [found] = [example for example in EXAMPLES if re.search(rf"\b{name}\(", example)]
    return found


def output_of(installed, folder, text):
    """Build the program @text and run it: what it prints."""
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    (folder / "example.c").write_text(includes + text)
    installed.build(folder / "example.c", folder / "example")
    return run([str(folder / "example")], env=installed.environment(), cwd=folder)


@pytest.mark.parametrize("name", USES)
def test_an_example_works(installed, tmp_path, name):
    body, expected = USES[name]
    output = output_of(installed, tmp_path, example_with(name) + BEFORE.get(name, "") +
                       f"int main(void)\n{{\n{body}\nreturn 0;\n}}\n")
    assert output == expected or re.fullmatch(expected, output), output


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_program_works(installed, tmp_path, name):
    [program] = [example for example in EXAMPLES
                 if "int main(" in example and re.search(rf"\b{name}\(", example)]
    assert output_of(installed, tmp_path, program) == OUTPUTS[name]


def test_each_example_is_one_of_these():
    assert len(EXAMPLES) == len(USES) + len(OUTPUTS)


def test_the_command_line_that_builds_a_program_is_that_of_the_tests():
    [command] = [display.text for display in displays(NAME) if display.is_session()]
    assert command == "$ cc program.c $(pkg-config --cflags --libs evloop)\n"


def test_functions_have_the_arguments_that_they_are_given(installed):
    headers = "".join(path.read_text() for path in installed.include.rglob("*.h"))
    calls = re.findall(r"^\.Fn ((?!g_)\w+) (\w.*?)(?: [,.:;])?$", page_text(NAME), re.MULTILINE)
    assert len(calls) > 70
    for name, arguments in calls:
        declared = ",".join(rf"[^,;]*\b{argument}\b[^,;]*" for argument in arguments.split())
        assert re.search(rf"\b{name}\({declared}\)", headers), f"{name}({arguments})"


def test_every_function_is_mentioned(installed):
    named = set(re.findall(r"^\.Fn (\w+)", page_text(NAME), re.MULTILINE)) | set(
        re.findall(r"\w+", "".join(EXAMPLES)))
    assert installed.declared_functions() - named == set()
