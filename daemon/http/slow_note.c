/* slow_note.c - a slow request, written to its slot's ring on the board. Called by http1.c and
 * express_batch.c, for few requests only; cannot fail. */
#include "slow_note.h"

#include "outline.h"

#include "ipc/slow.h"

#include <time.h>
#include <unistd.h>

static uint64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t waited_ns(const struct exchange *exchange, const struct slow_outcome *outcome)
{
	return outcome->answered_ns > exchange->started_ns ? outcome->answered_ns - exchange->started_ns : 0;
}

void slow_note(const struct exchange *exchange, const struct slow_outcome *outcome)
{
	struct slow_entry entry = {
		.at_ms = wall_ms(),
		.duration_ns = outcome->duration_ns,
		.waited_ns = waited_ns(exchange, outcome),
		.bytes = outcome->bytes,
		.status = exchange->response.status,
		.pid = (uint32_t)getpid(),
		.cut = exchange->conn->reset,
	};
	struct addr client;

	if (exchange->engine->slow == NULL)
		return;
	peer_describe(&exchange->client, &client);
	memcpy(entry.client, client.text, strnlen(client.text, sizeof(entry.client) - 1));
	outline_host(exchange, entry.host, sizeof(entry.host));
	outline_request(exchange, entry.request, sizeof(entry.request));
	slow_put(exchange->engine->slow, &entry);
}
