//! What is attached, and how it is left.
//!
//! Everything lies in descriptors and nothing is pinned: however the process ends, the kernel detaches its programs.
//!
//! Leaving costs time that only the kernel can shorten. Taking a program off an event waits for one RCU grace period,
//! outside of any lock, so that many can be waited for at once. Closing the event of a tracepoint or probe waits for
//! another inside `event_mutex`, one event after the other (some 40 ms each); but no program is on it any more, so
//! nobody needs to see the end of that.

use bpf_syscall::background::close_in_background;
use bpf_syscall::{LinkFd, PerfFd};
use std::os::fd::OwnedFd;
use std::thread;

/// An attachment. Dropping it detaches the program and waits until that is done; for many at once, use
/// [`detach_all`].
#[derive(Debug, Default)]
#[must_use = "dropping it detaches the program"]
pub struct Link {
    // In the order in which they must be dropped.
    links: Vec<LinkFd>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Event {
    fd: PerfFd,
    /// Closing it waits for a grace period.
    slow: bool,
    /// The program is on it by ioctl, and leaves only with it.
    holds_program: bool,
}

impl Link {
    /// Of a program that is attached nowhere.
    pub(crate) fn nothing() -> Link {
        Link::default()
    }

    pub(crate) fn of(link: LinkFd) -> Link {
        Link { links: vec![link], events: Vec::new() }
    }

    pub(crate) fn add_event(&mut self, fd: PerfFd, link: Option<LinkFd>, slow: bool) {
        self.events.push(Event { fd, slow, holds_program: link.is_none() });
        self.links.extend(link);
    }

    /// The link, where the attachment is just one: what can be pinned or iterated.
    pub fn fd(&self) -> Option<&LinkFd> {
        match (&self.links[..], &self.events[..]) {
            ([link], []) => Some(link),
            _ => None,
        }
    }
}

/// Detaches all programs at once. When this returns, none of them runs any more, nor will.
///
/// What is left, and may take the kernel seconds, is returned: let it go in the background as the last thing before
/// the process ends.
pub fn detach_all(links: Vec<Link>) -> Leftovers {
    let mut leftovers = Vec::new();
    let mut detach: Vec<OwnedFd> = Vec::new();
    let mut close = Vec::new();
    for link in links {
        detach.extend(link.links.into_iter().map(OwnedFd::from));
        for event in link.events {
            let fd = OwnedFd::from(event.fd);
            match event {
                Event { holds_program: true, slow: true, .. } => detach.push(fd),
                Event { slow: true, .. } => leftovers.push(fd),
                Event { slow: false, .. } => close.push(fd),
            }
        }
    }
    drop_together(detach);
    drop(close);
    Leftovers { events: leftovers }
}

/// Drops each in a thread of its own, so that the kernel's waits overlap.
fn drop_together(fds: Vec<OwnedFd>) {
    /// More threads bring nothing: the grace period is one for all that wait.
    const THREADS: usize = 256;
    const STACK: usize = 64 << 10;
    if fds.len() < 2 {
        return;
    }
    let mut shares: Vec<Vec<OwnedFd>> = (0..fds.len().min(THREADS)).map(|_| Vec::new()).collect();
    let n = shares.len();
    for (i, fd) in fds.into_iter().enumerate() {
        shares[i % n].push(fd);
    }
    thread::scope(|scope| {
        for share in shares {
            // A share whose thread cannot be made is dropped with the closure, which closes it as well.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || drop(share));
        }
    });
}

/// Events that no program is on any more. Dropping this closes them one by one, which takes some 40 ms each.
#[derive(Debug, Default)]
#[must_use = "let it close in the background, or wait for it by dropping it"]
pub struct Leftovers {
    events: Vec<OwnedFd>,
}

impl Leftovers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Takes what `other` holds as well.
    pub fn append(&mut self, mut other: Leftovers) {
        self.events.append(&mut other.events);
    }

    /// Closes them without waiting: see [`close_in_background`].
    pub fn close_in_background(self) {
        close_in_background(self.events);
    }
}
