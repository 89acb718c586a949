//! The values of a case file's header: strings, integers, booleans, lists and tables, written as in TOML.

use std::fmt;

/// What stands to the right of `key =`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `"text"`, with the escapes `\n`, `\t`, `\"` and `\\`.
    Str(String),
    /// `42`, `-1`.
    Int(i64),
    /// `true`, `false`.
    Bool(bool),
    /// `[1, 2]`.
    List(Vec<Value>),
    /// `{ a = 1, b = "x" }`, in the order written.
    Table(Vec<(String, Value)>),
}

impl Value {
    /// Reads one value that makes up the whole text.
    ///
    /// # Errors
    /// Says what was expected, and at which byte of `text`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.spaces();
        if reader.at == text.len() { Ok(value) } else { Err(reader.expected("end of line")) }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The number, if it is an integer.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The truth value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The strings, if it is a list of strings; one string counts as a list of one.
    pub fn as_strings(&self) -> Option<Vec<String>> {
        match self {
            Self::Str(text) => Some(vec![text.clone()]),
            Self::List(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Self::Int(_) | Self::Bool(_) | Self::Table(_) => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The value of `key`, if it is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        if let Self::Table(rows) = self {
            rows.iter().find(|row| row.0 == key).map(|row| &row.1)
        } else {
            None
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) => write!(f, "{text:?}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Table(rows) => {
                f.write_str("{")?;
                for (i, (key, value)) in rows.iter().enumerate() {
                    write!(f, "{} {key} = {value}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// Lists and tables may be nested this deep; deeper text is refused.
const MAX_DEPTH: usize = 16;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {} of `{}`", self.at, self.text)
    }

    fn eat(&mut self, token: char) -> bool {
        self.spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn word(&mut self) -> String {
        self.spaces();
        let len = self
            .rest()
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(self.rest().len());
        let word = self.rest()[..len].to_owned();
        self.at += len;
        word
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        if self.eat('"') {
            return self.string();
        }
        if self.eat('[') {
            let mut items = Vec::new();
            while !self.eat(']') {
                items.push(self.value(depth + 1)?);
                if !self.eat(',') {
                    if self.eat(']') {
                        break;
                    }
                    return Err(self.expected("`,` or `]`"));
                }
            }
            return Ok(Value::List(items));
        }
        if self.eat('{') {
            let mut rows = Vec::new();
            while !self.eat('}') {
                let key = self.word();
                if key.is_empty() || !self.eat('=') {
                    return Err(self.expected("`key =`"));
                }
                rows.push((key, self.value(depth + 1)?));
                if !self.eat(',') {
                    if self.eat('}') {
                        break;
                    }
                    return Err(self.expected("`,` or `}`"));
                }
            }
            return Ok(Value::Table(rows));
        }
        let start = self.at;
        match self.word().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word => word.parse().map(Value::Int).map_err(|_| {
                self.at = start;
                self.expected("a string, a number, true, false, `[` or `{`")
            }),
        }
    }

    /// The rest of a string whose opening quote has been read.
    fn string(&mut self) -> Result<Value, String> {
        let mut out = String::new();
        let start = self.at;
        let mut chars = self.text[start..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + i + 1;
                    return Ok(Value::Str(out));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, c @ ('"' | '\\'))) => out.push(c),
                    _ => return Err(self.expected("one of the escapes \\n \\t \\\" \\\\")),
                },
                c => out.push(c),
            }
        }
        Err(self.expected("a closing quote"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in
            [r#""a \"b\" \\ \n""#, "-7", "true", "[]", r#"[1, "x", [false]]"#, r#"{ a = 1, b-c = "x" }"#]
        {
            assert_eq!(Value::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for text in ["", "\"", "[1 2]", "{ a 1 }", "x", "1 2", "\"\\q\"", &"[".repeat(40)] {
            assert!(Value::parse(text).unwrap_err().starts_with("expected "), "{text}");
        }
    }
}
