//! Boots virtual machines and watches them.
//!
//! A guest's first serial port is its console and goes to a file below `target/lab`; the second brings the results out.
//! A machine that panics, or says nothing for too long, is booted again with the cases that are left. Emulation itself
//! brings a kernel down now and then, so the case that was running gets a second try there; what brings the machine down
//! twice is a failure, and each time is reported with the end of the console.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::image::{Image, Job};
use crate::kernels::{Kernel, named};
use crate::matrix::Outcome;
use crate::report::Line;
use crate::shell::{lab, succeeds};

/// A guest that says nothing for this long hangs. Above the time-out of any case, so that those end by themselves.
const SILENCE: Duration = Duration::from_secs(150);
/// How often a guest is booted again after it went down in the middle of its cases.
const MAX_BOOTS: u32 = 5;
/// Size of the guests' disk.
const DISK_BYTES: u64 = 4 << 20;
/// What stands for a case while none is running yet.
const START_UP: &str = "start-up";
/// How much of a console is shown when a machine goes down.
const CONSOLE_TAIL: usize = 60;

/// A command line of QEMU, without serial ports. Acceleration by hardware is not asked for: it is absent where CI runs.
fn qemu(vmlinuz: &Path, initrd: &Path, disk: &Path, console: &str) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    // One thread for both processors: with more, emulation now and then crashes the kernel in it.
    command.args(["-accel", "tcg,thread=single", "-cpu", "max", "-m", "1G", "-smp", "2"]);
    command.args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    command.args(["-drive", &drive, "-device", "nvme,drive=disk,serial=disk"]);
    command.arg("-kernel").arg(vmlinuz).arg("-initrd").arg(initrd);
    // A reboot ends QEMU (-no-reboot), so an oops ends the run at once instead of leaving a broken system.
    command.args(["-append", &format!("console={console} quiet panic=-1 oops=panic")]);
    command
}

/// An empty disk for a guest; the kernels have the driver of NVMe disks built in.
fn disk(version: &str) -> Result<PathBuf> {
    let path = lab().join(format!("disk-{version}.img"));
    fs::File::create(&path).and_then(|file| file.set_len(DISK_BYTES)).context("cannot make a disk")?;
    Ok(path)
}

/// Boots a guest for a person: a shell on the terminal, or one command and its output. True if the command succeeded.
pub(crate) fn shell(version: &str, command: Option<&str>) -> Result<bool> {
    let kernel = named(version)?;
    let vmlinuz = kernel.fetch()?;
    let initrd = lab().join(format!("shell-{version}.cpio"));
    let job = command.map_or(Job::Shell, Job::Command);
    Image::build()?.write(&initrd, &job, kernel)?;
    let mut qemu = qemu(&vmlinuz, &initrd, &disk(version)?, "ttyS0");
    if command.is_none() {
        qemu.args(["-serial", "mon:stdio", "-serial", "null"]);
        return succeeds(&mut qemu);
    }
    let console = lab().join(format!("console-{version}.log"));
    qemu.args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
    let mut status = None;
    for line in BufReader::new(child.stdout.take().context("a pipe")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        match line.strip_prefix("exit ").and_then(|code| code.parse::<i32>().ok()) {
            Some(code) => status = Some(code),
            None => println!("{line}"),
        }
    }
    child.wait()?;
    if status.is_none() {
        println!("the guest went down; the end of its console:\n{}", tail(&console));
    }
    Ok(status == Some(0))
}

/// Runs one shell command in a guest and hands each line of what it prints to `take`, which says when it was the last.
/// Returns what went wrong, if the end did not come.
pub(crate) fn command(
    kernel: &Kernel,
    image: &Image,
    command: &str,
    take: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<&'static str>> {
    let vmlinuz = kernel.fetch()?;
    let initrd = lab().join(format!("guest-{}.cpio", kernel.version));
    let console = lab().join(format!("console-{}.log", kernel.version));
    image.write(&initrd, &Job::Command(command), kernel)?;
    drop(fs::remove_file(&console));
    watch(qemu(&vmlinuz, &initrd, &disk(kernel.version)?, "ttyS0"), &console, take)
}

/// Runs cases in a guest. What happens is told to `say`, a line at a time.
pub(crate) fn run_cases(
    kernel: &Kernel,
    vmlinuz: &Path,
    image: &Image,
    cases: &[String],
    say: &dyn Fn(String),
) -> Result<Outcomes> {
    let name = kernel.version;
    let initrd = lab().join(format!("guest-{name}.cpio"));
    let console = lab().join(format!("console-{name}.log"));
    let disk = disk(name)?;
    let mut run = Run { left: cases.to_vec(), ..Run::default() };
    for boot in 1..=MAX_BOOTS {
        image.write(&initrd, &Job::Cases(&run.left), kernel)?;
        drop(fs::remove_file(&console));
        let start = Instant::now();
        let end =
            watch(qemu(vmlinuz, &initrd, &disk, "ttyS0"), &console, &mut |line| run.line(line, start, say))?;
        let Some(problem) = end else {
            // What was never named in a report was not run, and silence is no success.
            for case in std::mem::take(&mut run.left) {
                say(format!("FAIL  {case}: the guest ended without running it"));
                run.outcomes.push((case, Outcome::Failed));
            }
            return Ok(run.outcomes);
        };
        let case = run.went_down(problem, &tail(&console), say);
        if run.left.is_empty() || (case == START_UP && run.gave_up(&case)) {
            break;
        }
        say(format!("boot {boot} ended early; {} cases are left", run.left.len()));
    }
    for case in std::mem::take(&mut run.left) {
        say(format!("FAIL  {case}: not run, for the guest went down too often"));
        run.outcomes.push((case, Outcome::Failed));
    }
    Ok(run.outcomes)
}

/// How the cases of a guest ended, those that are not for guests left out.
pub(crate) type Outcomes = Vec<(String, Outcome)>;

/// The cases of one guest while they run.
#[derive(Default)]
struct Run {
    outcomes: Outcomes,
    left: Vec<String>,
    current: Option<String>,
    details: Vec<String>,
    /// The cases during which the machine went down, once each time.
    down_during: Vec<String>,
}

impl Run {
    /// Takes one line of the report. True if it was the last.
    fn line(&mut self, line: &str, start: Instant, say: &dyn Fn(String)) -> bool {
        match Line::parse(line) {
            Line::Boot { release } => {
                say(format!("booted {release} in {:.1} s", start.elapsed().as_secs_f64()));
            }
            Line::Start { case } => {
                self.current = Some(case.to_owned());
                self.details.clear();
            }
            Line::Pass { case, ms } => {
                say(format!("ok    {case} ({ms} ms)"));
                self.done(case, Some(Outcome::Passed));
            }
            Line::Skip { case, why } => {
                say(format!("skip  {case}: {why}"));
                self.done(case, Some(Outcome::Skipped(why.to_owned())));
            }
            Line::NotHere { case } => self.done(case, None),
            Line::Fail { case } => {
                say(format!("FAIL  {case}\n{}", self.details.join("\n")));
                self.done(case, Some(Outcome::Failed));
            }
            Line::Detail { text } => self.details.push(format!("      {text}")),
            Line::End => return true,
            Line::Noise { text } => say(format!("?     {text}")),
        }
        false
    }

    /// Notes that the machine went down; the first time for a case is forgiven. Returns the case.
    fn went_down(&mut self, problem: &str, console: &str, say: &dyn Fn(String)) -> String {
        let case = self.current.take().unwrap_or_else(|| START_UP.to_owned());
        self.down_during.push(case.clone());
        if self.gave_up(&case) {
            say(format!("FAIL  {case}: {problem} again; the end of the console:\n{console}"));
            self.done(&case, Some(Outcome::Failed));
        } else {
            say(format!("retry {case}: {problem}; the end of the console:\n{console}"));
        }
        case
    }

    /// True if the machine went down twice during the case.
    fn gave_up(&self, case: &str) -> bool {
        self.down_during.iter().filter(|during| *during == case).count() > 1
    }

    fn done(&mut self, case: &str, outcome: Option<Outcome>) {
        self.outcomes.extend(outcome.map(|outcome| (case.to_owned(), outcome)));
        self.current = None;
        self.left.retain(|left| left != case);
    }
}

/// Runs QEMU and hands each line of the second serial port to `take`, which says when the report is complete.
/// Returns what went wrong, if the report did not come to its end.
fn watch(
    mut qemu: Command,
    console: &Path,
    take: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<&'static str>> {
    qemu.args(["-serial", &format!("file:{}", console.display()), "-serial", "stdio"]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut machine = Machine(qemu.spawn().context("cannot start qemu-system-x86_64")?);
    let lines = reader(machine.0.stdout.take().context("a pipe")?);
    let mut heard = Instant::now();
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                heard = Instant::now();
                if take(&line) {
                    return Ok(None);
                }
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                return Ok(Some("the guest hangs"));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                machine.0.wait()?;
                let panicked = fs::read(console)
                    .is_ok_and(|text| String::from_utf8_lossy(&text).contains("Kernel panic"));
                return Ok(Some(if panicked { "the kernel panicked" } else { "the guest ended" }));
            }
        }
    }
}

/// A QEMU process that ends when it goes out of scope.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn reader(source: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The last lines of a console, without control characters.
fn tail(console: &PathBuf) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text: String =
        String::from_utf8_lossy(&bytes).chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(CONSOLE_TAIL)..].iter().map(|line| format!("      {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_summed_up() {
        let cases = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let mut run = Run { left: cases, ..Run::default() };
        let report =
            "boot\t6.1\nstart\ta\npass\ta\t5\nstart\tb\n|\twhy\nfail\tb\nstart\tc\nskip\tc\told\nstart\td\n";
        for line in report.lines() {
            assert!(!run.line(line, Instant::now(), &|_| ()));
        }
        let outcomes: Vec<_> = run.outcomes.iter().map(|(case, outcome)| (case.as_str(), outcome)).collect();
        let old = Outcome::Skipped("old".to_owned());
        assert_eq!(outcomes, [("a", &Outcome::Passed), ("b", &Outcome::Failed), ("c", &old)]);
        assert_eq!((run.left, run.current.as_deref()), (vec!["d".to_owned()], Some("d")));
    }

    #[test]
    fn a_case_that_takes_the_machine_down_twice_has_failed() {
        let mut run = Run { left: vec!["a".to_owned(), "b".to_owned()], ..Run::default() };
        for tries in 1..=2 {
            run.line("start\ta", Instant::now(), &|_| ());
            assert_eq!(run.went_down("the kernel panicked", "", &|_| ()), "a");
            let failed = run.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count();
            assert_eq!(failed, usize::from(tries == 2));
        }
        assert_eq!(run.left, ["b"]);
    }

    #[test]
    fn a_machine_that_goes_down_is_noticed() {
        let console = std::env::temp_dir().join(format!("hark-console-{}", std::process::id()));
        let play = |text: &str| {
            let mut shell = Command::new("sh");
            // `-serial` and its friends become the script's positional parameters.
            shell.args(["-c", text, "sh"]);
            watch(shell, &console, &mut |line| line == "end").unwrap()
        };
        assert_eq!(play("echo x; echo end; sleep 60"), None);
        assert_eq!(play("echo x"), Some("the guest ended"));
        assert_eq!(play("echo 'Kernel panic - not syncing' >${2#file:}"), Some("the kernel panicked"));
        fs::remove_file(&console).unwrap();
    }
}
