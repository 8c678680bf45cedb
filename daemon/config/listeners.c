/* listeners.c - from listen entries to rules.  Called by workers, at PREPARE and at GO; fails by returning
 * false when memory is out: what was written was checked when it was read. */
#include "listeners.h"

#include "clients.h"

#include "base/str.h"
#include "net/conn.h"

#include <string.h>

bool listeners_networks(const struct strings *texts, struct arena *arena, struct networks *networks,
			struct err *err)
{
	struct cidr *at = arena_alloc(arena, (texts->count + 1) * sizeof(*at));

	if (at == NULL)
		return err_set(err, "out of memory");
	*networks = (struct networks){ .at = at };
	for (unsigned i = 0; i < texts->count; i++) {
		if (strcmp(texts->at[i], "unix") == 0)
			networks->local = true;
		else if (!cidr_parse(texts->at[i], &at[networks->count++], err))
			return false;
	}
	return true;
}

static bool make_rules(struct generation *generation, unsigned index, struct err *err)
{
	const struct listen_config *config = config_listen(generation->config, index);
	struct listener_rules *rules = &generation->listeners[index];
	struct addr addr;

	if (!addr_parse(config->address, &addr, err))
		return false;
	*rules = (struct listener_rules){
		.address = arena_copy(&generation->arena, str_of(addr.text)),
		.request_head_ns = config->request_head_ns,
		.body_ns = config->body_ns,
		.keep_alive_ns = config->keep_alive_ns,
		.send_ns = config->send_ns,
		.min_rate = config->min_rate,
		.backlog = config->backlog,
		.proxy = config->proxy_protocol,
		.proxy_ns = generation->config->proxy_ns,
	};
	if (!listeners_networks(&config->proxy_from, &generation->arena, &rules->proxy_from, err))
		return false;
	return rules->address != NULL || err_set(err, "out of memory");
}

bool listeners_prepare(struct generation *generation, struct err *err)
{
	unsigned count = generation->config->listen.count;

	if (generation->listeners != NULL)
		return true;
	generation->listeners = arena_alloc(&generation->arena, (count + 1) * sizeof(struct listener_rules));
	if (generation->listeners == NULL)
		return err_set(err, "listen: out of memory");
	for (unsigned i = 0; i < count; i++)
		if (!make_rules(generation, i, err))
			return err_add(err, "listen");
	if (!listeners_networks(&generation->config->forwarded_from, &generation->arena,
				&generation->forwarded_from, err))
		return err_add(err, "forwarded.from");
	return clients_prepare(generation, err) || err_add(err, "clients");
}

const struct listener_rules *listeners_find(const struct generation *generation, const char *address)
{
	unsigned count = generation->listeners != NULL ? generation->config->listen.count : 0;

	for (unsigned i = 0; i < count; i++)
		if (strcmp(generation->listeners[i].address, address) == 0)
			return &generation->listeners[i];
	return NULL;
}
