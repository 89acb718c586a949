//! The language of tests: one command a line, in lines of the script that begin with `//:`.

use hark_diag::{Code, Diagnostic, FileId, Span, did_you_mean};

/// What begins a line of a test in a script.
const MARK: &str = "//:";
/// Structs and lists inside each other.
const MAX_DEPTH: usize = 8;
/// The commands.
const COMMANDS: &[&str] = &["test", "args", "task", "after", "fire", "expect", "expect-has", "status"];

/// A test of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// What it is called.
    pub name: String,
    /// Where that stands.
    pub span: Span,
    /// Arguments of the script.
    pub(crate) args: Vec<String>,
    pub(crate) steps: Vec<Step>,
    /// The exit status that is expected, and where that stands.
    pub(crate) status: Option<(i32, Span)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StepKind {
    /// Another task runs.
    Task(Vec<Assignment>),
    /// Time passes, in nanoseconds.
    After(u64),
    /// A probe fires.
    Fire { probe: String, probe_span: Span, times: u64, fields: Vec<Assignment> },
    /// What must have been printed since the last expectation.
    Expect { lines: Vec<String>, all: bool },
}

/// `name=value`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(i128),
    Text(String),
    /// The address of a struct of this name with some members set.
    Struct(String, Vec<Assignment>),
    /// The address of words, with a zero behind the last.
    List(Vec<Value>),
}

/// The tests in a file, and what is wrong with them.
pub fn parse(file: FileId, text: &str) -> (Vec<Test>, Vec<Diagnostic>) {
    let mut parser = Parser { file, tests: Vec::new(), diags: Vec::new(), expecting: false };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if let Some(rest) = trimmed.strip_prefix(MARK) {
            let start = at + (line.len() - rest.len());
            let (rest, start) = match rest.strip_prefix(' ') {
                Some(rest) => (rest, start + 1),
                None => (rest, start),
            };
            if let Err(diag) = parser.line(rest.trim_end(), start) {
                parser.diags.push(*diag);
            }
        }
        at += line.len();
    }
    for test in &parser.tests {
        if test.status.is_none() && !test.steps.iter().any(|s| matches!(s.kind, StepKind::Expect { .. })) {
            let diag = Diagnostic::error(Code::BAD_TEST, test.span, "the test expects nothing")
                .with_help("say what is printed: `//: expect`, then the lines, each behind `//:   `");
            parser.diags.push(diag);
        }
    }
    (parser.tests, parser.diags)
}

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

struct Parser {
    file: FileId,
    tests: Vec<Test>,
    diags: Vec<Diagnostic>,
    /// The last command takes indented lines.
    expecting: bool,
}

impl Parser {
    fn line(&mut self, line: &str, at: usize) -> Result<()> {
        if self.expecting && (line.is_empty() || line.starts_with("  ")) {
            if let Some(Step { kind: StepKind::Expect { lines, .. }, .. }) =
                self.tests.last_mut().and_then(|test| test.steps.last_mut())
            {
                lines.push(line.get(2..).unwrap_or_default().to_owned());
            }
            return Ok(());
        }
        let mut cursor = Cursor { file: self.file, text: line, pos: 0, base: at };
        cursor.blanks();
        if cursor.rest().is_empty() || cursor.rest().starts_with('#') {
            return Ok(());
        }
        self.expecting = false;
        let (command, span) = cursor.word();
        if command == "test" {
            let name = cursor.text_value()?;
            self.tests.push(Test {
                name,
                span: cursor.span_from(span),
                args: Vec::new(),
                steps: Vec::new(),
                status: None,
            });
            return cursor.end();
        }
        if !COMMANDS.contains(&command.as_str()) {
            let mut diag =
                Diagnostic::error(Code::BAD_TEST, span, format!("tests have no command `{command}`"));
            diag = match did_you_mean(&command, COMMANDS.iter().copied()) {
                Some(near) => diag.with_help(format!("did you mean `{near}`?")),
                None => diag.with_help(format!("there are: {}", COMMANDS.join(", "))),
            };
            return Err(Box::new(diag));
        }
        let Some(test) = self.tests.last_mut() else {
            let diag = Diagnostic::error(Code::BAD_TEST, span, format!("`{command}` stands before any test"))
                .with_help("begin with `//: test \"what it shows\"`");
            return Err(Box::new(diag));
        };
        let kind = match command.as_str() {
            "args" => {
                while !cursor.at_end() {
                    test.args.push(cursor.argument()?);
                }
                return Ok(());
            }
            "status" => {
                let (number, span) = cursor.number()?;
                let status = i32::try_from(number).map_err(|_| cursor.error(span, "not an exit status"))?;
                test.status = Some((status, span));
                return cursor.end();
            }
            "task" => StepKind::Task(cursor.assignments(0)?),
            "after" => StepKind::After(cursor.duration()?),
            "fire" => {
                let (probe, probe_span) = cursor.probe();
                if probe.is_empty() {
                    return Err(cursor.error(probe_span, "which probe fires is missing"));
                }
                let mut times = 1;
                if cursor.keyword("times") {
                    let (n, span) = cursor.number()?;
                    times = u64::try_from(n).map_err(|_| cursor.error(span, "not a number of times"))?;
                }
                StepKind::Fire { probe, probe_span, times, fields: cursor.assignments(0)? }
            }
            _ => {
                self.expecting = true;
                StepKind::Expect { lines: Vec::new(), all: command == "expect" }
            }
        };
        cursor.end()?;
        test.steps.push(Step { kind, span: cursor.span_from(span) });
        Ok(())
    }
}

struct Cursor<'a> {
    file: FileId,
    text: &'a str,
    pos: usize,
    /// Where the text begins in the file.
    base: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn span(&self, lo: usize, hi: usize) -> Span {
        Span::new(self.file, (self.base + lo) as u32, (self.base + hi) as u32)
    }

    /// From `first` to here.
    fn span_from(&self, first: Span) -> Span {
        Span { hi: (self.base + self.pos) as u32, ..first }
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(Code::BAD_TEST, span, message))
    }

    fn blanks(&mut self) {
        self.pos += self.rest().len() - self.rest().trim_start().len();
    }

    fn at_end(&mut self) -> bool {
        self.blanks();
        self.rest().is_empty()
    }

    fn end(&mut self) -> Result<()> {
        if self.at_end() {
            return Ok(());
        }
        Err(self.error(self.span(self.pos, self.text.len()), "nothing more is expected on this line"))
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> (String, Span) {
        self.blanks();
        let len = self.rest().find(|c| !wanted(c)).unwrap_or(self.rest().len());
        let word = self.rest()[..len].to_owned();
        let span = self.span(self.pos, self.pos + len.max(1));
        self.pos += len;
        (word, span)
    }

    fn word(&mut self) -> (String, Span) {
        self.take_while(|c| !c.is_whitespace() && !"={},\"'".contains(c))
    }

    /// An attach point: everything up to a blank.
    fn probe(&mut self) -> (String, Span) {
        self.take_while(|c| !c.is_whitespace())
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.blanks();
        let found = self.rest().strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_whitespace));
        if found {
            self.pos += word.len();
        }
        found
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(symbol);
        if found {
            self.pos += symbol.len_utf8();
        }
        found
    }

    /// A text between quotes, or a word.
    fn argument(&mut self) -> Result<String> {
        if self.rest().trim_start().starts_with(['"', '\'']) {
            return self.text_value();
        }
        Ok(self.probe().0)
    }

    fn text_value(&mut self) -> Result<String> {
        self.blanks();
        let start = self.pos;
        let mut chars = self.rest().char_indices();
        let Some((_, quote @ ('"' | '\''))) = chars.next() else {
            return Err(self.error(self.span(start, start + 1), "a text between quotes is expected"));
        };
        let mut text = String::new();
        while let Some((i, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other)) => text.push(other),
                    None => break,
                },
                _ if c == quote => {
                    self.pos = start + i + 1;
                    return Ok(text);
                }
                _ => text.push(c),
            }
        }
        Err(self.error(self.span(start, self.text.len()), "the text does not end"))
    }

    fn number(&mut self) -> Result<(i128, Span)> {
        let (word, span) = self.take_while(|c| c.is_alphanumeric() || "-+_.".contains(c));
        match number(&word) {
            Some(n) => Ok((n, span)),
            None => Err(self.error(span, "a number is expected")),
        }
    }

    fn duration(&mut self) -> Result<u64> {
        let (word, span) = self.word();
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match &word[digits.len()..] {
            "ns" => Some(1),
            "us" => Some(1000),
            "ms" => Some(1_000_000),
            "s" => Some(1_000_000_000),
            _ => None,
        };
        let ns = digits.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
        ns.ok_or_else(|| {
            let diag = Diagnostic::error(Code::BAD_TEST, span, "a length of time is expected");
            Box::new(diag.with_help("write `5s`, `10ms`, `20us` or `100ns`"))
        })
    }

    fn assignments(&mut self, depth: usize) -> Result<Vec<Assignment>> {
        let mut all = Vec::new();
        while !self.at_end() && !self.rest().starts_with('}') {
            all.push(self.assignment(depth)?);
            self.symbol(',');
        }
        Ok(all)
    }

    fn assignment(&mut self, depth: usize) -> Result<Assignment> {
        let (name, span) = self.word();
        if name.is_empty() || !self.symbol('=') {
            return Err(Box::new(
                Diagnostic::error(Code::BAD_TEST, span, "`name=value` is expected")
                    .with_help("values are numbers, texts between quotes, `[value, value]` or `struct NAME { member=value }`"),
            ));
        }
        let value = self.value(depth)?;
        Ok(Assignment { name, value, span: self.span_from(span) })
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        self.blanks();
        if self.rest().starts_with(['"', '\'']) {
            return Ok(Value::Text(self.text_value()?));
        }
        if depth < MAX_DEPTH && self.symbol('[') {
            let mut values = Vec::new();
            while !self.symbol(']') {
                if self.at_end() {
                    let end = self.pos;
                    return Err(self.error(self.span(end.saturating_sub(1), end), "`]` is missing"));
                }
                values.push(self.value(depth + 1)?);
                self.symbol(',');
            }
            return Ok(Value::List(values));
        }
        if self.keyword("struct") {
            let (name, span) = self.word();
            if name.is_empty() || !self.symbol('{') || depth >= MAX_DEPTH {
                return Err(self.error(span, "`struct NAME { member=value }` is expected"));
            }
            let members = self.assignments(depth + 1)?;
            if !self.symbol('}') {
                let end = self.pos;
                return Err(self.error(self.span(end.saturating_sub(1), end), "`}` is missing"));
            }
            return Ok(Value::Struct(name, members));
        }
        Ok(Value::Number(self.number()?.0))
    }
}

/// Decimal or hexadecimal, with a sign; what fits 64 bits either way.
fn number(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.replace('_', "").parse().ok()?,
    };
    let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    (value >= i128::from(i64::MIN)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<Test>, Vec<Diagnostic>) {
        parse(FileId(0), text)
    }

    #[track_caller]
    fn wrong(text: &str, message: &str, at: &str) {
        let (_, diags) = parsed(text);
        let diag = diags.first().unwrap_or_else(|| panic!("no mistake in {text}"));
        assert!(diag.message.contains(message), "{}", diag.message);
        let span = diag.primary.as_ref().expect("a place").span;
        assert_eq!(&text[span.lo as usize..span.hi as usize], at);
    }

    #[test]
    fn a_test_with_everything() {
        let text = "BEGIN { }\n//: test \"it works\"\n//: args 1 \"a b\" --x=y\n//: task pid=5 comm='c'\n\
                    //: fire k:f times 3 arg0=-1, arg1=struct file { f_inode.i_ino=0x10, name=\"x\" } l=[1,\"x\"]\n\
                    //: after 10ms\n//: expect\n//:   a\n//:\n//:     b\n//: status 3\n";
        let (tests, diags) = parsed(text);
        assert_eq!(diags, []);
        let [test] = &tests[..] else { panic!("{tests:?}") };
        assert_eq!((test.name.as_str(), test.status.map(|s| s.0)), ("it works", Some(3)));
        assert_eq!(test.args, ["1", "a b", "--x=y"]);
        let StepKind::Fire { probe, times: 3, fields, .. } = &test.steps[1].kind else { panic!("{test:?}") };
        assert_eq!((probe.as_str(), fields[0].value.clone()), ("k:f", Value::Number(-1)));
        assert!(
            matches!(&fields[1].value, Value::Struct(name, members) if name == "file" && members.len() == 2)
        );
        let list = Value::List(vec![Value::Number(1), Value::Text("x".into())]);
        assert_eq!(fields[2].value, list);
        assert_eq!(test.steps[2].kind, StepKind::After(10_000_000));
        let lines = vec!["a".to_owned(), String::new(), "  b".to_owned()];
        assert_eq!(test.steps[3].kind, StepKind::Expect { lines, all: true });
    }

    #[test]
    fn mistakes_have_places() {
        wrong("//: fire x\n", "before any test", "fire");
        wrong("//: test \"a\"\n//: fier x\n", "no command `fier`", "fier");
        wrong("//: test \"a\n", "does not end", "\"a");
        wrong("//: test \"a\"\n", "expects nothing", "test \"a\"");
        wrong("//: test \"a\"\n//: after 5\n", "length of time", "5");
        wrong("//: test \"a\"\n//: task pid\n", "name=value", "pid");
        wrong("//: test \"a\"\n//: task pid=x\n", "a number", "x");
        wrong("//: test \"a\"\n//: fire k:f a=struct s { b=1\n", "`}` is missing", "1");
        wrong("//: test \"a\"\n//: fire k:f a=[1, 'b'\n", "`]` is missing", "'");
    }
}
