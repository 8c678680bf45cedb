/* The answer that an opened file gives: its validators, the conditions, the body. */
#ifndef SERVICE_FILES_ANSWER_H
#define SERVICE_FILES_ANSWER_H

#include "http/service.h"

#include "base/str.h"

#include <sys/stat.h>

/* An opened regular file, as it was found. */
struct file {
	int fd;                         /* -1: `bytes` are there */
	const char *bytes;              /* all of them, or NULL */
	struct stat stat;               /* of the descriptor */
	const char *path;               /* below the root */
	struct str name;                /* tells the type, also of what is in another coding */
	struct str type;                /* static, or in the exchange's arena */
	struct str coding;              /* Content-Encoding of the bytes: "gzip" ...; absent: none */
	bool negotiable;                /* Accept-Encoding may have had a say: the answer varies by it */
	bool far;                       /* PLACE_FAR: nothing of it is for the loop (base/present.h) */
	struct lasting *holds;          /* whose `fd` and `bytes` are; NULL: `fd` is the caller's */
	bool kept;                      /* another request finds the same, as long as `holds` lasts */
};

/* Fills in the answer, which says how long it lasts if it can be given again.  Takes file->fd over, which
 * is -1 then, when the body comes from it; otherwise it stays the caller's. */
enum answer files_answer(struct exchange *exchange, struct file *file);

#endif
