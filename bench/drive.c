/*
 * Makes events for others to measure: reads lines "EVENT COUNT" from standard input, answers each with "done".
 * Events: getppid (a system call), open (of a file that is not there), call (of the function traced, which returns).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct place {
	int x, y;
	const char *name;
	struct place *next;
};

__attribute__((noinline)) long traced(long n, const char *text, struct place *place)
{
	__asm__ volatile("" : : "r"(n), "r"(text), "r"(place) : "memory");
	return n * 2;
}

int main(void)
{
	struct place second = { 3, 4, "second", NULL }, first = { 1, 2, "first", &second };
	char event[16];
	long count;

	while (scanf("%15s %ld", event, &count) == 2) {
		for (long i = 0; i < count; i++) {
			if (!strcmp(event, "getppid"))
				syscall(SYS_getppid);
			else if (!strcmp(event, "open"))
				open("/nonexistent/of/some/length", O_RDONLY);
			else if (!strcmp(event, "call"))
				traced(i, "a text of some length", &first);
		}
		puts("done");
		fflush(stdout);
	}
	return 0;
}
