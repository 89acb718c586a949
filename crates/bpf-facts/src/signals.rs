//! Signals of Linux (x86-64 and most others) with the texts that the C library gives them.

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalDef {
    /// Number.
    pub number: i32,
    /// `SIGKILL`
    pub name: &'static str,
    /// `Killed`
    pub text: &'static str,
}

const fn s(number: i32, name: &'static str, text: &'static str) -> SignalDef {
    SignalDef { number, name, text }
}

/// The signals that have names, in order. Those from 32 to 64 are for real-time use.
pub static SIGNALS: &[SignalDef] = &[
    s(1, "SIGHUP", "Hangup"),
    s(2, "SIGINT", "Interrupt"),
    s(3, "SIGQUIT", "Quit"),
    s(4, "SIGILL", "Illegal instruction"),
    s(5, "SIGTRAP", "Trace/breakpoint trap"),
    s(6, "SIGABRT", "Aborted"),
    s(7, "SIGBUS", "Bus error"),
    s(8, "SIGFPE", "Floating point exception"),
    s(9, "SIGKILL", "Killed"),
    s(10, "SIGUSR1", "User defined signal 1"),
    s(11, "SIGSEGV", "Segmentation fault"),
    s(12, "SIGUSR2", "User defined signal 2"),
    s(13, "SIGPIPE", "Broken pipe"),
    s(14, "SIGALRM", "Alarm clock"),
    s(15, "SIGTERM", "Terminated"),
    s(16, "SIGSTKFLT", "Stack fault"),
    s(17, "SIGCHLD", "Child exited"),
    s(18, "SIGCONT", "Continued"),
    s(19, "SIGSTOP", "Stopped (signal)"),
    s(20, "SIGTSTP", "Stopped"),
    s(21, "SIGTTIN", "Stopped (tty input)"),
    s(22, "SIGTTOU", "Stopped (tty output)"),
    s(23, "SIGURG", "Urgent I/O condition"),
    s(24, "SIGXCPU", "CPU time limit exceeded"),
    s(25, "SIGXFSZ", "File size limit exceeded"),
    s(26, "SIGVTALRM", "Virtual timer expired"),
    s(27, "SIGPROF", "Profiling timer expired"),
    s(28, "SIGWINCH", "Window changed"),
    s(29, "SIGIO", "I/O possible"),
    s(30, "SIGPWR", "Power failure"),
    s(31, "SIGSYS", "Bad system call"),
];

/// The row of a signal number.
pub fn signal(number: i64) -> Option<&'static SignalDef> {
    SIGNALS.iter().find(|def| i64::from(def.number) == number)
}

/// The number of a signal by its name, with or without `SIG`.
pub fn signal_by_name(name: &str) -> Option<i32> {
    let plain = name.strip_prefix("SIG").unwrap_or(name);
    SIGNALS.iter().find(|def| def.name[3..] == *plain).map(|def| def.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_correspond() {
        assert!(SIGNALS.iter().all(|def| signal_by_name(def.name) == Some(def.number)));
        assert_eq!(signal(9).map(|def| def.text), Some("Killed"));
        assert_eq!(signal_by_name("KILL"), Some(9));
        assert_eq!(signal(500), None);
    }
}
