/*
 * The object type "iothread", and query-iothreads.
 */
#include "config.h"
#include "iothreads/iothread.h"

#include "iothreads/cpu-list.h"
#include "loop/aio-params.h"
#include "loop/main-loop.h"
#include "objects/object-types.h"
#include "qmp/qmp-request.h"

/* Every other CPU of as many as Linux knows, 8192, one by one, is shorter. */
#define MAX_CPU_LIST 32768

typedef struct IOThreadProperties {
    int64_t poll_max_ns;
    int64_t poll_grow;
    int64_t poll_shrink;
    int64_t aio_max_batch;
    int64_t thread_pool_min;
    int64_t thread_pool_max;
    char *cpu_affinity;
    int sched_policy; /* an IOThreadSchedPolicy */
    int64_t sched_priority;
    int fdmon; /* an AioFdMon */
    char *fdmon_in_use;
    int64_t thread_id;
} IOThreadProperties;

typedef struct IOThreadObject {
    Object parent;
    IOThread *iothread;
} IOThreadObject;

/* In the order of IOThreadSchedPolicy. */
static const char *const sched_policy_values[] = { "other", "batch", "idle", "fifo", "rr", NULL };
static const QmpType sched_policy_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "SchedPolicy",
    .values = sched_policy_values,
};

/* In the order of AioFdMon. */
static const char *const fdmon_values[] = { "auto", "io_uring", "epoll", "poll", NULL };
static const QmpType fdmon_enum = {
    .kind = QMP_KIND_ENUM,
    .name = "FdMon",
    .values = fdmon_values,
};

static const QmpMember iothread_properties[] = {
    { .name = "poll-max-ns",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .default_int = AIO_POLL_MAX_NS_DEFAULT,
      .offset = offsetof(IOThreadProperties, poll_max_ns),
      .help = "longest time to poll in user space before blocking, in ns; 0: never" },
    { .name = "poll-grow",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(IOThreadProperties, poll_grow),
      .help = "factor by which the polling time grows; 0: the default, 2" },
    { .name = "poll-shrink",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(IOThreadProperties, poll_shrink),
      .help = "divisor by which the polling time shrinks; 0: down to 0 at once" },
    { .name = "aio-max-batch",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT64_MAX,
      .offset = offsetof(IOThreadProperties, aio_max_batch),
      .help = "requests submitted at once; 0: the engine's default" },
    { .name = "thread-pool-min",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = INT_MAX,
      .default_int = AIO_THREAD_POOL_MIN_DEFAULT,
      .offset = offsetof(IOThreadProperties, thread_pool_min),
      .help = "threads of its pool that stay when idle" },
    { .name = "thread-pool-max",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = 1,
      .max = INT_MAX,
      .default_int = AIO_THREAD_POOL_MAX_DEFAULT,
      .offset = offsetof(IOThreadProperties, thread_pool_max),
      .help = "threads of its pool at the most" },
    { .name = "cpu-affinity",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_OPTIONAL,
      .max = MAX_CPU_LIST,
      .default_str = "",
      .offset = offsetof(IOThreadProperties, cpu_affinity),
      .help = "the CPUs to run on, a list such as '0-3,8'; empty: those of the daemon" },
    { .name = "sched-policy",
      .type = &sched_policy_enum,
      .flags = QMP_MEMBER_OPTIONAL,
      .default_str = "other",
      .offset = offsetof(IOThreadProperties, sched_policy),
      .help = "the kernel's scheduling policy" },
    { .name = "sched-priority",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_OPTIONAL,
      .min = 1,
      .max = 99,
      .default_int = 1,
      .offset = offsetof(IOThreadProperties, sched_priority),
      .help = "the priority under the policies fifo and rr" },
    { .name = "fdmon",
      .type = &fdmon_enum,
      .flags = QMP_MEMBER_OPTIONAL | QMP_MEMBER_CREATE_ONLY,
      .default_str = "auto",
      .offset = offsetof(IOThreadProperties, fdmon),
      .help = "how the loop learns which descriptors are ready" },
    { .name = "fdmon-in-use",
      .type = &qmp_type_str,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(IOThreadProperties, fdmon_in_use),
      .help = "the one that has been chosen" },
    { .name = "thread-id",
      .type = &qmp_type_int,
      .flags = QMP_MEMBER_READ_ONLY,
      .offset = offsetof(IOThreadProperties, thread_id),
      .help = "the thread's id as the kernel knows it" },
    { 0 },
};
static const QmpType iothread_properties_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "IothreadProperties",
    .members = iothread_properties,
    .size = sizeof(IOThreadProperties),
};

static IOThread *iothread_of(Object *object)
{
    return ((IOThreadObject *)object)->iothread;
}

/* Each group of properties is applied as a whole or not at all. */

static bool apply_polling(IOThread *iothread, const IOThreadProperties *p, GError **errp)
{
    return aio_context_set_poll_params(iothread_get_aio_context(iothread), p->poll_max_ns,
                                       p->poll_grow, p->poll_shrink, errp);
}

static bool apply_batch(IOThread *iothread, const IOThreadProperties *p, GError **errp)
{
    return aio_context_set_aio_params(iothread_get_aio_context(iothread), p->aio_max_batch, errp);
}

static bool apply_thread_pool(IOThread *iothread, const IOThreadProperties *p, GError **errp)
{
    return aio_context_set_thread_pool_params(iothread_get_aio_context(iothread),
                                              p->thread_pool_min, p->thread_pool_max, errp);
}

static bool apply_affinity(IOThread *iothread, const IOThreadProperties *p, GError **errp)
{
    return iothread_set_cpu_affinity(iothread, p->cpu_affinity, errp);
}

static bool apply_scheduling(IOThread *iothread, const IOThreadProperties *p, GError **errp)
{
    return iothread_set_scheduling(iothread, (IOThreadSchedPolicy)p->sched_policy,
                                   (int)p->sched_priority, errp);
}

typedef bool ApplyFunc(IOThread *iothread, const IOThreadProperties *properties, GError **errp);

/* Which group a property belongs to, by its field. */
static const struct {
    size_t first; /* offset of the group's first field */
    ApplyFunc *apply;
} groups[] = {
    { offsetof(IOThreadProperties, poll_max_ns), apply_polling },
    { offsetof(IOThreadProperties, aio_max_batch), apply_batch },
    { offsetof(IOThreadProperties, thread_pool_min), apply_thread_pool },
    { offsetof(IOThreadProperties, cpu_affinity), apply_affinity },
    { offsetof(IOThreadProperties, sched_policy), apply_scheduling },
};

static bool iothread_type_apply(Object *object, const QmpMember *changed, const void *properties,
                                GError **errp)
{
    size_t i = G_N_ELEMENTS(groups) - 1;

    while (groups[i].first > changed->offset) {
        i--;
    }
    return groups[i].apply(iothread_of(object), properties, errp);
}

/* Whether a new thread, which has what its creator has, needs this at all: that is the main thread,
 * whose CPUs are what an empty cpu-affinity means. */
static bool is_inherited(ApplyFunc *apply, const IOThreadProperties *p)
{
    return apply == apply_affinity && p->cpu_affinity[0] == '\0';
}

/* What no system would take. Which CPUs there are, and what scheduling is allowed, it alone can
 * say.
 */
static bool iothread_type_check(const void *properties, GError **errp)
{
    const IOThreadProperties *p = properties;

    return aio_check_thread_pool_params(p->thread_pool_min, p->thread_pool_max, errp) &&
           (p->cpu_affinity[0] == '\0' || cpu_list_parse(p->cpu_affinity, NULL, errp));
}

static bool iothread_type_create(Object *object, GError **errp)
{
    IOThreadObject *self = (IOThreadObject *)object;
    IOThreadProperties *p = object->properties;

    self->iothread = iothread_create_with_fdmon(object->id, (AioFdMon)p->fdmon, errp);
    if (!self->iothread) {
        return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (!is_inherited(groups[i].apply, p) && !groups[i].apply(self->iothread, p, errp)) {
            iothread_destroy(self->iothread);
            return false;
        }
    }
    p->thread_id = iothread_get_thread_id(self->iothread);
    p->fdmon_in_use = g_strdup(aio_context_get_fdmon(iothread_get_aio_context(self->iothread)));
    return true;
}

static void thread_is_gone(void *opaque)
{
    object_finish_delete(opaque);
}

static void iothread_type_delete(Object *object)
{
    iothread_destroy_async(iothread_of(object), qemu_get_aio_context(), thread_is_gone, object);
}

/* ---- query-iothreads ---- */

typedef struct IOThreadInfo {
    IOThreadProperties properties;
    char *id;
} IOThreadInfo;

static const QmpMember iothread_info_members[] = {
    { .name = "id",
      .type = &qmp_type_str,
      .offset = offsetof(IOThreadInfo, id),
      .help = "the object's id" },
    { 0 },
};
static const QmpType iothread_info_type = {
    .kind = QMP_KIND_OBJECT,
    .name = "IOThreadInfo",
    .base = &iothread_properties_type,
    .is_result = true,
    .members = iothread_info_members,
    .size = sizeof(IOThreadInfo),
};
static const QmpType iothread_info_list_type = {
    .kind = QMP_KIND_ARRAY,
    .element = &iothread_info_type,
};

static void add_info(Object *object, void *list)
{
    if (object->type == &iothread_type) {
        IOThreadInfo info = {
            .properties = *(IOThreadProperties *)object->properties,
            .id = object->id,
        };

        json_object_array_add(list, qmp_marshal(&iothread_info_type, &info));
    }
}

static void run_query_iothreads(QmpRequest *request, void *args)
{
    json_object *list = json_object_new_array();

    object_foreach(qmp_request_get_opaque(request), add_info, list);
    qmp_return(request, list);
}

static const QmpCommand iothread_commands[] = {
    { .name = "query-iothreads",
      .flags = QMP_COMMAND_READ_ONLY,
      .args = &qmp_type_empty,
      .ret = &iothread_info_list_type,
      .run = run_query_iothreads,
      .help = "all IOThreads that were added, with their properties" },
    { 0 },
};

/* ---- the type ---- */

const ObjectType iothread_type = {
    .name = "iothread",
    .help = "a thread that runs an event loop",
    .properties = &iothread_properties_type,
    .size = sizeof(IOThreadObject),
    .commands = iothread_commands,
    .check = iothread_type_check,
    .create = iothread_type_create,
    .apply = iothread_type_apply,
    .delete = iothread_type_delete,
};
