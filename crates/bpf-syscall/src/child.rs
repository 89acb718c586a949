//! A command to trace: started, held before its first instruction, let go once probes are attached.

#![expect(unsafe_code, reason = "std's Command cannot hold a child between fork and exec")]

use crate::errno::{Errno, Result, SysError};
use crate::wait::{Process, Signal};
use nix::fcntl::OFlag;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, pipe2};
use std::env;
use std::ffi::{CString, OsStr};
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Why a command line cannot be split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote is never closed.
    #[error("unbalanced {0} in the command")]
    Unbalanced(char),
    /// It ends with a backslash.
    #[error("the command ends with a backslash")]
    Backslash,
    /// There is no word in it.
    #[error("the command is empty")]
    Empty,
}

/// Splits a command line as a shell splits words and quotes: blanks separate, `'…'` is taken as it is, in `"…"` and
/// outside a backslash protects the next character. Nothing else of a shell happens.
///
/// # Errors
/// If a quote is left open or no word is there.
pub fn split_words(command: &str) -> std::result::Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(SplitError::Unbalanced('\'')),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(SplitError::Unbalanced('"')),
                        },
                        Some(c) => word.push(c),
                        None => return Err(SplitError::Unbalanced('"')),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(SplitError::Backslash),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(SplitError::Empty) } else { Ok(words) }
}

/// Makes this process the parent of what its children leave behind: [`any_left`] knows of those, too.
///
/// # Errors
/// None in practice (since 3.4).
pub fn adopt_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|errno| SysError::new("prctl(PR_SET_CHILD_SUBREAPER)", "this process", errno.into()))
}

/// Whether any child of ours still runs. Those that have ended are reaped.
///
/// # Errors
/// None in practice.
pub fn any_left() -> Result<bool> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Ok(true),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(nix::errno::Errno::ECHILD) => return Ok(false),
            Err(errno) => return Err(SysError::new("waitpid", "children", errno.into())),
        }
    }
}

/// A child process of ours. Dropping it ends it with `SIGTERM`, if it still runs; so does our own death, however it
/// comes (the thread that started it must live as long).
#[derive(Debug)]
pub struct Child {
    command: String,
    process: Process,
    /// Closing it without writing makes a held child go away.
    gate: Option<OwnedFd>,
    report: OwnedFd,
    exit: Option<Exit>,
}

impl Child {
    /// Starts a process that will become the command `words` when [`released`](Child::release). The command is
    /// looked for in `$PATH` unless its name holds a `/`. It gets our standard input and output, and no signal is
    /// blocked or ignored in it.
    ///
    /// # Errors
    /// `ENOENT` or `EACCES` if there is no such command; `EAGAIN` at the limit of processes.
    pub fn spawn_held(words: &[String]) -> Result<Child> {
        let command = words.first().cloned().unwrap_or_default();
        let failed = |call, errno: Errno| SysError::new(call, command.clone(), errno);
        let path = find_command(&command).map_err(|errno| {
            failed("execve", errno).with_hint("there is no such command: check the name and $PATH")
        })?;
        let image = Image::new(&path, words).map_err(|errno| failed("execve", errno))?;
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("pipe2", errno.into()));
        let (gate_read, gate) = pipe()?;
        let (report, report_write) = pipe()?;
        let parent = nix::unistd::getpid();
        // SAFETY: the child calls only functions that are safe after fork, on memory prepared before it.
        let forked = unsafe { nix::unistd::fork() }.map_err(|errno| failed("fork", errno.into()))?;
        let pid = match forked {
            ForkResult::Child => {
                held(&image, parent, gate_read.as_raw_fd(), gate.as_raw_fd(), report_write.as_raw_fd())
            }
            ForkResult::Parent { child } => child,
        };
        let process = Process::open(pid.as_raw() as u32)?;
        Ok(Child { command, process, gate: Some(gate), report, exit: None })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Lets it run. Returns once it has become the command.
    ///
    /// # Errors
    /// Why it could not: `ENOEXEC`, `EACCES`, `ENOENT` of an interpreter…
    pub fn release(&mut self) -> Result<()> {
        let Some(gate) = self.gate.take() else { return Ok(()) };
        let failed = |errno| SysError::new("execve", self.command.clone(), errno);
        nix::unistd::write(&gate, b"!").map_err(|errno| failed(errno.into()))?;
        // Closed by exec; otherwise it carries the error number.
        let report = self.report.try_clone().map_err(|error| failed(Errno::of(&error)))?;
        let mut errno = Vec::new();
        fs::File::from(report).read_to_end(&mut errno).map_err(|error| failed(Errno::of(&error)))?;
        match <[u8; 4]>::try_from(errno) {
            Ok(errno) => Err(failed(Errno(i32::from_ne_bytes(errno)))),
            Err(_) => Ok(()),
        }
    }

    /// As [`release`](Child::release), but the command is held before its first instruction: [`resume`](Child::resume)
    /// lets it run.
    ///
    /// # Errors
    /// As `release`; `EPERM` where tracing is forbidden.
    pub fn release_stopped(&mut self) -> Result<()> {
        let failed = |errno: nix::errno::Errno| SysError::new("ptrace", self.command.clone(), errno.into());
        let pid = Pid::from_raw(self.pid() as i32);
        ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACEEXEC).map_err(failed)?;
        self.release()?;
        let failed = |errno: nix::errno::Errno| SysError::new("waitpid", self.command.clone(), errno.into());
        // Signals that come in between stop it, too, and are its own.
        while let WaitStatus::Stopped(_, signal) = waitpid(pid, None).map_err(failed)? {
            ptrace::cont(pid, signal).map_err(failed)?;
        }
        Ok(())
    }

    /// Lets a command run that is held.
    ///
    /// # Errors
    /// `ESRCH` if it is not.
    pub fn resume(&mut self) -> Result<()> {
        ptrace::detach(Pid::from_raw(self.pid() as i32), None)
            .map_err(|errno| SysError::new("ptrace", self.command.clone(), errno.into()))
    }

    /// How it ended, if it has; never waits. The first answer is kept.
    ///
    /// # Errors
    /// `ECHILD` if somebody else has reaped it.
    pub fn try_reap(&mut self) -> Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = self.reap(WaitPidFlag::WNOHANG)?;
        }
        Ok(self.exit)
    }

    fn reap(&self, flags: WaitPidFlag) -> Result<Option<Exit>> {
        let pid = Pid::from_raw(self.pid() as i32);
        loop {
            match waitpid(pid, Some(flags)) {
                Ok(WaitStatus::Exited(_, code)) => return Ok(Some(Exit::Code(code))),
                Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Some(Exit::Signal(signal as i32))),
                Ok(_) => return Ok(None),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(SysError::new("waitpid", self.command.clone(), errno.into())),
            }
        }
    }

    /// Ends it with `SIGTERM`, if it still runs. Does not wait.
    ///
    /// # Errors
    /// `EPERM` if it runs as somebody else now.
    pub fn terminate(&mut self) -> Result<()> {
        if self.try_reap()?.is_some() {
            return Ok(());
        }
        self.process.signal(Signal::Terminate)
    }
}

impl AsFd for Child {
    /// Becomes readable when the process ends.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let held = self.gate.take().is_some();
        let _ = self.terminate();
        if held {
            // It has nothing to lose and is gone at once; leave no zombie.
            let _ = self.reap(WaitPidFlag::empty());
        } else {
            let _ = self.try_reap();
        }
    }
}

/// What execve(2) takes, prepared before fork: afterwards nothing may be allocated.
struct Image {
    path: CString,
    #[expect(dead_code, reason = "owns what the pointers point to")]
    strings: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
}

impl Image {
    fn new(path: &Path, words: &[String]) -> std::result::Result<Image, Errno> {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
        let mut strings = Vec::new();
        for word in words {
            strings.push(c_string(word.as_bytes())?);
        }
        for (name, value) in env::vars_os() {
            strings.push(c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(&strings[..words.len()]), pointers(&strings[words.len()..]));
        Ok(Image { path: c_string(path.as_os_str().as_bytes())?, strings, argv, envp })
    }
}

/// What the child does: waits at the gate, then becomes the command.
fn held(image: &Image, parent: Pid, gate: RawFd, gate_write: RawFd, report: RawFd) -> ! {
    let mut byte = 0u8;
    // SAFETY: closes our own copy of a descriptor, so that the parent's death closes the last one.
    unsafe { libc::close(gate_write) };
    // SAFETY: takes integers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    // SAFETY: takes nothing. The parent may have died before the line above.
    let orphaned = unsafe { libc::getppid() } != parent.as_raw();
    let read = loop {
        // SAFETY: reads at most one byte into one byte.
        let n = unsafe { libc::read(gate, (&raw mut byte).cast(), 1) };
        if n >= 0 || nix::errno::Errno::last_raw() != libc::EINTR {
            break n;
        }
    };
    if read == 1 && !orphaned {
        // Rust ignores SIGPIPE, and we may have blocked others: the command must find neither.
        let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
        // SAFETY: restores the default action of a signal.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        // SAFETY: path and both arrays were prepared by Image, NUL-terminated and null-terminated.
        unsafe { libc::execve(image.path.as_ptr(), image.argv.as_ptr(), image.envp.as_ptr()) };
        let errno = nix::errno::Errno::last_raw().to_ne_bytes();
        // SAFETY: writes the four bytes of errno.
        unsafe { libc::write(report, errno.as_ptr().cast(), errno.len()) };
    }
    // SAFETY: ends the child without running the parent's exit handlers.
    unsafe { libc::_exit(127) }
}

/// The file that a command's name means.
fn find_command(name: &str) -> std::result::Result<PathBuf, Errno> {
    if name.contains('/') {
        return executable(Path::new(name)).map(|()| name.into());
    }
    let path = env::var_os("PATH").unwrap_or_else(|| OsStr::new("/usr/local/bin:/usr/bin:/bin").into());
    let mut result = Err(Errno::ENOENT);
    for directory in env::split_paths(&path) {
        let candidate = directory.join(name);
        match executable(&candidate) {
            Ok(()) if !name.is_empty() => return Ok(candidate),
            Err(Errno::EACCES) => result = Err(Errno::EACCES),
            _ => {}
        }
    }
    result
}

fn executable(path: &Path) -> std::result::Result<(), Errno> {
    let meta = fs::metadata(path).map_err(|error| Errno::of(&error))?;
    if meta.is_file() && meta.permissions().mode() & 0o111 != 0 { Ok(()) } else { Err(Errno::EACCES) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::Poller;

    fn words(command: &str) -> Vec<String> {
        split_words(command).expect("words")
    }

    /// Waits for the end.
    fn exit(child: &mut Child) -> Exit {
        let poller = Poller::new().expect("poller");
        poller.add(child.as_fd(), 0).expect("added");
        poller.wait(None, &mut Vec::new()).expect("waited");
        child.try_reap().expect("reaped").expect("ended")
    }

    #[test]
    fn splits_as_a_shell_does() {
        assert_eq!(words("  ls  -l '/a b'"), ["ls", "-l", "/a b"]);
        assert_eq!(words(r#"a"b c"'d'\ e "" "#), ["ab cd e", ""]);
        assert_eq!(words(r#""\$x \n \"""#), [r#"$x \n ""#]);
        assert_eq!(split_words("'x"), Err(SplitError::Unbalanced('\'')));
        assert_eq!(split_words("\"x\\"), Err(SplitError::Unbalanced('"')));
        assert_eq!(split_words("x\\"), Err(SplitError::Backslash));
        assert_eq!(split_words(" \n"), Err(SplitError::Empty));
    }

    #[test]
    fn is_held_again_as_the_command() {
        let mut child = Child::spawn_held(&["true".to_string()]).expect("true");
        match child.release_stopped() {
            Err(error) if error.errno == Errno::EPERM => return eprintln!("skipped: {error}"),
            stopped => stopped.expect("stopped"),
        }
        let maps = fs::read_to_string(format!("/proc/{}/maps", child.pid())).expect("its mappings");
        assert!(maps.contains("/true") && !maps.contains("libc.so"), "{maps}");
        child.resume().expect("resumed");
        while child.try_reap().expect("reaped").is_none() {
            std::thread::yield_now();
        }
        assert_eq!(child.exit, Some(Exit::Code(0)));
    }

    #[test]
    fn runs_nothing_before_it_is_released() {
        let flag = env::temp_dir().join(format!("held-child-{}", std::process::id()));
        let mut child = Child::spawn_held(&words(&format!("touch {}", flag.display()))).expect("spawned");
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!flag.exists());
        child.release().expect("released");
        assert_eq!(exit(&mut child), Exit::Code(0));
        assert!(flag.exists());
        fs::remove_file(flag).expect("removed");
    }

    #[test]
    fn tells_how_it_ended() {
        let mut child = Child::spawn_held(&words("sh -c 'exit 3'")).expect("spawned");
        assert_eq!(child.try_reap().expect("asked"), None);
        child.release().expect("released");
        assert_eq!(exit(&mut child), Exit::Code(3));

        let mut child = Child::spawn_held(&words("sleep 60")).expect("spawned");
        child.release().expect("released");
        child.terminate().expect("terminated");
        assert_eq!(exit(&mut child), Exit::Signal(libc::SIGTERM));
    }

    #[test]
    fn says_why_it_cannot_run() {
        assert_eq!(Child::spawn_held(&words("no-such-command")).expect_err("none").errno, Errno::ENOENT);
        assert_eq!(Child::spawn_held(&words("/etc/passwd")).expect_err("no program").errno, Errno::EACCES);
        let script = env::temp_dir().join(format!("no-interpreter-{}", std::process::id()));
        fs::write(&script, "#!/no/such/interpreter\n").expect("written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("made executable");
        let mut child = Child::spawn_held(&[script.display().to_string()]).expect("spawned");
        assert_eq!(child.release().expect_err("cannot").errno, Errno::ENOENT);
        fs::remove_file(script).expect("removed");
    }

    #[test]
    fn a_held_child_goes_with_its_handle() {
        let child = Child::spawn_held(&words("sleep 60")).expect("spawned");
        let pid = child.pid();
        drop(child);
        assert_eq!(Process::open(pid).map(|_| ()).expect_err("gone").errno, Errno::ESRCH);
    }
}
