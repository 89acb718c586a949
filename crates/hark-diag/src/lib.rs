//! Says where and what, and renders it: files, spans, diagnostics, error codes.
//!
//! Everything that has something to say to the author of a script says it as a [`Diagnostic`]. The crate knows
//! nothing of the language; it guarantees that every span it is given can be rendered without panicking.

mod codes;
mod render;
mod source;
mod suggest;

pub use codes::{CODES, Code, CodeDef, code_def};
pub use render::{Style, render};
pub use source::{FileId, LineCol, SourceFile, SourceMap, Span};
pub use suggest::did_you_mean;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The script cannot run.
    Error,
    /// It can run, but probably not as meant.
    Warning,
    /// Something worth knowing.
    Note,
}

/// A place in the source and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What to print beside the caret; may be empty.
    pub text: String,
}

/// One message to the author of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which error it is; see [`CODES`].
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// The place it is about; `None` where no script text is involved (a command-line flag, a kernel feature).
    pub primary: Option<Label>,
    /// Other places that explain it ("first used here").
    pub labels: Vec<Label>,
    /// Hints: what would help.
    pub helps: Vec<String>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, Some(span), message.into())
    }

    /// A warning at `span`.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, Some(span), message.into())
    }

    /// An error that no script text is to blame for.
    pub fn error_without_span(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, None, message.into())
    }

    fn new(code: Code, severity: Severity, span: Option<Span>, message: String) -> Self {
        let primary = span.map(|span| Label { span, text: String::new() });
        Self { code, severity, message, primary, labels: Vec::new(), helps: Vec::new() }
    }

    /// Says something beside the caret of the primary place.
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = &mut self.primary {
            label.text = text.into();
        }
        self
    }

    /// Adds another place.
    pub fn with_label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a hint.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.helps.push(help.into());
        self
    }

    /// True if the script cannot run.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
