/* A program of the measures: it says when it started, says that it is ready, and takes the time it is told to stop.
 *
 * worker --announce FILE [--ready-after-ms N] [--notify] [--descriptor N] [--stop-ms N]
 *
 * It appends "started NANOSECONDS PID" and "ready NANOSECONDS PID" to FILE, CLOCK_MONOTONIC, each in one write; the moment
 * of "ready" is taken before anybody can know it. Without --stop-ms it has no signal handler at all.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void nap(long milliseconds)
{
	struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	while (nanosleep(&left, &left) != 0)
		;
}

static void announce(const char *path, const char *what)
{
	char line[96];
	struct timespec now;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	clock_gettime(CLOCK_MONOTONIC, &now);
	int length = snprintf(line, sizeof line, "%s %lld %d\n", what, now.tv_sec * 1000000000LL + now.tv_nsec, getpid());
	if (fd < 0 || write(fd, line, length) != length)
		_exit(3);
	close(fd);
}

static void notify(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (path == NULL || strlen(path) >= sizeof address.sun_path)
		_exit(4);
	strcpy(address.sun_path, path);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + strlen(path) + (path[0] != '@');
	if (path[0] == '@')
		address.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&address, size) != 7)
		_exit(5);
	close(fd);
}

int main(int count, char **arguments)
{
	const char *path = NULL;
	long ready_after = 0, stop = 0, descriptor = -1;
	int notifies = 0;
	for (int index = 1; index < count; index++) {
		const char *name = arguments[index], *value = index + 1 < count ? arguments[index + 1] : "";
		if (strcmp(name, "--notify") == 0) {
			notifies = 1;
			continue;
		}
		index++;
		if (strcmp(name, "--announce") == 0)
			path = value;
		else if (strcmp(name, "--ready-after-ms") == 0)
			ready_after = atol(value);
		else if (strcmp(name, "--descriptor") == 0)
			descriptor = atol(value);
		else if (strcmp(name, "--stop-ms") == 0)
			stop = atol(value);
		else
			return 2;
	}
	if (path == NULL)
		return 2;
	sigset_t asked;
	sigemptyset(&asked);
	sigaddset(&asked, SIGTERM);
	if (stop > 0)
		sigprocmask(SIG_BLOCK, &asked, NULL);
	announce(path, "started");
	nap(ready_after);
	announce(path, "ready");
	if (notifies)
		notify();
	if (descriptor >= 0) {
		if (write(descriptor, "\n", 1) != 1)
			return 6;
		close(descriptor);
	}
	if (stop > 0) {
		int number;
		sigwait(&asked, &number);
		nap(stop);
		return 0;
	}
	for (;;)
		pause();
}
