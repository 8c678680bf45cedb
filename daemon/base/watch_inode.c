/* watch_inode.c - what the kernel watches for a watcher, and for how long.
 *
 * Called by watch*.c.  Fails only for want of memory, and then the kernel watches no more than before. */
#include "watch_lay.h"

#include <stdlib.h>
#include <sys/inotify.h>

enum { MOST_UNWANTED = 100 };           /* events of a directory that nobody needs */

static struct watched_inode **chain_of(struct watch_tree *tree, int wd)
{
	return &tree->inodes[(unsigned)wd % WATCH_INODES];
}

struct watched_inode *tree_inode_of(const struct watch_tree *tree, int wd)
{
	struct watched_inode *inode = tree->inodes[(unsigned)wd % WATCH_INODES];

	while (inode != NULL && inode->wd != wd)
		inode = inode->next;
	return inode;
}

struct watched_inode *tree_inode(struct watch_tree *tree, int wd)
{
	struct watched_inode *inode = tree_inode_of(tree, wd);

	if (inode != NULL)
		return inode;
	inode = calloc(1, sizeof(*inode));
	if (inode == NULL) {
		inotify_rm_watch(tree->inotify_fd, wd);
		return NULL;
	}
	inode->tree = tree;
	inode->wd = wd;
	list_init(&inode->places);
	inode->next = *chain_of(tree, wd);
	*chain_of(tree, wd) = inode;
	tree->directories++;
	return inode;
}

void tree_use_inode(struct watch_tree *tree, struct watched_inode *inode)
{
	if (list_linked(&inode->idle))
		tree->idle_count--;
	list_remove(&inode->idle);
}

static void free_inode(struct watch_tree *tree, struct watched_inode *inode)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): who was freed before is in no list any more */
	struct watched_inode **at = chain_of(tree, inode->wd);

	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	if (!inode->gone)
		inotify_rm_watch(tree->inotify_fd, inode->wd);
	tree_use_inode(tree, inode);
	tree->directories--;
	free(inode);
}

void tree_drop_inode(struct watch_tree *tree, struct watched_inode *inode)
{
	if (!list_empty(&inode->places) || list_linked(&inode->idle))
		return;
	if (inode->gone) {
		free_inode(tree, inode);
		return;
	}
	inode->unwanted = 0;
	list_push_back(&tree->idle, &inode->idle);
	tree->idle_count++;
	tree_trim_idle(tree);
}

void tree_trim_idle(struct watch_tree *tree)
{
	while (tree->idle_count > WATCH_IDLE && tree_drop_idle(tree))
		continue;
}

bool tree_drop_idle(struct watch_tree *tree)
{
	if (list_empty(&tree->idle) || lay_is_busy(tree->lay))
		return false;
	free_inode(tree, LIST_ENTRY(tree->idle.next, struct watched_inode, idle));
	return true;
}

void tree_unwanted(struct watch_tree *tree, struct watched_inode *inode)
{
	if (inode->gone || (++inode->unwanted > MOST_UNWANTED && !lay_is_busy(tree->lay)))
		free_inode(tree, inode);
}

void tree_close(struct watch_tree *tree)
{
	while (!list_empty(&tree->idle)) {
		struct watched_inode *inode = LIST_ENTRY(tree->idle.next, struct watched_inode, idle);

		inode->gone = true;
		free_inode(tree, inode);
	}
}
