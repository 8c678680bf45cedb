/* steering.c - loads, feeds, attaches and detaches what chooses a slot in the kernel.
 *
 * Called by the master only. Everything here may fail, for want of a privilege, of a newer kernel or of
 * memory; the error says which, and without it all the kernel's hash goes on choosing. */
#include "steering.h"

#include "base/fd.h"
#include "net/hot.h"
#include "net/steering_choice.h"

#include <errno.h>
#include <sys/socket.h>

#ifdef WITH_STEERING

#include "base/log.h"
#include "base/privilege.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <steering.skel.h>
#include <string.h>

bool steering_built(void)
{
	return true;
}

/* Why the kernel said no, in words for whoever runs the service. */
static bool explain(struct err *err, int error, const char *what)
{
	if (error == EPERM)
		return err_set(err,
			       "CAP_BPF is missing, without which a busy worker gets as many new connections"
			       " as an idle one: set AmbientCapabilities=CAP_BPF in the unit, or start as"
			       " root (%s: %s)",
			       what, strerror(error));
	if (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP)
		return err_set(err,
			       "%s: Linux 5.17 or later is needed, with BPF and its type information (%s)",
			       what, strerror(error));
	return err_sys(err, error, "%s", what);
}

/* libbpf tells the reason in many lines; whoever looks for it can have them. */
static int on_print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[256];
	size_t len;

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(text, sizeof(text), format, arguments);
	len = strcspn(text, "\n");
	text[len] = '\0';
	if (len > 0)
		log_event(LEVEL_DEBUG, "libbpf", log_text("said", text));
	return 0;
}

static int create_array(struct err *err)
{
	int array = bpf_map_create(BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, "drover_sockets", sizeof(uint32_t),
				   sizeof(uint64_t), HOT_SLOTS, NULL);

	if (array < 0)
		explain(err, errno, "show the kernel the sockets to choose from");
	return array;
}

static int create_memory(struct err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	int memory = bpf_map_create(BPF_MAP_TYPE_ARRAY, "drover_hot", sizeof(uint32_t), STEERING_LINE_BYTES,
				    STEERING_LINES, &options);

	if (memory < 0)
		explain(err, errno, "tell the kernel which workers are busy");
	return memory;
}

int steering_memory(struct err *err)
{
	int memory AUTO_CLOSE = -1;
	struct hot *hot;

	libbpf_set_print(on_print);
	privilege_raise_bpf();
	memory = create_memory(err);
	privilege_lower_bpf();
	if (memory < 0)
		return -1;
	hot = hot_map(memory, err);
	if (hot == NULL)
		return -1;
	hot->version = HOT_VERSION;
	hot_unmap(hot);
	return fd_take(&memory);
}

/* Loads it over these two maps; its descriptor, or -1 with errno, as from all of libbpf. */
static int load_over(struct steering_bpf *skeleton, int hot_fd, int array)
{
	if (bpf_map__reuse_fd(skeleton->maps.hot_lines, hot_fd) < 0 ||
	    bpf_map__reuse_fd(skeleton->maps.sockets, array) < 0 || steering_bpf__load(skeleton) < 0)
		return -1;
	return fcntl(bpf_program__fd(skeleton->progs.steer), F_DUPFD_CLOEXEC, 0);
}

static int load_program(int hot_fd, int array, struct err *err)
{
	struct steering_bpf *skeleton = steering_bpf__open();
	int program = skeleton == NULL ? -1 : load_over(skeleton, hot_fd, array);

	if (program < 0)
		explain(err, errno, "load the steering program");
	steering_bpf__destroy(skeleton);
	return program;
}

static bool load(struct steering *steering, int hot_fd, int array, struct err *err)
{
	int its AUTO_CLOSE = -1, program;

	its = array >= 0 ? fcntl(array, F_DUPFD_CLOEXEC, 0) : create_array(err);
	if (its < 0)
		return array < 0 ? false : err_sys(err, errno, "an array of sockets");
	program = load_program(hot_fd, its, err);
	if (program < 0)
		return false;
	*steering = (struct steering){ .program = program, .array = fd_take(&its) };
	return true;
}

bool steering_load(struct steering *steering, int hot_fd, int array, struct err *err)
{
	bool good;

	libbpf_set_print(on_print);
	privilege_raise_bpf();
	good = load(steering, hot_fd, array, err);
	privilege_lower_bpf();
	return good;
}

/* The kernel answers with the cookie of the socket that it has there. */
static bool is_seated(int array, uint32_t slot, int socket_fd)
{
	uint64_t there, cookie;
	socklen_t len = sizeof(cookie);

	return bpf_map_lookup_elem(array, &slot, &there) == 0 &&
	       getsockopt(socket_fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 && there == cookie;
}

static bool seat(int array, uint32_t slot, int socket_fd, struct err *err)
{
	uint64_t value = (uint64_t)socket_fd;
	int error = bpf_map_update_elem(array, &slot, &value, BPF_ANY) == 0 ? 0 : errno;

	if (error == 0 || (error == EBUSY && is_seated(array, slot, socket_fd)))
		return true;
	return err_sys(err, error, "put a socket into the array, slot %u", slot);
}

bool steering_seat(int array, unsigned slot, int socket_fd, struct err *err)
{
	bool good;

	privilege_raise_bpf();
	good = seat(array, slot, socket_fd, err);
	privilege_lower_bpf();
	return good;
}

#else

static bool left_out(struct err *err)
{
	return err_set(err, "this drover was built without the steering program");
}

bool steering_built(void)
{
	return false;
}

int steering_memory(struct err *err)
{
	return left_out(err), -1;
}

bool steering_load(struct steering *steering, int hot_fd, int array, struct err *err)
{
	(void)steering;
	(void)hot_fd;
	(void)array;
	return left_out(err);
}

bool steering_seat(int array, unsigned slot, int socket_fd, struct err *err)
{
	(void)array;
	(void)slot;
	(void)socket_fd;
	return left_out(err);
}

#endif

void steering_close(struct steering *steering)
{
	fd_close(&steering->program);
	fd_close(&steering->array);
}

bool steering_attach(int program, int socket_fd, struct err *err)
{
	if (setsockopt(socket_fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof(program)) < 0)
		return err_sys(err, errno, "SO_ATTACH_REUSEPORT_EBPF");
	return true;
}

bool steering_detach(int socket_fd, struct err *err)
{
	int unused = 0;

	if (setsockopt(socket_fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)) < 0 &&
	    errno != ENOENT)
		return err_sys(err, errno, "SO_DETACH_REUSEPORT_BPF");
	return true;
}
