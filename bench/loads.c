/*
 * Runs a command and says what programs it loads: loads [--root DIR] [--versioned] COMMAND...
 *
 * Nothing is attached: whatever would attach a program fails. For every program, a line on standard error:
 * "program NAME XLATED_INSNS JITED_BYTES VERIFIED_INSNS STACK_BYTES". With --versioned, only programs that were loaded
 * with a kernel version, which tells a script's programs from those that a loader asks the kernel questions with.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

/* The part of the kernel's answer to PTRACE_GET_SYSCALL_INFO that is used. */
struct syscall_info {
	uint8_t op, pad[3];
	uint32_t arch;
	uint64_t ip, sp;
	union {
		struct {
			uint64_t nr, args[6];
		} entry;
		struct {
			int64_t value;
			uint8_t is_error;
		} exit;
	};
	uint64_t more[2];
};

/* Attaching fails; loading stops for the tracer. The low half of the first argument is what bpf(2) is to do. */
static void filter_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_LOAD, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_LINK_CREATE, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_RAW_TRACEPOINT_OPEN, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BPF_PROG_ATTACH, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBADF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		_exit(126);
	}
}

static int read_memory(pid_t pid, uint64_t from, void *to, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)(uintptr_t)from, len };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)len ? 0 : -1;
}

/* How far below the frame pointer the code reaches: by loads and stores, and by addresses made from it. */
static int stack_bytes(const struct bpf_insn *insns, size_t n)
{
	int low = 0;

	for (size_t i = 0; i < n; i++) {
		int class = BPF_CLASS(insns[i].code), off = 0;

		if ((class == BPF_ST || class == BPF_STX) && insns[i].dst_reg == BPF_REG_10)
			off = insns[i].off;
		else if (class == BPF_LDX && insns[i].src_reg == BPF_REG_10)
			off = insns[i].off;
		else if (i && insns[i].code == (BPF_ALU64 | BPF_ADD | BPF_K) &&
			 insns[i - 1].code == (BPF_ALU64 | BPF_MOV | BPF_X) &&
			 insns[i - 1].src_reg == BPF_REG_10 && insns[i - 1].dst_reg == insns[i].dst_reg)
			off = insns[i].imm;
		if (off < low)
			low = off;
	}
	return (-low + 7) / 8 * 8;
}

static void report(pid_t pid, int remote_fd)
{
	static struct bpf_insn insns[1 << 20];
	struct bpf_prog_info info;
	union bpf_attr attr;
	int process = syscall(SYS_pidfd_open, pid, 0);
	int fd = process < 0 ? -1 : syscall(SYS_pidfd_getfd, process, remote_fd, 0);

	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	info.xlated_prog_insns = (uintptr_t)insns;
	info.xlated_prog_len = sizeof(insns);
	attr.info.bpf_fd = fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	if (fd < 0 || syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)))
		perror("loads: information on a program");
	else
		fprintf(stderr, "program %s %zu %u %u %d\n", info.name[0] ? info.name : "-",
			info.xlated_prog_len / sizeof(*insns), info.jited_prog_len, info.verified_insns,
			stack_bytes(insns, info.xlated_prog_len / sizeof(*insns)));
	if (fd >= 0)
		close(fd);
	if (process >= 0)
		close(process);
}

/* The thread group of a thread: file descriptors are taken from that. */
static pid_t group_of(pid_t thread)
{
	char path[64], line[128];
	pid_t group = thread;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", thread);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &group) == 1)
			break;
	if (file)
		fclose(file);
	return group;
}

int main(int argc, char **argv)
{
	const char *root = NULL;
	int versioned = 0, status, last = 0;
	pid_t child, at;

	for (argv++; *argv && argv[0][0] == '-'; argv++) {
		if (!strcmp(*argv, "--versioned"))
			versioned = 1;
		else if (!strcmp(*argv, "--root") && argv[1])
			root = *++argv;
		else
			break;
	}
	if (argc < 2 || !*argv) {
		fprintf(stderr, "usage: loads [--root DIR] [--versioned] COMMAND...\n");
		return 2;
	}
	/* A script that runs on because it attaches nothing ends with its tracer. */
	alarm(60);
	child = fork();
	if (child == 0) {
		if (root && (chroot(root) || chdir("/"))) {
			perror(root);
			_exit(126);
		}
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		filter_system_calls();
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 ||
	    ptrace(PTRACE_SETOPTIONS, child, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			   PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL)) {
		perror("loads");
		return 2;
	}
	ptrace(PTRACE_CONT, child, 0, 0);
	while ((at = waitpid(-1, &status, __WALL)) > 0) {
		struct syscall_info call;
		int signal = 0;

		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (at == child)
				last = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
			/* Run on to where the system call returns, if this program counts. */
			uint32_t version = 0;

			memset(&call, 0, sizeof(call));
			ptrace(PTRACE_GET_SYSCALL_INFO, at, sizeof(call), &call);
			read_memory(at, call.entry.args[1] + offsetof(union bpf_attr, kern_version), &version,
				    sizeof(version));
			ptrace(!versioned || version ? PTRACE_SYSCALL : PTRACE_CONT, at, 0, 0);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			memset(&call, 0, sizeof(call));
			ptrace(PTRACE_GET_SYSCALL_INFO, at, sizeof(call), &call);
			/* Without this the answer to the question at entry would be taken for a result. */
			if (call.op == 2) {
				if (call.exit.value >= 0)
					report(group_of(at), call.exit.value);
				ptrace(PTRACE_CONT, at, 0, 0);
			} else {
				ptrace(PTRACE_SYSCALL, at, 0, 0);
			}
			continue;
		}
		if (!(status >> 16) && WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGTRAP)
			signal = WSTOPSIG(status);
		ptrace(PTRACE_CONT, at, 0, signal);
	}
	fprintf(stderr, "status %d\n", last);
	return 0;
}
