//! Waiting for several things at once: rings, signals, timers, the end of processes.

use crate::errno::{Errno, Result, SysError};
use crate::raw;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Waits for descriptors to become readable.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
}

impl Poller {
    /// # Errors
    /// `EMFILE` if there are too many open files.
    pub fn new() -> Result<Poller> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map(|epoll| Poller { epoll })
            .map_err(|errno| SysError::new("epoll_create1", "event loop", errno.into()))
    }

    /// Waits for `fd` from now on, and reports it as `token`. Closing `fd` ends that.
    ///
    /// # Errors
    /// `EPERM` if the descriptor cannot be waited for, such as a file.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> Result<()> {
        self.epoll
            .add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
            .map_err(|errno| SysError::new("epoll_ctl", "event loop", errno.into()))
    }

    /// Stops waiting for `fd`.
    ///
    /// # Errors
    /// `ENOENT` if it was not added.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.epoll.delete(fd).map_err(|errno| SysError::new("epoll_ctl", "event loop", errno.into()))
    }

    /// Fills `ready` with the tokens of what can be read, or leaves it empty after `timeout` (`None`: wait for ever).
    ///
    /// # Errors
    /// None in practice.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut events = [EpollEvent::empty(); 32];
        loop {
            let left = match deadline {
                None => EpollTimeout::NONE,
                // Rounded up: a wait of half a millisecond must not become a busy loop.
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let millis = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
                    EpollTimeout::try_from(millis as i32).unwrap_or(EpollTimeout::MAX)
                }
            };
            match self.epoll.wait(&mut events, left) {
                Ok(n) => {
                    ready.extend(events[..n].iter().map(EpollEvent::data));
                    return Ok(());
                }
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(SysError::new("epoll_wait", "event loop", errno.into())),
            }
        }
    }
}

/// A signal that hark handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `SIGHUP`
    Hangup,
    /// `SIGINT`
    Interrupt,
    /// `SIGQUIT`
    Quit,
    /// `SIGUSR1`
    User1,
    /// `SIGUSR2`
    User2,
    /// `SIGTERM`
    Terminate,
    /// `SIGCHLD`
    Child,
}

impl Signal {
    const ALL: [Signal; 7] = [
        Signal::Hangup,
        Signal::Interrupt,
        Signal::Quit,
        Signal::User1,
        Signal::User2,
        Signal::Terminate,
        Signal::Child,
    ];

    const fn nix(self) -> NixSignal {
        match self {
            Signal::Hangup => NixSignal::SIGHUP,
            Signal::Interrupt => NixSignal::SIGINT,
            Signal::Quit => NixSignal::SIGQUIT,
            Signal::User1 => NixSignal::SIGUSR1,
            Signal::User2 => NixSignal::SIGUSR2,
            Signal::Terminate => NixSignal::SIGTERM,
            Signal::Child => NixSignal::SIGCHLD,
        }
    }

    /// Its number.
    pub const fn number(self) -> i32 {
        self.nix() as i32
    }
}

/// Signals as something to read. Dropping it lets them take their usual effect again.
///
/// To be made before any thread is started: a thread that does not inherit the mask would receive them.
#[derive(Debug)]
pub struct Signals {
    fd: SignalFd,
    mask: SigSet,
}

impl Signals {
    /// Holds back `signals` from this thread and those it starts from now on.
    ///
    /// # Errors
    /// `EMFILE` if there are too many open files.
    pub fn catch(signals: &[Signal]) -> Result<Signals> {
        let failed = |errno: nix::errno::Errno| SysError::new("signalfd", "signals", errno.into());
        let mask: SigSet = signals.iter().map(|signal| signal.nix()).collect();
        mask.thread_block().map_err(failed)?;
        let fd =
            SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(failed)?;
        Ok(Signals { fd, mask })
    }

    /// The next signal that has come, if any.
    ///
    /// # Errors
    /// None in practice.
    pub fn next(&self) -> Result<Option<Signal>> {
        let info = self.fd.read_signal().map_err(|errno| SysError::new("read", "signalfd", errno.into()))?;
        Ok(info
            .and_then(|info| Signal::ALL.into_iter().find(|signal| signal.number() as u32 == info.ssi_signo)))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.mask.thread_unblock();
    }
}

/// A timer as something to wait for.
#[derive(Debug)]
pub struct Timer {
    fd: TimerFd,
}

impl Timer {
    /// Fires every `period`, first after one; `period` of zero never fires.
    ///
    /// # Errors
    /// `EMFILE` if there are too many open files.
    pub fn every(period: Duration) -> Result<Timer> {
        Timer::set(period, Expiration::Interval(period.into()))
    }

    /// Fires once, after `delay`.
    ///
    /// # Errors
    /// `EMFILE` if there are too many open files.
    pub fn once(delay: Duration) -> Result<Timer> {
        // Zero would disarm it.
        let delay = delay.max(Duration::from_nanos(1));
        Timer::set(delay, Expiration::OneShot(delay.into()))
    }

    fn set(first: Duration, expiration: Expiration) -> Result<Timer> {
        let failed = |errno: nix::errno::Errno| SysError::new("timerfd", "timer", errno.into());
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed)?;
        if !first.is_zero() {
            fd.set(expiration, TimerSetTimeFlags::empty()).map_err(failed)?;
        }
        Ok(Timer { fd })
    }

    /// Lets it fire once, after `delay`, whatever it was set to before.
    ///
    /// # Errors
    /// None in practice.
    pub fn rearm(&self, delay: Duration) -> Result<()> {
        let delay = delay.max(Duration::from_nanos(1));
        self.fd
            .set(Expiration::OneShot(delay.into()), TimerSetTimeFlags::empty())
            .map_err(|errno| SysError::new("timerfd", "timer", errno.into()))
    }

    /// Whether it has fired since this was last asked.
    pub fn fired(&self) -> bool {
        self.fd.wait().is_ok()
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Another process, held by descriptor so that its number cannot come to mean somebody else (since 5.3).
#[derive(Debug)]
pub struct Process {
    pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// # Errors
    /// `ESRCH` if there is no such process; `EINVAL` if the number is that of a thread.
    pub fn open(pid: u32) -> Result<Process> {
        let failed = |errno| SysError::new("pidfd_open", format!("process {pid}"), errno);
        if pid == 0 || i32::try_from(pid).is_err() {
            return Err(failed(Errno::ESRCH));
        }
        raw::pidfd_open(pid).map(|fd| Process { pid, fd }).map_err(failed)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        let mut poll = [nix::poll::PollFd::new(self.fd.as_fd(), nix::poll::PollFlags::POLLIN)];
        matches!(nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO), Ok(0))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` if it has ended, `EPERM` without rights.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        raw::pidfd_send_signal(self.fd.as_fd(), signal.number())
            .map_err(|errno| SysError::new("pidfd_send_signal", format!("process {}", self.pid), errno))
    }
}

impl AsFd for Process {
    /// Becomes readable when the process ends.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_what_is_ready_and_nothing_else() {
        let poller = Poller::new().expect("poller");
        let soon = Timer::once(Duration::from_millis(1)).expect("timer");
        let never = Timer::every(Duration::ZERO).expect("timer");
        poller.add(soon.as_fd(), 7).expect("added");
        poller.add(never.as_fd(), 8).expect("added");
        let mut ready = Vec::new();
        poller.wait(Some(Duration::from_secs(5)), &mut ready).expect("waited");
        assert_eq!(ready, [7]);
        assert!(soon.fired() && !soon.fired() && !never.fired());
        poller.wait(Some(Duration::ZERO), &mut ready).expect("waited");
        assert!(ready.is_empty());
        soon.rearm(Duration::from_millis(1)).expect("set again");
        poller.wait(Some(Duration::from_secs(5)), &mut ready).expect("waited");
        assert_eq!(ready, [7]);
    }

    #[test]
    fn signals_are_read_instead_of_taken() {
        let signals = Signals::catch(&[Signal::User2]).expect("signals");
        assert_eq!(signals.next().expect("read"), None);
        nix::sys::signal::raise(NixSignal::SIGUSR2).expect("raised");
        assert_eq!(signals.next().expect("read"), Some(Signal::User2));
    }

    #[test]
    fn processes_are_alive_until_they_end() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let process = Process::open(child.id()).expect("a process");
        assert!(process.is_alive());
        process.signal(Signal::Terminate).expect("signalled");
        child.wait().expect("its end");
        assert!(!process.is_alive());
        assert_eq!(Process::open(0).expect_err("nobody").errno, Errno::ESRCH);
    }
}
