/* status_desk.c - documents made for many, in steps.  Called by status.c and status_events.c, and by the loop
 * while a document is not finished; fails by telling those who wait. */
#include "status_desk.h"

#include "base/clock.h"

#include <stdlib.h>

/* Of documents that are not the newest any more, and that somebody has not taken yet. */
enum { LEFT_MOST = 8 * 1024 * 1024 };

/* Of a turn, for all documents. A part that begins before the end is finished behind it. */
#define TURN_NS (CLOCK_MS * 2 / 5)

struct document {
	struct status_text *text;       /* the finished one; NULL: none yet */
	uint64_t made_ns;               /* in the turn of this time */
	struct list waiting;            /* of struct status_wait */
};

struct status_desk {
	struct engine_part part;
	struct engine *engine;
	struct ready step;
	struct view *view;
	enum { DESK_IDLE, DESK_LOOKING, DESK_WRITING } state;
	uint64_t seen_ns;               /* the view is of the turn of this time */
	enum status_format format;      /* that is being written */
	struct status_text *draft;
	unsigned next_part;
	uint64_t turn_ns, spent_ns;     /* in the turn of this time */
	unsigned streams;
	size_t left;                    /* bytes of documents that are still being sent, but the newest */
	struct document documents[STATUS_FORMATS];
};

/* ---- there it is --------------------------------------------------------------------------------- */

static void let_go(struct status_text **text)
{
	if (*text != NULL)
		lasting_unpin(&(*text)->lasting);
	*text = NULL;
}

static void close_desk(struct engine_part *part)
{
	struct status_desk *desk = LIST_ENTRY(part, struct status_desk, part);

	loop_unready(&desk->step);
	for (unsigned i = 0; i < STATUS_FORMATS; i++)
		let_go(&desk->documents[i].text);
	let_go(&desk->draft);
	view_free(desk->view);
	desk->engine->status = NULL;
	free(desk);
}

static void serve(struct ready *ready);

static struct status_desk *make_desk(struct engine *engine)
{
	struct status_desk *desk = calloc(1, sizeof(*desk));

	if (desk == NULL)
		return NULL;
	desk->view = view_new();
	if (desk->view == NULL)
		return free(desk), NULL;
	desk->engine = engine;
	desk->step.serve = serve;
	desk->part.close = close_desk;
	for (unsigned i = 0; i < STATUS_FORMATS; i++)
		list_init(&desk->documents[i].waiting);
	list_push_back(&engine->parts, &desk->part.link);
	engine->status = desk;
	return desk;
}

static struct status_desk *desk_of(struct engine *engine)
{
	return engine->status != NULL ? engine->status : make_desk(engine);
}

unsigned *status_desk_streams(struct engine *engine)
{
	struct status_desk *desk = desk_of(engine);

	return desk != NULL ? &desk->streams : NULL;
}

/* ---- steps --------------------------------------------------------------------------------------- */

static bool is_of_this_turn(const struct status_desk *desk, uint64_t made_ns)
{
	return made_ns == desk->engine->loop->now_ns;
}

/* Who waits is told; one that asks again meanwhile waits for the next one. */
static void tell(struct document *document, struct status_text *text)
{
	struct list waiting;

	list_init(&waiting);
	list_move_all(&waiting, &document->waiting);
	while (!list_empty(&waiting)) {
		struct status_wait *wait = LIST_ENTRY(list_pop_front(&waiting), struct status_wait, link);

		wait->told(wait, text);
	}
}

static void tell_all_of_failure(struct status_desk *desk)
{
	desk->state = DESK_IDLE;
	for (unsigned i = 0; i < STATUS_FORMATS; i++)
		tell(&desk->documents[i], NULL);
}

/* The next format that somebody waits for is begun; IDLE when there is none. */
static void begin_next(struct status_desk *desk)
{
	unsigned format = 0;

	while (format < STATUS_FORMATS && list_empty(&desk->documents[format].waiting))
		format++;
	desk->state = format < STATUS_FORMATS ? DESK_WRITING : DESK_IDLE;
	if (desk->state == DESK_IDLE)
		return;
	desk->format = (enum status_format)format;
	desk->next_part = 0;
	if (desk->draft != NULL)
		status_text_empty(desk->draft);
	else
		desk->draft = status_text_new();
	if (desk->draft == NULL)
		tell_all_of_failure(desk);
}

/* To those who have not taken all of it yet. */
static void leave(struct status_desk *desk, struct status_text *text)
{
	if (text == NULL)
		return;
	text->left = &desk->left;
	desk->left += text->room;
	let_go(&text);
}

/* The one of before becomes the draft of the next, unless it is still being sent. */
static void finish(struct status_desk *desk)
{
	struct document *document = &desk->documents[desk->format];
	struct status_text *before = document->text;
	bool is_bad = desk->draft->bad;

	if (is_bad) {
		tell(document, NULL);
	} else {
		document->text = desk->draft;
		document->made_ns = desk->engine->loop->now_ns;
		desk->draft = before != NULL && before->lasting.pins == 1 ? before : NULL;
		if (desk->draft == NULL)
			leave(desk, before);
		tell(document, document->text);
	}
	begin_next(desk);
}

static void look(struct status_desk *desk, uint64_t until_ns)
{
	if (!view_step(desk->view, until_ns))
		return;
	if (desk->view->failed) {
		tell_all_of_failure(desk);
		return;
	}
	desk->seen_ns = desk->engine->loop->now_ns;
	begin_next(desk);
}

static void write_on(struct status_desk *desk, uint64_t until_ns)
{
	const struct status_writer *writer = status_writers[desk->format];
	unsigned parts = writer->parts(desk->view);

	while (desk->next_part < parts && clock_now_ns() < until_ns)
		writer->part(desk->view, desk->next_part++, desk->draft);
	if (desk->next_part >= parts)
		finish(desk);
}

static void begin(struct status_desk *desk)
{
	if (is_of_this_turn(desk, desk->seen_ns)) {
		begin_next(desk);
		return;
	}
	view_begin(desk->view, desk->engine);
	desk->state = DESK_LOOKING;
}

static bool is_wanted(const struct status_desk *desk)
{
	for (unsigned i = 0; i < STATUS_FORMATS; i++)
		if (!list_empty(&desk->documents[i].waiting))
			return true;
	return false;
}

static void work(struct status_desk *desk)
{
	uint64_t now_ns = clock_now_ns(), until_ns;

	if (!is_of_this_turn(desk, desk->turn_ns))
		desk->spent_ns = 0;
	desk->turn_ns = desk->engine->loop->now_ns;
	until_ns = now_ns + TURN_NS - (desk->spent_ns < TURN_NS ? desk->spent_ns : TURN_NS);
	while (is_wanted(desk) && clock_now_ns() < until_ns) {
		if (desk->state == DESK_IDLE)
			begin(desk);
		else if (desk->state == DESK_LOOKING)
			look(desk, until_ns);
		else
			write_on(desk, until_ns);
	}
	desk->spent_ns += clock_now_ns() - now_ns;
	if (is_wanted(desk))
		loop_ready(desk->engine->loop, &desk->step);
}

static void serve(struct ready *ready)
{
	work(LIST_ENTRY(ready, struct status_desk, step));
}

bool status_desk_is_full(const struct engine *engine)
{
	const struct status_desk *desk = engine->status;

	return desk != NULL && desk->left >= LEFT_MOST;
}

/* ---- asking -------------------------------------------------------------------------------------- */

struct status_text *status_desk_ask(struct engine *engine, enum status_format format,
				    struct status_wait *wait, bool *failed)
{
	struct status_desk *desk = desk_of(engine);
	struct document *document;

	*failed = desk == NULL;
	if (desk == NULL)
		return NULL;
	document = &desk->documents[format];
	if (document->text != NULL && is_of_this_turn(desk, document->made_ns))
		return document->text;
	list_push_back(&document->waiting, &wait->link);
	loop_ready(engine->loop, &desk->step);
	return NULL;
}
