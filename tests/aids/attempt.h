/* What a worker that somebody has taken over would try: a table of attempts, for tests (escape.c). */
#ifndef AIDS_ATTEMPT_H
#define AIDS_ATTEMPT_H

#include <sys/types.h>

/* What can stop an attempt. A row names everything that does by itself: where one of them is on, the attempt
 * fails; where none is, it must succeed. */
enum layer {
	BY_FILES = 1,                   /* permissions of files and directories, against any other user */
	BY_UID = 2,                     /* the master is another user's: it was started as root */
	BY_CAPS = 4,                    /* a capability, which no worker has */
	BY_KERNEL = 8,                  /* nobody may, or the call's own flags forbid it */
	BY_LANDLOCK = 16,               /* sandbox.landlock */
	BY_SECCOMP = 32,                /* sandbox.seccomp */
	BY_SECRECY = 64,                /* sandbox.core_dumps = false: others cannot look in */
	BY_SEALS = 128,                 /* sandbox.sealed_code */
	KILLS = 256,                    /* sandbox.seccomp ends the worker for it */
	MAYBE = 512,                    /* where nothing stops it, a setting of the machine may */
	IN_CHILD = 1024,                /* it would change this process: done in a child where that can be */
};

/* Against whom. */
struct target {
	const char *root;               /* served; anybody may write there */
	const char *outside;            /* a directory like that which is not */
	const char *control;            /* the daemon's control socket */
	const char *abstract;           /* a name on which somebody listens */
	pid_t master, sibling;
	unsigned port;                  /* of 127.0.0.1, where somebody listens */
};

/* `act` returns -1 with errno when it was stopped. */
struct attempt {
	const char *name;
	unsigned layers;
	long (*act)(const struct target *target);
};

/* What is made is called that. It may stay: who may not unlink cannot tidy up. */
#define ATTEMPT_NEW "drover-attempt"

/* They end with a row without a name. */
extern const struct attempt attempts_on_files[], attempts_on_processes[], attempts_on_kernel[];

/* "DIRECTORY/NAME", in memory that lasts until the fourth such call. */
const char *attempt_path(const char *directory, const char *name);

#endif
