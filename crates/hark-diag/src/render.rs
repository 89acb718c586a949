//! Diagnostics as text: `file:LINE:COL-COL: ERROR: text`, the source line, a caret line, hints.

use crate::{Diagnostic, Label, Severity, SourceMap};
use std::fmt::Write;

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No escapes.
    Plain,
    /// ANSI colours.
    Colour,
}

/// The diagnostics as the user sees them, one after the other, each ending in a line end.
pub fn render(map: &SourceMap, diags: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for diag in diags {
        render_one(map, diag, style, &mut out);
    }
    out
}

fn render_one(map: &SourceMap, diag: &Diagnostic, style: Style, out: &mut String) {
    let (word, colour) = match diag.severity {
        Severity::Error => ("ERROR", "\x1b[31m"),
        Severity::Warning => ("WARNING", "\x1b[33m"),
        Severity::Note => ("NOTE", "\x1b[36m"),
    };
    let (on, off) = match style {
        Style::Plain => ("", ""),
        Style::Colour => (colour, "\x1b[0m"),
    };
    if let Some(label) = &diag.primary {
        let _ = write!(out, "{}: ", map.place(label.span));
    }
    let _ = writeln!(out, "{on}{word}{off}: {} [{}]", diag.message, diag.code);
    if let Some(label) = &diag.primary {
        snippet(map, label, on, off, out);
    }
    for label in &diag.labels {
        let _ = writeln!(out, "{}: NOTE: {}", map.place(label.span), label.text);
        snippet(map, &Label { span: label.span, text: String::new() }, on, off, out);
    }
    for help in &diag.helps {
        let _ = writeln!(out, "HINT: {help}");
    }
}

fn snippet(map: &SourceMap, label: &Label, on: &str, off: &str, out: &mut String) {
    let start = map.line_col(label.span);
    let line = map.line(label.span.file, start.line);
    let end = map.position(label.span.file, label.span.hi.max(label.span.lo + 1));
    let length = line.chars().count() as u32;
    let last = if end.line == start.line { end.col } else { length + 1 };
    let width = last.saturating_sub(start.col).clamp(1, length.max(1) + 1);
    // Tabs stay tabs, so that the carets stand under what they mean.
    let indent: String =
        line.chars().take(start.col as usize - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let _ = writeln!(out, "{line}");
    let text = if label.text.is_empty() { String::new() } else { format!(" {}", label.text) };
    let _ = writeln!(out, "{indent}{on}{}{off}{text}", "~".repeat(width as usize));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Span};

    #[test]
    fn renders_place_source_line_and_hint() {
        let mut map = SourceMap::default();
        let file = map.add("stdin", "BEGIN {\n\tprintff(1);\n}");
        let diag =
            Diagnostic::error(Code::UNKNOWN_FUNCTION, Span::new(file, 9, 16), "unknown function: printff")
                .with_help("did you mean `printf`?");
        assert_eq!(
            render(&map, &[diag], Style::Plain),
            "stdin:2:2-9: ERROR: unknown function: printff [H0201]\n\tprintff(1);\n\t~~~~~~~\nHINT: did you mean `printf`?\n"
        );
    }

    #[test]
    fn no_span_makes_it_panic() {
        let mut map = SourceMap::default();
        let file = map.add("x", "é\n\n");
        for lo in 0..6 {
            for hi in lo..8 {
                render(&map, &[Diagnostic::error(Code::SYNTAX, Span::new(file, lo, hi), "m")], Style::Colour);
            }
        }
    }
}
