//! What a run says, on standard output and standard error, as text or as JSON.

use crate::error::RunError;
use crate::render::json::{self, Scalar};
use crate::render::table::{self, Entries, Selection};
use crate::render::{Context, text};
use crate::sink::Sink;
use crate::value::Value;
use hark_diag::{Code, Diagnostic, SourceMap, Span, Style};
use hark_object::{Loss, Ty, UserMap};
use std::io::Write;

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which function wrote a piece of text; JSON tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// `printf`
    Printf,
    /// `time`
    Time,
    /// `cat`
    Cat,
    /// `join`
    Join,
    /// `system`
    System,
}

impl TextKind {
    const fn json(self) -> &'static str {
        match self {
            TextKind::Printf => "printf",
            TextKind::Time => "time",
            TextKind::Cat => "cat",
            TextKind::Join => "join",
            TextKind::System => "syscall",
        }
    }

    /// What text output adds at the end.
    const fn ending(self) -> &'static [u8] {
        match self {
            TextKind::Printf | TextKind::Time | TextKind::Cat => b"",
            TextKind::Join | TextKind::System => b"\n",
        }
    }
}

/// Both streams of a run.
pub struct Output<'a> {
    /// The script's output.
    pub sink: Sink<'a>,
    /// Where people are told about the run itself.
    pub err: Box<dyn Write + 'a>,
    /// Form of the script's output.
    pub format: OutputFormat,
    /// For places in messages.
    pub sources: &'a SourceMap,
    /// How diagnostics look.
    pub style: Style,
    /// Whether warnings are shown.
    pub warnings: bool,
    /// How often the script has called `errorf`.
    pub errors: usize,
}

impl Output<'_> {
    /// A text that `fill` writes to the buffer it is given.
    pub fn text(&mut self, kind: TextKind, scratch: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
        match self.format {
            OutputFormat::Text => {
                fill(&mut self.sink.buffer);
                self.sink.buffer.extend_from_slice(kind.ending());
            }
            OutputFormat::Json => {
                scratch.clear();
                fill(scratch);
                json::record(kind.json(), &mut self.sink.buffer, |out| json::string(scratch, out));
            }
        }
    }

    /// A value that was printed.
    pub fn value(&mut self, cx: &Context<'_>, value: &Value<'_>) {
        match self.format {
            OutputFormat::Text => {
                text::value(cx, value, 1, &mut self.sink.buffer);
                self.sink.buffer.push(b'\n');
            }
            OutputFormat::Json => {
                json::record("value", &mut self.sink.buffer, |out| json::value(cx, value, 1, out));
            }
        }
    }

    /// A map that was printed.
    pub fn map(&mut self, cx: &Context<'_>, entries: &Entries<'_>, selection: Selection) {
        match self.format {
            OutputFormat::Text => table::render(cx, entries, selection, &mut self.sink.buffer),
            OutputFormat::Json => json::map(cx, entries, selection, &mut self.sink.buffer),
        }
    }

    /// A map at the end that nothing was ever put into: JSON has a record for those that keep averages.
    pub fn unassigned_map(&mut self, name: &str, map: &UserMap) {
        use hark_object::agg::Agg;
        if let (OutputFormat::Json, Ty::Agg(Agg::Avg { .. } | Agg::Stats { .. })) = (self.format, &map.value)
        {
            json::no_entries(name, &mut self.sink.buffer);
        }
    }

    /// What separates the maps at the end from what came before.
    pub fn before_final_maps(&mut self) {
        if self.format == OutputFormat::Text {
            self.sink.buffer.extend_from_slice(b"\n\n");
        }
    }

    /// How many places were attached to.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn attached(&mut self, n: usize, quiet: bool) -> Result<(), RunError> {
        match self.format {
            _ if quiet => {}
            OutputFormat::Text => {
                self.say(&format!("Attached {n} probe{}\n", if n == 1 { "" } else { "s" }))?;
            }
            OutputFormat::Json => {
                let n = n as i128;
                let fields = [("count", Scalar::Number(n)), ("data", Scalar::Object("probes", n))];
                json::flat_record("attached_probes", &fields, &mut self.sink.buffer);
            }
        }
        Ok(())
    }

    /// `errorf` and `warnf`: a message with the place of the call.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn message(
        &mut self,
        severity: hark_object::Severity,
        span: Span,
        expanded_from: &[Span],
        message: &[u8],
    ) -> Result<(), RunError> {
        let (kind, word) = match severity {
            hark_object::Severity::Error => {
                self.errors += 1;
                ("errorf", "ERROR")
            }
            hark_object::Severity::Warning if self.warnings => ("warnf", "WARNING"),
            hark_object::Severity::Warning => return Ok(()),
        };
        match self.format {
            OutputFormat::Text => {
                let end = if message.ends_with(b"\n") { "" } else { "\n" };
                let place = self.sources.place(span);
                let message = String::from_utf8_lossy(message);
                self.say(&format!("{place}: {word}: {message}{end}"))?;
                for call in expanded_from {
                    let shown = Diagnostic::error(Code::RUNTIME, *call, "");
                    let shown = hark_diag::render(self.sources, &[shown], self.style);
                    let source = shown.split_once('\n').map_or("", |(_, source)| source);
                    let place = self.sources.place(*call);
                    self.say(&format!("{place}: {word}: expanded from\n{source}"))?;
                }
                Ok(())
            }
            OutputFormat::Json => {
                self.placed_record(kind, &[("msg", Scalar::Text(message))], span);
                Ok(())
            }
        }
    }

    /// Something that went wrong in a program and that the script's author should know.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn runtime_warning(&mut self, span: Span, message: &str) -> Result<(), RunError> {
        if !self.warnings {
            return Ok(());
        }
        match self.format {
            OutputFormat::Text => self.diagnostic(&Diagnostic::warning(Code::RUNTIME, span, message)),
            OutputFormat::Json => {
                self.placed_record("runtime_error", &[("msg", Scalar::Text(message.as_bytes()))], span);
                Ok(())
            }
        }
    }

    /// Something that user space could not do, on standard error whatever the format.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn warning(&mut self, span: Span, message: &str) -> Result<(), RunError> {
        if self.warnings {
            self.diagnostic(&Diagnostic::warning(Code::RUNTIME, span, message))
        } else {
            Ok(())
        }
    }

    /// A helper that failed.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn helper_error(&mut self, span: Span, helper: &str, retcode: i64) -> Result<(), RunError> {
        if !self.warnings {
            return Ok(());
        }
        /// `E2BIG`, which updating a full map returns.
        const FULL: i64 = -7;
        let text = match retcode {
            0 => "Success",
            code => bpf_facts::errno(code).map_or("Unknown error", |def| def.text),
        };
        match self.format {
            OutputFormat::Text => {
                let message = match (helper, retcode) {
                    ("map_update_elem", FULL) => "the map is full: the entry is lost".to_string(),
                    ("map_lookup_elem", 0) => {
                        "the map has no entry for this key: it counts as zero".to_string()
                    }
                    _ => format!("{helper} failed: {text}"),
                };
                let mut diag = Diagnostic::warning(Code::RUNTIME, span, message);
                if (helper, retcode) == ("map_update_elem", FULL) {
                    diag = diag.with_help("raise max_map_keys, or declare the map: let @map = hash(100000);");
                }
                self.diagnostic(&diag)?;
                self.say(&format!("Additional Info - helper: {helper}, retcode: {retcode}\n"))
            }
            OutputFormat::Json => {
                let fields = [
                    ("msg", Scalar::Text(text.as_bytes())),
                    ("helper", Scalar::Text(helper.as_bytes())),
                    ("retcode", Scalar::Number(retcode.into())),
                ];
                self.placed_record("helper_error", &fields, span);
                Ok(())
            }
        }
    }

    fn placed_record(&mut self, kind: &str, fields: &[(&str, Scalar<'_>)], span: Span) {
        let at = self.sources.line_col(span);
        let mut all = fields.to_vec();
        all.push(("filename", Scalar::Text(self.sources.file(span.file).name.as_bytes())));
        all.push(("line", Scalar::Number(at.line.into())));
        all.push(("col", Scalar::Number(at.col.into())));
        json::flat_record(kind, &all, &mut self.sink.buffer);
    }

    /// A line of the accuracy report: `n` times `loss`, in `program` if that is known.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn lost(&mut self, loss: Loss, n: u64, program: Option<&str>) -> Result<(), RunError> {
        match self.format {
            OutputFormat::Text => {
                let place = program.map(|name| format!("{name}: ")).unwrap_or_default();
                self.say(&format!("WARNING: {place}{n} {}\n", loss.explain()))?;
            }
            OutputFormat::Json => {
                let fields = [
                    ("cause", Scalar::Text(loss.name().as_bytes())),
                    ("program", Scalar::Text(program.unwrap_or("").as_bytes())),
                    ("count", Scalar::Number(n.into())),
                ];
                json::flat_record("accuracy", &fields, &mut self.sink.buffer);
            }
        }
        Ok(())
    }

    /// Events that were lost since this was said last.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn lost_meanwhile(&mut self, n: u64) -> Result<(), RunError> {
        match self.format {
            OutputFormat::Text => self.say(&format!("Lost {n} events\n")),
            OutputFormat::Json => {
                let n = n.into();
                let fields = [("count", Scalar::Number(n)), ("data", Scalar::Object("events", n))];
                json::flat_record("lost_events", &fields, &mut self.sink.buffer);
                Ok(())
            }
        }
    }

    /// Events that were lost in the whole run.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn total_lost(&mut self, n: u64) -> Result<(), RunError> {
        match self.format {
            OutputFormat::Text => self.say(&format!("WARNING: Total lost event count: {n}\n")),
            // Each record says its own.
            OutputFormat::Json => Ok(()),
        }
    }

    /// Shows a diagnostic on standard error.
    ///
    /// # Errors
    /// If the output cannot be written.
    pub fn diagnostic(&mut self, diag: &Diagnostic) -> Result<(), RunError> {
        let text = hark_diag::render(self.sources, std::slice::from_ref(diag), self.style);
        self.say(&text)
    }

    /// Writes to standard error, after what was printed before.
    ///
    /// # Errors
    /// If the output cannot be written. That standard error is closed does not matter.
    pub fn say(&mut self, text: &str) -> Result<(), RunError> {
        self.sink.settle()?;
        let _ = self.err.write_all(text.as_bytes());
        Ok(())
    }
}
