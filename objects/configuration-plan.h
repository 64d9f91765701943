/*
 * What is to be done to go over to a configuration: in phases, each of steps of one kind.
 *
 * It is for objects/configuration-change.c, which does it.
 */
#ifndef OBJECTS_CONFIGURATION_PLAN_H
#define OBJECTS_CONFIGURATION_PLAN_H

#include "objects/configuration-difference.h"

typedef enum {
    PHASE_ADD,      /* in order */
    PHASE_SET,      /* in an order that is found by trying */
    PHASE_DELETE,   /* what is not used any more first */
    PHASE_ADD_LATE, /* what needs something that had to go first; in order */
    PHASE_SET_LATE, /* what refers to that */
    PHASE_END,
} Phase;

/* One thing to be done, or that has been done. */
typedef struct Step {
    Phase phase;
    const DifferenceEntry *entry;
    PropertyChange *change; /* to be set, else NULL */
    bool begun;             /* deleting it */
    void *owner;            /* for who does it */
} Step;

/* Add the steps for @difference, which stays as it is while there are any, to @steps, a queue for
 * each phase. Their owner is @owner. */
void configuration_plan(const Difference *difference, GQueue steps[PHASE_END], void *owner);

void step_free(Step *step);

#endif
