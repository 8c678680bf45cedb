/* The file cache of a worker: what was found for the paths of requests, so that nobody has to look again.
 *
 * An outcome is kept by what determines it: the settings of the route and the path below its root, not by
 * what belongs to a generation, so that it outlives reloads. It holds the bytes of small files,
 * descriptors of larger ones, also of the siblings in other codings, or the status that says why there is
 * nothing. It is over as soon as the kernel tells that any name that was looked up for it, or what is
 * there, has changed (base/watch.h). Where the kernel does not tell, each of these names is looked at
 * again for each request. */
#ifndef SERVICE_FILES_CACHE_H
#define SERVICE_FILES_CACHE_H

#include "files_find.h"

#include "http/lasting.h"

struct files_outcome;

/* What the cache of the exchange's engine has for the request, or finds now; pinned for the caller, who
 * gives it back with lasting_unpin. NULL: nothing that can be kept (see file_cache.memory, a directory
 * that is to be listed, trouble that passes): the caller has to look for itself. */
struct files_outcome *files_cache_find(struct exchange *exchange, const struct files_settings *settings);

/* 0: there is a file; 301, 403 or 404. */
unsigned files_outcome_status(const struct files_outcome *outcome);

/* How long it lasts. */
struct lasting *files_outcome_lasting(struct files_outcome *outcome);

/* True when it is in the cache, so that another request would meet it. */
bool files_outcome_is_kept(const struct files_outcome *outcome);

/* True when what it found is still there, without a look: the kernel would have told. NULL and one that is
 * over are not known to be. */
bool files_outcome_vouches(const struct lasting *lasting);

/* Of an outcome with a file: fills `file` in with what the request wants most of what is there: bytes, or a
 * descriptor, that are the outcome's. 0; 406 when it refuses all; 500 when that cannot be had now: the caller
 * has to look for itself. */
unsigned files_outcome_file(struct files_outcome *outcome, struct exchange *exchange,
			    const struct files_settings *settings, struct file *file);

#endif
