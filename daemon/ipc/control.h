/* The control protocol: a unix stream socket, one JSON object a line in each direction.
 *
 *	-> {"command":"status"}		<- {"ok":true,"status":{...}}
 *	-> {"command":"reload"}		<- {"ok":true,"text":"generation 2 ..."}
 *					or {"ok":false,"text":"failed at ..."}
 *	-> {"command":"check",		<- {"ok":true,"text":"would adopt ...","findings":[...]}
 *	    "config":"/a/file"}		or {"ok":false,"wrong":false,"text":"would fail at bind: ..."}
 *	-> {"command":"connections",	<- {"ok":true,"now_ns":...,"workers":[{"slot":0,...,"listed":true}]}
 *	    "limit":100}		with a memfd (SCM_RIGHTS) for each that is listed, in their order: see
 *					listed.h
 */
#ifndef IPC_CONTROL_H
#define IPC_CONTROL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CONTROL_LINE_BYTES = 4096,              /* a request */
	CONTROL_ANSWER_BYTES = 1024 * 1024,     /* an answer */
	CONTROL_PATH_BYTES = 108,               /* sun_path of unix(7) */
};

/* Where the socket is when the configuration says "auto" and droverctl is told nothing: control.sock below
 * $RUNTIME_DIRECTORY (set by systemd), /run/drover (root), or $XDG_RUNTIME_DIR/drover.  False when none of
 * them can be. */
bool control_default_path(char path[CONTROL_PATH_BYTES]);

/* Where a daemon with this `control` setting (not "off") can be asked: the path, or for "auto" the default,
 * or the system's own socket when there is one and no other. False when no path can be told. */
bool control_find(const char *setting, char path[CONTROL_PATH_BYTES]);

/* Connects to the socket at `path`; -1 with `err` and errno. */
int control_connect(const char *path, unsigned deadline_ms, struct err *err);

struct fd_array;
struct json_t;

/* Sends `request` (its reference is taken; NULL: out of memory) to the drover at `path` and returns its
 * answer, a new reference. `deadline_ms` is for all of it; 0: none. NULL with `err`, and errno tells who
 * is there: ENOENT and ECONNREFUSED nobody, EACCES somebody else's, ETIMEDOUT one that does not answer,
 * EPROTO one that answers something else. */
struct json_t *control_ask(const char *path, struct json_t *request, unsigned deadline_ms, struct err *err);

/* The same; `fds` (empty before) owns the descriptors that came with the answer, in their order. */
struct json_t *control_ask_with(const char *path, struct json_t *request, unsigned deadline_ms,
				struct fd_array *fds, struct err *err);

#endif
