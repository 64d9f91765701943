/*
 * The wake-up handshake, as a model for spin. tests/model/run checks it.
 *
 * The question. A thread queues work for a loop just as the loop's home thread is about to block.
 * Each side writes one variable and then reads the other's. The home thread sets notify_me and
 * looks at notified; the notifier sets notified and looks at notify_me. If each side's write is
 * visible before its read, the one that reads last sees the other's write: either the home thread
 * does not block, or the notifier writes the eventfd. If a write may stay in its processor's store
 * buffer while the read goes ahead, both can read the old value, and the work waits for ever.
 *
 * What the home thread takes into account before it blocks (a bottom half that was scheduled, a
 * deadline) follows the same rule without notified: the notifier writes it and looks at notify_me;
 * the home thread sets notify_me and looks at it. Only a notifier that finds notify_me set goes on
 * as above, so that of many one writes the eventfd.
 *
 * A notifier that finds notified set does nothing more: whoever set it wrote the eventfd, or found
 * the home thread awake. This is right only if the home thread looks at the queue after it has
 * taken notified back. Then whoever found notified set has queued before that look, and whoever
 * queues after it finds notified clear.
 *
 * Memory. Spin runs one step at a time, and a step is seen by all at once. So a store that need
 * not be visible at once is modelled: it is noted as buffered, and becomes visible at some time
 * later, of its own accord (the process "memory") or when its thread does something sequentially
 * consistent (visible_home(), visible_notifier()). Buffered stores of one thread become visible in
 * any order. Loads are done in program order, except in NOTIFY_EARLY.
 *
 * The C code, and the mark of its step here:
 *
 *   aio_notify()             atomic_exchange(&ctx->notified, true)               N1
 *                            atomic_load(&ctx->notify_me)                        N2
 *                            event_notifier_set()                                N3
 *   push_new(), push() in aio-bh.c, followed by aio_notify_waiting()             P1
 *   push() of a deleted one, and other work that is followed by aio_notify()     Q1
 *   publish_deadline()       atomic_store(&list->next_deadline, deadline)        T1
 *   aio_notify_waiting()     atomic_load(&ctx->notify_me)                        W
 *   poll_for_work()          aio_notified(), aio_timers_timeout_ns()             H0
 *   aio_notify_arm()         atomic_fetch_add(&ctx->notify_me, ...)              H1
 *                            atomic_load(&ctx->notified)                         H2
 *   aio_prepare_fdmon()      fdmon->prepare()                                    H2a
 *   aio_prepare_timeout()    aio_notified()                                      H2b
 *   aio_compute_timeout()    aio_bh_timeout_ns()                                 H3
 *                            aio_timers_timeout_ns()                             H4
 *   block_for_work()         fdmon->wait()                                       H5
 *   aio_notify_disarm()      atomic_fetch_sub_explicit(&ctx->notify_me, ...)     H6
 *   aio_notify_accept()      atomic_exchange(&ctx->notified, false)              H7
 *   aio_run_pass()           aio_bh_poll()                                       H8
 *                            aio_dispatch_handlers(), the eventfd's handler      H9
 *                            aio_timers_run()                                    H10
 *
 * P1 and T1 are sequentially consistent, so visible at once. Q1 is a store that is buffered, which
 * is less than push() does: work that is followed by aio_notify() needs no order but that of its
 * exchange. H6 is relaxed, and so buffered too.
 *
 * Before it announces that it will block, the home thread may poll in user space, and goes on to its
 * pass without blocking when it has found something. What polling has not found may have come in
 * after the last look of it.
 *
 * With GSOURCE the home thread is driven by GLib: gsource_prepare() is H1 to H4, then GLib waits,
 * where we poll for it perhaps after polling in user space, with notify_me taken back for that time;
 * gsource_check() disarms and looks what there is, and aio_dispatch_collected() disarms, accepts,
 * collects and runs. While another source is ready GLib may leave check and dispatch out.
 *
 * The eventfd. The epoll monitor watches it edge-triggered and never reads it: a write is reported
 * by one wait. The poll monitor watches it level-triggered (LEVEL): every wait reports it until its
 * handler has read it. The io_uring monitor (RING) watches it edge-triggered too, but its prepare()
 * takes over what has completed, so that a write may be spent before the wait. aio_poll() has it do
 * that before H1, and before it polls. A GSource has it submit as well, which must come after H1;
 * so notified is looked at once more after that (H2b).
 *
 * Properties:
 *
 *   lost_wake_up     never: nothing can move any more, and work or a deadline is left while the
 *                    home thread blocks without a timeout
 *   burst > 1        never: of the calls of aio_notify() that look at notified after the home
 *                    thread last accepted, more than one writes the eventfd before it accepts again
 *   sleeps (SLEEPS)  always: when the notifiers have stopped, the home thread ends up asleep for
 *                    good, under weak fairness
 *
 * The notifiers do as many rounds as they like, and stop when they like.
 *
 * Variants that leave something out, each of which must fail:
 *
 *   ARM_BUFFERED       notify_me is set by a store that may stay in the buffer
 *   NOTIFY_EARLY       notify_me is read while the exchange of notified is not visible yet
 *   NOTIFY_RELAXED     the exchange of notified does not make the work visible
 *   NOTIFY_SPLIT       a load and a store of notified, both sequentially consistent, two steps
 *   NOTIFY_TEST        a load before the exchange, to spare it when notified is set already: then
 *                      nothing makes the work visible before notified is found set
 *   DEADLINE_BUFFERED  the deadline may stay in the buffer
 *   PUSH_BUFFERED      the bottom half may stay in the buffer
 *   DELETE_WAITING     what does not keep the loop from blocking is followed by
 *                      aio_notify_waiting() only
 *   ACCEPT_BUFFERED    notified is taken back by a plain store
 *   ACCEPT_LATE        it is taken back after the work has been run
 *   LOOK_FIRST         the timeout is computed before notify_me is set
 *   NO_READ            with LEVEL: the eventfd is never read
 *   POLLED_ONLY        after polling, notify_me is set and nothing is looked at again
 *   NO_REARM           with GSOURCE: notify_me is not set again after polling
 *   NO_SECOND_LOOK     with GSOURCE and RING: notified is not looked at after prepare()
 *   PREPARE_LATE       with RING: aio_poll() has the monitor prepare after H4
 *
 * LOST_ONLY and BURST_ONLY leave one of the first two properties unchecked, for variants that break
 * both.
 */

#define N 3 /* notifiers: 0 schedules, 1 queues other work, 2 changes a deadline */

bool notified;
bool notify_me;
bool eventfd;  /* level-triggered: readable; edge-triggered: an event is to be reported */
bool work[2];  /* [0] keeps the loop from blocking when it sees it; [1] is taken note of only when
                * a pass runs, like a bottom half that is deleted */
bool deadline; /* there is one, and it is due whenever somebody looks at the clock */

/* Stores that are not visible yet. */
bool disarm_buffered;
bool arm_buffered;
bool accept_buffered;
bool work_buffered[2];
bool deadline_buffered;

/* What is observed. */
byte running = N; /* notifiers that have not stopped */
bool asleep;      /* the home thread blocks without a timeout */
bool fresh[N];    /* found notified clear after the home thread last accepted */
byte burst;       /* how many of those have written the eventfd */

#define something_left (work[0] || work[1] || deadline)
#define lost_wake_up   (asleep && something_left)

/* ---- store buffers ---- */

inline visible_home()
{
    if
    :: disarm_buffered -> disarm_buffered = false; notify_me = false
    :: else
    fi;
    if
    :: arm_buffered -> arm_buffered = false; notify_me = true
    :: else
    fi;
    if
    :: accept_buffered -> accept_buffered = false; notified = false
    :: else
    fi
}

inline visible_notifier(me)
{
    if
    :: me < 2 && work_buffered[me % 2] -> work_buffered[me % 2] = false; work[me % 2] = true
    :: else
    fi;
    if
    :: me == 2 && deadline_buffered -> deadline_buffered = false; deadline = true
    :: else
    fi
}

active proctype memory()
{
end:
    do
    :: atomic { disarm_buffered -> disarm_buffered = false; notify_me = false }
    :: atomic { work_buffered[1] -> work_buffered[1] = false; work[1] = true }
#ifdef PUSH_BUFFERED
    :: atomic { work_buffered[0] -> work_buffered[0] = false; work[0] = true }
#endif
#ifdef ARM_BUFFERED
    :: atomic { arm_buffered && !disarm_buffered -> arm_buffered = false; notify_me = true }
#endif
#ifdef ACCEPT_BUFFERED
    :: atomic { accept_buffered -> accept_buffered = false; notified = false }
#endif
#ifdef DEADLINE_BUFFERED
    :: atomic { deadline_buffered -> deadline_buffered = false; deadline = true }
#endif
    od
}

/* ---- notifiers ---- */

/* N1; with what follows from it for this thread alone, it is one step. */
inline exchange_notified(me)
{
    atomic {
#ifndef NOTIFY_RELAXED
        visible_notifier(me);
#endif
        notify = !notified;
        fresh[me] = notify;
#ifndef NOTIFY_SPLIT
        notified = true
#endif
    }
#ifdef NOTIFY_SPLIT
    notified = true
#endif
}

inline aio_notify(me)
{
#ifdef NOTIFY_EARLY
    armed = notify_me;
#endif
#ifdef NOTIFY_TEST
    if
    :: notified
    :: else -> exchange_notified(me)
    fi;
#else
    exchange_notified(me);
#endif
    if
    :: notify ->
        if
#ifdef NOTIFY_EARLY
        :: armed ->
#else
        :: notify_me -> /* N2 */
#endif
            atomic { eventfd = true; observe_write(me) } /* N3 */
        :: else
        fi;
        atomic { fresh[me] = false; notify = false }
    :: else
    fi
}

inline observe_write(me)
{
    if
    :: fresh[me] ->
        burst++;
#ifndef LOST_ONLY
        assert(!(burst > 1))
#endif
    :: else
    fi
}

inline aio_notify_waiting(me)
{
    if
    :: notify_me -> aio_notify(me) /* W */
    :: else
    fi
}

active proctype scheduler()
{
    bool notify;
#ifdef NOTIFY_EARLY
    bool armed;
#endif

    do
#ifdef PUSH_BUFFERED
    :: work_buffered[0] = true;
#else
    :: work[0] = true; /* P1 */
#endif
        aio_notify_waiting(0)
    :: running--; break
    od
}

active proctype queuer()
{
    bool notify;
#ifdef NOTIFY_EARLY
    bool armed;
#endif

    do
    :: work_buffered[1] = true; /* Q1 */
#ifdef DELETE_WAITING
        atomic { visible_notifier(1) };
        aio_notify_waiting(1)
#else
        aio_notify(1)
#endif
    :: running--; break
    od
}

active proctype timer()
{
    bool notify;
#ifdef NOTIFY_EARLY
    bool armed;
#endif

    do
#ifdef DEADLINE_BUFFERED
    :: deadline_buffered = true;
#else
    :: deadline = true; /* T1 */
#endif
        aio_notify_waiting(2)
    :: running--; break
    od
}

/* ---- the home thread ---- */

#define NO_TIME  0
#define A_WHILE  1
#define FOR_EVER 2

inline arm()
{
#ifdef ARM_BUFFERED
    arm_buffered = true
#else
    atomic { visible_home(); notify_me = true } /* H1 */
#endif
}

inline compute_timeout()
{
    if
    :: work[0] -> timeout_ns = NO_TIME /* H3 */
    :: else ->
        if
        :: deadline -> timeout_ns = A_WHILE /* H4 */
        :: else -> timeout_ns = FOR_EVER
        fi
    fi
}

inline arm_and_look()
{
#ifdef LOOK_FIRST
    compute_timeout();
    arm();
    if
    :: notified -> timeout_ns = NO_TIME
    :: else
    fi
#else
    arm();
    if
    :: notified -> timeout_ns = NO_TIME /* H2 */
    :: else -> compute_timeout()
    fi
#endif
}

/* Take over what has completed, as wait() would. */
inline prepare_fdmon()
{
    eventfd = false /* H2a */
}

/* As aio_prepare_timeout(). Only with the ring is there anything between the two looks. */
inline prepare()
{
#ifndef RING
    arm_and_look()
#else
    arm();
    if
    :: notified -> prepare_fdmon(); timeout_ns = NO_TIME /* H2 */
    :: else ->
        prepare_fdmon();
        if
#ifndef NO_SECOND_LOOK
        :: notified -> timeout_ns = NO_TIME /* H2b */
#endif
        :: else -> compute_timeout()
        fi
    fi
#endif
}

/* H0 */
#define polling_finds (notified || work[0] || deadline)

/* Poll, or not, and get ready to block: as aio_polling_run(). */
inline poll_and_arm()
{
#ifdef RING
    prepare_fdmon();
#endif
    if
    :: polling_finds -> timeout_ns = NO_TIME
#ifdef POLLED_ONLY
    :: !polling_finds -> arm(); timeout_ns = FOR_EVER
#elif defined PREPARE_LATE
    :: arm_and_look(); prepare_fdmon()
#elif defined RING
    :: prepare_fdmon(); arm_and_look()
#else
    :: arm_and_look()
#endif
    fi
}

/* The same in between aio_prepare() and a wait of GLib's: as aio_polling_run_prepared(). */
inline poll_prepared()
{
    if
    :: timeout_ns != NO_TIME ->
        disarm();
        if
        :: polling_finds -> timeout_ns = NO_TIME
#ifndef NO_REARM
        :: arm_and_look()
#else
        :: !polling_finds -> compute_timeout()
#endif
        fi
    :: true
    fi
}

/* Until the eventfd is reported, or the time is up, or another descriptor becomes ready. That may
 * happen at any time, but not be relied upon: none does when the notifiers have stopped. */
inline block()
{
    if
    :: timeout_ns == FOR_EVER ->
        asleep = true;
end_asleep:
        atomic {
            if
            :: eventfd
            :: running > 0
            fi;
            asleep = false
        }
    :: else
    fi
}

/* Take over what there is to report. */
inline collect()
{
    atomic {
#ifdef LEVEL
        reported = eventfd
#else
        eventfd = false
#endif
    }
}

inline disarm()
{
    atomic { disarm_buffered = true; arm_buffered = false } /* H6 */
}

inline observe_accept()
{
    fresh[0] = false;
    fresh[1] = false;
    fresh[2] = false;
    burst = 0
}

inline accept()
{
    if
#ifdef ACCEPT_BUFFERED
    :: notified -> atomic { accept_buffered = true; observe_accept() }
#else
    :: notified -> atomic { visible_home(); notified = false; observe_accept() } /* H7 */
#endif
    :: else
    fi
}

inline run_pass()
{
    atomic { work[0] = false; work[1] = false }; /* H8 */
#if defined LEVEL && !defined NO_READ
    if
    :: reported -> atomic { eventfd = false; reported = false } /* H9 */
    :: else
    fi;
#endif
    deadline = false /* H10 */
}

inline dispatch()
{
    disarm();
    accept();
    collect();
    run_pass()
}

active proctype home()
{
    byte timeout_ns;
    bool reported;

    do
    ::
#ifdef GSOURCE
        prepare();
        poll_prepared();
#else
        poll_and_arm();
#endif
        block(); /* H5 */
#ifdef GSOURCE
        if
        :: running > 0 /* neither check nor dispatch */
        :: timeout_ns == NO_TIME -> dispatch()
        :: timeout_ns != NO_TIME ->
            disarm();
            if
            :: eventfd || notified || something_left -> dispatch()
            :: else
            fi
        fi;
#else
        collect();
        disarm();
# ifdef ACCEPT_LATE
        run_pass();
        accept();
# else
        accept();
        run_pass();
# endif
#endif
        timeout_ns = NO_TIME
    od
}

/* ---- properties ---- */

#if defined SLEEPS
ltl sleeps { [] (running == 0 -> <> [] asleep) }
#elif !defined BURST_ONLY
/* When nothing else can move. */
active proctype observer()
{
    timeout -> assert(!lost_wake_up)
}
#endif
