//! Where programs are attached, and the timers among those places.
//!
//! A descriptor of an event or link is the writing end of a pipe. When its owner drops it the reading end, which is
//! kept here, hangs up: that is how a kernel in the same process learns that something was closed.

use bpf_facts::{SOFTWARE_EVENTS, perf_event};
use bpf_syscall::wait::Poller;
use bpf_syscall::{KprobeTargets, LinkCreate, PerfEvent, PerfKind, Result, Sampling, SysError};
use std::collections::BTreeMap;
use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// A place where a program can be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// A perf event: a probe, a tracepoint, a clock, a counter.
    Event(PerfEvent),
    /// Kernel functions of one link.
    Kprobes {
        /// Their names; empty if they were given by address.
        symbols: Vec<String>,
        /// Their addresses; empty if they were given by name.
        addresses: Vec<u64>,
    },
    /// Places in a file.
    Uprobes {
        /// The file.
        path: PathBuf,
        /// Offsets in it, in bytes.
        offsets: Vec<u64>,
    },
    /// What the program was loaded for.
    Tracing,
    /// A raw tracepoint.
    RawTracepoint(String),
}

impl Site {
    /// Nanoseconds between two firings, of a clock.
    fn period_ns(&self) -> Option<u64> {
        let Site::Event(event) = self else { return None };
        let clock = perf_event(SOFTWARE_EVENTS, "cpu-clock").map(|def| PerfKind::Software(def.config));
        match event.sampling {
            Sampling::Period(ns) if ns > 0 && clock.as_ref() == Some(&event.kind) => Some(ns),
            Sampling::Period(_) | Sampling::Frequency(_) => None,
        }
    }
}

#[derive(Debug)]
struct Attachment {
    program: usize,
    cookie: u64,
    /// The event it is on, unless the link is its own place.
    event: Option<u64>,
    site: Option<Site>,
}

#[derive(Debug)]
struct Event {
    site: Site,
    enabled: bool,
    /// When a clock fires next, in nanoseconds.
    next: u64,
}

/// All places, by keys that are never used twice.
#[derive(Debug)]
pub(crate) struct Sites {
    events: BTreeMap<u64, Event>,
    attachments: BTreeMap<u64, Attachment>,
    readers: BTreeMap<u64, PipeReader>,
    closed: Poller,
    next_key: u64,
}

impl Sites {
    pub(crate) fn new() -> Result<Sites> {
        Ok(Sites {
            events: BTreeMap::new(),
            attachments: BTreeMap::new(),
            readers: BTreeMap::new(),
            closed: Poller::new()?,
            next_key: 1,
        })
    }

    /// A key and the descriptor that keeps it.
    fn open(&mut self) -> Result<(u64, OwnedFd)> {
        let failed = |error| SysError::io("pipe", "simulated kernel", &error);
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let key = self.next_key;
        self.next_key += 1;
        self.closed.add(reader.as_fd(), key)?;
        self.readers.insert(key, reader);
        Ok((key, writer.into()))
    }

    /// Forgets what was closed.
    fn sweep(&mut self) {
        let mut keys = Vec::new();
        while self.closed.wait(Some(Duration::ZERO), &mut keys).is_ok() && !keys.is_empty() {
            for key in &keys {
                // Dropping it takes it out of the poller.
                self.readers.remove(key);
                self.events.remove(key);
                self.attachments.remove(key);
            }
        }
    }

    pub(crate) fn open_event(&mut self, event: &PerfEvent) -> Result<(u64, OwnedFd)> {
        let (key, fd) = self.open()?;
        self.events.insert(key, Event { site: Site::Event(event.clone()), enabled: false, next: u64::MAX });
        Ok((key, fd))
    }

    pub(crate) fn enable(&mut self, key: u64, on: bool, now: u64) {
        if let Some(event) = self.events.get_mut(&key) {
            event.enabled = on;
            event.next = event.site.period_ns().map_or(u64::MAX, |period| now.saturating_add(period));
        }
    }

    /// Puts a program on an event, for as long as the event lives.
    pub(crate) fn set_program(&mut self, event: u64, program: usize) {
        // With the event's own key: it goes when that is closed.
        self.attachments.insert(event, Attachment { program, cookie: 0, event: Some(event), site: None });
    }

    pub(crate) fn link_event(&mut self, event: u64, program: usize, cookie: u64) -> Result<OwnedFd> {
        let (key, fd) = self.open()?;
        self.attachments.insert(key, Attachment { program, cookie, event: Some(event), site: None });
        Ok(fd)
    }

    /// Attaches a program to the place that `link` names by itself.
    pub(crate) fn link_site(&mut self, link: &LinkCreate<'_>, program: usize) -> Result<Option<OwnedFd>> {
        let (site, cookie) = match link {
            LinkCreate::PerfEvent { .. } | LinkCreate::Iter { .. } => return Ok(None),
            LinkCreate::KprobeMulti { targets, cookies, .. } => {
                let (symbols, addresses) = match targets {
                    KprobeTargets::Symbols(names) => (names.to_vec(), Vec::new()),
                    KprobeTargets::Addresses(addresses) => (Vec::new(), addresses.to_vec()),
                };
                (Site::Kprobes { symbols, addresses }, cookies.first().copied().unwrap_or(0))
            }
            LinkCreate::UprobeMulti { path, offsets, cookies, .. } => {
                let site = Site::Uprobes { path: path.to_path_buf(), offsets: offsets.to_vec() };
                (site, cookies.first().copied().unwrap_or(0))
            }
            LinkCreate::Tracing { cookie, .. } => (Site::Tracing, *cookie),
            LinkCreate::RawTracepoint { name, cookie, .. } => {
                (Site::RawTracepoint(name.to_string()), *cookie)
            }
        };
        let (key, fd) = self.open()?;
        self.attachments.insert(key, Attachment { program, cookie, event: None, site: Some(site) });
        Ok(Some(fd))
    }

    /// The programs at such places that are switched on, with their cookies, in order of attachment.
    pub(crate) fn attached(&mut self, at: &dyn Fn(&Site) -> bool) -> Vec<(usize, u64)> {
        self.sweep();
        let place = |attachment: &Attachment| match (&attachment.site, attachment.event) {
            (Some(site), _) => at(site),
            (None, Some(event)) => {
                self.events.get(&event).is_some_and(|event| event.enabled && at(&event.site))
            }
            (None, None) => false,
        };
        let found = self.attachments.values().filter(|attachment| place(attachment));
        found.map(|attachment| (attachment.program, attachment.cookie)).collect()
    }

    /// When which clock fires next, and its key.
    pub(crate) fn next_timer(&self) -> Option<(u64, u64)> {
        let running = self.events.iter().filter(|(_, event)| event.enabled && event.next < u64::MAX);
        running.map(|(key, event)| (event.next, *key)).min()
    }

    /// Winds clock `key`, which fired at `at`, up again. What to run, with its cookie, unless all of it was closed.
    pub(crate) fn tick(&mut self, key: u64, at: u64) -> Option<(usize, u64)> {
        self.sweep();
        let event = self.events.get_mut(&key)?;
        event.next = event.site.period_ns().map_or(u64::MAX, |period| at.saturating_add(period));
        let on = self.attachments.values().find(|attachment| attachment.event == Some(key));
        on.map(|attachment| (attachment.program, attachment.cookie))
    }
}
