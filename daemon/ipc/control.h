/* The control protocol: a unix stream socket, one JSON object a line in each direction.
 *
 *	-> {"command":"status"}		<- {"ok":true,"status":{...}}
 *	-> {"command":"reload"}		<- {"ok":true,"text":"generation 2 ..."}
 *					or {"ok":false,"text":"failed at ..."}
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

/* Connects to the socket at `path`; -1 with `err`. */
int control_connect(const char *path, struct err *err);

#endif
