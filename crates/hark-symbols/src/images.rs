//! What processes had mapped, as whoever watches them tells it: the address spaces of those that have ended, and those
//! of living ones before they became another program.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::proc_maps::{Mapping, ProcMaps};

/// Ended processes that are remembered. Of more, those that ended first are forgotten.
const MAX_ENDED: usize = 8192;
/// Programs of one process that are remembered, the latest ones.
const MAX_PROGRAMS: usize = 8;

/// The address spaces that processes had, by process.
#[derive(Debug, Default)]
pub(crate) struct Images {
    /// One for each program that the process was, the latest last. A forked process shares its parent's until either
    /// maps something.
    processes: HashMap<u32, Vec<Rc<ProcMaps>>>,
    ended: VecDeque<u32>,
}

impl Images {
    /// What a process had mapped, the latest program first.
    pub(crate) fn of(&self, pid: u32) -> impl Iterator<Item = &Rc<ProcMaps>> {
        self.processes.get(&pid).into_iter().flat_map(|programs| programs.iter().rev())
    }

    /// Whether anything is known of a process.
    pub(crate) fn know(&self, pid: u32) -> bool {
        self.processes.contains_key(&pid)
    }

    /// A process has all of this mapped now.
    pub(crate) fn found(&mut self, pid: u32, maps: ProcMaps) {
        self.processes.insert(pid, vec![Rc::new(maps)]);
    }

    /// A process mapped a file. Not for one that is not known.
    pub(crate) fn mapped(&mut self, pid: u32, mapping: Mapping) {
        if let Some(now) = self.processes.get_mut(&pid).and_then(|programs| programs.last_mut()) {
            Rc::make_mut(now).insert(mapping);
        }
    }

    /// A process became another program.
    pub(crate) fn became(&mut self, pid: u32) {
        let programs = self.processes.entry(pid).or_default();
        programs.push(Rc::default());
        if programs.len() > MAX_PROGRAMS {
            programs.remove(0);
        }
    }

    /// A process began as a copy of another.
    pub(crate) fn forked(&mut self, pid: u32, parent: u32) {
        let now = self.of(parent).next().cloned();
        self.processes.insert(pid, now.into_iter().collect());
    }

    /// A process ended.
    pub(crate) fn ended(&mut self, pid: u32) {
        self.ended.push_back(pid);
        if self.ended.len() > MAX_ENDED
            && let Some(oldest) = self.ended.pop_front()
            // Its number may have come round: then it stands further back, too.
            && !self.ended.contains(&oldest)
        {
            self.processes.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(text: &str) -> ProcMaps {
        ProcMaps::parse(text)
    }

    fn names(images: &Images, pid: u32, addr: u64) -> Vec<String> {
        images.of(pid).filter_map(|maps| Some(maps.find(addr)?.name.clone())).collect()
    }

    #[test]
    fn processes_share_what_they_had_until_they_change_it() {
        let a = maps("1000-3000 r-xp 0 08:01 7 /a\n");
        let b = maps("2000-3000 r-xp 0 08:01 8 /b\n").iter().next().cloned().expect("one");
        let mut images = Images::default();
        images.found(1, a);
        images.forked(2, 1);
        images.mapped(2, b.clone());
        images.became(2);
        images.mapped(2, b);
        images.ended(2);
        images.mapped(3, maps("1-2 r-xp 0 0:0 0 \n").iter().next().cloned().expect("one"));
        assert_eq!(names(&images, 1, 0x2000), ["/a"]);
        assert_eq!(names(&images, 2, 0x2000), ["/b", "/b"]);
        assert_eq!(names(&images, 2, 0x1000), ["/a"]);
        assert!(!images.know(3));
    }

    #[test]
    fn those_that_ended_long_ago_are_forgotten() {
        let mut images = Images::default();
        for pid in 0..MAX_ENDED as u32 + 2 {
            images.became(pid);
            images.ended(pid);
        }
        assert!(!images.know(0) && !images.know(1) && images.know(2));
    }
}
