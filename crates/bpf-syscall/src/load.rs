//! Loading programs: the request, and the verifier's answer.

use crate::errno::{Errno, SysError};
use crate::fd::{BtfFd, ProgFd};
use bpf_facts::{AttachType, ProgType};
use std::fmt;

/// A row of `func_info`: where a function begins and its BTF type (`struct bpf_func_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FuncInfo {
    /// First instruction, in slots.
    pub insn_off: u32,
    /// Type id of its `BTF_KIND_FUNC`.
    pub type_id: u32,
}

/// A row of `line_info`: where an instruction comes from (`struct bpf_line_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct LineInfo {
    /// Instruction, in slots.
    pub insn_off: u32,
    /// File name, as an offset into the BTF strings.
    pub file_name_off: u32,
    /// The line's text, as an offset into the BTF strings.
    pub line_off: u32,
    /// Line number shifted left by 10, column in the low 10 bits.
    pub line_col: u32,
}

/// Type information of a program.
#[derive(Clone, Copy, Debug)]
pub struct ProgBtf<'a> {
    /// The BTF, loaded by [`Kernel::btf_load`](crate::Kernel::btf_load).
    pub btf: &'a BtfFd,
    /// One row per function, in order.
    pub func_info: &'a [FuncInfo],
    /// Rows in order of their instruction; may be empty.
    pub line_info: &'a [LineInfo],
}

/// What a BTF-typed program (fentry, fexit, tp_btf, iter) is about.
#[derive(Clone, Copy, Debug)]
pub enum AttachTarget<'a> {
    /// A type of the kernel's own BTF.
    Vmlinux {
        /// Its type id.
        btf_id: u32,
    },
    /// A type of a module's BTF (since 5.11).
    Module {
        /// Its type id.
        btf_id: u32,
        /// The module's BTF.
        btf: &'a BtfFd,
    },
    /// A function of another BPF program.
    Program {
        /// Type id of the function in that program's BTF.
        btf_id: u32,
        /// The program.
        prog: &'a ProgFd,
    },
}

/// How much the verifier is to say about a program that it accepts. One it rejects gets a log, but for
/// [`Never`](LogLevel::Never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing, whatever it says: for many programs, of which only the verdict counts.
    Never,
    /// Nothing.
    None,
    /// Statistics only (log level 4).
    Stats,
    /// The instructions and states of every path (log level 2).
    Full,
}

/// `BPF_F_SLEEPABLE`, a bit of [`ProgLoad::flags`] (since 5.10).
pub const PROG_SLEEPABLE: u32 = 1 << 4;

/// A program to load.
#[derive(Clone, Copy, Debug)]
pub struct ProgLoad<'a> {
    /// Name in messages. The kernel gets its first 15 characters, others than `[A-Za-z0-9_.]` replaced by `_`.
    pub name: &'a str,
    /// Program type.
    pub ty: ProgType,
    /// Expected attach type; [`AttachType::None`] where the type needs none.
    pub attach_type: AttachType,
    /// Instructions in the kernel's encoding, map descriptors in place.
    pub insns: &'a [[u8; 8]],
    /// Licence, `GPL` for most tracing helpers.
    pub license: &'a str,
    /// For BTF-typed programs.
    pub target: Option<AttachTarget<'a>>,
    /// Type and line information.
    pub btf: Option<ProgBtf<'a>>,
    /// `BPF_F_*` bits of `prog_flags`.
    pub flags: u32,
    /// What to log on success.
    pub log: LogLevel,
}

impl<'a> ProgLoad<'a> {
    /// A GPL program without type information.
    pub fn new(name: &'a str, ty: ProgType, insns: &'a [[u8; 8]]) -> ProgLoad<'a> {
        ProgLoad {
            name,
            ty,
            attach_type: AttachType::None,
            insns,
            license: "GPL",
            target: None,
            btf: None,
            flags: 0,
            log: LogLevel::None,
        }
    }
}

/// A program that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The program.
    pub prog: ProgFd,
    /// What the verifier said; empty at [`LogLevel::None`].
    pub log: VerifierLog,
}

/// A program or BTF that was not loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}{}", log.decisive().map(|d| format!(": {d}")).unwrap_or_default())]
pub struct LoadError {
    /// Which call failed, how.
    pub error: SysError,
    /// Why, in the verifier's words; empty if the request never came to it.
    pub log: VerifierLog,
}

impl LoadError {
    /// The error number.
    pub fn errno(&self) -> Errno {
        self.error.errno
    }

    /// Whether it was the verifier that said no, rather than a missing right or limit.
    pub fn is_rejection(&self) -> bool {
        self.log.decisive().is_some()
    }
}

/// What the kernel's verifier wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifierLog {
    /// The text as it came.
    pub text: String,
    /// Whether the kernel had more to say than the largest buffer holds.
    pub truncated: bool,
}

/// The line of a log that tells why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisive<'a> {
    /// The verifier's message.
    pub message: &'a str,
    /// The instruction (in slots) it was looking at.
    pub insn: Option<u32>,
}

impl fmt::Display for Decisive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.insn {
            Some(insn) => write!(f, "at instruction {insn}: {}", self.message),
            None => f.write_str(self.message),
        }
    }
}

impl VerifierLog {
    /// The log in `bytes`, which end at the first NUL.
    pub(crate) fn from_bytes(bytes: &[u8], truncated: bool) -> VerifierLog {
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        VerifierLog { text: String::from_utf8_lossy(&bytes[..end]).into_owned(), truncated }
    }

    /// Its lines.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.text.lines()
    }

    /// The line that tells why: the last that is neither an instruction, a state, nor statistics.
    ///
    /// Kernels from 7.x on add a report below it, which says the same in more words. The instruction is the one named
    /// by the last `N: (op) …` line before the message.
    pub fn decisive(&self) -> Option<Decisive<'_>> {
        let mut lines: Vec<&str> = self.lines().collect();
        if let Some(report) = lines.iter().position(|line| line.starts_with("Verification failed:")) {
            lines.truncate(report);
        }
        let at = lines.iter().rposition(|line| is_message(line))?;
        let insn = lines[..at].iter().rev().find_map(|line| insn_index(line));
        Some(Decisive { message: lines[at].trim(), insn })
    }

    /// Instructions that the verifier looked at (`processed N insns`).
    pub fn processed(&self) -> Option<u64> {
        let line = self.lines().rev().find(|line| line.starts_with("processed "))?;
        line.split(' ').nth(1)?.parse().ok()
    }
}

/// `12: (85) call …` → 12; also `12: R0=… (state)` lines, whose index is that of the next instruction, are not
/// taken.
fn insn_index(line: &str) -> Option<u32> {
    let (index, rest) = line.split_once(": ")?;
    if !rest.starts_with('(') {
        return None;
    }
    index.parse().ok()
}

fn is_message(line: &str) -> bool {
    let line = line.trim();
    let statistics =
        ["processed ", "verification time ", "stack depth ", "max_states", "mark_precise:", "last_idx "];
    let state = line.split_once(": ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    !(line.is_empty()
        || state
        || line.starts_with(';')
        || line.starts_with("func#")
        || line.starts_with("Live regs")
        || line.starts_with("R0")
        || line.starts_with("from ") && line.contains(" to ")
        || statistics.iter().any(|s| line.starts_with(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_decisive_line_and_its_instruction() {
        let log = VerifierLog {
            text: "func#0 @0\n0: R1=ctx() R10=fp0\n0: (bf) r6 = r1        ; R1=ctx()\n\
                   1: (79) r0 = *(u64 *)(r2 +0)\nR2 !read_ok\n\
                   processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0\n"
                .into(),
            truncated: false,
        };
        assert_eq!(log.decisive(), Some(Decisive { message: "R2 !read_ok", insn: Some(1) }));
        assert_eq!(log.processed(), Some(2));
    }

    #[test]
    fn the_report_of_newer_kernels_is_not_the_message() {
        let text = "0: (bf) r6 = r1\n1: (79) r0 = *(u64 *)(r2 +0)\nR2 !read_ok\n\n\
                    Verification failed: Register Type Safety: Unreadable register\n\nReason:\n  R2 has never \
                    been initialized\n\nSuggestion:\n  Initialize R2.\n\nprocessed 2 insns (limit 1000000)\n";
        let log = VerifierLog { text: text.into(), truncated: false };
        assert_eq!(log.decisive(), Some(Decisive { message: "R2 !read_ok", insn: Some(1) }));
        assert_eq!(log.processed(), Some(2));
    }

    #[test]
    fn an_empty_log_decides_nothing() {
        assert_eq!(VerifierLog::default().decisive(), None);
        assert_eq!(
            VerifierLog::from_bytes(b"unreachable insn 1\n\0xx", false).decisive().unwrap().message,
            "unreachable insn 1"
        );
    }
}
