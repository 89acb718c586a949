//! Starts the processes of a run case and collects what they print.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Machine, Record, RunCase, Stop, substitute};

/// `hark` prints this line once all probes are attached, if an environment variable of this name is set.
const READY: &str = "__BPFTRACE_NOTIFY_PROBES_ATTACHED";

/// How often a process is looked at that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// Runs a case without looking at what is expected of it.
///
/// # Errors
/// A process cannot be started, or the script is never attached.
pub fn execute(case: &RunCase, machine: &Machine) -> Result<Record> {
    let dir = machine.scratch.join(case.name.replace('/', "-"));
    drop(fs::remove_dir_all(&dir));
    let files = dir.join("files");
    fs::create_dir_all(&files).with_context(|| format!("cannot create {}", files.display()))?;
    let deadline = Instant::now() + case.timeout * machine.patience;

    let mut names = vec![
        ("{{PROG}}", machine.program.display().to_string()),
        ("{{DYN}}", machine.program_dyn.display().to_string()),
        ("{{HARK}}", machine.hark.display().to_string()),
        ("{{EXAMPLES}}", machine.examples.display().to_string()),
        ("{{DIR}}", files.display().to_string()),
    ];
    let mut trigger = match &case.trigger {
        Some(text) => {
            // It starts first and waits, so that its process id can stand in the script.
            let text = format!("read go\n{}", substitute(text, &names));
            let mut command = Command::new("sh");
            command.args(["-c", &text]).current_dir(&files);
            Some(Process::spawn(&mut command)?)
        }
        None => None,
    };
    if let Some(trigger) = &trigger {
        names.push(("{{PID}}", trigger.child.id().to_string()));
    }

    let mut command = Command::new(&machine.hark);
    command.args(case.args.iter().map(|arg| substitute(arg, &names)));
    if let Some(script) = &case.script {
        let path = dir.join("script.bt");
        fs::write(&path, substitute(script, &names))?;
        command.arg(path);
    }
    for (name, text) in &case.beside {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    command.args(case.script_args.iter().map(|arg| substitute(arg, &names)));
    command.current_dir(&files).env(READY, "1").env("LC_ALL", "C").env("TZ", "UTC");
    command.envs(case.env.iter().map(|(name, value)| (name, substitute(value, &names))));
    let mut hark = Process::spawn(&mut command)?;
    hark.feed(&case.stdin);

    let mut problem = None;
    if let Some(trigger) = &mut trigger {
        while !hark.is_ready() && !hark.has_ended()? && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if hark.is_ready() {
            trigger.feed("go\n");
            if trigger.wait_until(deadline)?.is_none() {
                problem = Some("the trigger did not end in time");
            }
        } else {
            problem = Some("it did not attach its probes, so the trigger was not run");
        }
        if let Stop::Signal(name) = case.stop
            && !hark.has_ended()?
        {
            hark.signal(name)?;
        }
    }
    let status = hark.wait_until(deadline)?.map(status_number);
    hark.kill();
    let (stdout, stderr) = hark.output();
    let trigger_output = match &mut trigger {
        Some(trigger) => {
            trigger.kill();
            trigger.output().0
        }
        None => String::new(),
    };
    let record = Record {
        status,
        stdout: stdout.split_inclusive('\n').filter(|line| line.trim_end() != READY).collect(),
        stderr,
        trigger: trigger_output,
        files: read_files(&files)?,
        names,
    };
    fs::remove_dir_all(&dir)?;
    // A script that is refused never attaches, and that may be just what the case expects.
    match problem {
        Some(problem) if case.status == 0 => {
            bail!(
                "{problem}\n--- status {:?}\n--- stdout\n{}--- stderr\n{}",
                record.status,
                record.stdout,
                record.stderr
            )
        }
        _ => Ok(record),
    }
}

fn read_files(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, String::from_utf8_lossy(&fs::read(&path)?).into_owned()));
        }
    }
    Ok(files)
}

/// 128 + n after death by signal n, as shells say it.
fn status_number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A process in a group of its own whose output is collected.
struct Process {
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Process {
    fn spawn(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let stdout = Stream::new(child.stdout.take());
        let stderr = Stream::new(child.stderr.take());
        Ok(Self { child, stdout, stderr })
    }

    /// Writes to standard input and closes it. A process that is gone already reads nothing.
    fn feed(&mut self, text: &str) {
        if let Some(mut stdin) = self.child.stdin.take() {
            drop(stdin.write_all(text.as_bytes()));
        }
    }

    fn is_ready(&self) -> bool {
        self.stdout.has_line(|line| line == READY) || self.stderr.has_line(super::is_attached_line)
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// `None` if it is still running at the deadline.
    fn wait_until(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        let text = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &text]).status().context("cannot start sh")?;
        if status.success() { Ok(()) } else { bail!("`{text}` failed") }
    }

    /// Ends the process and those it started, if any of them is left.
    fn kill(&mut self) {
        let text = format!("kill -KILL -{} 2>/dev/null", self.child.id());
        drop(Command::new("sh").args(["-c", &text]).status());
        drop(self.child.wait());
    }

    fn output(&mut self) -> (String, String) {
        (self.stdout.finish(), self.stderr.finish())
    }
}

/// What a process has printed so far.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn new(source: Option<impl Read + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = source.map(|mut source| {
            thread::spawn(move || {
                let mut chunk = [0; 4096];
                while let Ok(n) = source.read(&mut chunk) {
                    if n == 0 {
                        break;
                    }
                    sink.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..n]);
                }
            })
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    fn has_line(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.text().lines().any(wanted)
    }

    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::{Outcome, Place};
    use super::*;
    use crate::case::CaseFile;

    static COUNT: AtomicU32 = AtomicU32::new(0);

    /// A shell plays the part of hark: it runs the case's input as a shell script.
    fn run(text: &str) -> Outcome {
        let machine = Machine {
            hark: PathBuf::from("/bin/sh"),
            program: PathBuf::from("/bin/true"),
            program_dyn: PathBuf::from("/bin/true"),
            examples: PathBuf::from("/examples"),
            scratch: std::env::temp_dir().join(format!("hark-run-{}", std::process::id())),
            place: Place::Native,
            kernel: (6, 1),
            privileged: false,
            patience: 1,
        };
        let name = format!("case-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let text = format!("//! root = false\n{text}");
        RunCase::from_file(&CaseFile::parse(Path::new("x"), name, &text).unwrap()).unwrap().run(&machine)
    }

    #[track_caller]
    fn fails_with(text: &str, part: &str) {
        match run(text) {
            Outcome::Failed(message) => assert!(message.contains(part), "{message}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn status_streams_files_and_arguments() {
        let text = "//! script-args = [\"{{PROG}}\", \"y\"]\n//! status = 3\n//! stdin = \"in\\n\"\n\
                    read l; echo $l $2; echo $1; echo err >&2; echo z >{{DIR}}/f; exit 3\n\
                    //= stdout\n// in y\n// /bin/true\n//= stderr\n// err\n//= file:f\n// z\n";
        assert_eq!(run(text), Outcome::Passed);
    }

    #[test]
    fn trigger_runs_when_attached_and_the_signal_follows() {
        let text = "//! trigger = \"echo trig; touch {{DIR}}/went\"\n//! status = 7\n\
                    trap 'echo got; exit 7' INT\ntest -e {{DIR}}/went && echo early\necho Attached 1 probe >&2\n\
                    while :; do sleep 0.01; done\n\
                    //= stdout\n// got\n//= trigger\n// trig\n//= stderr\n// <lines>\n";
        assert_eq!(run(text), Outcome::Passed);
    }

    #[test]
    fn a_hang_is_a_failure_and_leaves_nothing_behind() {
        fails_with("//! timeout = 1\nsleep 60\n//= stdout\n", "did not end in time");
        fails_with(
            "//! trigger = \"true\"\necho refused; exit 0\n//= stdout\n// refused\n",
            "did not attach",
        );
    }
}
