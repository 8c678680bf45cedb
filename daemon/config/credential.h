/* "credential:NAME" in place of a path: the file of that name among those that the service manager passed
 * to the service (LoadCredential=, see systemd.exec(5)), which nobody else can read. */
#ifndef CONFIG_CREDENTIAL_H
#define CONFIG_CREDENTIAL_H

#include "config.h"

#include "base/arena.h"
#include "base/err.h"

/* Whether it is written so, whatever the name. */
bool credential_is(const char *text);

/* Where they are ($CREDENTIALS_DIRECTORY); NULL: this process was passed none. */
const char *credential_directory(void);

/* The path of what `text` names, in the arena. Without a directory: `text` itself, or an error when it is
 * `needed`. NULL with `err`: there is no such credential, or no name. */
const char *credential_path(const char *text, bool needed, struct arena *arena, struct err *err);

/* The first value of the configuration that is still as it was written, for want of a directory; NULL:
 * none. */
const char *credential_unresolved(const struct config *config);

#endif
