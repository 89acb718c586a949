//! Text that knows where it may be broken.

/// Longest line that is not broken further.
pub(super) const WIDTH: usize = 100;

/// A text with places to break it.
pub(super) enum Doc {
    /// Text; may have lines of its own.
    Text(String),
    /// One after the other.
    Cat(Vec<Doc>),
    /// `open a, b, c close`; later lines begin below the first item.
    List { open: String, items: Vec<Part>, close: &'static str },
    /// `a op b op c`; broken after an operator, later lines begin below the first operand.
    Chain { first: Box<Doc>, rest: Vec<(&'static str, Part)> },
}

/// A part of a list or chain.
pub(super) struct Part {
    pub(super) doc: Doc,
    /// Whether the author began a line with it, which is kept.
    pub(super) on_new_line: bool,
}

impl From<Doc> for Part {
    fn from(doc: Doc) -> Part {
        Part { doc, on_new_line: false }
    }
}

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    /// The document without breaks but those of its texts.
    pub(super) fn flat(&self) -> String {
        let mut out = String::new();
        self.write_flat(&mut out);
        out
    }

    fn write_flat(&self, out: &mut String) {
        match self {
            Doc::Text(text) => out.push_str(text),
            Doc::Cat(parts) => parts.iter().for_each(|p| p.write_flat(out)),
            Doc::List { open, items, close } => {
                out.push_str(open);
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        out.push_str(", ");
                    }
                    item.doc.write_flat(out);
                }
                out.push_str(close);
            }
            Doc::Chain { first, rest } => {
                first.write_flat(out);
                for (op, part) in rest {
                    out.push(' ');
                    out.push_str(op);
                    out.push(' ');
                    part.doc.write_flat(out);
                }
            }
        }
    }

    /// Whether some part of it has to begin a line.
    fn has_breaks(&self) -> bool {
        match self {
            Doc::Text(_) => false,
            Doc::Cat(parts) => parts.iter().any(Doc::has_breaks),
            Doc::List { items, .. } => items.iter().any(|i| i.on_new_line || i.doc.has_breaks()),
            Doc::Chain { first, rest } => {
                first.has_breaks() || rest.iter().any(|(_, p)| p.on_new_line || p.doc.has_breaks())
            }
        }
    }

    /// Writes the document behind what `out` ends with; `after` columns must be left on its last line.
    pub(super) fn write(&self, out: &mut String, after: usize) {
        let flat = self.flat();
        if !self.has_breaks() && fits(out, &flat, after) {
            out.push_str(&flat);
            return;
        }
        match self {
            Doc::Text(text) => out.push_str(text),
            Doc::Cat(parts) => {
                for (n, part) in parts.iter().enumerate() {
                    let rest: usize = parts[n + 1..].iter().map(|p| first_line(&p.flat())).sum();
                    part.write(out, if n + 1 == parts.len() { after } else { rest.min(8) });
                }
            }
            Doc::List { open, items, close } => {
                out.push_str(open);
                let indent = column(out);
                for (n, item) in items.iter().enumerate() {
                    let last = n + 1 == items.len();
                    let after = if last { close.len() + after } else { 1 };
                    if n > 0 {
                        out.push(',');
                        next(out, item, indent, after);
                    }
                    item.doc.write(out, after);
                }
                out.push_str(close);
            }
            Doc::Chain { first, rest } => {
                let indent = column(out);
                first.write(out, rest.first().map_or(0, |(op, _)| op.len() + 1));
                for (n, (op, part)) in rest.iter().enumerate() {
                    out.push(' ');
                    out.push_str(op);
                    let after = rest.get(n + 1).map_or(after, |(op, _)| op.len() + 1);
                    next(out, part, indent, after);
                    part.doc.write(out, after);
                }
            }
        }
    }
}

/// A blank, or a new line if what comes does not fit or shall begin one.
fn next(out: &mut String, comes: &Part, indent: usize, after: usize) {
    let flat = comes.doc.flat();
    let after = if flat.contains('\n') { 0 } else { after };
    if !comes.on_new_line && column(out) + 1 + first_line(&flat) + after <= WIDTH {
        out.push(' ');
    } else {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn fits(out: &str, flat: &str, after: usize) -> bool {
    let after = if flat.contains('\n') { 0 } else { after };
    column(out) + first_line(flat) + after <= WIDTH
}

/// Width of the first line.
fn first_line(text: &str) -> usize {
    text.lines().next().unwrap_or_default().chars().count()
}

/// Width of the last line.
pub(super) fn column(text: &str) -> usize {
    text.rsplit('\n').next().unwrap_or_default().chars().count()
}
