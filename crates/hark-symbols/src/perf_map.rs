//! `/tmp/perf-PID.map`: names of code that a run time (Java, Node.js, Python…) made while running.

/// The named ranges of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerfMap {
    /// Start, size, name; by start, of equal starts the later line last.
    entries: Vec<(u64, u64, String)>,
}

impl PerfMap {
    /// Reads the text: `START SIZE NAME` a line, numbers in hexadecimal. Other lines are left out.
    pub fn parse(text: &str) -> PerfMap {
        let mut entries: Vec<_> = text
            .lines()
            .filter_map(|line| {
                let (start, rest) = line.split_once(' ')?;
                let (size, name) = rest.split_once(' ')?;
                let hex = |s: &str| u64::from_str_radix(s.trim_start_matches("0x"), 16).ok();
                Some((hex(start)?, hex(size)?, name.to_owned()))
            })
            .collect();
        entries.sort_by_key(|(start, ..)| *start);
        PerfMap { entries }
    }

    /// The name of the code at an address and the distance from its start. Where code was replaced, the newest.
    pub fn find(&self, addr: u64) -> Option<(&str, u64)> {
        let i = self.entries.partition_point(|(start, ..)| *start <= addr).checked_sub(1)?;
        let (start, size, name) = &self.entries[i];
        (addr - start < *size).then_some((name, addr - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_code() {
        let map = PerfMap::parse("7f00 10 old\n7f00 20 Interpreter::run [x]\nbroken\n0x8000 8 f\n");
        assert_eq!(map.find(0x7f1f), Some(("Interpreter::run [x]", 0x1f)));
        assert_eq!(map.find(0x8007), Some(("f", 7)));
        assert_eq!(map.find(0x8008), None);
        assert_eq!(map.find(0), None);
    }
}
