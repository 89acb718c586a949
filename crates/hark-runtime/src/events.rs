//! What programs sent, in the order in which they sent it.
//!
//! Data and control events come by two rings, so that no flood of data can push a control event out. Each control
//! event knows its place among the data; what found even its own ring full left word in a map.

use crate::actions::Actions;
use crate::error::RunError;
use crate::failures::{self, Failures};
use crate::load::Maps;
use crate::losses::Watch;
use crate::value::word;
use bpf_syscall::{Kernel, MapFd, Records};
use hark_object::{CONTROL_POSITION, MapRole, Object};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Records handled before signals are looked at again.
const BATCH: usize = 16_384;
/// Wakings that follow each other more closely than this are put off by as much: the kernel wakes us for the first
/// record after we have caught up, and a busy script would have us woken for every one.
const GATHER: Duration = Duration::from_millis(2);

/// The rings of a run.
pub(crate) struct Events<'a> {
    kernel: &'a dyn Kernel,
    data: Option<Box<dyn Records>>,
    commands: Commands,
    pending: Option<(&'a MapFd, Vec<u8>)>,
    losses: Watch,
    failures: Failures,
    handled: Instant,
}

/// Control events.
struct Commands {
    ring: Option<Box<dyn Records>>,
    /// Taken from the ring, and not due yet.
    waiting: VecDeque<Vec<u8>>,
}

impl Commands {
    /// Does what stands before `position` in the ring of data, taking no more than about `most` from the ring:
    /// programs may send faster than we take.
    fn do_before(
        &mut self,
        position: u64,
        most: usize,
        actions: &mut Actions<'_>,
        maps: &Maps,
    ) -> Result<(), RunError> {
        /// Taken from the ring at once.
        const SOME: usize = 256;
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let mut taken = 0;
        loop {
            while let Some(record) =
                self.waiting.pop_front_if(|record| word(record, CONTROL_POSITION as usize) <= position)
            {
                actions.record(maps, &record)?;
            }
            // What waits is due later, and so is all that follows it.
            if !self.waiting.is_empty() || ring.available() == 0 || taken >= most {
                return Ok(());
            }
            taken += ring.consume(SOME, &mut |_, record| {
                self.waiting.push_back(record.to_vec());
                ControlFlow::Continue(())
            });
        }
    }
}

impl<'a> Events<'a> {
    pub(crate) fn open(
        kernel: &'a dyn Kernel,
        object: &'a Object,
        maps: &'a Maps,
    ) -> Result<Events<'a>, RunError> {
        let ring = |role: MapRole| match maps.of_role(object, &role) {
            Some((_, fd)) => kernel.open_ring(fd).map(Some),
            None => Ok(None),
        };
        let pending =
            maps.of_role(object, &MapRole::Pending).map(|(_, fd)| (fd, vec![0; fd.shape().value_bytes()]));
        Ok(Events {
            kernel,
            data: ring(MapRole::Events)?,
            commands: Commands { ring: ring(MapRole::Control)?, waiting: VecDeque::new() },
            pending,
            losses: Watch::default(),
            failures: Failures::new(object, maps),
            handled: Instant::now(),
        })
    }

    /// What to wait on.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.data, &self.commands.ring].into_iter().flatten().filter_map(|ring| ring.fd())
    }

    /// How long to wait for records at most before [`batch`](Self::batch) should look at what comes without any.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.failures.are_possible().then_some(failures::LOOK)
    }

    /// Lets records gather if they come thick and fast and there is much room yet. The first after a pause is never
    /// kept waiting.
    pub(crate) fn gather(&self) {
        let Some(ring) = &self.data else { return };
        if self.handled.elapsed() < GATHER && ring.available() < ring.capacity() / 8 {
            std::thread::sleep(GATHER);
        }
    }

    /// Handles records that are there, up to a batch; returns whether there may be more.
    pub(crate) fn batch(&mut self, actions: &mut Actions<'_>, maps: &Maps) -> Result<bool, RunError> {
        let mut failed = None;
        let (mut n, mut position) = (0, u64::MAX);
        if let Some(data) = &mut self.data {
            let commands = &mut self.commands;
            n = data.consume(BATCH, &mut |position, record| {
                let done = commands
                    .do_before(position, usize::MAX, actions, maps)
                    .and_then(|()| actions.record(maps, record));
                match done {
                    // What follows an exit() is not done.
                    Ok(()) if actions.exit.is_some() => ControlFlow::Break(()),
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            });
            position = data.position();
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.commands.do_before(position, BATCH, actions, maps)?;
        self.do_pending(actions, maps)?;
        self.failures.tell(actions, maps)?;
        self.losses.tell(actions, maps, false)?;
        actions.output.sink.settle()?;
        self.handled = Instant::now();
        Ok(n == BATCH && actions.exit.is_none())
    }

    /// Passes over all that programs asked for, once none runs any more but those of the end.
    pub(crate) fn discard(&mut self) -> Result<(), RunError> {
        for ring in [&mut self.data, &mut self.commands.ring].into_iter().flatten() {
            ring.consume(usize::MAX, &mut |_, _| ControlFlow::Continue(()));
        }
        self.commands.waiting.clear();
        if let Some((fd, seen)) = &mut self.pending {
            self.kernel.map_lookup(fd, &[0; 4], seen)?;
        }
        Ok(())
    }

    /// Handles all records that are there.
    pub(crate) fn drain(&mut self, actions: &mut Actions<'_>, maps: &Maps) -> Result<(), RunError> {
        while self.batch(actions, maps)? {}
        Ok(())
    }

    /// Handles all records, once no program runs any more.
    pub(crate) fn drain_to_the_end(
        &mut self,
        actions: &mut Actions<'_>,
        maps: &Maps,
    ) -> Result<(), RunError> {
        self.drain(actions, maps)?;
        self.commands.do_before(u64::MAX, usize::MAX, actions, maps)?;
        self.losses.tell(actions, maps, true)
    }

    /// Does what programs asked for while the ring of control events was full.
    fn do_pending(&mut self, actions: &mut Actions<'_>, maps: &Maps) -> Result<(), RunError> {
        let Some((fd, seen)) = &mut self.pending else { return Ok(()) };
        let mut now = vec![0; seen.len()];
        self.kernel.map_lookup(fd, &[0; 4], &mut now)?;
        if now == *seen {
            return Ok(());
        }
        let object = actions.object;
        for (i, event) in object.events.iter().enumerate() {
            let (before, after) = (word(seen, i * 8), word(&now, i * 8));
            if before != after {
                actions.pending(maps, event, before, after)?;
            }
        }
        *seen = now;
        Ok(())
    }
}
