/* files.c - what is asked for: a directory, mapped.  Called by client.c, once.
 *
 * Fails when the directory or a file cannot be read. */
#include "loss/files.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* One that is no regular file is passed over. */
static bool load_one(struct files *files, int directory_fd, const char *name, struct err *err)
{
	int fd AUTO_CLOSE = openat(directory_fd, name, O_RDONLY | O_CLOEXEC);
	struct file *file = &files->files[files->count];
	struct stat stat;
	void *bytes = NULL;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return err_sys(err, errno, "%s", name);
	if (!S_ISREG(stat.st_mode))
		return true;
	if (files->count == FILES_MAX || strlen(name) >= sizeof(file->name))
		return err_set(err, "%s: at most %d files, with names of at most %zu bytes", name, FILES_MAX,
			       sizeof(file->name) - 1);
	if (stat.st_size > 0)           /* no mapping is empty */
		bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return err_sys(err, errno, "mmap %s", name);
	strcpy(file->name, name);
	file->bytes = bytes;
	file->size = (uint64_t)stat.st_size;
	files->count++;
	return true;
}

/* By name where the size is the same: the order of a directory is no order. */
static int compare(const void *left, const void *right)
{
	const struct file *a = left, *b = right;

	if (a->size != b->size)
		return a->size < b->size ? -1 : 1;
	return strcmp(a->name, b->name);
}

static bool load_all(struct files *files, DIR *directory, struct err *err)
{
	const struct dirent *entry;

	while ((entry = readdir(directory)) != NULL)
		if (!load_one(files, dirfd(directory), entry->d_name, err))
			return false;
	return files->count > 0 || err_set(err, "there is no file in it");
}

bool files_load(struct files *files, const char *directory, struct err *err)
{
	DIR *open = opendir(directory);
	bool loaded;

	if (open == NULL)
		return err_sys(err, errno, "%s", directory);
	loaded = load_all(files, open, err);
	closedir(open);
	if (!loaded)
		return err_add(err, "%s", directory);
	qsort(files->files, files->count, sizeof(files->files[0]), compare);
	files->small_count = files->count > 1 ? files->count - 1 : 1;
	return true;
}

const struct file *files_large(const struct files *files)
{
	return &files->files[files->count - 1];
}
