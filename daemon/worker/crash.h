/* What a worker does about its own crash: SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT. */
#ifndef WORKER_CRASH_H
#define WORKER_CRASH_H

#include "base/epitaph.h"
#include "base/err.h"

/* Loads what walking a stack needs, which cannot be loaded in a handler: once, in the process that forks the
 * workers. */
void crash_prepare(void);

/* From now on a crash writes the signal and the stack to `epitaph`, then ends the process by the same signal.
 * False with `err`, which says what will be missing: the worker can serve all the same. */
bool crash_catch(struct epitaph *epitaph, struct err *err);

/* Has `will(of)` called in the handler, once, when the epitaph is written. It runs in the loop's thread, on a
 * stack of its own, wherever that thread happens to be: it may call only what is safe in a handler, and find
 * memory in any state. If it crashes, too, it just ends. NULL: nothing any more. */
void crash_will(void (*will)(void *of), void *of);

#endif
