//! Names as this machine knows them.

use crate::names::{CodeReader, FilePlace, Frame, Names};
use bpf_syscall::host::Users;
use bpf_syscall::{CodeEvent, CodeWatch, clock};
use hark_object::{Clock, Config, glob};
use hark_symbols::{DebugDirs, Mapping, ProcMaps, Symbolizer, Wishes};
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// This machine's names. Nothing is read before it is asked for; the offsets between clocks are those of the
/// moment this is made.
pub struct HostNames {
    symbols: Symbolizer,
    code: RefCell<Option<Rc<RefCell<CodeWatch>>>>,
    begun: RefCell<Option<CodeReader>>,
    kernel: RefCell<HashMap<u64, Option<Rc<Frame>>>>,
    user: RefCell<UserFrames>,
    users: OnceCell<Users>,
    logins: RefCell<HashMap<u64, Option<Rc<str>>>>,
    hierarchies: OnceCell<Vec<Hierarchy>>,
    cgroups: RefCell<HashMap<(u64, String), Rc<str>>>,
    wall_minus_boot: i64,
    wall_minus_monotonic: i64,
    wall_minus_tai: i64,
}

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    /// `unified` for version 2, else the last part of the mount point.
    name: String,
    mount: PathBuf,
}

/// Frames of user addresses that were asked for lately. A process may become another program, and a number another
/// process, so nothing is kept for long.
struct UserFrames {
    since: Instant,
    known: HashMap<(u64, u64), Rc<[Frame]>>,
}

/// How long frames of user addresses are kept.
const FRESH: Duration = Duration::from_millis(100);

/// Directories of one hierarchy that are looked at before giving up.
const MAX_CGROUPS: usize = 100_000;

impl HostNames {
    /// As a script's settings wish.
    pub fn for_config(config: &Config) -> HostNames {
        let lines = config.show_debug_info && config.use_blazesym;
        // Rust names stay as they are in the binary, as scripts know them.
        HostNames::new(Wishes { lines, demangle_cpp: config.cpp_demangle, demangle_rust: false })
    }

    /// Looks for debug files in these directories, too.
    #[must_use]
    pub fn with_debug_dirs(self, dirs: DebugDirs) -> HostNames {
        HostNames { symbols: self.symbols.with_debug_dirs(dirs), ..self }
    }

    /// With names of addresses as `wishes` says.
    pub fn new(wishes: Wishes) -> HostNames {
        HostNames {
            symbols: Symbolizer::new(wishes),
            code: RefCell::default(),
            begun: RefCell::default(),
            kernel: RefCell::default(),
            user: RefCell::new(UserFrames { since: Instant::now(), known: HashMap::new() }),
            users: OnceCell::new(),
            logins: RefCell::default(),
            hierarchies: OnceCell::new(),
            cgroups: RefCell::default(),
            wall_minus_boot: clock::offset_ns(clock::Clock::Boot, clock::Clock::Real),
            wall_minus_monotonic: clock::offset_ns(clock::Clock::Monotonic, clock::Clock::Real),
            wall_minus_tai: clock::offset_ns(clock::Clock::Tai, clock::Clock::Real),
        }
    }

    fn note(&self, event: CodeEvent) {
        match event {
            CodeEvent::Ended { pid } => self.symbols.ended(pid),
            CodeEvent::Execed { pid } => self.symbols.execed(pid),
            CodeEvent::Forked { pid, parent } => self.symbols.forked(pid, parent),
            CodeEvent::Mapped { pid, range, offset, device, inode, name } => {
                let (readable, writable, executable) = (true, false, true);
                let name = if name == "//anon" { String::new() } else { name };
                let mapping = Mapping { range, readable, writable, executable, offset, device, inode, name };
                self.symbols.mapped(pid, mapping);
            }
        }
    }

    fn look_for_cgroup(&self, id: u64, filter: &str) -> String {
        let hierarchies = self
            .hierarchies
            .get_or_init(|| hierarchies(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()));
        let matching = hierarchies.iter().filter(|h| filter.is_empty() || glob(filter, &h.name));
        let found = matching.filter_map(|h| {
            let path = directory_with_inode(&h.mount, id)?;
            let inside = path.strip_prefix(&h.mount).ok()?.display().to_string();
            Some(format!("{}:/{inside}", h.name))
        });
        found.collect::<Vec<_>>().join(",")
    }
}

impl Names for HostNames {
    fn kernel(&self, addr: u64) -> Option<Rc<Frame>> {
        let mut known = self.kernel.borrow_mut();
        known.entry(addr).or_insert_with(|| self.symbols.kernel(addr).map(Rc::new)).clone()
    }

    fn user(&self, pid: u64, addr: u64) -> Rc<[Frame]> {
        let mut frames = self.user.borrow_mut();
        if frames.since.elapsed() > FRESH {
            frames.known.clear();
            frames.since = Instant::now();
        }
        let known = frames.known.entry((pid, addr)).or_insert_with(|| {
            // What the process mapped before it sent the address has come by now.
            self.hear();
            u32::try_from(pid).map_or_else(|_| [].into(), |pid| self.symbols.user(pid, addr).into())
        });
        known.clone()
    }

    fn file_place(&self, pid: u64, addr: u64) -> Option<Rc<FilePlace>> {
        self.hear();
        self.symbols.file_place(u32::try_from(pid).ok()?, addr).map(Rc::new)
    }

    fn remember(&self, pid: u32) {
        self.symbols.remember(pid);
    }

    fn listen_to(&self, watch: Rc<RefCell<CodeWatch>>, begun: Option<CodeReader>) {
        *self.code.borrow_mut() = Some(watch);
        *self.begun.borrow_mut() = begun;
    }

    fn hear(&self) {
        let begun = self.begun.borrow_mut().take().and_then(|reader| reader.join().ok());
        for (pid, text) in begun.unwrap_or_default() {
            self.symbols.found(pid, ProcMaps::parse(&text));
        }
        if let Some(watch) = &*self.code.borrow() {
            watch.borrow_mut().drain(|event| self.note(event));
        }
    }

    fn expect(&self, path: &Path) {
        self.symbols.expect(path.to_path_buf());
    }

    fn login(&self, uid: u64) -> Option<Rc<str>> {
        let mut logins = self.logins.borrow_mut();
        let known = logins.entry(uid).or_insert_with(|| {
            let users = self.users.get_or_init(Users::read);
            u32::try_from(uid).ok().and_then(|uid| users.name(uid)).map(Rc::from)
        });
        known.clone()
    }

    fn cgroup_paths(&self, id: u64, filter: &str) -> Rc<str> {
        if let Some(known) = self.cgroups.borrow().get(&(id, filter.to_string())) {
            return known.clone();
        }
        let paths: Rc<str> = self.look_for_cgroup(id, filter).into();
        self.cgroups.borrow_mut().insert((id, filter.to_string()), paths.clone());
        paths
    }

    fn wall_ns(&self, clock: Clock, ns: u64) -> i128 {
        let offset = match clock {
            Clock::Boot => self.wall_minus_boot,
            Clock::Monotonic => self.wall_minus_monotonic,
            Clock::Tai => self.wall_minus_tai,
        };
        i128::from(ns) + i128::from(offset)
    }

    fn strftime(&self, format: &str, seconds: i64) -> Option<String> {
        bpf_syscall::strftime(format, seconds)
    }
}

/// The cgroup mounts in the text of `/proc/self/mountinfo`: version 2 first, the others by name.
fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<(bool, Hierarchy)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(mount), Some(fs_type)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        let mount = PathBuf::from(mount);
        let name = match fs_type {
            "cgroup2" => "unified".to_string(),
            "cgroup" => mount.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            _ => continue,
        };
        if !found.iter().any(|(_, known)| known.name == name) {
            found.push((fs_type == "cgroup", Hierarchy { name, mount }));
        }
    }
    found.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    found.into_iter().map(|(_, hierarchy)| hierarchy).collect()
}

/// The directory at or under `root` that has inode number `inode`: that is what a cgroup's id is.
fn directory_with_inode(root: &Path, inode: u64) -> Option<PathBuf> {
    let mut queue = std::collections::VecDeque::from([root.to_path_buf()]);
    for _ in 0..MAX_CGROUPS {
        let dir = queue.pop_front()?;
        if fs::metadata(&dir).is_ok_and(|meta| meta.ino() == inode) {
            return Some(dir);
        }
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        queue.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_come_from_the_mount_table() {
        let text = "25 1 0:23 / /sys/fs/cgroup ro - tmpfs none ro\n\
                    26 25 0:24 / /sys/fs/cgroup/pids rw - cgroup pids rw,pids\n\
                    27 25 0:25 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cpu rw,cpu\n\
                    28 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                    29 25 0:26 / /mnt/again rw - cgroup2 cgroup2 rw\nbroken\n";
        let names: Vec<String> = hierarchies(text).into_iter().map(|h| h.name).collect();
        assert_eq!(names, ["unified", "cpu", "pids"]);
    }

    #[test]
    fn a_directory_is_found_by_its_inode() {
        let root = std::env::temp_dir().join(format!("hark-cgroups-{}", std::process::id()));
        let leaf = root.join("a/b");
        fs::create_dir_all(&leaf).expect("made");
        let inode = fs::metadata(&leaf).expect("it is there").ino();
        assert_eq!(directory_with_inode(&root, inode), Some(leaf));
        assert_eq!(directory_with_inode(&root, 1), None);
        fs::remove_dir_all(&root).expect("removed");
    }
}
