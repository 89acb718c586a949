//! Closing what takes the kernel long to close, without waiting for it.

#![expect(unsafe_code, reason = "fork, and what may follow it")]

use nix::unistd::ForkResult;
use std::os::fd::{AsRawFd, OwnedFd};

/// Closes `fds` without waiting until the kernel is done with them.
///
/// Releasing a perf event on a tracepoint or probe takes the kernel one grace period or two, one event after the
/// other. Here a copy of this process takes the descriptors over and ends at once; closing them is part of its end,
/// and whoever waits for *this* process does not wait for that. The copy holds nothing else open, no output in
/// particular, and cannot fail to let go: an end by any signal does the same.
///
/// To be called last, when nothing observable is attached to `fds` any more. Where no process can be made, closes
/// them here.
pub fn close_in_background(fds: Vec<OwnedFd>) {
    let mut keep: Vec<u32> = fds.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    keep.sort_unstable();
    if keep.is_empty() {
        return;
    }
    // SAFETY: the child calls only close_range and _exit, which are safe after fork, on memory prepared before it.
    if let Ok(ForkResult::Child) = unsafe { nix::unistd::fork() } {
        end_holding(&keep);
    }
    // Ours are not the last references any more: this takes no time.
    drop(fds);
}

/// Closes everything but `keep`, which is sorted, and ends the process.
fn end_holding(keep: &[u32]) -> ! {
    let mut first = 0;
    for &fd in keep {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX);
    // SAFETY: ends the child without running the parent's exit handlers.
    unsafe { libc::_exit(0) }
}

fn close_range(first: u32, last: u32) {
    // SAFETY: closes descriptors of the child, which uses none of them. Fails before 5.9, where the outputs stay open
    // until the child is gone.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn what_is_handed_over_is_closed_and_nothing_else_kept() {
        let (kept_read, kept) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let (other_read, other) = nix::unistd::pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        close_in_background(vec![kept]);
        drop(other);
        // Both ends see the end of the file: nobody holds the writing side.
        for end in [kept_read, other_read] {
            assert_eq!(File::from(end).read(&mut [0; 1]).expect("read"), 0);
        }
    }
}
