/* outline.c - a request in a few bytes. Called by http1_account.c and slow_note.c; cannot fail. */
#include "outline.h"

#include "secret.h"

/* The site's own name is the generation's, which may have been given back: the client's word stays. */
size_t outline_host(const struct exchange *exchange, char *out, size_t room)
{
	struct str host = span_str(exchange->request.authority, exchange->head);
	const char *at = host.len > 0 ? memrchr(host.at, '@', host.len) : NULL;

	if (!exchange->understood || host.len == 0)
		return 0;
	if (at != NULL)                 /* in front of it is who somebody claims to be */
		str_take(&host, (size_t)(at + 1 - host.at));
	host.len = host.len < room ? host.len : room;
	memcpy(out, host.at, host.len);
	return host.len;
}

size_t outline_request(const struct exchange *exchange, char *out, size_t room)
{
	const struct request *request = &exchange->request;
	struct str method = span_str(request->method_name, exchange->head);
	struct str target = span_str(request->target, exchange->head);
	size_t len = method.len < room / 2 ? method.len : room / 2;

	if (method.len == 0 || target.len == 0)
		return 0;
	memcpy(out, method.at, len);
	out[len++] = ' ';
	return len + secret_target(target, exchange->log_query, out + len, room - len).len;
}
