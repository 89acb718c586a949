//! What numbers are called: addresses, users, cgroups, moments. Asked only when something is printed.

use bpf_syscall::CodeWatch;
use hark_object::Clock;
pub use hark_symbols::{FilePlace, Frame};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::thread::JoinHandle;

/// Who reads, beside, what processes have mapped as code: processes and lines of `/proc/PID/maps`.
pub type CodeReader = JoinHandle<Vec<(u32, String)>>;

/// The host's names. Implementations keep what they found out.
pub trait Names {
    /// The kernel function that `addr` is in.
    fn kernel(&self, addr: u64) -> Option<Rc<Frame>>;

    /// The functions of process `pid` that `addr` is in: inlined ones first, the innermost of them foremost, last the
    /// one that has the code. Empty if nothing is known.
    fn user(&self, pid: u64, addr: u64) -> Rc<[Frame]>;

    /// The file of process `pid` that `addr` is in.
    fn file_place(&self, pid: u64, addr: u64) -> Option<Rc<FilePlace>>;

    /// Reads what a process has mapped now, so that its addresses have names when it has ended.
    fn remember(&self, pid: u32) {
        let _ = pid;
    }

    /// Where to hear of the code of processes; `begun` is reading what they had mapped when that began.
    fn listen_to(&self, watch: Rc<RefCell<CodeWatch>>, begun: Option<CodeReader>) {
        let _ = (watch, begun);
    }

    /// Hears what has happened to the code of processes.
    fn hear(&self) {}

    /// Names a file whose code runs in processes that may be gone when their addresses are asked for.
    fn expect(&self, path: &Path) {
        let _ = path;
    }

    /// The login name of a user.
    fn login(&self, uid: u64) -> Option<Rc<str>>;

    /// `hierarchy:/path` of a cgroup id in every hierarchy whose name matches `filter`, joined by commas.
    fn cgroup_paths(&self, id: u64, filter: &str) -> Rc<str>;

    /// A reading of `clock` as nanoseconds since 1970.
    fn wall_ns(&self, clock: Clock, ns: u64) -> i128;

    /// A moment as strftime(3) formats it in local time; `None` if it cannot.
    fn strftime(&self, format: &str, seconds: i64) -> Option<String>;
}

/// `format` applied to a moment: besides what libc knows, `%f` is microseconds (6 digits), `%k` nanoseconds
/// (9 digits), `%l` milliseconds (3 digits).
pub fn format_time(names: &dyn Names, format: &str, wall_ns: i128) -> String {
    let seconds = wall_ns.div_euclid(1_000_000_000);
    let nanos = wall_ns.rem_euclid(1_000_000_000);
    let mut expanded = String::with_capacity(format.len() + 8);
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match chars.next() {
            Some('f') => expanded += &format!("{:06}", nanos / 1000),
            Some('k') => expanded += &format!("{nanos:09}"),
            Some('l') => expanded += &format!("{:03}", nanos / 1_000_000),
            Some(other) => expanded.extend(['%', other]),
            None => expanded.push('%'),
        }
    }
    let text = i64::try_from(seconds).ok().and_then(|seconds| names.strftime(&expanded, seconds));
    text.unwrap_or_else(|| "(?)".into())
}

/// Names that are the same everywhere, for tests: no symbols but one, no users but root, UTC.
#[cfg(test)]
pub(crate) struct FixedNames;

#[cfg(test)]
impl Names for FixedNames {
    fn kernel(&self, addr: u64) -> Option<Rc<Frame>> {
        let offset = addr.checked_sub(0xffff_ffff_8100_0000).filter(|offset| *offset < 0x1000)?;
        let (name, module) = ("vfs_read".into(), String::new());
        Some(Rc::new(Frame { name, offset, module, line: None, inlined: false }))
    }
    fn user(&self, _pid: u64, addr: u64) -> Rc<[Frame]> {
        let frame = |name: &str, offset, line: Option<u32>, inlined| Frame {
            name: name.into(),
            offset,
            module: "/lib/libc.so.6".into(),
            line: line.map(|line| hark_symbols::SourceLine { file: "read.c".into(), line, column: None }),
            inlined,
        };
        match addr.checked_sub(0x7f00) {
            Some(offset @ 0..0x80) => [frame("read", offset, None, false)].into(),
            Some(offset @ 0x80..0x100) => {
                [frame("check", 0, Some(3), true), frame("read", offset, Some(9), false)].into()
            }
            _ => [].into(),
        }
    }
    fn file_place(&self, _pid: u64, addr: u64) -> Option<Rc<FilePlace>> {
        let offset = addr.checked_sub(0x7f00).filter(|offset| *offset < 0x100)?;
        Some(Rc::new(FilePlace { build_id: "a1b2".into(), offset: offset + 0x400 }))
    }
    fn login(&self, uid: u64) -> Option<Rc<str>> {
        (uid == 0).then(|| "root".into())
    }
    fn cgroup_paths(&self, id: u64, _filter: &str) -> Rc<str> {
        if id == 1 { "unified:/".into() } else { "".into() }
    }
    fn wall_ns(&self, _clock: Clock, ns: u64) -> i128 {
        i128::from(ns)
    }
    fn strftime(&self, format: &str, seconds: i64) -> Option<String> {
        let day = seconds.rem_euclid(86_400);
        let hms = format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60);
        Some(format.replace("%H:%M:%S", &hms).replace("%Y-%m-%d", "1970-01-01"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_seconds_are_ours() {
        let text = format_time(&FixedNames, "%H:%M:%S.%l %f %k", 3_661_042_000_007);
        assert_eq!(text, "01:01:01.042 042000 042000007");
    }
}
