/* inherit.c - the listening sockets that systemd passes at the start (sd_listen_fds(3)): those of .socket
 * units, and those that an earlier run had it keep in the FD store.
 *
 * Called by master.c and sockets.c. They wait here until a `listen` entry has their address; one whose
 * address leaves the configuration comes back here, for systemd holds it anyway and nobody could bind it
 * again. A mistake that would serve something else than what is configured is an error; a socket too many is
 * a warning. */
#include "master.h"
#include "notify.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "net/steering.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define FOR_EACH_INHERITED(master, one) \
	for (struct inherited *one = LIST_ENTRY((master)->inherited.next, struct inherited, link); \
	     &one->link != &(master)->inherited; one = LIST_ENTRY(one->link.next, struct inherited, link))

/* ---- taking over ------------------------------------------------------------------------------------- */

/* A path that is gone leads nobody to the socket any more. */
static bool path_is_there(const struct addr *addr)
{
	const struct sockaddr_un *un = (const void *)&addr->storage;
	struct stat info;

	return lstat(un->sun_path, &info) == 0 && S_ISSOCK(info.st_mode);
}

/* Why nobody can accept from it; NULL when one can.  Fills in its address. */
static const char *find_flaw(int fd, struct addr *addr)
{
	struct sockaddr_storage storage = { 0 };
	socklen_t len = sizeof(storage);

	if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
		return "it is no listening stream socket";
	if (getsockname(fd, (struct sockaddr *)&storage, &len) < 0)
		return "it has no address";
	if (storage.ss_family != AF_INET && storage.ss_family != AF_INET6 && storage.ss_family != AF_UNIX)
		return "drover does not serve its address family";
	addr_describe(&storage, len, addr);
	if (storage.ss_family != AF_UNIX)
		return NULL;
	if (strcmp(addr->text, "unix:") == 0)
		return "drover serves unix sockets with a path only";
	return path_is_there(addr) ? NULL : "its path is gone";
}

/* What chose among them in an earlier process goes by hot lines that nobody writes any more. */
static void unsteer(const struct inherited *one)
{
	struct err err;

	if (one->flaw == NULL && !addr_is_unix(&one->addr))
		steering_detach(one->fd, &err); /* or steer.c says why it cannot be */
}

void inherit_free(struct inherited *one)
{
	fd_close(&one->fd);
	free(one->name);
	free(one);
}

/* Takes `fd` and `name` over, on failure too. */
static struct inherited *add(struct master *master, int fd, char *name)
{
	struct inherited *one = calloc(1, sizeof(*one));
	int flags = fcntl(fd, F_GETFL);

	if (one == NULL || name == NULL) {
		fd_close(&fd);
		free(name);
		free(one);
		return NULL;
	}
	one->fd = fd;
	one->name = name;
	one->keeper = str_has_prefix(str_of(name), str_of(NOTIFY_STORED)) ? KEEPER_STORE : KEEPER_UNIT;
	one->flaw = find_flaw(fd, &one->addr);
	unsteer(one);
	if (flags >= 0 && (flags & O_NONBLOCK) == 0)    /* NonBlocking= of systemd.service(5) is off */
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	list_push_back(&master->inherited, &one->link);
	return one;
}

bool inherit_take(struct master *master, struct err *err)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	bool good = true;

	if (count < 0)
		return err_sys(err, -count, "LISTEN_FDS");
	for (int i = 0; i < count; i++) {
		const struct inherited *one = add(master, SD_LISTEN_FDS_START + i, names[i]);

		good = good && one != NULL;
		master->store_used += one != NULL && one->keeper == KEEPER_STORE;
	}
	free(names);            /* its strings are taken over */
	return good || err_set(err, "out of memory");
}

bool inherit_return(struct master *master, int fd, char *name)
{
	return add(master, fd, name) != NULL;
}

/* ---- do they fit? ------------------------------------------------------------------------------------ */

static bool entry_is_at(const struct listen_config *entry, const char *text)
{
	struct addr addr;
	struct err err;

	return addr_parse(entry->address, &addr, &err) && strcmp(addr.text, text) == 0;
}

static const struct listen_config *entry_at(const struct config *config, const char *text)
{
	for (unsigned i = 0; i < config->listen.count; i++)
		if (entry_is_at(config_listen(config, i), text))
			return config_listen(config, i);
	return NULL;
}

static const struct listen_config *entry_named(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->listen.count; i++) {
		const struct listen_config *entry = config_listen(config, i);

		if (entry->name != NULL && strcmp(entry->name, name) == 0)
			return entry;
	}
	return NULL;
}

/* IPV6_V6ONLY cannot change on a socket that is bound (ipv6(7)); only for the wildcard it means something. */
static bool has_v6only(int fd, const struct addr *addr, bool wanted)
{
	const struct sockaddr_in6 *v6 = (const void *)&addr->storage;
	socklen_t len = sizeof(int);
	int value = 0;

	if (addr->storage.ss_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		return true;
	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &len) < 0 || (value != 0) == wanted;
}

static bool check_named(const struct config *config, const char *name, const char *where, struct err *err)
{
	const struct listen_config *named = entry_named(config, name);

	if (named == NULL)
		return true;
	return err_set(err, "systemd passed a socket named \"%s\" that is not at %s: %s", name,
		       named->address, where);
}

static bool check_one(const struct config *config, int fd, const struct addr *addr, const char *name,
		      struct err *err)
{
	const struct listen_config *entry = entry_at(config, addr->text);

	if (entry == NULL)
		return check_named(config, name, addr->text, err);
	if (entry->name != NULL && strcmp(entry->name, name) != 0)
		return err_set(err, "systemd passed a socket at %s that is named \"%s\", not \"%s\"",
			       addr->text, name, entry->name);
	if (!has_v6only(fd, addr, entry->v6only))
		return err_set(err,
			       "the socket at %s that systemd passed takes %s, and v6only says otherwise; see"
			       " BindIPv6Only= in systemd.socket(5)",
			       addr->text, entry->v6only ? "IPv4 too" : "IPv6 only");
	return true;
}

static bool check_listeners(const struct master *master, const struct config *config, struct err *err)
{
	for (struct list *link = master->listeners.next; link != &master->listeners; link = link->next) {
		const struct listener *listener = LIST_ENTRY(link, struct listener, link);

		for (unsigned i = 0; i < listener->count; i++)
			if (listener->sockets[i].keeper == KEEPER_UNIT &&
			    !check_one(config, listener->sockets[i].fd, &listener->addr,
				       listener->sockets[i].name, err))
				return false;
	}
	return true;
}

bool inherit_check(const struct master *master, const struct config *config, struct err *err)
{
	FOR_EACH_INHERITED(master, one)
	{
		if (one->keeper != KEEPER_UNIT)
			continue;
		if (one->flaw != NULL ? !check_named(config, one->name, one->flaw, err)
				      : !check_one(config, one->fd, &one->addr, one->name, err))
			return false;
	}
	return check_listeners(master, config, err);
}

/* ---- giving out, and letting go ---------------------------------------------------------------------- */

bool inherit_has(const struct master *master, const struct addr *addr)
{
	FOR_EACH_INHERITED(master, one)
		if (one->flaw == NULL && strcmp(one->addr.text, addr->text) == 0)
			return true;
	return false;
}

/* A unit's are passed in the order of its file. */
static unsigned place_of(const struct inherited *one)
{
	return one->keeper == KEEPER_STORE ? notify_stored_place(one->name) : 0;
}

/* In the order in which they listened: the kernel counts them so (steering_attach_cpu). */
struct inherited *inherit_claim(struct master *master, const struct addr *addr)
{
	struct inherited *found = NULL;

	FOR_EACH_INHERITED(master, one)
	{
		if (one->flaw != NULL || strcmp(one->addr.text, addr->text) != 0)
			continue;
		if (found == NULL || place_of(one) < place_of(found))
			found = one;
	}
	if (found != NULL)
		list_remove(&found->link);
	return found;
}

void inherit_explain(const struct master *master, const struct addr *addr, struct err *err)
{
	FOR_EACH_INHERITED(master, one)
		if (one->flaw == NULL && addr_overlap(&one->addr, addr))
			err_add(err, "the socket at %s that systemd passed as \"%s\" is in the way",
				one->addr.text, one->name);
}

/* Why a stored one cannot be served on; NULL: it can. */
static const char *why_stale(const struct inherited *one, const struct config *config)
{
	const struct listen_config *entry = entry_at(config, one->addr.text);

	if (one->flaw != NULL)
		return one->flaw;
	if (entry == NULL)
		return "it is not in the configuration any more";
	if (addr_is_unix(&one->addr) && listener_is_elsewhere(one->fd, &one->addr))
		return "its path leads to another socket now";
	return has_v6only(one->fd, &one->addr, entry->v6only) ? NULL : "its v6only is another one now";
}

/* systemd lets its duplicate go a little later; after shutdown(2) the address is free at once. */
static void let_go(struct master *master, struct inherited *one, const char *why)
{
	log_event(LEVEL_WARNING, "stored_socket_dropped", log_text("name", one->name), log_text("why", why));
	shutdown(one->fd, SHUT_RDWR);
	notify_forget(master, one->name);
	list_remove(&one->link);
	inherit_free(one);
}

void inherit_drop_stale(struct master *master, const struct config *config)
{
	struct list *next;

	for (struct list *link = master->inherited.next; link != &master->inherited; link = next) {
		struct inherited *one = LIST_ENTRY(link, struct inherited, link);
		const char *why = one->keeper == KEEPER_STORE ? why_stale(one, config) : NULL;

		next = link->next;
		if (why != NULL)
			let_go(master, one, why);
	}
}

void inherit_say_surplus(const struct master *master)
{
	FOR_EACH_INHERITED(master, one)
	log_event(LEVEL_WARNING, "socket_unused", log_text("name", one->name),
		  log_text("address", one->addr.text),
		  log_text("why", one->flaw != NULL ? one->flaw : "no listen entry has its address"));
}

void inherit_close(struct master *master)
{
	for (struct list *link = list_pop_front(&master->inherited); link != NULL;
	     link = list_pop_front(&master->inherited))
		inherit_free(LIST_ENTRY(link, struct inherited, link));
}
