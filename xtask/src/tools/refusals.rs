//! Which of the scripts cannot run where, and what hark says of it.

/// A script that cannot run on a kernel: which, where (`guests`: on all but this machine's own), and a
/// part of what hark must say.
pub(super) type Refusal = (&'static str, &'static str, &'static str);

/// Of a kernel that is configured without kprobes.
const NO_KPROBES: &str = "configured without kprobes";

/// A row that is no longer true fails the run, as does a refusal without a row. Rows for `native` are of a kernel without
/// kprobes; they are not looked at where there are some.
pub(super) const REFUSALS: &[Refusal] = &[
    ("biolatency-kp", "native", "nothing to attach to"),
    ("capable", "native", NO_KPROBES),
    ("dcsnoop", "native", NO_KPROBES),
    // Its symbol is not among those that such a kernel lists.
    ("loads", "native", "the kernel has no symbol avenrun"),
    ("mdflush", "native", NO_KPROBES),
    ("oomkill", "native", NO_KPROBES),
    ("swapin", "native", "nothing to attach to"),
    ("tcpaccept", "native", NO_KPROBES),
    ("tcpconnect", "native", NO_KPROBES),
    ("tcplife", "native", NO_KPROBES),
    ("tcpretrans", "native", NO_KPROBES),
    ("tcpsynbl", "native", NO_KPROBES),
    ("undump", "native", NO_KPROBES),
    ("vfscount", "native", NO_KPROBES),
    ("vfsstat", "native", NO_KPROBES),
    ("xfsdist", "native", "nothing to attach to"),
    // Guests have neither bash nor libssl; their C library has no libpthread beside it.
    ("bashreadline", "guests", "no such file: /bin/bash"),
    ("ssllatency", "guests", "no library `libssl`"),
    ("sslsnoop", "guests", "no library `libssl`"),
    ("threadsnoop", "guests", "no library `libpthread`"),
    // A function of the module md, which is not loaded there.
    ("mdflush", "guests", "kprobe:md_flush_request: this kernel has no such function"),
    ("mdflush", "5.10", "struct bio has no member bi_bdev"),
    // The tracepoints came with 6.5.
    ("biosnoop", "5.10", "tracepoint not found: block:block_io_start"),
    ("biosnoop", "6.1", "tracepoint not found: block:block_io_start"),
    ("biostacks", "5.10", "tracepoint not found: block:block_io_start"),
    ("biostacks", "6.1", "tracepoint not found: block:block_io_start"),
    // The member has had this name since 6.14.
    ("runqlen", "5.10", "struct cfs_rq has no member nr_queued"),
    ("runqlen", "6.1", "struct cfs_rq has no member nr_queued"),
    ("runqlen", "6.12", "struct cfs_rq has no member nr_queued"),
    // Reasons of drops came with 5.17.
    ("tcpdrop", "5.10", "tracepoint:skb:kfree_skb has no argument reason"),
];
