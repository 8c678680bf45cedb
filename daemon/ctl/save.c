/* save.c - droverctl save: what was set while drover runs becomes a drop-in beside the configuration file,
 * with the rights of whoever calls it (the daemon may not write there).
 *
 * The file is written anew, with what it had before, and put in place at once: whatever fails, there is
 * the old one or the new one. Then the daemon reads it, and the overrides that it has by now go. One at a
 * time: the directory is locked. */
#include "ctl.h"

#include "base/fd.h"
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { DROP_IN_BYTES = 1024 * 1024 };

static const char header[] =
	"# Written by droverctl save: settings that were changed while drover ran, over those of the file "
	"that\n"
	"# this directory belongs to. The next save keeps what is here; take lines out by hand.\n";

struct saving {
	const char *values[256];        /* by row of the table; NULL: nothing is said of it */
	json_t *texts;                  /* holds those of the file */
	char directory[PATH_MAX], path[PATH_MAX + 32];
	unsigned count;                 /* of those that are new */
	struct stat old;                /* of the file that is there; st_nlink is 0: there is none */
	int lock;                       /* the directory */
};

/* ---- what is there already ----------------------------------------------------------------------------- */

static int row_of(const char *group, const char *name)
{
	char whole[128];

	snprintf(whole, sizeof(whole), "%s%s%s", group, group[0] != '\0' ? "." : "", name);
	for (unsigned i = 0; i < config_schema.count; i++)
		if (strcmp(config_schema.settings[i].name, whole) == 0)
			return (int)i;
	return -1;
}

/* "NAME = VALUE;" in the group; false: it is nothing that save writes. */
static bool take_value(struct saving *saving, const char *group, char *line)
{
	char *equals = strstr(line, " = "), *end = line + strlen(line) - 1;
	json_t *text;
	int row;

	if (equals == NULL || *end != ';')
		return false;
	*equals = *end = '\0';
	row = row_of(group, line);
	text = row >= 0 ? json_string(equals + 3) : NULL;
	if (text == NULL)
		return false;
	json_array_append_new(saving->texts, text);
	saving->values[row] = json_string_value(text);
	return true;
}

static bool take_line(struct saving *saving, char group[64], char *line)
{
	size_t len = strlen(line);

	if (line[0] == '#' || line[0] == '\0')
		return true;
	if (strcmp(line, "};") == 0)
		return group[0] != '\0' && (group[0] = '\0', true);
	if (len > 4 && len < 64 && strcmp(line + len - 4, " = {") == 0 && group[0] == '\0')
		return snprintf(group, 64, "%.*s", (int)len - 4, line) > 0;
	return take_value(saving, group, line);
}

static bool read_old(struct saving *saving, struct err *err)
{
	int fd AUTO_CLOSE = open(saving->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	char group[64] = "", *text, *rest, *line;
	unsigned number = 0;
	bool good = true;
	size_t len;

	if (fd < 0 && errno == ELOOP)
		return err_set(err, "%s is a symbolic link, in whose place save would put a file; change what"
				    " it leads to, or take the link away", saving->path);
	if (fd < 0)
		return errno == ENOENT || err_sys(err, errno, "%s", saving->path);
	if (fstat(fd, &saving->old) < 0 || !S_ISREG(saving->old.st_mode))
		return err_set(err, "%s is no regular file", saving->path);
	rest = text = fd_read_all(fd, DROP_IN_BYTES, &len, err);
	if (text == NULL)
		return err_add(err, "%s", saving->path);
	while (good && (line = strsep(&rest, "\n")) != NULL) {
		number++;
		good = take_line(saving, group, line + strspn(line, " \t"));
	}
	free(text);
	return good ||
	       err_set(err,
		       "%s:%u: this line was not written by droverctl save, which would lose it; move it"
		       " to another drop-in",
		       saving->path, number);
}

/* ---- what is new --------------------------------------------------------------------------------------- */

static bool take_override(struct saving *saving, const json_t *answer, const char *name, struct err *err)
{
	int row = row_of("", name);
	const json_t *setting;
	size_t index;

	json_array_foreach(json_object_get(answer, "settings"), index, setting) {
		const char *value = json_string_value(json_object_get(setting, "value"));

		if (row < 0 || value == NULL || strcmp(ctl_text(setting, "name"), name) != 0)
			continue;
		if (strcmp(ctl_text(setting, "origin"), "derived") == 0)        /* config/sandbox.c */
			return err_set(err,
				       "%s is more than what was set: what the configuration needs was added;"
				       " write it into a drop-in, then droverctl unset %s",
				       name, name);
		saving->values[row] = value;
		saving->count++;
		return true;
	}
	return err_set(err, "%s is not known to this droverctl; is it of another version than drover?", name);
}

static bool is_some(const json_t *answer, struct err *err)
{
	return json_array_size(json_object_get(answer, "overrides")) > 0 ||
	       err_set(err, "nothing was set while drover runs: there is nothing to save");
}

static bool take_overrides(struct saving *saving, const json_t *answer, struct err *err)
{
	const json_t *overrides = json_object_get(answer, "overrides"), *one;
	size_t index;

	json_array_foreach(overrides, index, one) {
		if (!ctl_true(one, "confirmed"))
			return err_set(err, "%s = %s is not confirmed yet: droverctl confirm, then save",
				       ctl_text(one, "name"), ctl_text(one, "value"));
		if (!take_override(saving, answer, ctl_text(one, "name"), err))
			return false;
	}
	return is_some(answer, err);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* A group's rows stand together in the table. */
static void put_values(FILE *out, const struct saving *saving)
{
	char group[64] = "";

	fputs(header, out);
	for (unsigned i = 0; i < config_schema.count; i++) {
		const char *name = config_schema.settings[i].name, *dot = strchr(name, '.');
		int len = dot != NULL ? (int)(dot - name) : 0;

		if (saving->values[i] == NULL)
			continue;
		if (strncmp(group, name, (size_t)len) != 0 || group[len] != '\0') {
			fputs(group[0] != '\0' ? "};\n" : "", out);
			snprintf(group, sizeof(group), "%.*s", len, name);
			if (len > 0)
				fprintf(out, "%s = {\n", group);
		}
		fprintf(out, "%s%s = %s;\n", len > 0 ? "\t" : "", dot != NULL ? dot + 1 : name,
			saving->values[i]);
	}
	fputs(group[0] != '\0' ? "};\n" : "", out);
}

/* Who might read the old one may read this one; a new one everybody, as whom drover reads it is not known. */
static bool give_rights(int fd, const struct stat *old)
{
	if (old->st_nlink == 0)
		return fchmod(fd, 0644) == 0;
	return (fchown(fd, old->st_uid, old->st_gid) == 0 || (old->st_mode & S_IROTH) != 0) &&
	       fchmod(fd, old->st_mode & 0777) == 0;
}

static bool write_all(int fd, const struct saving *saving)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	bool good = out != NULL;

	if (good)
		put_values(out, saving);
	good = good && fclose(out) == 0 && give_rights(fd, &saving->old) && fd_write_all(fd, text, len) &&
	       fsync(fd) == 0;
	free(text);
	return good;
}

static bool put_in_place(const struct saving *saving, struct err *err)
{
	char temporary[PATH_MAX + 32];
	int fd AUTO_CLOSE = -1;

	snprintf(temporary, sizeof(temporary), "%s/.droverctl.XXXXXX", saving->directory);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, errno, "write below %s", saving->directory);
	if (write_all(fd, saving) && rename(temporary, saving->path) == 0) {
		fsync(saving->lock);    /* some file systems cannot; it is in place all the same */
		return true;
	}
	err_sys(err, errno, "write %s", saving->path);
	unlink(temporary);
	return false;
}

/* ---- the daemon reads it ------------------------------------------------------------------------------- */

static json_t *reload_request(const json_t *answer)
{
	json_t *saved = json_object();
	const json_t *one;
	size_t index;

	json_array_foreach(json_object_get(answer, "overrides"), index, one)
		json_object_set(saved, ctl_text(one, "name"), json_object_get(one, "value"));
	return json_pack("{s:s, s:o}", "command", "reload", "saved", saved);
}

static const char *value_of(const json_t *answer, const char *name, const char **origin)
{
	const json_t *setting;
	size_t index;

	json_array_foreach(json_object_get(answer, "settings"), index, setting) {
		*origin = ctl_text(setting, "origin");
		if (strcmp(ctl_text(setting, "name"), name) == 0)
			return ctl_text(setting, "value");
	}
	return "";
}

/* A drop-in that comes later may say something else. */
static void look_again(const struct ctl *ctl, const json_t *before)
{
	int status = STATUS_GOOD;
	json_t *after = ctl_settings(ctl, &status);
	const char *origin = "";
	const json_t *one;
	size_t index;

	json_array_foreach(json_object_get(before, "overrides"), index, one) {
		const char *name = ctl_text(one, "name"), *was = value_of(before, name, &origin);
		const char *is = value_of(after, name, &origin);

		if (after != NULL && strcmp(was, is) != 0)
			fprintf(stderr, "droverctl: %s is %s now, as %s says, which is read later\n", name,
				is, origin[0] != '\0' ? origin : "the default");
	}
	json_decref(after);
}

static int reload(const struct ctl *ctl, const struct saving *saving, const json_t *before)
{
	struct err err;
	json_t *answer = control_ask(ctl->socket, reload_request(before), 0, &err);
	char text[PATH_MAX + 1024];
	bool good = answer != NULL && ctl_true(answer, "ok");
	int status;

	if (answer == NULL)
		return ctl_unreachable(&err);
	snprintf(text, sizeof(text), "saved %u setting%s in %s; the reload %s: %s", saving->count,
		 saving->count == 1 ? "" : "s", saving->path, good ? "succeeded" : "failed, they stay set",
		 ctl_text(answer, "text"));
	json_object_set_new(answer, "text", json_string(text));
	json_object_set_new(answer, "file", json_string(saving->path));
	status = ctl_show(ctl, answer, ctl_show_text);
	if (good)
		look_again(ctl, before);
	json_decref(answer);
	return status;
}

static bool set_paths(struct saving *saving, const json_t *answer, struct err *err)
{
	const char *file = ctl_text(answer, "file");

	if (file[0] == '\0')
		return err_set(err,
			       "drover was started with -r: it has no configuration file to save beside");
	if (snprintf(saving->directory, sizeof(saving->directory), "%s.d", file) >=
		    (int)sizeof(saving->directory) ||
	    config_schema.count > sizeof(saving->values) / sizeof(saving->values[0]))
		return err_set(err, "%.200s: the path is too long", file);
	snprintf(saving->path, sizeof(saving->path), "%s/50-droverctl.conf", saving->directory);
	return true;
}

/* Whatever the umask is, drover can read what is in a directory that is made here. */
static bool lock_directory(struct saving *saving, struct err *err)
{
	bool made = mkdir(saving->directory, 0755) == 0;

	if (!made && errno != EEXIST)
		return err_sys(err, errno, "make the directory %s", saving->directory);
	saving->lock = open(saving->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (saving->lock < 0 || (made && fchmod(saving->lock, 0755) < 0))
		return err_sys(err, errno, "%s", saving->directory);
	if (flock(saving->lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) /* NFS cannot */
		return err_set(err, "%s is locked: another droverctl save is at work", saving->directory);
	return true;
}

static bool begin(struct saving *saving, const json_t *answer, struct err *err)
{
	return set_paths(saving, answer, err) && is_some(answer, err) && lock_directory(saving, err);
}

static bool save(struct saving *saving, const json_t *answer, struct err *err)
{
	return read_old(saving, err) && take_overrides(saving, answer, err) && put_in_place(saving, err);
}

int save_run(struct ctl *ctl)
{
	struct saving saving = { .texts = json_array(), .lock = -1 };
	int status = STATUS_GOOD;
	json_t *answer = ctl_settings(ctl, &status);
	struct err err;

	if (answer != NULL && !begin(&saving, answer, &err)) {
		status = ctl_refuse(ctl, err.text);
	} else if (answer != NULL) {    /* one that was at work may have saved some of them meanwhile */
		json_decref(answer);
		answer = ctl_settings(ctl, &status);
		if (answer != NULL)
			status = save(&saving, answer, &err) ? reload(ctl, &saving, answer)
							     : ctl_refuse(ctl, err.text);
	}
	fd_close(&saving.lock);
	json_decref(saving.texts);
	json_decref(answer);
	return status;
}
