/* probe.c - log files and addresses, tried.  Called by the master in a dry transition and by `drover -t`
 * without a daemon; fails with what a start would say. */
#include "probe.h"

#include "base/fd.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool probe_log(const char *path, struct err *err)
{
	int fd AUTO_CLOSE = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];

	if (fd >= 0)
		return true;
	if (errno != ENOENT || slash == NULL)
		return err_sys(err, errno, "open %s", path);
	/* a start would make it */
	if ((size_t)(slash - path) + 2 > sizeof(directory))
		return err_sys(err, ENAMETOOLONG, "open %s", path);
	memcpy(directory, path, (size_t)(slash - path) + 1);
	directory[slash - path + 1] = '\0';
	return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 ||
	       err_sys(err, errno, "open %s", path);
}

static const char *origin_or(const char *origin)
{
	return origin != NULL ? origin : "configuration:1:1";
}

static void try_log(const struct config *config, const char *name, const char *path,
		    struct problems *problems)
{
	struct err err;

	if (path[0] == '/' && !probe_log(path, &err))
		problems_add(problems, "%s: %s: %s",
			     origin_or(setting_origin_of(&config_schema, config, name)), name, err.text);
}

void probe_logs(const struct config *config, struct problems *problems)
{
	try_log(config, "log.error", config->log_error, problems);
	try_log(config, "log.access", config->log_access, problems);
}

void probe_addresses(const struct config *config, struct problems *problems)
{
	const struct schema *schema = setting_find(&config_schema, NULL, "listen")->of;

	for (unsigned i = 0; i < config->listen.count; i++) {
		const struct listen_config *listen = config_listen(config, i);
		struct listener_options options = config_listener_options(listen);
		struct addr addr;
		struct err err;

		if (addr_parse(listen->address, &addr, &err) && listener_may_bind(&addr, &options, &err))
			continue;
		problems_add(problems, "%s: listen on %s: %s",
			     origin_or(setting_origin_of(schema, listen, "address")), listen->address,
			     err.text);
	}
}
