/* The lines of a request's head that look like nearly all lines do, taken many bytes at a time.
 *
 * Whatever is unusual, or not there to its end, or wrong, is left to parse.c, which looks at each byte and
 * decides alone what is an error; hence a line that is taken here must be one that parse.c would have taken,
 * with the same outcome. Several implementations do that, the best one that the machine can run is chosen
 * when the process starts; all of them take what they take alike, but not all take the same lines. */
#ifndef HTTP_LINES_H
#define HTTP_LINES_H

#include "parse.h"

struct lines {
	const char *name;
	/* Begins at parse->line, of which nothing was scanned yet, and takes whole lines as long as it can:
	 * the request line ("GET" or "HEAD", a path and perhaps a query without escapes, HTTP/1.1), then
	 * fields ("Name: value"), at most as many as request->headers has room for, and the empty line. Moves
	 * parse->line, scanned and headers_at. Reads nothing outside of head[0 .. len-1]. True when it has
	 * come to the end of the head, whose fields still have to be checked (fields.h). */
	bool (*take)(struct parse *parse, struct request *request, const struct parse_limits *limits,
		     const char *head, size_t len);
};

/* Takes nothing, for machines that have nothing better; by SSE2, which every x86-64 has; by AVX2. */
extern const struct lines lines_none, lines_sse2, lines_avx2;

/* Those that this machine can run, the best one first. NULL behind the last. */
const struct lines *const *lines_usable(void);

/* The one that is used; tests put another one here. */
extern const struct lines *lines_used;

#endif
