//! What a program is attached to, as the script says it: patterns are not expanded yet.

/// A probe as the script says it. Names may hold `*` and `?` where the kind allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeSpec {
    /// Before any other probe is attached.
    Begin,
    /// After all others are detached.
    End,
    /// `self:signal:SIGUSR1`
    SelfSignal {
        /// Signal number.
        signal: i32,
    },
    /// `test:NAME`
    Test(String),
    /// `bench:NAME`
    Bench(String),
    /// On one CPU, every so many nanoseconds.
    Interval {
        /// Period in nanoseconds.
        period_ns: u64,
    },
    /// On every CPU, every so many nanoseconds of wall time.
    Profile {
        /// Period in nanoseconds; exclusive with `hz`.
        period_ns: u64,
        /// Frequency; 0 if a period was given.
        hz: u64,
    },
    /// `kprobe`, `kretprobe`
    Kprobe {
        /// Module, if named.
        module: Option<String>,
        /// Function; may hold wildcards.
        func: String,
        /// Offset into the function.
        offset: u64,
        /// Return probe.
        ret: bool,
    },
    /// `kprobe:0xADDR`
    KprobeAddr {
        /// Address.
        addr: u64,
    },
    /// `fentry`, `fexit`
    Fentry {
        /// Module, if named.
        module: Option<String>,
        /// Function; expanded by the compiler, as the program depends on it.
        func: String,
        /// At exit.
        exit: bool,
    },
    /// `tracepoint`
    Tracepoint {
        /// Category; may hold wildcards.
        category: String,
        /// Event; may hold wildcards.
        event: String,
    },
    /// `rawtracepoint`
    RawTracepoint {
        /// Event; may hold wildcards.
        event: String,
    },
    /// `uprobe`, `uretprobe`
    Uprobe {
        /// Path, library name or command, as written; may hold wildcards.
        binary: String,
        /// Where in it.
        at: UserLocation,
        /// Return probe.
        ret: bool,
    },
    /// `usdt`
    Usdt {
        /// Path, library name or command, as written; may hold wildcards.
        binary: String,
        /// Provider; may hold wildcards.
        provider: Option<String>,
        /// Probe; may hold wildcards.
        name: String,
    },
    /// `software`
    Software {
        /// Event name as in the documentation (`page-faults`), aliases resolved.
        event: String,
        /// Sample period.
        count: u64,
    },
    /// `hardware`
    Hardware {
        /// Event name as in the documentation (`cpu-cycles`), aliases resolved.
        event: String,
        /// Sample period.
        count: u64,
    },
    /// `watchpoint`
    Watchpoint {
        /// Address.
        addr: u64,
        /// 1, 2, 4 or 8.
        len: u64,
        /// Letters of `rwx`.
        mode: String,
    },
    /// `iter`
    Iter {
        /// `task`, `task_file`…
        name: String,
        /// Where to pin it.
        pin: Option<String>,
    },
}

/// A place in a binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserLocation {
    /// A symbol (may hold wildcards) and an offset into it.
    Symbol {
        /// Name.
        name: String,
        /// Offset.
        offset: u64,
        /// Match demangled C++ names.
        cpp: bool,
    },
    /// A virtual address of the file.
    Address(u64),
    /// A line of a source file.
    Line {
        /// Source file.
        file: String,
        /// Line, from 1.
        line: u32,
        /// Column, from 1, if given.
        column: Option<u32>,
    },
}
