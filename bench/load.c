/*
 * Events to be traced, in a number that is known.
 *
 *   hark-load calls RATE SECONDS    getppid(2) RATE times a second, evenly in steps of a millisecond; 0: without pause
 *   hark-load hits N KEYS           calls hit(0), hit(1), … hit(KEYS - 1), hit(0) …, N times in all
 *   hark-load wait                  nothing, until standard input ends
 *
 * Prints how many there were and how many nanoseconds it took.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((noinline, noclone, used)) long hit(long key)
{
	__asm__ volatile("");
	return key;
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static long calls(long rate, double seconds)
{
	long start = now(), end = start + (long)(seconds * 1e9), n = 0;

	while (now() < end) {
		long due = rate ? (long)((double)(now() - start) * 1e-9 * (double)rate) : n + 1000;

		for (; n < due; n++)
			syscall(SYS_getppid);
		if (rate) {
			struct timespec step = { 0, 1000000 };

			nanosleep(&step, NULL);
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	long start = now(), n = 0;

	if (argc == 4 && !strcmp(argv[1], "calls")) {
		n = calls(atol(argv[2]), atof(argv[3]));
	} else if (argc == 4 && !strcmp(argv[1], "hits")) {
		long keys = atol(argv[3]);

		for (n = 0; n < atol(argv[2]); n++)
			hit(n % keys);
	} else if (argc == 2 && !strcmp(argv[1], "wait")) {
		while (getchar() != EOF)
			;
	} else {
		fprintf(stderr, "usage: hark-load calls RATE SECONDS | hits N KEYS | wait\n");
		return 2;
	}
	printf("%ld %ld\n", n, now() - start);
	return 0;
}
