//! What an event costs in the kernel: run time of programs by its own statistics.
//!
//! hark's programs, bpftrace's and an empty one hang on the same event of one process at the same time, so that all
//! see the same machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Case, Places, inside};
use crate::bench::peer::Peer;

/// Batches of events; the cheapest one counts, which is the one that nothing else disturbed.
const BATCHES: u32 = 30;
/// Events in a batch: few enough for a ring buffer to take all their records.
const EVENTS: u32 = 500;
/// How long a tool may take until its programs run.
const PATIENCE: Duration = Duration::from_secs(60);
/// The programs on an event run one after the other, in the order of attachment. The first finds caches and branch
/// predictors cold, for itself and for the helpers that both call; it is there twice more.
const ORDER: [usize; 6] = [THEIRS, OURS, THEIRS, OURS, THEIRS, EMPTY];
const OURS: usize = 0;
const THEIRS: usize = 1;
const EMPTY: usize = 2;
const NAMES: [&str; 3] = ["hark", "bpftrace", "hark with an empty script"];
/// Where the kernel is told to measure.
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Nanoseconds an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ns {
    pub(super) ours: f64,
    pub(super) theirs: f64,
    pub(super) empty: f64,
}

/// Has the kernel measure while it lives.
pub(super) struct Statistics(String);

impl Statistics {
    pub(super) fn on() -> Result<Self> {
        let before = fs::read_to_string(SWITCH).with_context(|| format!("cannot read {SWITCH}"))?;
        fs::write(SWITCH, "1").with_context(|| format!("cannot write {SWITCH}"))?;
        Ok(Self(before))
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        drop(fs::write(SWITCH, &self.0));
    }
}

/// A process that is ended when this value goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?,
        ))
    }

    /// Run time of this process's programs, together.
    fn spent(&self) -> Result<u64> {
        Ok(self.programs("run_time_ns")?.values().sum())
    }

    /// A number of each of its programs.
    fn programs(&self, what: &str) -> Result<BTreeMap<u64, u64>> {
        let mut programs = BTreeMap::new();
        let dir = format!("/proc/{}/fdinfo", self.0.id());
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {dir}: it has ended"))? {
            let text = fs::read_to_string(entry?.path()).unwrap_or_default();
            let field = |name: &str| -> Option<u64> {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
                line.trim().parse().ok()
            };
            if let (Some(id), Some(number)) = (field("prog_id"), field(what)) {
                programs.insert(id, number);
            }
        }
        Ok(programs)
    }

    /// Makes events until a program of this process sees them.
    fn wait(&self, driver: &mut Driver, event: &str) -> Result<()> {
        let start = Instant::now();
        while self.programs("run_cnt")?.values().sum::<u64>() < 2 {
            if start.elapsed() > PATIENCE {
                bail!("its programs do not run");
            }
            std::thread::sleep(Duration::from_millis(20));
            driver.make(event, 2)?;
        }
        Ok(())
    }
}

/// The process that makes events.
struct Driver {
    process: Running,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let (commands, answers) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            process: Running(child),
            commands: commands.context("no pipe")?,
            answers: BufReader::new(answers.context("no pipe")?),
        })
    }

    fn make(&mut self, event: &str, count: u32) -> Result<()> {
        writeln!(self.commands, "{event} {count}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() { bail!("the driving process has ended") } else { Ok(()) }
    }
}

/// Measures scripts.
pub(super) struct Timer<'a> {
    pub(super) hark: &'a Path,
    pub(super) peer: &'a Peer,
    pub(super) places: &'a Places,
}

impl Timer<'_> {
    /// What an event costs with a case's programs and with an empty one.
    pub(super) fn measure(&self, case: &Case) -> Result<Ns> {
        let event = case.event.as_deref().unwrap_or_default();
        let drive = self.places.drive.display().to_string();
        let ours = self.places.script.with_extension("hark.bt");
        fs::write(&ours, case.text.replace("DRIVE", &drive))?;
        fs::write(&self.places.script, case.text.replace("DRIVE", &inside(self.peer, &self.places.drive)?))?;
        let theirs = inside(self.peer, &self.places.script)?;
        let empty = format!("{} {{ $nothing = 1; }}", probe(event)?).replace("DRIVE", &drive);
        let mut driver = Driver::start(&self.places.drive)?;
        let pid = driver.process.0.id().to_string();
        let mut tools = Vec::new();
        for which in ORDER {
            let mut command = match which {
                THEIRS => Command::new("chroot"),
                _ => Command::new(self.hark),
            };
            match which {
                OURS => command.args(["--unsafe", "-p", &pid]).arg(&ours),
                THEIRS => {
                    command.arg(&self.peer.root).args(["bpftrace", "--unsafe", "-p", &pid]).arg(&theirs)
                }
                _ => command.args(["-p", &pid, "-e", &empty]),
            };
            let tool = Running::start(&mut command)?;
            tool.wait(&mut driver, event).with_context(|| format!("{}: {}", case.name, NAMES[which]))?;
            tools.push((which, tool));
        }
        let mut least = [f64::INFINITY; 3];
        for _ in 0..BATCHES {
            let before: Vec<u64> = tools.iter().map(|(_, tool)| tool.spent()).collect::<Result<_>>()?;
            driver.make(event, EVENTS)?;
            for ((which, tool), before) in tools.iter().zip(&before) {
                // By events made and not by runs: a script may have several programs.
                let ns = (tool.spent()? - before) as f64 / f64::from(EVENTS);
                least[*which] = least[*which].min(ns);
            }
            // Let the tools read what was sent to them.
            std::thread::sleep(Duration::from_millis(10));
        }
        let [ours, theirs, empty] = least;
        Ok(Ns { ours, theirs, empty })
    }
}

/// The probe that sees an event of the driving program, for the empty script.
fn probe(event: &str) -> Result<&'static str> {
    Ok(match event {
        "getppid" => "tracepoint:syscalls:sys_enter_getppid",
        "open" => "tracepoint:syscalls:sys_enter_openat",
        "call" => "uprobe:DRIVE:traced",
        other => bail!("bench/drive.c has no event {other}"),
    })
}
