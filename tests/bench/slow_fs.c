/* slow_fs.c - a file system that answers when it is told to: FUSE, spoken to the kernel directly.
 *
 *	slow_fs MOUNTPOINT SOURCE
 *
 * In a mount namespace of its own (for others to enter by /proc/PID/ns/mnt) it mounts the regular files of
 * the directory SOURCE at MOUNTPOINT, read-only, and says "ready". Needs root. Commands on stdin, a line each:
 *
 *	hold OPERATION NAME	from now on such requests are not answered: "lookup", "open", "read", "getattr",
 *				"flush", each told as "held OPERATION NAME"
 *	release			what is held is answered, and nothing is held any more; told as "released"
 *	delay MICROSECONDS	each lookup and read is answered so much later
 *	rate BYTES		of all reads, a second; 0: as fast as it goes
 *	count			told as "count LOOKUPS READS"
 *
 * Its end, or that of stdin, ends the mount. */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FILES = 64, MOST_WAITING = 4096, REQUEST_BYTES = 256 * 1024, READ_BYTES = 128 * 1024 };

static struct file {
	char name[256];
	int fd;
	struct stat stat;
} files[MOST_FILES];            /* its node is its place and FUSE_ROOT_ID + 1 */

static unsigned file_count;
static int device;

/* What is held, by operation and name. */
static struct rule {
	char operation[16], name[256];
} rules[16];

static unsigned rule_count;

/* A request that is not answered yet. */
static struct waiting {
	bool used, held;
	uint64_t due_ns;
	struct fuse_in_header in;
	struct fuse_read_in read;
	char name[256];
} waiting[MOST_WAITING];

static uint64_t delay_ns, rate, free_ns;        /* free_ns: when the device has sent all it owes */
static unsigned long lookups, reads;

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

/* ---- answers ---------------------------------------------------------------------------------------- */

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len), .error = -error, .unique = in->unique,
	};
	struct iovec parts[] = { { &out, sizeof(out) }, { (void *)data, len } };

	if (writev(device, parts, len > 0 ? 2 : 1) < 0 && errno != ENOENT)      /* ENOENT: interrupted */
		err(1, "reply");
}

static struct file *file_of(uint64_t node)
{
	uint64_t place = node - FUSE_ROOT_ID - 1;

	return node > FUSE_ROOT_ID && place < file_count ? &files[place] : NULL;
}

static struct fuse_attr attr_of(uint64_t node)
{
	const struct file *file = file_of(node);

	if (file == NULL)
		return (struct fuse_attr){ .ino = node, .mode = S_IFDIR | 0755, .nlink = 2 };
	return (struct fuse_attr){
		.ino = node, .mode = S_IFREG | 0644, .nlink = 1, .size = (uint64_t)file->stat.st_size,
		.mtime = (uint64_t)file->stat.st_mtime, .ctime = (uint64_t)file->stat.st_ctime,
		.blksize = 4096,
	};
}

/* Nothing is remembered by the kernel: each look asks. */
static void answer_lookup(const struct fuse_in_header *in, const char *name)
{
	struct fuse_entry_out out = { 0 };

	for (unsigned i = 0; i < file_count; i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		out.nodeid = FUSE_ROOT_ID + 1 + i;
		out.attr = attr_of(out.nodeid);
		reply(in, 0, &out, sizeof(out));
		return;
	}
	reply(in, ENOENT, NULL, 0);
}

static void answer_getattr(const struct fuse_in_header *in)
{
	struct fuse_attr_out out = { .attr = attr_of(in->nodeid) };

	reply(in, 0, &out, sizeof(out));
}

static void answer_read(const struct fuse_in_header *in, const struct fuse_read_in *read)
{
	static char bytes[READ_BYTES];
	const struct file *file = file_of(in->nodeid);
	size_t len = read->size < sizeof(bytes) ? read->size : sizeof(bytes);
	ssize_t got = file != NULL ? pread(file->fd, bytes, len, (off_t)read->offset) : -1;

	reply(in, got < 0 ? EIO : 0, bytes, got > 0 ? (size_t)got : 0);
}

static void answer_open(const struct fuse_in_header *in)
{
	struct fuse_open_out out = { 0 };       /* what the kernel has read before is read anew */

	reply(in, 0, &out, sizeof(out));
}

static void answer_statfs(const struct fuse_in_header *in)
{
	struct fuse_statfs_out out = { .st = { .bsize = 4096, .namelen = 255 } };

	reply(in, 0, &out, sizeof(out));
}

static void answer_init(const struct fuse_in_header *in, const struct fuse_init_in *init)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = init->max_readahead, .flags = FUSE_ASYNC_READ | FUSE_PARALLEL_DIROPS,
		.max_background = 64, .congestion_threshold = 48, .max_write = 4096,
	};

	reply(in, 0, &out, sizeof(out));
}

static void answer(const struct waiting *what)
{
	switch (what->in.opcode) {
	case FUSE_LOOKUP:
		answer_lookup(&what->in, what->name);
		break;
	case FUSE_READ:
		answer_read(&what->in, &what->read);
		break;
	case FUSE_GETATTR:
		answer_getattr(&what->in);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		answer_open(&what->in);
		break;
	default:
		reply(&what->in, 0, NULL, 0);
		break;
	}
}

/* ---- requests --------------------------------------------------------------------------------------- */

static const char *operation_of(unsigned opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
		return "lookup";
	case FUSE_READ:
		return "read";
	case FUSE_GETATTR:
		return "getattr";
	case FUSE_OPEN:
		return "open";
	case FUSE_FLUSH:
		return "flush";
	default:
		return "";
	}
}

static bool is_held(const struct waiting *what)
{
	for (unsigned i = 0; i < rule_count; i++)
		if (strcmp(rules[i].operation, operation_of(what->in.opcode)) == 0 &&
		    strcmp(rules[i].name, what->name) == 0)
			return true;
	return false;
}

/* One request after another goes through the device. */
static uint64_t due(const struct waiting *what)
{
	uint64_t at = now();

	if (what->in.opcode == FUSE_READ && rate > 0) {
		free_ns = (free_ns > at ? free_ns : at) + what->read.size * UINT64_C(1000000000) / rate;
		at = free_ns;
	}
	return at + (what->in.opcode == FUSE_READ || what->in.opcode == FUSE_LOOKUP ? delay_ns : 0);
}

static void take(struct waiting what)
{
	lookups += what.in.opcode == FUSE_LOOKUP ? 1 : 0;
	reads += what.in.opcode == FUSE_READ ? 1 : 0;
	what.used = true;
	what.held = is_held(&what);
	what.due_ns = due(&what);
	if (!what.held && what.due_ns <= now()) {
		answer(&what);
		return;
	}
	for (unsigned i = 0; i < MOST_WAITING; i++) {
		if (waiting[i].used)
			continue;
		waiting[i] = what;
		if (what.held)
			say("held %s %s", operation_of(what.in.opcode), what.name);
		return;
	}
	errx(1, "too many requests");
}

static void handle(const char *bytes)
{
	struct waiting what = { .in = *(const struct fuse_in_header *)bytes };
	const char *rest = bytes + sizeof(what.in);
	const struct file *file = file_of(what.in.nodeid);

	if (file != NULL)
		snprintf(what.name, sizeof(what.name), "%s", file->name);
	switch (what.in.opcode) {
	case FUSE_INIT:
		answer_init(&what.in, (const void *)rest);
		break;
	case FUSE_LOOKUP:
		snprintf(what.name, sizeof(what.name), "%.255s", rest);
		take(what);
		break;
	case FUSE_READ:
		what.read = *(const struct fuse_read_in *)rest;
		take(what);
		break;
	case FUSE_GETATTR:
	case FUSE_OPEN:
	case FUSE_OPENDIR:
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		take(what);
		break;
	case FUSE_STATFS:
		answer_statfs(&what.in);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:            /* it goes on waiting, as a server that is gone makes it */
		break;
	default:
		reply(&what.in, ENOSYS, NULL, 0);
		break;
	}
}

static void serve(void)
{
	static char bytes[REQUEST_BYTES] __attribute__((aligned(8)));
	ssize_t got = read(device, bytes, sizeof(bytes));

	if (got < 0 && errno == ENODEV)
		exit(0);                /* unmounted */
	if (got < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
		err(1, "request");
	if (got > 0)
		handle(bytes);
}

/* ---- the clock and the commands ---------------------------------------------------------------------- */

/* Answers what is due; how many milliseconds until the next is, -1: never. */
static int answer_due(void)
{
	uint64_t at = now(), next = UINT64_MAX;

	for (unsigned i = 0; i < MOST_WAITING; i++) {
		if (!waiting[i].used || waiting[i].held)
			continue;
		if (waiting[i].due_ns <= at) {
			waiting[i].used = false;
			answer(&waiting[i]);
		} else if (waiting[i].due_ns < next) {
			next = waiting[i].due_ns;
		}
	}
	return next == UINT64_MAX ? -1 : (int)((next - at + 999999) / 1000000);
}

static void command(char *line)
{
	struct rule rule;
	unsigned long long number;

	if (sscanf(line, "hold %15s %255s", rule.operation, rule.name) == 2 && rule_count < 16) {
		rules[rule_count++] = rule;
		say("holding");
	} else if (strcmp(line, "release\n") == 0) {
		rule_count = 0;
		for (unsigned i = 0; i < MOST_WAITING; i++)
			waiting[i].held = false;
		say("released");
	} else if (sscanf(line, "delay %llu", &number) == 1) {     /* NOLINT(cert-err34-c): a test's */
		delay_ns = number * 1000;
		say("delayed");
	} else if (sscanf(line, "rate %llu", &number) == 1) {      /* NOLINT(cert-err34-c): the same */
		rate = number;
		say("rated");
	} else if (strcmp(line, "count\n") == 0) {
		say("count %lu %lu", lookups, reads);
	} else {
		errx(1, "what is %s", line);
	}
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

static void read_source(const char *path)
{
	DIR *source = opendir(path);
	const struct dirent *entry;

	if (source == NULL)
		err(1, "%s", path);
	while ((entry = readdir(source)) != NULL && file_count < MOST_FILES) {
		struct file *file = &files[file_count];

		file->fd = openat(dirfd(source), entry->d_name, O_RDONLY | O_CLOEXEC);
		if (file->fd < 0 || fstat(file->fd, &file->stat) < 0 || !S_ISREG(file->stat.st_mode)) {
			close(file->fd);
			continue;
		}
		snprintf(file->name, sizeof(file->name), "%s", entry->d_name);
		file_count++;
	}
	closedir(source);
}

static void mount_at(const char *path)
{
	char options[128];

	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		err(1, "/dev/fuse");
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		err(1, "a mount namespace");
	snprintf(options, sizeof(options), "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", device);
	if (mount("slow_fs", path, "fuse", MS_NOSUID | MS_NODEV | MS_RDONLY, options) < 0)
		err(1, "mount %s", path);
}

int main(int argc, char **argv)
{
	char line[512];

	if (argc != 3)
		errx(2, "usage: slow_fs MOUNTPOINT SOURCE");
	setvbuf(stdin, NULL, _IONBF, 0);
	read_source(argv[2]);
	mount_at(argv[1]);
	say("ready");
	for (;;) {
		struct pollfd polls[] = { { device, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };

		if (poll(polls, 2, answer_due()) < 0 && errno != EINTR)
			err(1, "poll");
		if (polls[0].revents != 0)
			serve();
		if (polls[1].revents != 0 && fgets(line, sizeof(line), stdin) == NULL)
			return 0;
		if (polls[1].revents != 0)
			command(line);
	}
}
