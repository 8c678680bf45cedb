/* A service answers an exchange: `files`, `status`, `respond`; in tests one that answers by timer and one
 * that trickles its body. */
#ifndef HTTP_SERVICE_H
#define HTTP_SERVICE_H

#include "config/setting.h"

struct exchange;

/* ANSWERED: exchange->response is filled. LATER: the service will call exchange_answer from another event. */
enum answer { ANSWERED, ANSWER_LATER };

struct service {
	const char *name;               /* the group in a route that chooses it */
	const struct schema *settings;
	/* Checks what only the worker can, with its rights, at PREPARE and in the checker; NULL: nothing to
	 * check. On false `*setting` is the name of the row that is wrong and `err` begins with it. */
	bool (*check)(const void *settings, const char **setting, struct err *err);
	/* `settings` belong to the generation, which goes when the response head is rendered. */
	enum answer (*start)(struct exchange *exchange, const void *settings);
	void (*body_in)(struct exchange *exchange, struct str bytes);   /* NULL: request bodies are refused */
	void (*resume)(struct exchange *exchange);      /* the client takes bytes again; NULL: never waits */
	/* The exchange ended, or the client is gone: called once for each start; NULL: nothing to undo. */
	void (*cancel)(struct exchange *exchange);
};

#endif
