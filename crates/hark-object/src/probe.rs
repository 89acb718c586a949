//! What a program is attached to, as the script says it: patterns are not expanded yet.

use std::fmt;

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
        /// The unit that its name has.
        unit: TimeUnit,
    },
    /// On every CPU, every so many nanoseconds of wall time.
    Profile {
        /// Period in nanoseconds; exclusive with `hz`.
        period_ns: u64,
        /// Frequency; 0 if a period was given.
        hz: u64,
        /// The unit that its name has.
        unit: TimeUnit,
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
        /// Only these places of it, by their offsets in the file: those whose arguments are found in the same way.
        /// Empty for all.
        sites: Vec<u64>,
    },
    /// `software`
    Software {
        /// Event name or alias, as the script has it: `page-faults`, `faults`.
        event: String,
        /// Sample period; 0 for the default.
        count: u64,
    },
    /// `hardware`
    Hardware {
        /// Event name or alias, as the script has it: `cpu-cycles`, `cycles`.
        event: String,
        /// Sample period; 0 for the default.
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

/// How the name of a timer says its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `s:1`
    Seconds,
    /// `ms:100`
    Millis,
    /// `us:500`; also of times that are written with their unit, `5ms`.
    Micros,
    /// `hz:99`
    Hertz,
}

impl TimeUnit {
    /// A period as attach points say it.
    fn say(self, period_ns: u64) -> String {
        const SECOND: u64 = 1_000_000_000;
        match self {
            TimeUnit::Seconds => format!("s:{}", period_ns / SECOND),
            TimeUnit::Millis => format!("ms:{}", period_ns / 1_000_000),
            TimeUnit::Micros => format!("us:{}", period_ns / 1000),
            TimeUnit::Hertz => format!("hz:{}", (SECOND + period_ns / 2) / period_ns.max(1)),
        }
    }
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

/// Its full name, as `probe` shows it in the language.
impl fmt::Display for ProbeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = |module: &Option<String>| module.as_ref().map(|m| format!("{m}:")).unwrap_or_default();
        let plus = |offset: &u64| if *offset == 0 { String::new() } else { format!("+{offset}") };
        match self {
            ProbeSpec::Begin => f.write_str("begin"),
            ProbeSpec::End => f.write_str("end"),
            ProbeSpec::SelfSignal { signal: 10 } => f.write_str("self:signal:SIGUSR1"),
            ProbeSpec::SelfSignal { signal } => write!(f, "self:signal:{signal}"),
            ProbeSpec::Test(name) => write!(f, "test:{name}"),
            ProbeSpec::Bench(name) => write!(f, "bench:{name}"),
            ProbeSpec::Interval { period_ns, unit } => write!(f, "interval:{}", unit.say(*period_ns)),
            ProbeSpec::Profile { hz: 0, period_ns, unit } => write!(f, "profile:{}", unit.say(*period_ns)),
            ProbeSpec::Profile { hz, .. } => write!(f, "profile:hz:{hz}"),
            ProbeSpec::Kprobe { module: m, func, offset, ret } => {
                write!(f, "k{}probe:{}{func}{}", if *ret { "ret" } else { "" }, module(m), plus(offset))
            }
            ProbeSpec::KprobeAddr { addr } => write!(f, "kprobe:{addr:#x}"),
            ProbeSpec::Fentry { module: m, func, exit } => {
                write!(f, "f{}:{}{func}", if *exit { "exit" } else { "entry" }, module(m))
            }
            ProbeSpec::Tracepoint { category, event } => write!(f, "tracepoint:{category}:{event}"),
            ProbeSpec::RawTracepoint { event } => write!(f, "rawtracepoint:{event}"),
            ProbeSpec::Uprobe { binary, at, ret } => {
                write!(f, "u{}probe:{binary}", if *ret { "ret" } else { "" })?;
                match at {
                    UserLocation::Symbol { name, offset, cpp } => {
                        write!(f, ":{}{name}{}", if *cpp { "cpp:" } else { "" }, plus(offset))
                    }
                    UserLocation::Address(addr) => write!(f, ":{addr:#x}"),
                    UserLocation::Line { file, line, column } => {
                        write!(f, "@{file}:{line}")?;
                        column.map_or(Ok(()), |column| write!(f, ":{column}"))
                    }
                }
            }
            ProbeSpec::Usdt { binary, provider, name, .. } => {
                write!(f, "usdt:{binary}:{}{name}", module(provider))
            }
            ProbeSpec::Software { event, count: 0 } => write!(f, "software:{event}"),
            ProbeSpec::Hardware { event, count: 0 } => write!(f, "hardware:{event}"),
            ProbeSpec::Software { event, count } => write!(f, "software:{event}:{count}"),
            ProbeSpec::Hardware { event, count } => write!(f, "hardware:{event}:{count}"),
            ProbeSpec::Watchpoint { addr, len, mode } => write!(f, "watchpoint:{addr:#x}:{len}:{mode}"),
            ProbeSpec::Iter { name, pin } => {
                write!(f, "iter:{name}")?;
                pin.as_ref().map_or(Ok(()), |pin| write!(f, ":{pin}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_have_their_names() {
        let at = UserLocation::Symbol { name: "f".into(), offset: 4, cpp: false };
        for (spec, name) in [
            (ProbeSpec::Begin, "begin"),
            (ProbeSpec::Interval { period_ns: 5_000_000, unit: TimeUnit::Millis }, "interval:ms:5"),
            (ProbeSpec::Interval { period_ns: 5_000_000, unit: TimeUnit::Micros }, "interval:us:5000"),
            (ProbeSpec::Interval { period_ns: 10_101_010, unit: TimeUnit::Hertz }, "interval:hz:99"),
            (ProbeSpec::Profile { period_ns: 0, hz: 99, unit: TimeUnit::Hertz }, "profile:hz:99"),
            (ProbeSpec::Software { event: "cs".into(), count: 0 }, "software:cs"),
            (
                ProbeSpec::Kprobe { module: Some("ext4".into()), func: "x*".into(), offset: 0, ret: true },
                "kretprobe:ext4:x*",
            ),
            (ProbeSpec::Uprobe { binary: "/bin/sh".into(), at, ret: false }, "uprobe:/bin/sh:f+4"),
            (
                ProbeSpec::Usdt {
                    binary: "b".into(),
                    provider: Some("p".into()),
                    name: "n".into(),
                    sites: Vec::new(),
                },
                "usdt:b:p:n",
            ),
        ] {
            assert_eq!(spec.to_string(), name);
        }
    }
}
