/* broken.c - a drover that cannot take over: the real one, with calls of its objects wrapped (ld --wrap), in
 * which one thing is wrong.
 *
 * Which one says the file beside the binary, PATH.break; without it this is a good drover. It is for
 * upgrades: as long as nothing is taken over, most of it does what it should. */
#include "base/fd.h"
#include "config/read.h"
#include "ipc/channel.h"
#include "master/master.h"
#include "net/steering.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { WORD_BYTES = 64, STATE_MAX_BYTES = 1 << 24 };

/* Is this one broken so? */
static bool is(const char *how)
{
	char path[PATH_MAX + 8], word[WORD_BYTES] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s.break", (const char *)getauxval(AT_EXECFN));
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fscanf(file, "%63s", word) != 1)
		word[0] = '\0';
	fclose(file);
	return strcmp(word, how) == 0;
}

static void crash(int number)
{
	raise(number);
}

/* The guard's own patience is ten seconds; a test has less. */
static void hang(void)
{
	alarm(1);
	for (;;)
		pause();
}

/* ---- as a candidate ---------------------------------------------------------------------------------- */

bool __real_resume_try(const struct master_setup *setup, int state_fd, struct err *err);
bool __wrap_resume_try(const struct master_setup *setup, int state_fd, struct err *err);
bool __wrap_resume_try(const struct master_setup *setup, int state_fd, struct err *err)
{
	if (is("candidate-crashes"))
		crash(SIGABRT);
	return __real_resume_try(setup, state_fd, err);
}

bool __real_read_config(const struct config_input *input, struct generation *generation,
			struct problems *problems);
bool __wrap_read_config(const struct config_input *input, struct generation *generation,
			struct problems *problems);
bool __wrap_read_config(const struct config_input *input, struct generation *generation,
			struct problems *problems)
{
	if (is("rejects-configuration"))
		return problems_add(problems, "%s:1:1: listen: there is no such setting any more",
				    input->path),
		       false;
	return __real_read_config(input, generation, problems);
}

/* As if the number in the state were another one than this binary's. */
static int other_version(int fd, const char *of)
{
	struct err err;
	size_t len;
	char *text = fd_read_all(fd, STATE_MAX_BYTES, &len, &err), *place;
	int other = -1;

	place = text != NULL ? strstr(text, of) : NULL;
	if (place != NULL) {
		place[strlen(of)] = '9';
		other = fd_sealed("state", text, len, &err);
	}
	free(text);
	return other;
}

bool __real_state_read(struct state *state, int fd, const struct master *master, struct err *err);
bool __wrap_state_read(struct state *state, int fd, const struct master *master, struct err *err);
bool __wrap_state_read(struct state *state, int fd, const struct master *master, struct err *err)
{
	int other AUTO_CLOSE = -1;

	if (is("other-records"))
		other = other_version(fd, "\"handover\":");
	if (is("other-state"))
		other = other_version(fd, "\"state\":");
	return __real_state_read(state, other >= 0 ? other : fd, master, err);
}

/* ---- as the new image -------------------------------------------------------------------------------- */

bool __real_resume_take(struct master *master, struct err *err);
bool __wrap_resume_take(struct master *master, struct err *err);
bool __wrap_resume_take(struct master *master, struct err *err)
{
	if (is("crashes-at-start"))
		crash(SIGSEGV);
	if (is("ends-at-start"))
		exit(0);
	if (is("refuses-at-start"))
		return err_set(err, "it has thought better of it");
	return __real_resume_take(master, err);
}

bool __real_resume_watch(struct master *master, struct err *err);
bool __wrap_resume_watch(struct master *master, struct err *err);
bool __wrap_resume_watch(struct master *master, struct err *err)
{
	if (is("hangs"))
		hang();
	if (!__real_resume_watch(master, err))
		return false;
	if (is("crashes-when-it-watches"))
		crash(SIGBUS);
	return true;
}

/* It serves as well without: not broken, but a poorer one. */
bool __real_steering_load(struct steering *steering, int hot_fd, int array, struct err *err);
bool __wrap_steering_load(struct steering *steering, int hot_fd, int array, struct err *err);
bool __wrap_steering_load(struct steering *steering, int hot_fd, int array, struct err *err)
{
	if (is("cannot-steer"))
		return err_set(err, "this one has no program");
	return __real_steering_load(steering, hot_fd, array, err);
}

bool __real_steering_seat(int array, unsigned slot, int socket_fd, struct err *err);
bool __wrap_steering_seat(int array, unsigned slot, int socket_fd, struct err *err);
bool __wrap_steering_seat(int array, unsigned slot, int socket_fd, struct err *err)
{
	if (is("cannot-steer"))
		return err_set(err, "this one has no program");
	return __real_steering_seat(array, slot, socket_fd, err);
}

/* All have voted; the next thing is GO. */
void __real_sockets_settle(struct master *master);
void __wrap_sockets_settle(struct master *master);
void __wrap_sockets_settle(struct master *master)
{
	if (is("crashes-at-commit"))
		crash(SIGABRT);
	__real_sockets_settle(master);
}

/* Some serve already. */
void __real_slot_take(struct child *child);
void __wrap_slot_take(struct child *child);
void __wrap_slot_take(struct child *child)
{
	__real_slot_take(child);
	if (is("crashes-after-go"))
		crash(SIGFPE);
}

/* ---- its workers ------------------------------------------------------------------------------------- */

bool __real_channel_tell(int fd, enum message_type type, uint64_t generation, struct err *err);
bool __wrap_channel_tell(int fd, enum message_type type, uint64_t generation, struct err *err);
bool __wrap_channel_tell(int fd, enum message_type type, uint64_t generation, struct err *err)
{
	if (type == MESSAGE_READY && is("never-ready"))
		return true;
	if (type == MESSAGE_READY && is("workers-crash-before-ready"))
		crash(SIGSEGV);
	if (type == MESSAGE_ADOPTED && is("workers-crash-after-go"))
		crash(SIGSEGV);
	if (type == MESSAGE_ADOPTED && is("never-serving"))
		return true;
	return __real_channel_tell(fd, type, generation, err);
}
