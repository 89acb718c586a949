//! What is attached, and how it is left.
//!
//! Everything lies in descriptors and nothing is pinned: however the process ends, the kernel detaches its programs.
//!
//! Leaving costs time that only the kernel can shorten. Taking a program off the event of a tracepoint or probe waits
//! for an RCU grace period of some 40 ms; newer kernels do so outside of any lock, so that many can be waited for at
//! once, those of 6.1 and 6.12 inside `bpf_event_mutex`, one after the other. Closing the event waits for another one
//! inside `event_mutex`; but no program is on it any more, so nobody needs to see the end of that.

use bpf_syscall::background::close_in_background;
use bpf_syscall::{LinkFd, PerfFd};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// An attachment. Dropping it detaches the program and waits until that is done; for many at once, use
/// [`detach_all`].
#[derive(Debug, Default)]
#[must_use = "dropping it detaches the program"]
pub struct Link {
    // In the order in which they must be dropped.
    links: Vec<BpfLink>,
    events: Vec<Event>,
}

#[derive(Debug)]
struct BpfLink {
    fd: LinkFd,
    /// Closing it waits for a grace period.
    slow: bool,
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

    /// Whose closing the kernel finishes later, by itself.
    pub(crate) fn quick(fd: LinkFd) -> Link {
        Link { links: vec![BpfLink { fd, slow: false }], events: Vec::new() }
    }

    /// Whose closing waits for a grace period.
    pub(crate) fn slow(fd: LinkFd) -> Link {
        Link { links: vec![BpfLink { fd, slow: true }], events: Vec::new() }
    }

    pub(crate) fn add_event(&mut self, event: PerfFd, link: Option<LinkFd>, slow: bool) {
        self.events.push(Event { fd: event, slow, holds_program: link.is_none() });
        self.links.extend(link.map(|fd| BpfLink { fd, slow }));
    }

    pub(crate) fn append(&mut self, mut more: Link) {
        self.links.append(&mut more.links);
        self.events.append(&mut more.events);
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.links.is_empty() && self.events.is_empty()
    }

    /// The descriptors of its links.
    pub fn fds(&self) -> impl Iterator<Item = &LinkFd> {
        self.links.iter().map(|link| &link.fd)
    }

    /// The link, where the attachment is just one: what can be pinned or iterated.
    pub fn fd(&self) -> Option<&LinkFd> {
        match (&self.links[..], &self.events[..]) {
            ([link], []) => Some(&link.fd),
            _ => None,
        }
    }
}

/// What is left of attachments after [`detach_all`]: events that no program is on. Dropping it closes them one by one,
/// which takes some 40 ms each.
#[derive(Debug, Default)]
#[must_use = "let it close in the background, or wait for it by dropping it"]
pub struct Leftovers {
    events: Vec<OwnedFd>,
    /// Whether programs are still being taken off.
    pending: bool,
}

/// Detaches all programs, as many at once as the kernel permits.
///
/// Waits until none of them runs any more, but no longer than `patience`: kernels that take programs off one by one
/// go on doing so while we do not wait, even after our end. Close what is left in the background, as the last thing
/// before the process ends.
pub fn detach_all(links: Vec<Link>, patience: Duration) -> Leftovers {
    let (mut detach, mut close, mut leave) = (Vec::new(), Vec::new(), Vec::new());
    for link in links {
        for link in link.links {
            (if link.slow { &mut detach } else { &mut close }).push(OwnedFd::from(link.fd));
        }
        for event in link.events {
            let to = match (event.slow, event.holds_program) {
                (false, _) => &mut close,
                (true, true) => &mut detach,
                (true, false) => &mut leave,
            };
            to.push(OwnedFd::from(event.fd));
        }
    }
    drop(close);
    // Where no process can be made the descriptors are closed by the time this returns.
    let complete = close_in_background(detach).map_or(true, |closing| closing.wait(patience));
    Leftovers { events: leave, pending: !complete }
}

impl Leftovers {
    /// Whether all programs are detached, as opposed to being detached by and by.
    pub fn is_complete(&self) -> bool {
        !self.pending
    }

    /// How many events there are to close.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Closes them without waiting for it.
    pub fn close_in_background(self) {
        // If that is not possible, they have been closed here.
        let _ = close_in_background(self.events);
    }
}
