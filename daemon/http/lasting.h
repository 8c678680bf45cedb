/* What makes an answer one that can be given again.
 *
 * A service that fills in an answer which does not depend on who asks says so with a `lasting`: as long as
 * it lasts, whoever asks for the same (GET or HEAD, authority, target, If-None-Match, and what of
 * Accept-Encoding matters) gets the same bytes. It is over when what the answer was made from has changed;
 * whoever made it hears of that (the kernel tells, base/watch.h) and ends it or, where nobody tells, is asked
 * each time. It never begins again. */
#ifndef HTTP_LASTING_H
#define HTTP_LASTING_H

#include "base/list.h"

/* Who gives the answer again on his own account, and is told when that is over. */
struct lasting_holder {
	struct list link;               /* in lasting->holders */
	void (*let_go)(struct lasting_holder *holder);  /* takes it out of the list, and gives its pin back */
};

struct lasting {
	unsigned pins;                  /* who has it: its maker, responses, ready answers */
	bool over;                      /* set by lasting_end alone */
	bool used;                      /* given again, without its maker, since that set it to false */
	struct list holders;            /* zeroed: nobody yet */
	void (*look)(struct lasting *lasting);  /* ends it where it is over; NULL: its maker is told */
	void (*release)(struct lasting *lasting);       /* nobody has it any more; NULL: it is static */
};

static inline struct lasting *lasting_pin(struct lasting *lasting)
{
	lasting->pins++;
	return lasting;
}

/* NULL is ignored. */
static inline void lasting_unpin(struct lasting *lasting)
{
	if (lasting != NULL && --lasting->pins == 0 && lasting->release != NULL)
		lasting->release(lasting);
}

static inline void lasting_hold(struct lasting *lasting, struct lasting_holder *holder)
{
	if (lasting->holders.next == NULL)
		list_init(&lasting->holders);
	list_push_back(&lasting->holders, &holder->link);
}

/* Its maker's word that it is over, also when the maker only wants its memory back: nobody gives the answer
 * again, and who kept it for that has let go of it when this returns. Harmless when it is over already. */
static inline void lasting_end(struct lasting *lasting)
{
	struct list *holders = &lasting->holders;

	lasting->over = true;
	lasting_pin(lasting);
	while (holders->next != NULL && !list_empty(holders)) {
		struct lasting_holder *holder = LIST_ENTRY(holders->next, struct lasting_holder, link);

		holder->let_go(holder);
	}
	lasting_unpin(lasting);
}

/* True when an answer that was made from it can be given now. May make a system call where there is
 * `look`. What changed before a request was read has been told by then: whoever calls recv calls watch_tell
 * behind it (base/watch.h), which may end any lasting answer. */
static inline bool lasting_lasts(struct lasting *lasting)
{
	if (lasting->look != NULL && !lasting->over)
		lasting->look(lasting);
	return !lasting->over;
}

#endif
