//! What can go wrong while an object is loaded and run, and how it is told.

use bpf_syscall::{Errno, SysError};
use hark_diag::{Code, Diagnostic, Span};
use hark_object::ProbeDef;
use probe_attach::AttachError;
use std::io;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A map could not be made or used: rights, memory, limits.
    #[error("map {name}: {error}")]
    Map {
        /// Its name.
        name: String,
        /// What the kernel said.
        #[source]
        error: SysError,
    },
    /// The kernel's verifier refused a program. Our own should have done so before: a defect of hark.
    #[error("the kernel's verifier rejects {program}: {message}")]
    Rejected {
        /// For which probe it was compiled.
        program: String,
        /// The decisive line of the verifier's log.
        message: String,
        /// The instruction, as index into the program's instructions.
        insn: Option<u32>,
        /// The statement it was compiled from.
        span: Option<Span>,
        /// The whole log.
        log: String,
    },
    /// A program could not be loaded for another reason.
    #[error("program {program}: {error}")]
    Program {
        /// For which probe it was compiled.
        program: String,
        /// What the kernel said.
        #[source]
        error: SysError,
    },
    /// The object is not one that the compiler makes: a defect of hark.
    #[error("malformed object: {0}")]
    Object(String),
    /// The stacks of a process cannot be walked.
    #[error("cannot walk stacks: {0}")]
    Unwind(String),
    /// A program could not be attached.
    #[error("cannot attach {failure}")]
    Attach {
        /// Where the probe stands in the script.
        span: Span,
        /// Why.
        failure: AttachFailure,
    },
    /// The script attaches to more places than it allows itself.
    #[error("the probes match {n} places, more than the {max} that max_probes permits")]
    TooManyProbes {
        /// How many.
        n: usize,
        /// Limit.
        max: u64,
    },
    /// None of the script's probes exists.
    #[error("there is nothing to attach to")]
    NothingToAttach,
    /// The output cannot be written: a full disk, a closed terminal.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// A system call of the event loop failed.
    #[error(transparent)]
    System(#[from] SysError),
}

/// Why a probe has nothing to attach to, or the kernel refuses; begins with the probe's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AttachFailure {
    /// Whether there is nothing of that name; what happens then is the script's to say (`missing_probes`).
    pub missing: bool,
    /// Whether it was the kernel that refused, as opposed to what the script names not being there.
    pub refused: bool,
    /// What stands in the way, lower case.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
}

impl AttachFailure {
    /// What attaching said.
    pub(crate) fn of(error: &AttachError) -> AttachFailure {
        AttachFailure {
            missing: error.is_missing(),
            refused: matches!(error, AttachError::Kernel { .. } | AttachError::Unsupported { .. }),
            message: error.to_string(),
            help: error.hint().map(str::to_string),
        }
    }
}

impl RunError {
    /// A probe that cannot be attached or run.
    pub(crate) fn attach(probe: &ProbeDef, error: &AttachError) -> RunError {
        RunError::Attach { span: probe.span, failure: AttachFailure::of(error) }
    }

    /// Whether the reader of the output went away. That is no failure: it has seen enough.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, RunError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// As the script's author or the operator should see it.
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            RunError::Map { error, .. } => {
                let diag = Diagnostic::error_without_span(load_code(error), self.to_string());
                // What these numbers mean of programs is nothing that helps here.
                if [Errno::E2BIG, Errno::ENOMEM].contains(&error.errno) {
                    diag.with_help("the map is too large: lower max_map_keys or max_strlen, or the size it is declared with")
                } else {
                    with_hint(diag, error)
                }
            }
            RunError::Program { error, .. } => {
                with_hint(Diagnostic::error_without_span(load_code(error), self.to_string()), error)
            }
            RunError::Rejected { insn, span, .. } => {
                let at = insn.map(|n| format!("at instruction {n}")).unwrap_or_default();
                let diag = match span {
                    Some(span) => {
                        Diagnostic::error(Code::KERNEL_REJECTS, *span, self.to_string()).with_text(at)
                    }
                    None => Diagnostic::error_without_span(Code::KERNEL_REJECTS, format!("{self} {at}")),
                };
                diag.with_help("-v shows the whole log; `hark dump --golden SCRIPT` makes a report")
            }
            RunError::Object(_) => Diagnostic::error_without_span(Code::INTERNAL, self.to_string()),
            RunError::Unwind(_) => Diagnostic::error_without_span(Code::CANNOT_ATTACH, self.to_string()),
            RunError::Attach { span, failure, .. } => {
                let code = if failure.missing { Code::NO_SUCH_PROBE } else { Code::CANNOT_ATTACH };
                let diag = Diagnostic::error(code, *span, self.to_string());
                match &failure.help {
                    Some(help) => diag.with_help(help.clone()),
                    None => diag,
                }
            }
            RunError::TooManyProbes { .. } => {
                Diagnostic::error_without_span(Code::TOO_MANY_PROBES, self.to_string())
                    .with_help("narrow the pattern, or raise max_probes in the script's config")
            }
            RunError::NothingToAttach => {
                Diagnostic::error_without_span(Code::NO_SUCH_PROBE, self.to_string())
            }
            RunError::Output(_) => Diagnostic::error_without_span(Code::RUNTIME, self.to_string()),
            RunError::System(error) => {
                with_hint(Diagnostic::error_without_span(Code::RUNTIME, self.to_string()), error)
            }
        }
    }
}

fn load_code(error: &SysError) -> Code {
    if [Errno::EPERM, Errno::EACCES].contains(&error.errno) { Code::NO_PERMISSION } else { Code::CANNOT_LOAD }
}

fn with_hint(diag: Diagnostic, error: &SysError) -> Diagnostic {
    match error.hint {
        Some(hint) => diag.with_help(hint),
        None => diag,
    }
}
