/* What the aids answer: 200 with a text. */
#ifndef AIDS_ANSWER_H
#define AIDS_ANSWER_H

#include "http/exchange.h"

#include <string.h>

/* `text` lives as long as the exchange; NULL: 500. */
static inline enum answer answer_text(struct exchange *exchange, const char *text)
{
	if (text == NULL) {
		exchange_error(exchange, 500);
		return ANSWERED;
	}
	exchange->response = (struct response){
		.status = 200,
		.content_type = str_of("text/plain; charset=utf-8"),
		.extra = str_of("Cache-Control: no-store\r\n"),
		.body = BODY_MEMORY,
		.memory = str_of(text),
		.length_known = true,
		.length = strlen(text),
		.file_fd = -1,
	};
	return ANSWERED;
}

#endif
