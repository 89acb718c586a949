//! A tracer at work: started, attached, watched, stopped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::peer::Peer;
use crate::shell::{lab, output, root};

/// What both tracers print once everything is attached, if this variable is set.
const NOTIFY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// A tracer that can be started.
pub(crate) struct Tracer {
    /// As the tables call it.
    pub(crate) name: String,
    program: PathBuf,
    root: Option<PathBuf>,
    /// The load that it is to observe, as seen from outside.
    load: PathBuf,
}

impl Tracer {
    /// hark, and bpftrace if there is one.
    pub(crate) fn all(hark: &Path, peer: Option<&Peer>) -> Result<Vec<Tracer>> {
        let load = build_load(&lab().join("hark-load"))?;
        let mut all = vec![Tracer { name: "hark".to_owned(), program: hark.to_owned(), root: None, load }];
        if let Some(peer) = peer {
            let load = build_load(&peer.root.join("tmp/hark-load"))?;
            let (name, root) = (peer.version.clone(), Some(peer.root.clone()));
            all.push(Tracer { name, program: PathBuf::from("bpftrace"), root, load });
        }
        Ok(all)
    }

    /// `path` as the tracer sees it.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => Path::new("/").join(path.strip_prefix(root).unwrap_or(path)),
            None => path.to_owned(),
        }
    }

    /// A directory that the tracer sees too.
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.as_ref().map_or_else(lab, |root| root.join("tmp"))
    }

    /// The path of the load as the tracer sees it.
    pub(crate) fn load(&self) -> String {
        self.inside(&self.load).display().to_string()
    }

    /// Runs the load to its end; how many events it made, and how many seconds it took.
    pub(crate) fn run_load(&self, arguments: &[&str]) -> Result<(u64, f64)> {
        let text = output(Command::new(&self.load).args(arguments))?;
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers.as_slice() {
            [n, ns] => Ok((*n, *ns as f64 / 1e9)),
            _ => bail!("hark-load said {text:?}"),
        }
    }

    /// Starts it, and waits until it is attached.
    pub(crate) fn start(&self, script: &str) -> Result<Running> {
        let out = self.directory().join("hark-bench.out");
        let err = self.directory().join("hark-bench.err");
        let mut command = match &self.root {
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        let begun = Instant::now();
        let mut child = command
            .arg("-o")
            .arg(self.inside(&out))
            .args(["-e", script])
            .env(NOTIFY, "1")
            .env("BPFTRACE_MAX_PROBES", "10000")
            .env("BPFTRACE_MAX_BPF_PROGS", "10000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&err)?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut line = String::new();
        while !line.contains(NOTIFY) {
            line.clear();
            if stdout.read_line(&mut line)? == 0 {
                let said = fs::read_to_string(&err).unwrap_or_default();
                bail!("{} does not attach: {}", self.name, said.trim_end());
            }
        }
        Ok(Running { child, _stdout: stdout, attach: begun.elapsed(), out, err })
    }
}

/// Builds `bench/load.c`.
fn build_load(to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    let source = root().join("bench/load.c");
    output(Command::new("cc").args(["-O2", "-static", "-o"]).args([to, &source]))?;
    Ok(to.to_owned())
}

/// An attached tracer.
pub(crate) struct Running {
    child: Child,
    /// Kept open: the tracer may write to it.
    _stdout: BufReader<ChildStdout>,
    /// From its start until everything was attached.
    pub(crate) attach: Duration,
    out: PathBuf,
    err: PathBuf,
}

/// A tracer that has ended.
pub(crate) struct Stopped {
    /// From the signal until it was gone.
    pub(crate) detach: Duration,
    /// What it printed, to a file.
    pub(crate) out: PathBuf,
    /// What it said about itself.
    pub(crate) err: String,
}

impl Running {
    /// Processor time that it has used, in seconds.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: state is field 3, utime 14, stime 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum();
        let per_second: f64 = output(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
        Ok(ticks as f64 / per_second)
    }

    /// Runs of its programs and nanoseconds spent in them, while the kernel counts them.
    pub(crate) fn program_runs(&self) -> Result<(u64, u64)> {
        let mut seen: Vec<u64> = Vec::new();
        let (mut runs, mut ns) = (0, 0);
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", self.child.id()))?.flatten() {
            let Ok(text) = fs::read_to_string(entry.path()) else { continue };
            let field = |name: &str| -> Option<u64> {
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
            };
            let (Some(id), Some(n), Some(time)) = (field("prog_id"), field("run_cnt"), field("run_time_ns"))
            else {
                continue;
            };
            if !seen.contains(&id) {
                seen.push(id);
                runs += n;
                ns += time;
            }
        }
        Ok((runs, ns))
    }

    /// Ends it as Ctrl-C would.
    pub(crate) fn stop(mut self) -> Result<Stopped> {
        let begun = Instant::now();
        output(Command::new("kill").arg("-INT").arg(self.child.id().to_string()))?;
        self.child.wait()?;
        let detach = begun.elapsed();
        Ok(Stopped { detach, out: self.out, err: fs::read_to_string(&self.err).unwrap_or_default() })
    }
}
