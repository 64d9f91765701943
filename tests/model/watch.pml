/*
 * How a loop that wakes up tells the stall watch, as a model for spin. tests/model/run checks it.
 *
 * The question. The watch looks at all loops from time to time, and when all sleep it stops doing
 * so, until one wakes up. Each side writes one variable and then reads the other's: the watch sets
 * asked and looks at the states of the loops; a loop stores its state and looks at asked. If each
 * side's write is visible before its read, the one that reads last sees the other's write: either
 * the watch sees that the loop is awake and goes on, or the loop sets the watch's timer. If a write
 * may stay in its processor's store buffer while the read goes ahead, both can read the old value,
 * and the loop may be stuck for ever unnoticed.
 *
 * Of many loops that wake up one sets the timer, the one that takes asked back. The others need
 * not: the watch looks at all when its time has come.
 *
 * A loop that is not there yet sleeps. The watch does not look at it, but need not: a loop comes
 * under the lock of the list that the watch goes through, its thread starts under that lock, and so
 * it wakes up for the first time after the look that has missed it, and after asked was set.
 *
 * Memory is modelled as in notify.pml: a store that need not be visible at once becomes so of its
 * own accord (the process "memory") or when its thread does something sequentially consistent. Of
 * two buffered stores to one state the last is what becomes visible.
 *
 * The C code, and the mark of its step here:
 *
 *   activity_enter()         publish()                                           A1
 *   loop_watch_entered()     atomic_store(&activity->state, ...)                 A2
 *                            atomic_load(&loop_watch.asked)                      A3
 *   aio_watch_take_back()    atomic_exchange(&loop_watch.asked, false)           A4
 *   loop_woke()              timer_mod_anticipate_ns()                           A5
 *   timerlist_run_timers()   the watch's timer is taken out, then called         S1
 *   look_at_loops()          aio_context_get_activity(), of each loop            S2
 *   aio_watch_ask()          atomic_store(&loop_watch.asked, true)               S3
 *   look_at_loops()          once more                                           S4
 *   aio_watch_take_back()    atomic_exchange(&loop_watch.asked, false)           S5
 *   stall_watch_tick()       timer_mod_anticipate_ns()                           S6
 *
 * A1 is a release and so buffered, which makes it the same as none: it is left out where A2 follows
 * it, and is all there is when a loop goes to sleep. The sequence count around it is left out: a
 * reader that finds it changed reads again, so what counts is its last reading. The timer is
 * changed under a lock, and so at once.
 *
 * Properties:
 *
 *   unwatched        never: nothing can move any more, and a loop is awake, as one that is stuck is
 *   rests (RESTS)    always: when all loops sleep for good, the watch does so too, under weak
 *                    fairness
 *
 * Loops wake up and go to sleep as often as they like, and stop when they like, asleep or awake.
 *
 * Variants that leave something out, each of which must fail:
 *
 *   LOOP_BUFFERED      the loop's state may stay in the buffer: A1 without A2
 *   ASK_BUFFERED       asked may stay in the buffer
 *   LOOK_FIRST         the watch asks after it has looked, and does not look again
 *   TAKEN_OUT_LATE     the timer is taken out when its callback is over
 *   WAKE_UNASKED       asked is taken back, whatever the watch has found, before S6
 *   OWN_LOOP           with RESTS: the watch looks at its own thread's loop too
 */

#define LOOPS 2

bool asked;
bool awake[LOOPS]; /* what of the states counts */
bool timer = true; /* it is set, and is due whenever somebody looks at the clock */

/* Stores that are not visible yet. */
bool state_buffered[LOOPS]; /* buffered_as is to be stored */
bool buffered_as[LOOPS];
bool ask_buffered;

/* What is observed. */
byte over; /* loops that sleep for good */

#define unwatched (awake[0] || awake[1])

/* ---- store buffers ---- */

inline visible_loop(me)
{
    if
    :: state_buffered[me] -> state_buffered[me] = false; awake[me] = buffered_as[me]
    :: else
    fi
}

/* ---- loops; the first processes, so that their numbers are 0 and 1 ---- */

inline wake_up()
{
#ifdef LOOP_BUFFERED
    atomic { state_buffered[_pid] = true; buffered_as[_pid] = true } /* A1 */
#else
    atomic { state_buffered[_pid] = false; awake[_pid] = true } /* A2 */
#endif
    if
    :: asked -> /* A3 */
        atomic { visible_loop(_pid); taken = asked; asked = false }; /* A4 */
        if
        :: taken -> atomic { timer = true; taken = false } /* A5 */
        :: else
        fi
    :: else
    fi
}

active [LOOPS] proctype loop()
{
    bool taken;

    do
    :: wake_up();
        if
        :: atomic { state_buffered[_pid] = true; buffered_as[_pid] = false } /* A1 */
        :: break /* stuck */
        fi
    :: over++; break
    od
}

active proctype memory()
{
    byte i;

end:
    do
    :: atomic { state_buffered[0] -> visible_loop(0) }
    :: atomic { state_buffered[1] -> visible_loop(1) }
#ifdef ASK_BUFFERED
    :: atomic { ask_buffered -> ask_buffered = false; asked = true }
#endif
    od
}

/* ---- the watch ---- */

inline look()
{
    all_asleep = !awake[0];
#ifndef OWN_LOOP
    all_asleep = all_asleep && !awake[1]
#else
    all_asleep = false
#endif
}

inline ask()
{
#ifdef ASK_BUFFERED
    ask_buffered = true
#else
    asked = true /* S3 */
#endif
}

inline take_back()
{
    atomic { ask_buffered = false; asked = false } /* S5 */
}

active proctype watch()
{
    bool all_asleep;

end_rests:
    do
#ifdef TAKEN_OUT_LATE
    :: timer;
#else
    :: atomic { timer -> timer = false }; /* S1 */
#endif
        look(); /* S2 */
        if
        :: all_asleep ->
            ask();
#ifndef LOOK_FIRST
            look(); /* S4 */
#endif
            if
            :: all_asleep
            :: !all_asleep -> take_back()
            fi
        :: else
        fi;
#ifdef WAKE_UNASKED
        take_back();
#endif
#ifdef TAKEN_OUT_LATE
        timer = false;
#endif
        if
        :: !all_asleep -> timer = true /* S6 */
        :: else
        fi
    od
}

/* ---- properties ---- */

#ifdef RESTS
ltl rests { [] (over == LOOPS -> <> [] !timer) }
#else
/* When nothing else can move. */
active proctype observer()
{
    timeout -> assert(!unwatched)
}
#endif
