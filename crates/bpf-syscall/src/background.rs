//! Closing what takes the kernel long to close, without having to wait for it.
//!
//! Threads would not do: a process that has ended is there until the last of its threads has left the kernel. So
//! a copy of this process takes the descriptors over; whoever waits for us does not wait for it. It closes them in
//! several tasks, as the kernel lets some of the waits overlap.
//!
//! ```text
//!  we ── fork ──▶ helper ── fork ──▶ closer
//!   │◀── reaped ────┘ ends             │ closes all but those descriptors and the pipes
//!   │◀── end of file on `ready` ───────┤
//!   │ close our own: not the last      │
//!   ├── end of file on `gate` ────────▶│ closes them: the last, which is what takes the time
//!   │◀── end of file on `done` ────────┘
//! ```

#![expect(unsafe_code, reason = "fork, clone, and what may follow them")]

use crate::errno::{Errno, Result, SysError};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{ForkResult, pipe2};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Tasks of the closer. More bring nothing: what can be waited for at once fits into few rounds.
const MAX_TASKS: usize = 64;

/// Bytes of stack of a task, which calls one function that makes system calls.
const TASK_STACK: usize = 16 << 10;

/// Descriptors that are being closed by another process.
#[derive(Debug)]
pub struct Closing {
    /// Reads as ended once they are closed.
    done: Option<OwnedFd>,
}

impl Closing {
    /// Waits until all are closed, at most `patience`; `false` if they are not yet.
    pub fn wait(&self, patience: Duration) -> bool {
        self.done.as_ref().is_none_or(|done| wait_for_end(done, patience))
    }
}

fn wait_for_end(pipe: &OwnedFd, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let timeout = PollTimeout::try_from(left.min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(n) => return n > 0,
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Closes `fds` by a copy of this process, several at a time. The copy holds nothing else open, no output in
/// particular, leaves no zombie, and cannot fail to let go: an end by any signal does the same.
///
/// What should be closed only after all of these is for a later call. No other thread should be closing what it shares
/// with `fds`, or opening what must not live on for a moment: until the copy has sorted its descriptors out, it holds
/// all of ours.
///
/// # Errors
/// `EAGAIN` or `ENOMEM` if no process can be made; then they are closed here, as slowly as that is.
pub fn close_in_background(fds: Vec<OwnedFd>) -> Result<Closing> {
    if fds.is_empty() {
        return Ok(Closing { done: None });
    }
    let failed =
        |call, errno: nix::errno::Errno| SysError::new(call, "closing in the background", Errno::from(errno));
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed("pipe2", errno));
    let ((done, done_writer), (ready, ready_writer), (gate, gate_writer)) = (pipe()?, pipe()?, pipe()?);
    let number = |fd: &OwnedFd| fd.as_raw_fd() as u32;
    let pipes = Pipes { done: number(&done_writer), ready: number(&ready_writer), gate: number(&gate) };
    let mut work = Work::new(fds.iter().map(number).collect(), pipes);
    // SAFETY: the child calls only functions that are safe after fork, on memory prepared before it.
    match unsafe { nix::unistd::fork() }.map_err(|errno| failed("fork", errno))? {
        ForkResult::Child => {
            // SAFETY: as above. Where it fails, the original keeps the last references, and closes them itself.
            if let Ok(ForkResult::Child) = unsafe { nix::unistd::fork() } {
                work.run();
            }
            end()
        }
        ForkResult::Parent { child } => {
            while nix::sys::wait::waitpid(child, None) == Err(nix::errno::Errno::EINTR) {}
        }
    }
    drop((done_writer, ready_writer, gate));
    // A copy that does not come to this point has ended, which is as good.
    wait_for_end(&ready, Duration::from_secs(1));
    drop(fds);
    drop(gate_writer);
    Ok(Closing { done: Some(done) })
}

/// The closer's ends of three pipes. What is signalled is the end of the file.
#[derive(Clone, Copy)]
struct Pipes {
    /// Written side: held until all is closed.
    done: u32,
    /// Written side: held until all other descriptors are closed.
    ready: u32,
    /// Read side: ends when the closing may begin.
    gate: u32,
}

/// What the closer has to do, prepared before fork: afterwards nothing may be allocated.
struct Work {
    pipes: Pipes,
    /// The descriptors to close and the pipes, sorted.
    keep: Vec<u32>,
    /// What each task closes, one after the other.
    shares: Vec<Vec<u32>>,
    stacks: Vec<Vec<u8>>,
}

impl Work {
    fn new(fds: Vec<u32>, pipes: Pipes) -> Work {
        let mut keep = fds.clone();
        keep.extend([pipes.done, pipes.ready, pipes.gate]);
        keep.sort_unstable();
        let mut shares = vec![Vec::new(); fds.len().min(MAX_TASKS)];
        let n = shares.len();
        for (i, fd) in fds.into_iter().enumerate() {
            shares[i % n].push(fd);
        }
        let stacks = vec![vec![0; TASK_STACK]; n];
        Work { pipes, keep, shares, stacks }
    }

    fn run(&mut self) -> ! {
        let mut first = 0;
        for &fd in &self.keep {
            if fd > first {
                close_range(first, fd - 1);
            }
            first = fd + 1;
        }
        close_range(first, u32::MAX);
        close(self.pipes.ready);
        let mut byte = 0u8;
        // SAFETY: reads at most one byte into one byte. Nothing is ever written: it returns at the end of the file.
        unsafe { libc::read(self.pipes.gate as i32, (&raw mut byte).cast(), 1) };
        // The first share is for this task itself.
        for (share, stack) in self.shares.iter().zip(&mut self.stacks).skip(1) {
            start(share, stack);
        }
        self.shares.iter().take(1).flatten().for_each(|&fd| close(fd));
        // SAFETY: waits for the tasks; asks for no status.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL) } > 0 {}
        end()
    }
}

/// Starts a task that shares memory and descriptors with this one and closes `share`. Where that fails, the end of the
/// process closes it.
fn start(share: &Vec<u32>, stack: &mut [u8]) {
    let unaligned = stack.as_mut_ptr_range().end;
    let top = unaligned.map_addr(|addr| addr & !15);
    let argument = std::ptr::from_ref(share).cast_mut().cast();
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the stack and the share live as long as this process, which never returns; the task gets a stack of its
    // own and calls nothing but close and _exit.
    unsafe { libc::clone(close_share, top.cast(), flags, argument) };
}

extern "C" fn close_share(share: *mut libc::c_void) -> libc::c_int {
    // SAFETY: what start has passed, which nobody changes.
    let share = unsafe { &*share.cast_const().cast::<Vec<u32>>() };
    share.iter().for_each(|&fd| close(fd));
    end()
}

fn close(fd: u32) {
    // SAFETY: a descriptor of the copy, which does not use it. Not by libc's close, which might look at its thread.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

fn close_range(first: u32, last: u32) {
    // SAFETY: closes descriptors of the copy, which uses none of them. Fails before 5.9, where the outputs stay open
    // until the copy is gone.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

fn end() -> ! {
    // SAFETY: ends this task alone, without running the exit handlers of the original.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe2(OFlag::O_CLOEXEC).expect("a pipe")
    }

    #[test]
    fn what_is_handed_over_is_closed_and_nothing_else_kept() {
        let (ends, handed_over): (Vec<_>, Vec<_>) = (0..2 * MAX_TASKS).map(|_| pipe()).unzip();
        let (other_end, other) = pipe();
        let closing = close_in_background(handed_over).expect("closing");
        assert!(closing.wait(Duration::from_secs(10)));
        drop(other);
        // All see the end of the file: nobody holds the writing side.
        for end in ends.into_iter().chain([other_end]) {
            assert_eq!(File::from(end).read(&mut [0; 1]).expect("read"), 0);
        }
    }

    #[test]
    fn nothing_to_close_is_done_at_once() {
        assert!(close_in_background(Vec::new()).expect("closing").wait(Duration::ZERO));
    }

    #[test]
    fn every_descriptor_is_in_one_share() {
        let work = Work::new((10..110).collect(), Pipes { done: 5, ready: 6, gate: 200 });
        assert_eq!((work.shares.len(), work.stacks.len(), work.keep.len()), (MAX_TASKS, MAX_TASKS, 103));
        let mut all: Vec<u32> = work.shares.concat();
        all.sort_unstable();
        assert_eq!(all, (10..110).collect::<Vec<_>>());
        assert!(work.keep.is_sorted());
    }
}
