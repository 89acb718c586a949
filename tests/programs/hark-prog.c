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
 *     mangled             calls ns::f(long) with 5 and ns::f(char const*) with "five", as C++ names them
 *     unsized             calls a function whose symbol has no size
 *     usdt                passes the static probes hark:* once each, the sites of hark:many in two functions
 *     enabled             prints whether somebody listens to hark:guarded
 *     watch N             writes 1 to N to the variable watched, which has a fixed address if statically linked
 *     uid N               becomes user N with setresuid(2)
 *     peek                reads its own memory with process_vm_readv(2)
 *     trace               is traced by its parent with ptrace(2), PTRACE_TRACEME, in a child
 *     move-lo PATH        asks to move the device lo to the network namespace of a file, which is refused
 *     lookup HOST         looks a host up with getaddrinfo (only where linked dynamically)
 *     malloc N            calls malloc(N) and free()
 *     repeat N            repeats everything that follows N times
 *     spin MS             keeps the CPU busy for MS milliseconds
 *     sleep MS            sleeps
 *     await PATH          waits until the file exists
 *     lined               calls on_a_line(4), which stands on line 102 of lines.c
 *     inlined             calls around(4), into which within(), line 109 of lines.c, is inlined
 *     made                makes a function made_here at run time, says so in /tmp/perf-PID.map, and calls it; it calls
 *                         called_by_made(), which calls inner(1)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

SEEN void called_by_made(void)
{
	inner(1);
	__asm__ volatile("");
}

static void made(void)
{
#ifdef __x86_64__
	/* push %rbp; mov %rsp, %rbp; movabs $called_by_made, %rax; call *%rax; pop %rbp; ret */
	unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0, 0x5d, 0xc3 };
	void (*callee)(void) = called_by_made;
	char path[64];
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *names;

	memcpy(code + 6, &callee, sizeof(callee));
	memcpy(page, code, sizeof(code));
	mprotect(page, 4096, PROT_READ | PROT_EXEC);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	names = fopen(path, "w");
	if (!names)
		exit(1);
	fprintf(names, "%lx %lx made_here\n", (unsigned long)page, sizeof(code));
	fclose(names);
	memcpy(&callee, &page, sizeof(callee));
	callee();
#endif
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

/*
 * Static probes, written by hand in the form that DTRACE_PROBE of sys/sdt.h gives them: a nop, and a note with its
 * address, that of a section by which prelinking is noticed, that of a counter of listeners, names and arguments.
 */
#define STATIC_PROBE(name, semaphore, arguments, ...) \
	__asm__ volatile("990:\tnop\n" \
		"\t.pushsection .note.stapsdt, \"\", \"note\"\n" \
		"\t.balign 4\n" \
		"\t.4byte 992f - 991f, 994f - 993f, 3\n" \
		"991:\t.asciz \"stapsdt\"\n" \
		"992:\t.balign 4\n" \
		"993:\t.8byte 990b, _.stapsdt.base, " semaphore "\n" \
		"\t.asciz \"hark\"\n" \
		"\t.asciz \"" name "\"\n" \
		"\t.asciz \"" arguments "\"\n" \
		"994:\t.balign 4\n" \
		"\t.popsection\n" \
		"\t.ifndef _.stapsdt.base\n" \
		"\t.pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n" \
		"\t.weak _.stapsdt.base\n" \
		"\t.hidden _.stapsdt.base\n" \
		"_.stapsdt.base:\t.space 1\n" \
		"\t.size _.stapsdt.base, 1\n" \
		"\t.popsection\n" \
		"\t.endif\n" : : __VA_ARGS__)

/* How many listen to hark:guarded; the kernel counts. */
__attribute__((section(".probes"), used)) volatile unsigned short hark_guarded_semaphore;

int usdt_number = -6;
int usdt_array[4] = { 10, 20, 30, 40 };

SEEN void usdt_kinds(const char *text, int n, long big, signed char byte)
{
	struct fact fact = { 7, -8, "inside", 9 };

	/* Register of four, eight and one bytes, a constant, memory at a register, at a register with a scaled index, a symbol. */
	STATIC_PROBE("kinds", "0", "-4@%k[n] 8@%[big] -1@%b[byte] -4@$-5 -2@4(%[fact]) -4@4(%[array],%[two],4) "
		"-4@usdt_number(%%rip) 8@%[text]",
		[n] "r"(n), [big] "r"(big), [byte] "q"(byte), [fact] "r"(&fact), [array] "r"(usdt_array),
		[two] "r"(2L), [text] "r"(text), "m"(fact));
}

SEEN void usdt_here(long n)
{
	STATIC_PROBE("many", "0", "8@%[n]", [n] "r"(n));
}

/* The same probe, with its argument elsewhere. */
SEEN void usdt_there(long n)
{
	volatile long kept = n * 100;

	STATIC_PROBE("many", "0", "8@%[kept]", [kept] "m"(kept));
}

SEEN void usdt_guarded(int n)
{
	STATIC_PROBE("guarded", "hark_guarded_semaphore", "-4@%k[n]", [n] "r"(n));
}

SEEN void usdt_plain(void)
{
	STATIC_PROBE("plain", "0", "", "i"(0));
}

/* At an address that the linker is told, if the program is linked statically. */
__attribute__((section(".watched"))) volatile int watched = 1;

/* Two overloads, by the names that a C++ compiler gives them. */
long ns_f_long(long n) __asm__("_ZN2ns1fEl");
long ns_f_text(const char *text) __asm__("_ZN2ns1fEPKc");

SEEN long ns_f_long(long n)
{
	__asm__ volatile("");
	return n + 1;
}

SEEN long ns_f_text(const char *text)
{
	__asm__ volatile("");
	return text[0];
}

/* Nobody says where it ends. */
__asm__(".globl unsized\n.type unsized, @function\nunsized:\n\tnop\n\tret\n");
void unsized(void);

long on_a_line(long n);
long around(long n);

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

/* An RTM_SETLINK message with IFLA_NET_NS_FD; lo may not leave its namespace. */
static void move_lo(const char *path)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
		struct rtattr attr;
		int fd;
	} message = {
		.head = { .nlmsg_len = sizeof(message), .nlmsg_type = RTM_SETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .ifi_index = 1 },
		.attr = { .rta_len = RTA_LENGTH(sizeof(int)), .rta_type = IFLA_NET_NS_FD },
	};
	int sock = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	char answer[512];

	message.fd = open(path, O_RDONLY);
	if (sock < 0 || message.fd < 0 || send(sock, &message, sizeof(message), 0) < 0 ||
	    recv(sock, answer, sizeof(answer), 0) < 0) {
		perror("hark-prog: move-lo");
		exit(2);
	}
	close(message.fd);
	close(sock);
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
		} else if (!strcmp(word, "mangled")) {
			printf("mangled %ld %ld\n", ns_f_long(5), ns_f_text("five"));
		} else if (!strcmp(word, "unsized")) {
			unsized();
		} else if (!strcmp(word, "usdt")) {
			usdt_kinds("words", 11, 0x1122334455667788, -3);
			usdt_here(1);
			usdt_there(2);
			if (hark_guarded_semaphore)
				usdt_guarded(12);
			usdt_plain();
		} else if (!strcmp(word, "enabled")) {
			printf("enabled %d\n", hark_guarded_semaphore);
		} else if (!strcmp(word, "watch")) {
			int n = atoi(need(words++, "N"));

			for (int i = 1; i <= n; i++)
				watched = i;
		} else if (!strcmp(word, "uid")) {
			uid_t uid = (uid_t)atoi(need(words++, "N"));

			printf("uid %d\n", setresuid(uid, uid, uid));
		} else if (!strcmp(word, "peek")) {
			int to;
			struct iovec local = { &to, sizeof(to) }, remote = { &global_counter, sizeof(to) };

			printf("peek %zd\n", process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
		} else if (!strcmp(word, "trace")) {
			pid_t pid = fork();

			if (pid == 0)
				_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) ? 1 : 0);
			waitpid(pid, NULL, 0);
		} else if (!strcmp(word, "move-lo")) {
			move_lo(need(words++, "PATH"));
#ifdef DYNAMIC
		} else if (!strcmp(word, "lookup")) {
			struct addrinfo *found = NULL;

			printf("lookup %d\n", getaddrinfo(need(words++, "HOST"), NULL, NULL, &found));
			if (found)
				freeaddrinfo(found);
#endif
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
		} else if (!strcmp(word, "await")) {
			const char *path = need(words++, "PATH");

			while (access(path, F_OK) != 0)
				usleep(20000);
		} else if (!strcmp(word, "lined")) {
			printf("lined %ld\n", on_a_line(4));
		} else if (!strcmp(word, "inlined")) {
			printf("inlined %ld\n", around(4));
		} else if (!strcmp(word, "made")) {
			made();
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

/* Lines with numbers that do not change when something above does. */
#line 100 "lines.c"
SEEN long on_a_line(long n)
{
	__asm__ volatile("");
	return n * 3;
}

static inline __attribute__((always_inline)) long within(long n)
{
	__asm__ volatile("nop");
	return n + 1;
}

SEEN long around(long n)
{
	long result = within(n);

	__asm__ volatile("");
	return result * 2;
}
