/* credential.c - "credential:NAME" where a path may stand.
 *
 * Called where the user's text is read, and by -t and -T. What is read again later (a file of users) is read
 * by the path that comes out of here. Fails with `err`, which names the remedy. */
#include "credential.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const char prefix[] = "credential:";

bool credential_is(const char *text)
{
	return strncmp(text, prefix, sizeof(prefix) - 1) == 0;
}

const char *credential_directory(void)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");

	return directory != NULL && directory[0] == '/' ? directory : NULL;
}

/* What systemd takes for one is the name of a file. */
static bool check_name(const char *name, struct err *err)
{
	if (name[0] == '\0' || strlen(name) > NAME_MAX || strchr(name, '/') != NULL ||
	    strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(err,
			       "\"%s%.64s\": what is behind the colon is the name of a credential, without a"
			       " slash",
			       prefix, name);
	return true;
}

const char *credential_path(const char *text, bool needed, struct arena *arena, struct err *err)
{
	const char *name = text + sizeof(prefix) - 1, *directory = credential_directory(), *path;

	if (!check_name(name, err))
		return NULL;
	if (directory == NULL && needed)
		return err_set(err,
			       "%s: drover was passed no credentials ($CREDENTIALS_DIRECTORY is not set):"
			       " LoadCredential=%s:PATH in its unit, and a restart",
			       text, name),
		       NULL;
	path = directory == NULL ? arena_copy(arena, str_of(text))
				 : arena_printf(arena, "%s/%s", directory, name);
	if (path == NULL)
		return err_set(err, "out of memory"), NULL;
	/* one that is there and cannot be read is told by whoever reads it */
	if (directory != NULL && access(path, F_OK) < 0 && errno == ENOENT)
		return err_set(err,
			       "%s: there is no credential of that name in %s: LoadCredential=%s:PATH in the"
			       " unit, and a restart, for systemd passes them at a start only",
			       text, directory, name),
		       NULL;
	return path;
}

static const char *unresolved(const char *file)
{
	return file != NULL && credential_is(file) ? file : NULL;
}

const char *credential_unresolved(const struct config *config)
{
	const char *found = NULL;

	for (unsigned i = 0; found == NULL && i < config->sites.count; i++) {
		const struct site_config *site = config_site(config, i);

		found = unresolved(site->auth_file);
		for (unsigned j = 0; found == NULL && j < site->routes.count; j++)
			found = unresolved(config_route(site, j)->auth_file);
	}
	return found;
}
