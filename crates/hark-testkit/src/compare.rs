//! Comparing cases: a script that prints the same every time, run by hark and by bpftrace, as text and as JSON. What
//! both print on standard output must be the same to the byte, and so must the exit status.
//!
//! A case of what hark does otherwise on purpose says why (`differs`), and its blocks `text` and `json` hold what hark
//! prints then. If bpftrace comes to print the same, the case fails: it is no difference any more.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::case::CaseFile;

/// The header keys of a comparing case.
///
/// | key | what |
/// |---|---|
/// | `args` | arguments before the script |
/// | `script-args` | arguments after it |
/// | `formats` | `"text"`, `"json"`; both if absent |
/// | `differs` | why hark prints something else; then the blocks `text` and `json` say what |
pub const KEYS: &[&str] = &["args", "script-args", "formats", "differs"];

/// A form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `-f text`
    Text,
    /// `-f json`
    Json,
}

impl Format {
    const ALL: [Format; 2] = [Format::Text, Format::Json];

    /// As the option `-f` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
        }
    }
}

/// A case that both can run.
#[derive(Clone, Debug)]
pub struct CompareCase {
    args: Vec<String>,
    script: String,
    script_args: Vec<String>,
    /// The forms of output that are compared.
    pub formats: Vec<Format>,
    differs: Option<String>,
    expected: Vec<(Format, String)>,
}

/// The two that are compared.
#[derive(Clone, Debug)]
pub struct Contenders {
    /// The `hark` binary.
    pub hark: PathBuf,
    /// The root directory that bpftrace is installed in.
    pub peer_root: PathBuf,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    stdout: String,
    stderr: String,
    status: Option<i32>,
}

impl CompareCase {
    /// Makes sense of a case file.
    ///
    /// # Errors
    /// A key or block is unknown, or the blocks do not go with the keys.
    pub fn from_file(file: &CaseFile) -> Result<Self> {
        file.check_keys(KEYS)?;
        let format = |name: &str| Format::ALL.into_iter().find(|f| f.name() == name);
        let mut formats = Vec::new();
        for name in file.strings("formats")? {
            formats.push(format(&name).with_context(|| format!("there is no format {name}"))?);
        }
        if formats.is_empty() {
            formats.extend(Format::ALL);
        }
        let mut expected = Vec::new();
        for block in &file.blocks {
            let format = format(&block.name).with_context(|| format!("there is no format {}", block.name))?;
            expected.push((format, block.text.clone()));
        }
        let differs = file.str("differs")?.map(str::to_owned);
        if differs.is_some() == expected.is_empty() {
            bail!("`differs` and blocks of what hark prints go together");
        }
        Ok(Self {
            args: file.strings("args")?,
            script: file.input(),
            script_args: file.strings("script-args")?,
            formats,
            differs,
            expected,
        })
    }

    /// Runs the case in one form of output. `Ok(Err(why))` if the two disagree where they should not, or the other way
    /// round.
    ///
    /// # Errors
    /// One of the two cannot be started.
    pub fn run(&self, format: Format, contenders: &Contenders) -> Result<Result<(), String>> {
        let mut hark = Command::new(&contenders.hark);
        let mut peer = Command::new("chroot");
        peer.arg(&contenders.peer_root).arg("bpftrace");
        let hark = self.record(&mut hark, format)?;
        let peer = self.record(&mut peer, format)?;
        Ok(self.judge(format, &hark, &peer))
    }

    fn record(&self, command: &mut Command, format: Format) -> Result<Record> {
        command.args(["-q", "-f", format.name()]).args(&self.args).arg("-").args(&self.script_args);
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_owned();
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", Path::new(&name).display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that refuses its command line does not read.
            drop(stdin.write_all(self.script.as_bytes()));
        }
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Record {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            status: output.status.code(),
        })
    }

    fn judge(&self, format: Format, hark: &Record, peer: &Record) -> Result<(), String> {
        let (ours, theirs) = (without_own_words(&hark.stdout), without_own_words(&peer.stdout));
        let same = ours == theirs && hark.status == peer.status;
        let own = self.expected.iter().find(|(f, _)| *f == format).map(|(_, text)| text);
        match (&self.differs, own) {
            (None, _) if same => Ok(()),
            // The other form need not differ.
            (Some(_), None) if same => Ok(()),
            (None, _) | (Some(_), None) => Err(format!(
                "hark (status {:?}):\n{}\nbpftrace (status {:?}):\n{}\nhark's standard error:\n{}\nbpftrace's:\n{}",
                hark.status, hark.stdout, peer.status, peer.stdout, hark.stderr, peer.stderr
            )),
            (Some(why), _) if same => Err(format!("there is no difference any more: {why}")),
            (Some(_), Some(own)) if lines(own) == lines(&hark.stdout) => Ok(()),
            (Some(_), Some(own)) => Err(format!(
                "hark:\n{}\nexpected:\n{own}\nhark's standard error:\n{}",
                hark.stdout, hark.stderr
            )),
        }
    }
}

/// Lines without blanks at their ends, which a case file cannot hold, and without empty lines at the end.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

/// JSON records of what went wrong, without the message: each has its own words.
fn without_own_words(stdout: &str) -> String {
    let mut out = String::new();
    for line in stdout.split_inclusive('\n') {
        let record = ["{\"type\": \"runtime_error\", ", "{\"type\": \"helper_error\", "];
        let start = record.iter().find(|start| line.starts_with(**start));
        match start.and_then(|start| line.find("\"filename\"").map(|rest| (start, rest))) {
            Some((start, rest)) => {
                out.push_str(start);
                out.push_str(&line[rest..]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// The root directory with bpftrace in it that `HARK_PEER_ROOT` names; the reason if there is none.
pub fn peer_root() -> Result<PathBuf, String> {
    let root: Option<OsString> = std::env::var_os("HARK_PEER_ROOT");
    let Some(root) = root.map(PathBuf::from) else {
        return Err("HARK_PEER_ROOT names no directory with bpftrace in it".into());
    };
    if root.join("usr/bin/bpftrace").exists() {
        Ok(root)
    } else {
        Err(format!("there is no bpftrace in {}", root.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Result<CompareCase> {
        CompareCase::from_file(&CaseFile::parse(Path::new("x.bt"), "x".into(), text)?)
    }

    fn printed(stdout: &str) -> Record {
        Record { stdout: stdout.into(), stderr: String::new(), status: Some(0) }
    }

    #[test]
    fn what_differs_must_be_meant_and_what_is_meant_must_differ() {
        let plain = case("BEGIN { }\n").unwrap();
        assert!(plain.judge(Format::Text, &printed("a\n"), &printed("a\n")).is_ok());
        assert!(plain.judge(Format::Text, &printed("a\n"), &printed("b\n")).is_err());
        let other = Record { status: Some(1), ..printed("a\n") };
        assert!(plain.judge(Format::Text, &other, &printed("a\n")).is_err());
        let meant = case("//! differs = \"signs\"\nBEGIN { }\n\n//= text\n// a\n").unwrap();
        assert!(meant.judge(Format::Text, &printed("a\n"), &printed("b\n")).is_ok());
        assert!(meant.judge(Format::Text, &printed("c\n"), &printed("b\n")).is_err());
        assert!(meant.judge(Format::Text, &printed("a\n"), &printed("a\n")).is_err());
        assert!(meant.judge(Format::Json, &printed("a\n"), &printed("a\n")).is_ok());
        assert!(meant.judge(Format::Json, &printed("a\n"), &printed("b\n")).is_err());
    }

    #[test]
    fn cases_that_make_no_sense_are_refused() {
        assert!(case("//! differs = \"why\"\nBEGIN { }\n").is_err());
        assert!(case("BEGIN { }\n\n//= text\n// a\n").is_err());
        assert!(case("BEGIN { }\n\n//= xml\n// a\n").is_err());
        assert!(case("//! formats = \"xml\"\nBEGIN { }\n").is_err());
    }

    #[test]
    fn messages_may_have_own_words() {
        let record = |msg: &str| {
            format!("{{\"type\": \"runtime_error\", \"msg\": \"{msg}\", \"filename\": \"x\", \"line\": 1}}\n")
        };
        assert_eq!(without_own_words(&record("this")), without_own_words(&record("that")));
        assert_ne!(without_own_words("{\"a\": 1}\n"), without_own_words("{\"a\": 2}\n"));
    }
}
