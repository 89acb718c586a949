//! A line on the terminal that says how far attaching has come, once that takes long enough to wonder.

use std::time::{Duration, Instant};

/// From here on people wonder.
const LONG: Duration = Duration::from_millis(300);
/// Between two updates.
const STEP: Duration = Duration::from_millis(100);

/// Progress of attaching to `total` places.
pub(crate) struct Progress {
    total: usize,
    done: usize,
    /// When there is something to say next; `None` if nobody looks.
    next: Option<Instant>,
    shown: bool,
}

impl Progress {
    /// Begins. Without a `terminal` nothing is ever said.
    pub(crate) fn new(total: usize, terminal: bool) -> Progress {
        Progress { total, done: 0, next: terminal.then(|| Instant::now() + LONG), shown: false }
    }

    /// So many more are done; returns what to write, if it is time.
    pub(crate) fn add(&mut self, n: usize) -> Option<String> {
        self.done += n;
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        self.next = Some(now + STEP);
        self.shown = true;
        Some(format!("\rAttaching: {} of {} probes", self.done, self.total))
    }

    /// What makes the line disappear, if there is one.
    pub(crate) fn end(self) -> Option<&'static str> {
        self.shown.then_some("\r\x1b[K")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_long_is_shown() {
        let mut quick = Progress::new(5, true);
        assert_eq!((quick.add(5), quick.end()), (None, None));
        let mut slow = Progress::new(5, true);
        slow.next = Some(Instant::now());
        assert_eq!(slow.add(2).as_deref(), Some("\rAttaching: 2 of 5 probes"));
        assert_eq!(slow.add(1), None, "not so soon again");
        assert_eq!(slow.end(), Some("\r\x1b[K"));
        let mut unseen = Progress::new(5, false);
        assert_eq!((unseen.add(5), unseen.end()), (None, None));
    }
}
