/* One answer, compared with what it must be while it comes, byte by byte. */
#ifndef LOSS_ANSWER_H
#define LOSS_ANSWER_H

#include "loss/files.h"

#include <stdint.h>

enum {
	RANGES_MAX = 2,
	HEAD_MAX = 1024,        /* of an answer, or of a part of one */
	BOUNDARY_MAX = 70,      /* RFC 2046, 5.1.1 */
};

/* What was asked for. */
struct want {
	const struct file *file;
	bool post;              /* no file comes back, but `answer_post_status` */
	unsigned range_count;   /* 0: the whole file */
	struct {
		uint64_t from, to;
	} ranges[RANGES_MAX]; /* `to` is behind the last byte */
	uint64_t since_ns;      /* for its latency: asked then */
};

enum answer_stage { ANSWER_HEAD, ANSWER_BODY, ANSWER_PART_HEAD, ANSWER_TAIL };

/* An answer that is coming; zeroed before its first byte. */
struct answer {
	enum answer_stage stage;
	bool begun;
	bool closes;            /* it announced that the connection ends with it */
	uint64_t kept_ns;       /* Keep-Alive: timeout; 0: it said nothing */
	uint64_t body_left;     /* by Content-Length */
	const char *piece;      /* what has to come now; NULL: anything */
	uint64_t piece_left;
	unsigned part;          /* of a multipart answer, how many came */
	bool multipart;
	uint32_t hash;          /* of a body that is not known beforehand */
	size_t head_len;
	char head[HEAD_MAX + 1];
	char boundary[BOUNDARY_MAX + 1];
	char tail[BOUNDARY_MAX + 16];
};

enum verdict { ANSWER_MORE, ANSWER_WHOLE, ANSWER_WRONG };

/* The status that answers a POST.  The first such body that comes stands for all: each other one must be the
 * same. */
extern unsigned answer_post_status;

/* Takes bytes that came; `*used` is how many of them belong to this answer (all, unless the verdict is
 * ANSWER_WHOLE).  ANSWER_WRONG: a byte, the status, the length or the framing is not as it must be. */
enum verdict answer_take(struct answer *answer, const struct want *want, const char *bytes, size_t len,
			 size_t *used);

#endif
