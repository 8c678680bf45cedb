/* A service answers an exchange: `files`, `status`, `respond`; in tests one that answers by timer and one
 * that trickles its body. */
#ifndef HTTP_SERVICE_H
#define HTTP_SERVICE_H

#include "request.h"

#include "config/setting.h"

struct exchange;
struct record;

/* ANSWERED: exchange->response is filled. LATER: the service will call exchange_answer from another event. */
enum answer { ANSWERED, ANSWER_LATER };

struct service {
	const char *name;               /* the group in a route that chooses it */
	const struct schema *settings;
	bool any_method;                /* takes requests of every method; else GET and HEAD alone */
	/* Checks what only the worker can, with its rights, at PREPARE and in the checker; NULL: nothing to
	 * check. On false `*setting` is the name of the row that is wrong and `err` begins with it. */
	bool (*check)(const void *settings, const char **setting, struct err *err);
	/* `settings` belong to the generation, which goes when the response head is rendered. */
	enum answer (*start)(struct exchange *exchange, const void *settings);
	void (*body_in)(struct exchange *exchange, struct str bytes);   /* NULL: request bodies are refused */
	void (*resume)(struct exchange *exchange);      /* the client takes bytes again; NULL: never waits */
	/* In place of start, for an answer under way that came from another worker: takes over what
	 * response.freeze wrote. The response has what its head was followed by (its kind, the length, the
	 * descriptor) but for source, unchanged, pull and freeze.  False: nothing is left behind. */
	bool (*thaw)(struct exchange *exchange, struct record *record);
	/* The exchange ended here, or the client is gone: called once for each start and thaw; NULL: nothing
	 * to undo. */
	void (*cancel)(struct exchange *exchange);
};

/* False: 405. OPTIONS is answered for the service, and TRACE by nobody. */
static inline bool service_takes(const struct service *service, enum method method)
{
	return method == METHOD_GET || method == METHOD_HEAD ||
	       (service->any_method && method != METHOD_TRACE);
}

/* The value of Allow; NULL: of the server as a whole. */
static inline struct str service_allow(const struct service *service)
{
	return str_of(service != NULL && service->any_method ? "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
							     : "GET, HEAD, OPTIONS");
}

#endif
