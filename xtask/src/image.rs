//! The guests' root file system: busybox, hark, the runner of cases, the test programs, the cases.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cpio::Archive;
use crate::kernels::Kernel;
use crate::shell::{cargo, find_program, lab, output, root, succeeds};

/// What a guest does first. `/job` follows it; results go to the second serial port.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts
mount -t tmpfs none /tmp
mount -t cgroup2 none /sys/fs/cgroup
mount -t bpf none /sys/fs/bpf
mount -t debugfs none /sys/kernel/debug
mount -t tracefs none /sys/kernel/tracing
hostname guest
ip link set lo up
stty -F /dev/ttyS1 raw -echo
[ -e /dummy.ko ] && insmod /dummy.ko
. /job
poweroff -f
"#;

/// What the guest does when it has booted.
pub(crate) enum Job<'a> {
    /// Run the named cases and report on the second serial port.
    Cases(&'a [String]),
    /// Run a shell command; its output goes to the second serial port.
    Command(&'a str),
    /// A shell on the console.
    Shell,
}

/// Everything that all guests of one run have in common, as an archive.
pub(crate) struct Image {
    base: Vec<u8>,
}

impl Image {
    /// Builds hark, the runner and the test programs, and puts them together. `HARK_BIN` and `HARK_RUNNER`
    /// name binaries to be taken instead of fresh builds of hark and the runner.
    ///
    /// # Errors
    /// Something cannot be built or is not installed.
    pub(crate) fn build() -> Result<Self> {
        let runner = "hark-guest-runner";
        let given = std::env::var_os("HARK_BIN").map(PathBuf::from);
        let release: &[&str] = &["build", "--release", "--quiet", "--package", "hark-cli"];
        let given_runner = std::env::var_os("HARK_RUNNER").map(PathBuf::from);
        let own: &[&str] = &["build", "--quiet", "--package", "hark-tests", "--bin", runner];
        let missing = [given.is_none().then_some(release), given_runner.is_none().then_some(own)];
        for arguments in missing.into_iter().flatten() {
            if !succeeds(&mut cargo(arguments))? {
                bail!("cargo {} failed", arguments.join(" "));
            }
        }
        let target = root().join("target");
        let runner_path = given_runner.unwrap_or_else(|| target.join("debug").join(runner));
        let programs = build_programs(&runner_path)?;
        let busybox = find_program("busybox").context("busybox is not installed (package busybox-static)")?;

        let mut tree = Tree::default();
        tree.text("init", 0o755, INIT);
        tree.text("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
        tree.text("etc/group", 0o644, "root:x:0:\n");
        tree.copy("bin/busybox", &busybox)?;
        tree.copy("bin/hark", &given.unwrap_or_else(|| target.join("release/hark")))?;
        tree.copy(&format!("bin/{runner}"), &runner_path)?;
        for program in &programs {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            tree.copy(&format!("bin/{name}"), program)?;
        }
        let dynamic = programs.last().context("there are test programs")?;
        let libraries = libraries(dynamic)?;
        for library in &libraries {
            tree.copy(&library.to_string_lossy(), library)?;
        }
        tree.copy("etc/ld.so.cache", &library_cache(&libraries)?)?;
        for (name, path) in case_files()? {
            tree.copy(&format!("cases/{name}.bt"), &path)?;
        }
        for (name, path) in scripts_below(&root().join("examples"))? {
            tree.copy(&format!("examples/{name}.bt"), &path)?;
        }
        Ok(Self { base: tree.archive() })
    }

    /// Adds a directory with these files: what only this run brings into its guests.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn add(&mut self, dir: &str, files: &[PathBuf]) -> Result<()> {
        let mut tree = Tree::default();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            tree.copy(&format!("{dir}/{name}"), file)?;
        }
        self.base.extend(tree.archive());
        Ok(())
    }

    /// Writes the initial root file system for one boot, with a module for the kernel if there is one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, path: &Path, job: &Job<'_>, kernel: &Kernel) -> Result<()> {
        let mut tree = Tree::default();
        match kernel.module() {
            Ok(module) => tree.copy("dummy.ko", &module)?,
            Err(error) => println!("guest {} has no module to load: {error:#}", kernel.version),
        }
        match job {
            Job::Cases(names) => {
                tree.text("cases.list", 0o644, &(names.join("\n") + "\n"));
                tree.text(
                    "job",
                    0o644,
                    "printf 'boot\\t%s\\n' \"$(uname -r)\" >/dev/ttyS1\n\
                     hark-guest-runner /cases /cases.list /dev/ttyS1\n",
                );
            }
            Job::Command(command) => {
                tree.text("command", 0o644, command);
                tree.text(
                    "job",
                    0o644,
                    "sh /command >/dev/ttyS1 2>&1\nprintf '\\nexit %s\\n' $? >/dev/ttyS1\n",
                );
            }
            Job::Shell => tree.text("job", 0o644, "setsid cttyhack sh\n"),
        }
        let bytes = [self.base.clone(), tree.archive()].concat();
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The run cases: name and file, sorted by name.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn case_files() -> Result<Vec<(String, PathBuf)>> {
    scripts_below(&root().join("tests/run"))
}

/// The `.bt` files below a directory: name without the ending, and file, sorted by name.
fn scripts_below(top: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut scripts = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "bt") {
                let name = path.strip_prefix(top)?.with_extension("").to_string_lossy().into_owned();
                scripts.push((name, path));
            }
        }
    }
    scripts.sort();
    Ok(scripts)
}

/// The test programs, built by the runner, which knows how; the dynamically linked one comes last.
fn build_programs(runner: &Path) -> Result<Vec<PathBuf>> {
    let text = output(Command::new(runner).arg("--build-programs"))?;
    Ok(text.lines().map(PathBuf::from).collect())
}

/// The shared libraries that a program loads, its loader included.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let text = output(Command::new("ldd").arg(program))?;
    let paths = text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(paths.collect::<BTreeSet<_>>().into_iter().collect())
}

/// Makes `/etc/ld.so.cache` for a root that holds just these libraries.
fn library_cache(libraries: &[PathBuf]) -> Result<PathBuf> {
    let stage = lab().join("library-root");
    drop(fs::remove_dir_all(&stage));
    let mut dirs = BTreeSet::new();
    for library in libraries {
        let inside = stage.join(library.strip_prefix("/")?);
        if let (Some(dir), Some(source_dir)) = (inside.parent(), library.parent()) {
            fs::create_dir_all(dir)?;
            dirs.insert(source_dir.display().to_string());
        }
        fs::copy(library, &inside)?;
    }
    fs::create_dir_all(stage.join("etc"))?;
    fs::write(stage.join("etc/ld.so.conf"), dirs.into_iter().collect::<Vec<_>>().join("\n") + "\n")?;
    let ldconfig = find_program("ldconfig").context("ldconfig is not installed")?;
    output(Command::new(ldconfig).arg("-r").arg(&stage))?;
    Ok(stage.join("etc/ld.so.cache"))
}

/// Files of an archive; directories are made as needed.
#[derive(Default)]
struct Tree {
    archive: Archive,
    directories: BTreeSet<String>,
}

impl Tree {
    fn text(&mut self, path: &str, permissions: u32, text: &str) {
        self.bytes(path, permissions, text.as_bytes());
    }

    fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.bytes(path.trim_start_matches('/'), 0o755, &content);
        Ok(())
    }

    fn bytes(&mut self, path: &str, permissions: u32, content: &[u8]) {
        for (at, _) in path.match_indices('/') {
            if self.directories.insert(path[..at].to_owned()) {
                self.archive.directory(&path[..at]);
            }
        }
        self.archive.file(path, permissions, content);
    }

    fn archive(self) -> Vec<u8> {
        self.archive.finish()
    }
}
