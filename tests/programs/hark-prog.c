/*
 * A program to look at: functions with known arguments and return values, and system calls made by number.
 *
 *   hark-prog WORK...     each WORK is one of:
 *     add A B             calls add(A, B) and prints the sum
 *     greet NAME          calls greet(NAME) and prints its result
 *     wide                calls six_args(1, 2, 3, 4, 5, 6)
 *     works               calls work_a(1), work_b(2), work_c(3)
 *     nested              calls outer(5), which calls inner(6)
 *     negative            calls negate(7), which returns -7
 *     nops                calls three_nops()
 *     fill                calls take_struct() with a struct { 42, -3, "marvin", 0x0102030405060708 }
 *     fork                forks with fork(2) proper, waits, prints "parent PID child PID"
 *     clone               forks as the C library does, waits, prints the same
 *     open PATH           opens and closes PATH with openat(2)
 *     name TEXT           sets the name of the thread
 *     malloc N            calls malloc(N) and free()
 *     repeat N            repeats everything that follows N times
 *     spin MS             keeps the CPU busy for MS milliseconds
 *     sleep MS            sleeps
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((noinline, noclone, used, externally_visible))

struct fact {
	int32_t id;
	int16_t delta;
	char name[10];
	uint64_t bits;
};

int global_counter = 17;

SEEN int add(int a, int b)
{
	__asm__ volatile("");
	return a + b;
}

SEEN const char *greet(const char *name)
{
	static char text[64];

	snprintf(text, sizeof(text), "hello %s", name);
	return text;
}

SEEN long six_args(long a, long b, long c, long d, long e, long f)
{
	__asm__ volatile("");
	return a + b + c + d + e + f;
}

SEEN long work_a(long n)
{
	__asm__ volatile("");
	return n * 10;
}

SEEN long work_b(long n)
{
	__asm__ volatile("");
	return n * 20;
}

SEEN long work_c(long n)
{
	__asm__ volatile("");
	return n * 30;
}

SEEN long inner(long n)
{
	__asm__ volatile("");
	return n + 1;
}

SEEN long outer(long n)
{
	long result = inner(n + 1);

	__asm__ volatile("");
	return result + 1;
}

SEEN long negate(long n)
{
	__asm__ volatile("");
	return -n;
}

/* Instructions at known offsets: three of one byte, then the return. */
__asm__(".globl three_nops\n.type three_nops, @function\nthree_nops:\n\tnop\n\tnop\n\tnop\n\tret\n"
	".size three_nops, . - three_nops\n");
void three_nops(void);

SEEN int take_struct(const struct fact *fact)
{
	__asm__ volatile("" : : "r"(fact) : "memory");
	return fact->id;
}

static void report_child(long child)
{
	if (child < 0) {
		fprintf(stderr, "hark-prog: fork: %s\n", strerror(errno));
		exit(1);
	}
	if (child == 0)
		_exit(0);
	waitpid((pid_t)child, NULL, 0);
	printf("parent %d child %ld\n", getpid(), child);
}

static void spin(long ms)
{
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static const char *need(char **words, const char *what)
{
	if (!*words) {
		fprintf(stderr, "hark-prog: missing %s\n", what);
		exit(2);
	}
	return *words;
}

static void work(char **words)
{
	while (*words) {
		const char *word = *words++;

		if (!strcmp(word, "add")) {
			int a = atoi(need(words, "A"));
			int b = atoi(need(words + 1, "B"));

			words += 2;
			printf("add %d\n", add(a, b));
		} else if (!strcmp(word, "greet")) {
			puts(greet(need(words++, "NAME")));
		} else if (!strcmp(word, "wide")) {
			printf("wide %ld\n", six_args(1, 2, 3, 4, 5, 6));
		} else if (!strcmp(word, "works")) {
			long a = work_a(1), b = work_b(2), c = work_c(3);

			printf("works %ld %ld %ld\n", a, b, c);
		} else if (!strcmp(word, "nested")) {
			printf("nested %ld\n", outer(5));
		} else if (!strcmp(word, "negative")) {
			printf("negative %ld\n", negate(7));
		} else if (!strcmp(word, "nops")) {
			three_nops();
		} else if (!strcmp(word, "fill")) {
			struct fact fact = { 42, -3, "marvin", 0x0102030405060708 };

			printf("fill %d\n", take_struct(&fact));
		} else if (!strcmp(word, "fork")) {
			fflush(stdout);
			report_child(syscall(SYS_fork));
		} else if (!strcmp(word, "clone")) {
			fflush(stdout);
			report_child(fork());
		} else if (!strcmp(word, "open")) {
			int fd = (int)syscall(SYS_openat, AT_FDCWD, need(words++, "PATH"), O_RDONLY);

			printf("open %s\n", fd < 0 ? strerror(errno) : "ok");
			if (fd >= 0)
				close(fd);
		} else if (!strcmp(word, "name")) {
			prctl(PR_SET_NAME, need(words++, "TEXT"));
		} else if (!strcmp(word, "malloc")) {
			void *volatile p = malloc((size_t)atol(need(words++, "N")));

			free(p);
		} else if (!strcmp(word, "repeat")) {
			long n = atol(need(words++, "N"));

			while (n-- > 0)
				work(words);
			return;
		} else if (!strcmp(word, "spin")) {
			spin(atol(need(words++, "MS")));
		} else if (!strcmp(word, "sleep")) {
			usleep((useconds_t)atol(need(words++, "MS")) * 1000);
		} else {
			fprintf(stderr, "hark-prog: unknown work %s\n", word);
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	work(argv + 1);
	return 0;
}
