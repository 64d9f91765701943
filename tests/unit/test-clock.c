/*
 * The clocks: what they show, stopped, started and advanced.
 */
#include "config.h"

#include <time.h>

#include "tests/unit/loop-fixture.h"

#define HOUR_NS (3600 * INT64_C(1000000000))

static const QEMUClockType all_clocks[] = {
    QEMU_CLOCK_REALTIME,
    QEMU_CLOCK_VIRTUAL,
    QEMU_CLOCK_HOST,
    QEMU_CLOCK_VIRTUAL_RT,
};

static int64_t system_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

/* Return when real time has gone on by at least a microsecond. */
static void let_time_pass(void)
{
    int64_t start = system_ns(CLOCK_MONOTONIC);

    while (system_ns(CLOCK_MONOTONIC) < start + 1000) {
    }
}

static void test_realtime_is_monotonic_time(void)
{
    int64_t before = system_ns(CLOCK_MONOTONIC);
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t after = system_ns(CLOCK_MONOTONIC);

    g_assert_cmpint(before, <=, now);
    g_assert_cmpint(now, <=, after);
}

static void test_host_is_wall_clock_time(void)
{
    int64_t before, now, after;

    /* Should someone set the system's clock right now, the next attempt is good. */
    do {
        before = system_ns(CLOCK_REALTIME);
        now = qemu_clock_get_ns(QEMU_CLOCK_HOST);
        after = system_ns(CLOCK_REALTIME);
    } while (after < before);
    g_assert_cmpint(before, <=, now);
    g_assert_cmpint(now, <=, after);
}

static void test_all_run_at_first(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(all_clocks); i++) {
        int64_t start = qemu_clock_get_ns(all_clocks[i]);

        g_assert_true(qemu_clock_is_enabled(all_clocks[i]));
        while (qemu_clock_get_ns(all_clocks[i]) == start) {
        }
    }
}

static void assert_stand(bool stand)
{
    static const QEMUClockType both[] = { QEMU_CLOCK_VIRTUAL, QEMU_CLOCK_VIRTUAL_RT };

    for (size_t i = 0; i < G_N_ELEMENTS(both); i++) {
        int64_t start = qemu_clock_get_ns(both[i]);

        g_assert_true(qemu_clock_is_enabled(both[i]) == !stand);
        let_time_pass();
        if (stand) {
            g_assert_cmpint(qemu_clock_get_ns(both[i]), ==, start);
        } else {
            g_assert_cmpint(qemu_clock_get_ns(both[i]), >, start);
        }
    }
}

static void check_stops_both(QEMUClockType type)
{
    int64_t virtual_before = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t rt_before = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);

    qemu_clock_enable(type, false);
    assert_stand(true);
    qemu_clock_enable(type, false);
    assert_stand(true);
    int64_t virtual_stopped = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t rt_stopped = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);
    g_assert_cmpint(virtual_stopped, >=, virtual_before);
    g_assert_cmpint(rt_stopped, >=, rt_before);
    let_time_pass();

    /* They go on from where they stood: never back, and without the time that passed meanwhile. */
    int64_t real_before = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    qemu_clock_enable(type, true);
    int64_t virtual_now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    int64_t rt_now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);
    int64_t real_passed = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - real_before;
    g_assert_cmpint(virtual_now, >=, virtual_stopped);
    g_assert_cmpint(virtual_now, <=, virtual_stopped + real_passed);
    g_assert_cmpint(rt_now, >=, rt_stopped);
    g_assert_cmpint(rt_now, <=, rt_stopped + real_passed);
    assert_stand(false);
}

static void test_virtual_stops_both(void)
{
    check_stops_both(QEMU_CLOCK_VIRTUAL);
}

static void test_virtual_rt_stops_both(void)
{
    check_stops_both(QEMU_CLOCK_VIRTUAL_RT);
}

static void test_others_run_on_when_stopped(void)
{
    static const QEMUClockType others[] = { QEMU_CLOCK_REALTIME, QEMU_CLOCK_HOST };

    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        qemu_clock_enable(others[i], false);
        g_assert_false(qemu_clock_is_enabled(others[i]));
        int64_t start = qemu_clock_get_ns(others[i]);
        while (qemu_clock_get_ns(others[i]) == start) {
        }
        g_assert_true(qemu_clock_is_enabled(QEMU_CLOCK_VIRTUAL));
        qemu_clock_enable(others[i], true);
        g_assert_true(qemu_clock_is_enabled(others[i]));
    }
}

static void check_advances(void)
{
    int64_t rt = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);
    int64_t real = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
    int64_t dest = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + HOUR_NS;

    int64_t now = qemu_clock_advance_virtual_time(dest);
    g_assert_cmpint(now, >=, dest);
    g_assert_cmpint(now, <, dest + HOUR_NS);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), >=, now);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), <, dest + HOUR_NS);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT), <, rt + HOUR_NS);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_REALTIME), <, real + HOUR_NS);

    /* What is past already changes nothing. */
    g_assert_cmpint(qemu_clock_advance_virtual_time(dest - HOUR_NS), >=, now);
    g_assert_cmpint(qemu_clock_advance_virtual_time(-1), >=, now);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), >=, now);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), <, dest + HOUR_NS);
}

static void test_advanced_by_hand(void)
{
    check_advances();
    assert_stand(false);

    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
    check_advances();
    assert_stand(true);
    int64_t dest = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 1;
    g_assert_cmpint(qemu_clock_advance_virtual_time(dest), ==, dest);
    g_assert_cmpint(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), ==, dest);
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
    assert_stand(false);
}

/* ---- threads ---- */

static atomic_bool changing_done;

static void *read_clocks(void *opaque)
{
    int64_t last_virtual = 0, last_rt = 0;

    while (!atomic_load(&changing_done)) {
        int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
        g_assert_cmpint(now, >=, last_virtual);
        last_virtual = now;
        now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL_RT);
        g_assert_cmpint(now, >=, last_rt);
        last_rt = now;
    }
    return NULL;
}

static void test_never_back_while_others_change_it(void)
{
    pthread_t readers[2];

    atomic_store(&changing_done, false);
    for (size_t i = 0; i < G_N_ELEMENTS(readers); i++) {
        readers[i] = test_thread_start(read_clocks, NULL);
    }
    for (int i = 0; i < test_scaled(100000); i++) {
        qemu_clock_enable(QEMU_CLOCK_VIRTUAL, false);
        if (i % 4 == 0) {
            qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 100);
        }
        qemu_clock_enable(QEMU_CLOCK_VIRTUAL, true);
        if (i % 4 == 1) {
            qemu_clock_advance_virtual_time(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + 100);
        }
    }
    atomic_store(&changing_done, true);
    for (size_t i = 0; i < G_N_ELEMENTS(readers); i++) {
        test_thread_join(readers[i]);
    }
}

int main(int argc, char **argv)
{
    loop_test_init(&argc, &argv);
    test_add("/clock/realtime-is-monotonic-time", test_realtime_is_monotonic_time);
    test_add("/clock/host-is-wall-clock-time", test_host_is_wall_clock_time);
    test_add("/clock/all-run-at-first", test_all_run_at_first);
    test_add("/clock/virtual-stops-both-virtual-ones", test_virtual_stops_both);
    test_add("/clock/virtual-rt-stops-both-virtual-ones", test_virtual_rt_stops_both);
    test_add("/clock/others-run-on-when-stopped", test_others_run_on_when_stopped);
    test_add("/clock/virtual-is-advanced-by-hand", test_advanced_by_hand);
    test_add("/clock/never-back-while-others-change-it", test_never_back_while_others_change_it);
    return g_test_run();
}
