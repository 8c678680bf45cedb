/* http1_account.c - what is under way on a connection, for people who ask (droverctl connections). Called by
 * worker/listing.c by way of net/conn_account.c; changes nothing, cannot fail. */
#include "http1_state.h"
#include "outline.h"
#include "secret.h"

void http1_account(const struct conn *conn, struct account *account)
{
	const struct http1 *http = conn->state;
	const struct exchange *exchange;
	struct str head;

	if (http == NULL || !http->begun)
		return;
	exchange = &http->exchange;
	head = (struct str){ exchange->head, 0 };
	account->client = exchange->client;
	account->begun_ns = exchange->started_ns;
	account->sent = http->sent;
	if (exchange->head >= http->in && exchange->head < http->in + http->in_len)
		head.len = (size_t)(http->in + http->in_len - exchange->head);
	if (head.len == 0)
		return;
	account->request_bytes = secret_line(head, exchange->log_query, account->request,
					     sizeof(account->request));
	if (account->request_bytes > 0 && account->request[account->request_bytes - 1] == '\r')
		account->request_bytes--;
	account->host_bytes = outline_host(exchange, account->host, sizeof(account->host));
}
