//! Run cases: start `hark` on a real kernel, make something happen, look at what it printed.
//!
//! The same case runs natively and inside a guest. Its file is a script in the form of [`crate::case`]; the keys are
//! those of [`KEYS`] and the blocks those of [`Expectation`].
//!
//! ```text
//!   spawn trigger shell (waits) → spawn hark → wait until attached → let the trigger go → wait for it
//!   → signal hark (unless it ends by itself) → wait → compare status, stdout, stderr, files
//! ```

mod execute;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

use hark_syntax::ast::Item;

use crate::case::CaseFile;
use crate::pattern::{Bindings, match_all, match_line, match_set, match_some};

pub use execute::execute;

/// The header keys of a run case.
///
/// | key | what |
/// |---|---|
/// | `args` | `hark`'s arguments before the script |
/// | `script-args` | the arguments after it |
/// | `trigger` | shell commands to run once all probes are attached |
/// | `stop` | how `hark` ends: `"self"`, or by a signal after the trigger: `"int"`, `"term"`. Without a trigger: `"self"`, else `"int"` |
/// | `status` | the exit status expected; 0 if absent |
/// | `on` | where the case can run, if not everywhere: `"native"`, `"guest"`; then `because` says why |
/// | `min-kernel` | the oldest kernel that can run it, `"5.17"`; then `because` says why |
/// | `max-kernel` | the newest kernel that has what the case is about; then `because` says why |
/// | `because` | the reason of `on`, `min-kernel` or `max-kernel` |
/// | `root` | `false`: needs no privileges |
/// | `timeout` | seconds until the run counts as hung; 10 if absent |
/// | `kernel-only` | why the embedded engine cannot run the script, although its probes need no kernel |
/// | `env` | `"NAME=value"` strings to set for `hark` |
/// | `stdin` | what `hark` reads from its standard input |
///
/// A block `beside:NAME` is no expectation but a file that lies beside the script.
///
/// In all texts `{{PROG}}` is the path of the statically linked test program, `{{DYN}}` that of the dynamically linked
/// one, `{{DIR}}` an empty directory, `{{PID}}` the trigger shell's process id, `{{HARK}}` the path of `hark`,
/// `{{EXAMPLES}}` the directory of the scripts that come with hark.
pub const KEYS: &[&str] = &[
    "args",
    "script-args",
    "trigger",
    "stop",
    "status",
    "on",
    "min-kernel",
    "max-kernel",
    "because",
    "root",
    "timeout",
    "kernel-only",
    "env",
    "stdin",
];

/// What kind of machine a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The machine that builds hark, with the kernel it happens to have.
    Native,
    /// A virtual machine with a known kernel and nothing else in it.
    Guest,
}

/// How the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// By itself.
    Itself,
    /// By the named signal, sent when the trigger has ended.
    Signal(&'static str),
}

/// A case that can be executed.
#[derive(Clone, Debug)]
pub struct RunCase {
    /// The case's name.
    pub name: String,
    /// Arguments before the script.
    pub args: Vec<String>,
    /// The script; `None` if the case has only arguments.
    pub script: Option<String>,
    /// Arguments after the script.
    pub script_args: Vec<String>,
    /// Shell commands to run when all probes are attached.
    pub trigger: Option<String>,
    /// How the run ends.
    pub stop: Stop,
    /// The exit status expected.
    pub status: i32,
    /// Where it can run.
    pub places: Vec<Place>,
    /// The oldest kernel that can run it.
    pub min_kernel: Option<(u32, u32)>,
    /// The newest kernel that can run it.
    pub max_kernel: Option<(u32, u32)>,
    /// Why it cannot run everywhere.
    pub because: String,
    /// True if it needs the privilege to trace.
    pub needs_root: bool,
    /// After this time the run counts as hung.
    pub timeout: Duration,
    /// Why the embedded engine cannot run it, although its probes need no kernel.
    pub kernel_only: String,
    /// Environment variables of `hark`.
    pub env: Vec<(String, String)>,
    /// What `hark` reads from standard input.
    pub stdin: String,
    /// Files that lie beside the script: names and texts.
    pub beside: Vec<(String, String)>,
    /// What must come out.
    pub expect: Vec<Expectation>,
}

/// How the lines of a block are compared with those of a stream; see [`crate::pattern`] for the placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `stdout`: all lines, in order.
    All,
    /// `stdout-has`: these lines, in this order; others may stand between.
    Has,
    /// `stdout-set`: these lines, in whatever order; there may be others.
    Set,
    /// `stdout-not`: no line is like any of these.
    Not,
}

/// One block: `stdout`, `stderr`, `trigger` (what the trigger printed) or `file:NAME` (a file below `{{DIR}}`), with
/// one of the suffixes of [`Compare`].
///
/// A case without a block for standard output expects none; without one for standard error it expects none but the
/// line that says how many probes were attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The stream's name.
    pub stream: String,
    /// How it is compared.
    pub compare: Compare,
    /// The patterns, one a line.
    pub text: String,
}

/// The machine a case runs on.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The `hark` binary.
    pub hark: PathBuf,
    /// The statically linked test program.
    pub program: PathBuf,
    /// The dynamically linked test program.
    pub program_dyn: PathBuf,
    /// The directory of the scripts that come with hark.
    pub examples: PathBuf,
    /// A directory for temporary files.
    pub scratch: PathBuf,
    /// Which kind of machine it is.
    pub place: Place,
    /// The running kernel's version.
    pub kernel: (u32, u32),
    /// True if the process may trace.
    pub privileged: bool,
    /// Time-outs are multiplied by this; emulated machines are slow.
    pub patience: u32,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All as expected.
    Passed,
    /// Not as expected; the text says what differs.
    Failed(String),
    /// It cannot run on this machine; the text says why.
    Skipped(String),
    /// It is not meant for this kind of machine.
    NotHere,
}

/// What a run left behind.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The exit status; 128 + n after death by signal n; `None` if it had to be killed.
    pub status: Option<i32>,
    /// Standard output, without the line that announces readiness.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// What the trigger printed on standard output.
    pub trigger: String,
    /// Files below `{{DIR}}`, by name.
    pub files: Vec<(String, String)>,
    /// What `{{PROG}}` and its like stood for.
    pub names: Vec<(&'static str, String)>,
}

impl RunCase {
    /// Reads the header and the blocks of a case file.
    ///
    /// # Errors
    /// Something in it is unknown, of the wrong type or missing.
    pub fn from_file(case: &CaseFile) -> Result<Self> {
        case.check_keys(KEYS)?;
        let trigger = case.str("trigger")?.map(str::to_owned);
        let stop = match case.str("stop")? {
            Some("self") => Stop::Itself,
            Some("int") => Stop::Signal("INT"),
            Some("term") => Stop::Signal("TERM"),
            Some(other) => bail!("`stop` is \"self\", \"int\" or \"term\", not {other:?}"),
            None if trigger.is_some() => Stop::Signal("INT"),
            None => Stop::Itself,
        };
        if trigger.is_none() && stop != Stop::Itself {
            bail!("without a trigger nobody knows when to send a signal: use trigger = \"sleep 1\"");
        }
        let because = case.str("because")?.unwrap_or_default().to_owned();
        let mut places = Vec::new();
        for place in case.strings("on")? {
            places.push(match place.as_str() {
                "native" => Place::Native,
                "guest" => Place::Guest,
                other => bail!("`on` is \"native\" or \"guest\", not {other:?}"),
            });
        }
        let version = |key: &str| match case.str(key)? {
            Some(text) => match parse_version(text) {
                Some(version) => Ok(Some(version)),
                None => bail!("`{key}` is of the form \"5.17\", not {text:?}"),
            },
            None => Ok(None),
        };
        let (min_kernel, max_kernel) = (version("min-kernel")?, version("max-kernel")?);
        if (min_kernel.is_some() || max_kernel.is_some() || !places.is_empty()) == because.is_empty() {
            bail!("`on`, `min-kernel` and `max-kernel` need a `because`, and it needs one of them");
        }
        if places.is_empty() {
            places = vec![Place::Native, Place::Guest];
        }
        let mut env = Vec::new();
        for pair in case.strings("env")? {
            match pair.split_once('=') {
                Some((name, value)) => env.push((name.to_owned(), value.to_owned())),
                None => bail!("`env` holds \"NAME=value\", not {pair:?}"),
            }
        }
        let needs_root = match case.get("root") {
            Some(value) => value.as_bool().ok_or_else(|| anyhow::anyhow!("`root` is true or false"))?,
            None => true,
        };
        let script = Some(case.input()).filter(|text| !text.trim().is_empty());
        let mut beside = Vec::new();
        let mut expect = Vec::new();
        for block in &case.blocks {
            match block.name.strip_prefix("beside:") {
                Some(name) => beside.push((name.to_owned(), block.text.clone())),
                None => expect.push(Expectation::new(&block.name, &block.text)?),
            }
        }
        if expect.is_empty() {
            bail!("the case expects nothing: add a block such as `//= stdout`");
        }
        Ok(Self {
            name: case.name.clone(),
            args: case.strings("args")?,
            script,
            script_args: case.strings("script-args")?,
            trigger,
            stop,
            status: i32::try_from(case.int("status")?.unwrap_or(0))?,
            places,
            min_kernel,
            max_kernel,
            because,
            needs_root,
            timeout: Duration::from_secs(u64::try_from(case.int("timeout")?.unwrap_or(10))?),
            kernel_only: case.str("kernel-only")?.unwrap_or_default().to_owned(),
            env,
            stdin: case.str("stdin")?.unwrap_or_default().to_owned(),
            beside,
            expect,
        })
    }

    /// The same script in the embedded engine, if nothing but hark makes its probes fire and it says nothing against it.
    pub fn embedded(&self) -> Option<Self> {
        let script = self.script.as_deref()?;
        let parsed = hark_syntax::parse(hark_diag::FileId(0), script, &hark_syntax::ParseOptions::default());
        let inside = parsed.script.items.iter().all(|item| match item {
            Item::Probe(probe) => probe.attach_points.iter().all(|point| is_inside(&point.text)),
            _ => true,
        });
        if !inside || !self.kernel_only.is_empty() || self.trigger.is_some() {
            return None;
        }
        let mut same = self.clone();
        same.name = format!("{}-embedded", self.name);
        same.args.splice(0..0, ["--engine".to_owned(), "sim".to_owned()]);
        same.needs_root = false;
        Some(same)
    }

    /// Runs the case on this machine, if it can.
    pub fn run(&self, machine: &Machine) -> Outcome {
        if !self.places.contains(&machine.place) {
            return Outcome::NotHere;
        }
        if self.needs_root && !machine.privileged {
            return Outcome::Skipped("needs root".to_owned());
        }
        if let Some(min) = self.min_kernel
            && machine.kernel < min
        {
            return Outcome::Skipped(format!("needs Linux {}.{}: {}", min.0, min.1, self.because));
        }
        if let Some(max) = self.max_kernel
            && machine.kernel > max
        {
            return Outcome::Skipped(format!("needs Linux {}.{} or older: {}", max.0, max.1, self.because));
        }
        match execute(self, machine) {
            Ok(record) => match self.judge(&record) {
                None => Outcome::Passed,
                Some(problem) => Outcome::Failed(problem),
            },
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }

    /// Compares what a run left behind with what the case expects; `None` if all is well.
    pub fn judge(&self, record: &Record) -> Option<String> {
        let mut problems = String::new();
        match record.status {
            None => problems.push_str("it did not end in time and was killed\n"),
            Some(status) if status != self.status => {
                problems.push_str(&format!("exit status {status}, expected {}\n", self.status));
            }
            Some(_) => {}
        }
        let mut bindings = Bindings::new();
        for expectation in self.expect.iter().chain(&self.unspoken()) {
            match record.stream(&expectation.stream) {
                Some(text) => {
                    let patterns = substitute(&expectation.text, &record.names);
                    problems.extend(expectation.check(&patterns, text, &mut bindings));
                }
                None => problems.push_str(&format!("`{}` does not exist\n", expectation.stream)),
            }
        }
        if problems.is_empty() {
            return None;
        }
        for (name, text) in
            [("stdout", &record.stdout), ("stderr", &record.stderr), ("trigger's stdout", &record.trigger)]
        {
            if !text.is_empty() {
                problems.push_str(&format!("--- {name}\n{}\n", text.trim_end_matches('\n')));
            }
        }
        Some(problems)
    }

    /// What is expected of streams that no block speaks of.
    fn unspoken(&self) -> Vec<Expectation> {
        let spoken = |stream: &str| self.expect.iter().any(|e| e.stream == stream);
        let mut more = Vec::new();
        if !spoken("stdout") {
            more.push(Expectation { stream: "stdout".into(), compare: Compare::All, text: String::new() });
        }
        if !spoken("stderr") {
            more.push(Expectation {
                stream: "stderr-unspoken".into(),
                compare: Compare::All,
                text: String::new(),
            });
        }
        more
    }
}

impl Expectation {
    fn new(block: &str, text: &str) -> Result<Self> {
        let suffixes =
            [("-has", Compare::Has), ("-set", Compare::Set), ("-not", Compare::Not), ("", Compare::All)];
        let (stream, compare) = suffixes
            .iter()
            .find_map(|(suffix, compare)| block.strip_suffix(suffix).map(|stream| (stream, *compare)))
            .unwrap_or((block, Compare::All));
        if !(["stdout", "stderr", "trigger"].contains(&stream) || stream.starts_with("file:")) {
            bail!(
                "unknown block `{block}`; known are stdout, stderr, trigger, file:NAME, with -has, -set or -not"
            );
        }
        Ok(Self { stream: stream.to_owned(), compare, text: text.to_owned() })
    }

    /// `None` if `text` matches the patterns.
    fn check(&self, patterns: &str, text: &str, bindings: &mut Bindings) -> Option<String> {
        let all_patterns = patterns;
        let patterns: Vec<&str> = patterns.lines().collect();
        let lines: Vec<&str> = text.lines().collect();
        let stream = &self.stream;
        match self.compare {
            Compare::All => (!match_all(&patterns, &lines, bindings)).then(|| {
                let with_newline = |text: &str| format!("{}\n", text.trim_end_matches('\n'));
                crate::golden::diff(stream, &with_newline(all_patterns), &with_newline(text))
            }),
            Compare::Has => match_some(&patterns, &lines, bindings).err().map(|pattern| {
                format!("{stream} lacks this line, or has it in another place:\n  {pattern}\n")
            }),
            Compare::Set => match_set(&patterns, &lines, bindings)
                .err()
                .map(|pattern| format!("{stream} lacks this line:\n  {pattern}\n")),
            Compare::Not => lines
                .iter()
                .find(|line| patterns.iter().any(|p| match_line(p, line, &mut bindings.clone())))
                .map(|line| format!("{stream} must not have this line:\n  {line}\n")),
        }
    }
}

impl Record {
    fn stream(&self, name: &str) -> Option<&str> {
        match name {
            "stdout" => Some(&self.stdout),
            "stderr" => Some(&self.stderr),
            "stderr-unspoken" => {
                Some(if is_attached_line(self.stderr.trim_end()) { "" } else { &self.stderr })
            }
            "trigger" => Some(&self.trigger),
            other => {
                let name = other.strip_prefix("file:")?;
                self.files.iter().find(|file| file.0 == name).map(|file| file.1.as_str())
            }
        }
    }
}

/// Whether hark itself makes the probe fire.
fn is_inside(attach_point: &str) -> bool {
    let kind = attach_point.split(':').next().unwrap_or_default().to_ascii_lowercase();
    ["begin", "end", "interval", "i", "test", "bench"].contains(&kind.as_str())
}

/// Puts the values of `{{PROG}}` and its like into a text.
fn substitute(text: &str, names: &[(&'static str, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// True for `Attached 3 probes`.
fn is_attached_line(line: &str) -> bool {
    line.strip_prefix("Attached ")
        .and_then(|rest| rest.strip_suffix(" probes").or_else(|| rest.strip_suffix(" probe")))
        .is_some_and(|count| count.parse::<u32>().is_ok())
}

/// The first two numbers of a kernel's version or release: `6.1.0-32-cloud-amd64` is `(6, 1)`.
pub fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn case(text: &str) -> Result<RunCase> {
        RunCase::from_file(&CaseFile::parse(Path::new("x.bt"), "x".into(), text).unwrap())
    }

    fn judged(blocks: &str, stdout: &str, stderr: &str) -> Option<String> {
        let record = Record {
            status: Some(0),
            stdout: stdout.into(),
            stderr: stderr.into(),
            trigger: "7\n".into(),
            files: vec![("out".into(), "x\n".into())],
            names: vec![("{{PROG}}", "/x".into())],
        };
        case(&format!("BEGIN {{ }}\n{blocks}")).unwrap().judge(&record)
    }

    #[test]
    fn judges_every_stream() {
        assert_eq!(judged("//= stdout\n// a <int>\n", "a 1\n", "Attached 1 probe\n"), None);
        assert!(judged("//= stdout\n// a\n", "a\n", "WARNING: x\n").unwrap().contains("WARNING"));
        assert!(judged("//= stderr-has\n// x\n", "a\n", "x\n").unwrap().contains("stdout expected"));
        assert_eq!(judged("//= stdout\n// {{PROG}}\n", "/x\n", ""), None);
        assert_eq!(judged("//= stdout-not\n// b<any>\n", "a\n", ""), None);
        assert!(judged("//= stdout-not\n// b<any>\n", "bad\n", "").unwrap().contains("must not"));
        assert_eq!(judged("//= stdout-set\n// b\n// a\n//= file:out\n// x\n", "a\nb\n", ""), None);
        assert!(judged("//= stdout\n//= file:in\n", "", "").unwrap().contains("does not exist"));
    }

    #[test]
    fn names_hold_across_blocks() {
        let blocks = "//= stdout\n// child <int:pid>\n//= trigger\n// <int:pid>\n";
        assert_eq!(judged(blocks, "child 7\n", ""), None);
        assert!(judged(blocks, "child 8\n", "").is_some());
    }

    #[test]
    fn a_wrong_header_is_an_error() {
        for text in [
            "//! stop = \"int\"\n//= stdout\n",
            "//! on = \"guest\"\n//= stdout\n",
            "//! because = \"x\"\n//= stdout\n",
            "//! min-kernel = \"six\"\n//! because = \"x\"\n//= stdout\n",
            "//! timeuot = 3\n//= stdout\n",
            "//= stdoot\n",
            "BEGIN { }\n",
        ] {
            assert!(case(text).is_err(), "{text}");
        }
    }

    #[test]
    fn versions() {
        assert_eq!(parse_version("6.1.0-32-cloud-amd64"), Some((6, 1)));
        assert_eq!(parse_version("7.3.4+deb13"), Some((7, 3)));
        assert_eq!(parse_version("linux"), None);
    }
}
