/* watch.c - names that are watched: the inotify instance, its events, and the signal that there are some.
 *
 * Called by whoever keeps what was found by a path; single-threaded.  What cannot be watched is said; nothing
 * else fails.
 *
 * The signal is what makes watch_tell exact without a system call. The kernel sends it before the system call
 * that changed something returns, and has it handled before one that receives a request returns. It is
 * blocked until the queue was read, so that a thousand changes interrupt once. */
#include "watch.h"

#include "clock.h"
#include "fd.h"
#include "watch_lay.h"
#include "watch_walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <ucontext.h>
#include <unistd.h>

enum {
	READ_BYTES = 16384,             /* some hundred events */
	MOST_READS = 512,               /* at once; whoever makes more events meanwhile has changed it all */
};

struct watcher {
	struct source source;
	struct loop *loop;
	struct list link;               /* of watchers */
	bool hears;                     /* signals are sent */
	struct source mounts;           /* fd -1: nobody tells when something is mounted */
	struct watch_tree tree;
};

volatile sig_atomic_t watch_signalled;

static struct list watchers = { &watchers, &watchers };
static sig_atomic_t deaf;               /* watchers that no signal is sent for: they read each time */
static bool draining;
static int prepared_mounts = -1;

/* ---- the signal --------------------------------------------------------------------------------------- */

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)info;
	watch_signalled = 1;
	sigaddset(&((ucontext_t *)context)->uc_sigmask, number);
}

/* Before the queue is read: what comes later is signalled anew. */
static void listen_again(void)
{
	sigset_t set;

	watch_signalled = deaf;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* Has the thread that calls signalled; false: it cannot be. */
static bool ask_for_signals(int fd)
{
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
	struct f_owner_ex self = { F_OWNER_TID, gettid() };
	int flags = fcntl(fd, F_GETFL);

	return sigaction(SIGIO, &action, NULL) == 0 && fcntl(fd, F_SETOWN_EX, &self) == 0 && flags >= 0 &&
	       fcntl(fd, F_SETFL, flags | O_ASYNC) == 0;
}

/* ---- events ------------------------------------------------------------------------------------------- */

/* The places of the directory one by one; a place that ends may take others along, hence from the start. */
static void end_places(struct watch_tree *tree, struct watched_inode *inode)
{
	int wd = inode->wd;

	while (inode != NULL && !list_empty(&inode->places)) {
		tree_end(tree, LIST_ENTRY(inode->places.next, struct watched_place, same)->name);
		inode = tree_inode_of(tree, wd);
	}
}

/* True when something has ended, perhaps `place` itself. */
static bool concerns(struct watch_tree *tree, struct watched_place *place, uint32_t mask, struct str text)
{
	struct watched_name *name = tree_find_alike(tree, place, text), *directory = place->name;
	bool is_entry = (mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)) != 0;
	bool told = is_entry && tree_tell_owners(tree, directory);

	if (name != NULL)
		tree_end(tree, name);
	else if (told)
		tree_release(tree, directory);
	return name != NULL || told;
}

static void on_name(struct watch_tree *tree, struct watched_inode *inode, const struct inotify_event *event)
{
	struct str name = { event->name, strnlen(event->name, event->len) };
	struct list *link = inode->places.next;
	int wd = event->wd;

	while (inode != NULL && link != &inode->places) {
		struct watched_place *place = LIST_ENTRY(link, struct watched_place, same);

		link = link->next;
		if (!concerns(tree, place, event->mask, name))
			continue;
		inode = tree_inode_of(tree, wd);        /* places may have ended: once more */
		link = inode == NULL ? NULL : inode->places.next;
	}
}

static void on_event(struct watch_tree *tree, const struct inotify_event *event)
{
	struct watched_inode *inode;

	if ((event->mask & IN_Q_OVERFLOW) != 0) {
		tree_end_all(tree);
		return;
	}
	inode = tree_inode_of(tree, event->wd);
	if (inode == NULL)              /* a late event of a directory that is not watched any more */
		return;
	if ((event->mask & IN_IGNORED) != 0)
		inode->gone = true;
	if (list_empty(&inode->places))
		tree_unwanted(tree, inode);
	else if (event->len == 0)
		end_places(tree, inode);
	else
		on_name(tree, inode, event);
}

/* False: there is nothing to read. */
static bool read_some(struct watch_tree *tree)
{
	char buffer[READ_BYTES] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t len = read(tree->inotify_fd, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		on_event(tree, event);
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	/* it ends where the next event has no room, or there is none */
	return len + (ssize_t)sizeof(struct inotify_event) + NAME_MAX + 1 > READ_BYTES;
}

static void drain(struct watcher *watcher)
{
	unsigned reads = 0;

	while (reads < MOST_READS && read_some(&watcher->tree))
		reads++;
	if (reads == MOST_READS)
		tree_end_all(&watcher->tree);
	tree_settle(&watcher->tree);
}

void watch_drain(void)
{
	if (draining)
		return;
	draining = true;
	if (watch_signalled != 0)
		listen_again();
	for (struct list *link = watchers.next; link != &watchers; link = link->next)
		drain(LIST_ENTRY(link, struct watcher, link));
	draining = false;
}

static void on_readable(struct source *source, uint32_t events)
{
	(void)source, (void)events;
	watch_drain();
}

/* ---- mounts ------------------------------------------------------------------------------------------- */

/* What is mounted over a directory hides it without an event of inotify's. */
static void on_mount(struct source *source, uint32_t events)
{
	struct watcher *watcher = LIST_ENTRY(source, struct watcher, mounts);

	(void)events;
	tree_end_all(&watcher->tree);
	tree_settle(&watcher->tree);
}

static int open_mounts(void)
{
	return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
}

void watch_prepare(void)
{
	prepared_mounts = open_mounts();
}

/* Without it nothing else is lost. */
static void watch_mounts(struct watcher *watcher)
{
	watcher->mounts.handle = on_mount;
	watcher->mounts.fd = prepared_mounts >= 0 ? fd_take(&prepared_mounts) : open_mounts();
	if (watcher->mounts.fd >= 0 && loop_add(watcher->loop, &watcher->mounts, EPOLLPRI) != 0)
		fd_close(&watcher->mounts.fd);
}

/* ---- watchers and watches ----------------------------------------------------------------------------- */

static bool begin(struct watcher *watcher, struct loop *loop, int fd, struct err *err)
{
	int error;

	tree_init(&watcher->tree, fd);
	watcher->loop = loop;
	watcher->source = (struct source){ .fd = fd, .handle = on_readable };
	error = loop_add(loop, &watcher->source, EPOLLIN);
	if (error != 0)
		return err_sys(err, error, "epoll_ctl");
	watch_mounts(watcher);
	watcher->hears = ask_for_signals(fd);
	if (!watcher->hears)
		watch_signalled = ++deaf;
	list_push_back(&watchers, &watcher->link);
	return true;
}

struct watcher *watcher_open(struct loop *loop, struct offload *offload, struct err *err)
{
	int fd AUTO_CLOSE = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct watcher *watcher = fd < 0 ? NULL : calloc(1, sizeof(*watcher));

	if (watcher == NULL) {
		err_sys(err, errno, errno == EMFILE ? "inotify_init1 (fs.inotify.max_user_instances)"
						    : "inotify_init1");
		return NULL;
	}
	if (!begin(watcher, loop, fd, err)) {
		free(watcher);
		return NULL;
	}
	if (offload != NULL)
		watcher->tree.lay = lay_open(&watcher->tree, loop, offload);
	fd_take(&fd);
	return watcher;
}

static void end_silently(struct watch_tree *tree)
{
	tree_end_all(tree);
	while (list_pop_front(&tree->told) != NULL)
		continue;
	tree_settle(tree);
}

void watcher_close(struct watcher *watcher)
{
	if (watcher == NULL)
		return;
	end_silently(&watcher->tree);
	lay_close(watcher->tree.lay);
	tree_close(&watcher->tree);
	loop_remove(watcher->loop, &watcher->source);
	close(watcher->source.fd);
	loop_remove(watcher->loop, &watcher->mounts);
	fd_close(&watcher->mounts.fd);
	list_remove(&watcher->link);
	if (!watcher->hears)
		deaf--;
	free(watcher);
}

/* What changes while the path is looked up is in the queue then, and told. */
bool watch_path(struct watcher *watcher, struct watch *watch, const char *path)
{
	struct walk_way way = { .now_ns = watcher->loop->now_ns };
	struct watched_name *name;

	watch_end(watch);
	watch_tell();
	name = walk_path(&watcher->tree, path, &way);
	if (name != NULL)
		tree_watch(name, watch);
	else if (way.unlaid)
		lay_wish(watcher->tree.lay, watch, path);
	tree_settle(&watcher->tree);
	return name != NULL;
}

bool watch_waits(const struct watch *watch)
{
	return watch->name == NULL && list_linked(&watch->link);
}

void watch_end(struct watch *watch)
{
	tree_unwatch(watch);
}
