/* burst.c - the requests of each kind.  Called by asker.c at the beginning of a burst.
 *
 * Ends the program when memory is out. */
#include "loss/burst.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BODY_MAX = 20000,       /* of a POST */
	SHAPES = 4,             /* of a download: alone; with a request behind: whole, a range, two */
};

const struct kind kinds[KINDS] = {
	{ .name = "one_shot", .closes = true, .depth = 1 },
	{ .name = "keep_alive", .depth = 1 },
	{ .name = "distant", .is_distant = true, .depth = 1 },
	{ .name = "download", .downloads = true, .depth = 1 },
	{ .name = "post", .posts = true, .drips = true, .depth = 1 },
	{ .name = "pipelined", .depth = DEPTH_MAX },
	{ .name = "partial", .drips = true, .depth = 1 },
	{ .name = "idle", .waits = true, .depth = 1 },  /* the last one: its last requests take turns */
};

static struct want *add_want(struct asker *asker, const struct file *file)
{
	struct want *want = &asker->wants[(asker->first + asker->count++) % DEPTH_MAX];

	*want = (struct want){ .file = file, .post = asker->kind->posts, .since_ns = asker->began_ns };
	return want;
}

static const struct file *any_small(struct asker *asker)
{
	const struct files *files = &asker->all->files;

	return &files->files[askers_random(asker->all, files->small_count)];
}

/* Three of four downloads have a small request behind them; of these one asks for a range, one for two. */
static void add_download(struct asker *asker)
{
	struct want *want = add_want(asker, files_large(&asker->all->files));
	uint64_t size = want->file->size, third = size / 3;
	unsigned shape = asker->bursts++ % SHAPES;

	if (shape > 0)
		add_want(asker, any_small(asker));
	if (shape < 2 || third == 0)
		return;
	want->range_count = shape - 1;
	want->ranges[0].from = askers_random(asker->all, third);
	want->ranges[0].to = 2 * third;
	want->ranges[1].from = 2 * third + askers_random(asker->all, third);
	want->ranges[1].to = size;
}

static void print_ranges(FILE *out, const struct want *want)
{
	for (unsigned i = 0; i < want->range_count; i++)
		fprintf(out, "%s%lu-%lu%s", i == 0 ? "Range: bytes=" : ",", want->ranges[i].from,
			want->ranges[i].to - 1, i + 1 == want->range_count ? "\r\n" : "");
}

static void print_request(FILE *out, struct asker *asker, const struct want *want)
{
	uint64_t body = want->post ? askers_random(asker->all, BODY_MAX) : 0;

	fprintf(out, "%s /%s HTTP/1.1\r\nHost: loss.example\r\n", want->post ? "POST" : "GET",
		want->file->name);
	if (asker->kind->closes)
		fputs("Connection: close\r\n", out);
	if (want->post)
		fprintf(out, "Content-Length: %lu\r\n", body);
	print_ranges(out, want);
	fputs("\r\n", out);
	for (uint64_t i = 0; i < body; i++)
		putc('b', out);
}

void burst_make(struct asker *asker)
{
	unsigned depth = 1 + (unsigned)askers_random(asker->all, asker->kind->depth);
	FILE *out = open_memstream(&asker->out, &asker->out_len);

	if (out == NULL)
		err(1, "open_memstream");
	if (asker->kind->downloads)
		add_download(asker);
	else
		while (asker->count < depth)
			add_want(asker, any_small(asker));
	for (unsigned i = 0; i < asker->count; i++)
		print_request(out, asker, &asker->wants[(asker->first + i) % DEPTH_MAX]);
	if (fclose(out) != 0)
		err(1, "a burst of requests");
}
