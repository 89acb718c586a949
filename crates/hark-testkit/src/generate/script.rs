//! Scripts that mostly type-check: the generator knows of every variable and map what it holds.

use crate::agree::rng::Rng;
use std::fmt::Write;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ty {
    Int,
    Text,
    /// Two numbers.
    Pair,
}

/// What a map holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Value(Ty),
    Agg(&'static str),
}

/// A map: name, number of numbers in the key, whether a text follows, what it holds.
type Map = (&'static str, u32, bool, Held);

/// The maps that scripts may have: name, number of numbers in the key, whether a text follows, what it holds.
const MAPS: &[Map] = &[
    ("@", 0, false, Held::Value(Ty::Int)),
    ("@a", 1, false, Held::Value(Ty::Int)),
    ("@b", 2, false, Held::Value(Ty::Int)),
    ("@t", 1, false, Held::Value(Ty::Text)),
    ("@k", 0, true, Held::Value(Ty::Int)),
    ("@m", 1, true, Held::Value(Ty::Int)),
    ("@p", 1, false, Held::Value(Ty::Pair)),
    ("@c", 1, false, Held::Agg("count()")),
    ("@s", 0, true, Held::Agg("sum")),
    ("@v", 1, false, Held::Agg("avg")),
    ("@n", 0, false, Held::Agg("min")),
    ("@x", 1, false, Held::Agg("max")),
    ("@h", 0, false, Held::Agg("hist")),
    ("@l", 1, false, Held::Agg("lhist")),
    ("@st", 0, false, Held::Agg("stats")),
];
const OPS: &[&str] = &["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"];
/// What gives truth values, which are no integers where they are keys.
const RELATIONS: &[&str] = &["==", "!=", "<", ">", "<=", ">=", "&&", "||"];
const CASTS: &[&str] = &["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"];
const TEXTS: &[&str] = &["\"\"", "\"a\"", "\"abc\"", "\"a longer text than the others\"", "\"%d\\n\""];
/// Statements inside each other.
const DEPTH: u32 = 3;

/// The call of an aggregation.
fn aggregation(name: &str, of: &str) -> String {
    match name {
        "count()" => "count()".to_owned(),
        "lhist" => format!("lhist((int64)({of}), 0, 100, 10)"),
        _ => format!("{name}((int64)({of}))"),
    }
}

struct Gen<'a> {
    rng: &'a mut Rng,
    out: String,
    /// The script's maps.
    maps: Vec<Map>,
    /// Variables in scope.
    vars: Vec<(String, Ty)>,
    /// Variables so far: each has a name of its own.
    n_vars: u32,
    loops: u32,
}

/// A script of BEGIN, END and intervals.
pub fn script(rng: &mut Rng) -> String {
    // The first two are those that everything can be done with.
    let mut i = 0;
    let mut some = |_: &&Map| {
        i += 1;
        i <= 2 || rng.chance(40)
    };
    let maps = MAPS.iter().filter(|map| some(map)).copied().collect();
    let mut g = Gen { rng, out: String::new(), maps, vars: Vec::new(), n_vars: 0, loops: 0 };
    if g.rng.chance(15) {
        let n = *g.rng.pick(&[16, 32, 64, 200, 1024]);
        let _ = writeln!(g.out, "config = {{ max_strlen = {n} }}");
    }
    if g.rng.chance(15) {
        g.out.push_str("macro twice($x) { $x + $x }\n");
    }
    for probe in ["BEGIN", "interval:s:1", "interval:ms:10", "END"] {
        if probe == "BEGIN" || g.rng.chance(40) {
            g.probe(probe);
        }
    }
    g.out
}

impl Gen<'_> {
    fn probe(&mut self, attach: &str) {
        self.vars.clear();
        self.out.push_str(attach);
        if self.rng.chance(20) {
            let condition = self.int(2);
            let _ = write!(self.out, " /{condition}/");
        }
        self.out.push_str(" {\n");
        if attach == "BEGIN" {
            // Every map has a type before it is read.
            for (name, numbers, text, held) in self.maps.clone() {
                let mut key = vec!["0".to_owned(); numbers as usize];
                key.extend(text.then(|| "\"k\"".to_owned()));
                let value = match held {
                    Held::Value(Ty::Int) => "(int64)0".to_owned(),
                    Held::Value(Ty::Text) => "\"\"".to_owned(),
                    Held::Value(Ty::Pair) => "((int64)0, (int64)0)".to_owned(),
                    Held::Agg(agg) => aggregation(agg, "0"),
                };
                self.line(&format!("{name}{} = {value}", Gen::brackets(&key)));
            }
        }
        let n = 1 + self.rng.below(9);
        for _ in 0..n {
            self.statement(0);
        }
        self.out.push_str("}\n");
    }

    fn block(&mut self, depth: u32) {
        let kept = self.vars.len();
        self.out.push_str("{\n");
        let n = 1 + self.rng.below(4);
        for _ in 0..n {
            self.statement(depth + 1);
        }
        self.out.push('}');
        self.vars.truncate(kept);
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push_str(";\n");
    }

    fn statement(&mut self, depth: u32) {
        let compound = depth < DEPTH;
        match self.rng.below(22) {
            0..=3 => self.declare(),
            4 | 5 => self.assign_var(),
            6..=9 => self.assign_map(),
            10..=12 => self.print(),
            13 => {
                let (name, key) = self.map_with_key(|_| true);
                let text = match (self.rng.below(4), key.is_empty()) {
                    (0, _) => format!("clear({name})"),
                    (1, _) => format!("zero({name})"),
                    (_, true) => format!("print({name})"),
                    (_, false) => format!("delete({name}, {})", Gen::key_argument(&key)),
                };
                self.line(&text);
            }
            14 | 15 if compound => {
                let condition = self.int(2);
                let _ = write!(self.out, "if ({condition}) ");
                self.block(depth);
                if self.rng.chance(50) {
                    self.out.push_str(" else ");
                    self.block(depth);
                }
                self.out.push('\n');
            }
            16 if compound && self.loops < 2 => {
                self.loops += 1;
                let n = 1 + self.rng.below(4);
                let _ = write!(self.out, "unroll ({n}) ");
                self.block(depth);
                self.out.push('\n');
                self.loops -= 1;
            }
            17 if compound && self.loops < 2 => {
                self.loops += 1;
                let var = self.fresh();
                let (from, to) = (self.rng.below(4), self.rng.below(9));
                let _ = write!(self.out, "for ({var} : {from}..{to}) ");
                let kept = self.vars.len();
                self.vars.push((var, Ty::Int));
                self.loop_block(depth);
                self.vars.truncate(kept);
                self.loops -= 1;
            }
            18 if compound && self.loops < 2 => {
                self.loops += 1;
                let var = self.fresh();
                let n = 1 + self.rng.below(6);
                let _ = writeln!(self.out, "{var} = {n};");
                self.vars.push((var.clone(), Ty::Int));
                let _ = write!(self.out, "while ({var} > 0) ");
                // It is counted down before anything can go back to its head.
                self.out.push_str("{\n");
                let _ = writeln!(self.out, "{var}--;");
                let kept = self.vars.len();
                // Nothing in it may set the counter.
                let counter = self.vars.pop();
                self.statement(depth + 1);
                if self.rng.chance(30) {
                    let condition = self.int(1);
                    let word = *self.rng.pick(&["break", "continue"]);
                    let _ = writeln!(self.out, "if ({condition}) {{ {word}; }}");
                }
                self.statement(depth + 1);
                self.out.push_str("}\n");
                self.vars.truncate(kept - 1);
                self.vars.extend(counter);
                self.loops -= 1;
            }
            19 if compound && self.loops == 0 => {
                self.loops += 2;
                let keyed: Vec<Map> = self
                    .maps
                    .iter()
                    .filter(|map| map.1 + u32::from(map.2) > 0 && map.0 != "@l")
                    .copied()
                    .collect();
                let map = self.rng.pick(&keyed).0;
                let var = self.fresh();
                let _ = write!(self.out, "for ({var} : {map}) {{ print({var}); ");
                if self.rng.chance(40) && map == "@a" {
                    let _ = write!(self.out, "@ += (uint64){var}.1; ");
                }
                self.out.push_str("}\n");
                self.loops -= 2;
            }
            20 if self.rng.chance(10) => self.line("exit()"),
            _ => {
                let (name, key) = self.map_with_key(|held| held == Held::Value(Ty::Int));
                let op = *self.rng.pick(&["++", "--"]);
                self.line(&format!("{name}{}{op}", Gen::brackets(&key)));
            }
        }
    }

    /// A block that may leave its loop.
    fn loop_block(&mut self, depth: u32) {
        let kept = self.vars.len();
        self.out.push_str("{\n");
        self.statement(depth + 1);
        if self.rng.chance(30) {
            let condition = self.int(1);
            let word = *self.rng.pick(&["break", "continue"]);
            let _ = writeln!(self.out, "if ({condition}) {{ {word}; }}");
        }
        self.statement(depth + 1);
        self.out.push_str("}\n");
        self.vars.truncate(kept);
    }

    fn fresh(&mut self) -> String {
        self.n_vars += 1;
        format!("$v{}", self.n_vars)
    }

    fn declare(&mut self) {
        let ty = *self.rng.pick(&[Ty::Int, Ty::Int, Ty::Int, Ty::Text, Ty::Pair]);
        let value = self.value(ty, 3);
        let var = self.fresh();
        let keyword = if self.rng.chance(30) { "let " } else { "" };
        self.line(&format!("{keyword}{var} = {value}"));
        self.vars.push((var, ty));
    }

    fn assign_var(&mut self) {
        let Some((name, ty)) = self.any_var() else { return self.declare() };
        // A shorter or longer text, and a tuple of other sizes, does not fit.
        if ty != Ty::Int {
            return self.print();
        }
        let value = self.int(3);
        let op = *self.rng.pick(&["=", "=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="]);
        self.line(&format!("{name} {op} {value}"));
    }

    fn any_var(&mut self) -> Option<(String, Ty)> {
        let n = self.vars.len() as u64;
        (n > 0).then(|| self.vars[self.rng.below(n) as usize].clone())
    }

    fn assign_map(&mut self) {
        let (name, numbers, text, held) = *self.rng.pick(&self.maps);
        let key = self.key(numbers, text);
        let value = match held {
            Held::Value(ty) => self.value(ty, 3),
            Held::Agg(agg) => aggregation(agg, &self.int(2)),
        };
        self.line(&format!("{name}{} = {value}", Gen::brackets(&key)));
    }

    fn key(&mut self, numbers: u32, text: bool) -> Vec<String> {
        let mut key: Vec<String> = (0..numbers).map(|_| self.int(1)).collect();
        if text {
            key.push(self.text(1));
        }
        key
    }

    fn brackets(key: &[String]) -> String {
        if key.is_empty() { String::new() } else { format!("[{}]", key.join(", ")) }
    }

    fn key_argument(key: &[String]) -> String {
        if key.len() == 1 { key[0].clone() } else { format!("({})", key.join(", ")) }
    }

    fn map_with_key(&mut self, wanted: impl Fn(Held) -> bool) -> (&'static str, Vec<String>) {
        let fitting: Vec<Map> = self.maps.iter().filter(|map| wanted(map.3)).copied().collect();
        let (name, numbers, text, _) =
            *self.rng.pick(if fitting.is_empty() { &self.maps[..1] } else { &fitting });
        (name, self.key(numbers, text))
    }

    fn has_map(&self, name: &str) -> bool {
        self.maps.iter().any(|map| map.0 == name)
    }

    fn print(&mut self) {
        match self.rng.below(5) {
            0 => {
                let value = self.value(Ty::Int, 3);
                self.line(&format!("print({value})"));
            }
            1 => {
                let value = self.value(Ty::Pair, 2);
                self.line(&format!("print({value})"));
            }
            2 => {
                let (a, b) = (self.text(2), self.int(2));
                let spec = *self.rng.pick(&["%s %d", "%10s %-6x", "%-3s|%5lld", "%s %c"]);
                self.line(&format!("printf(\"{spec}\\n\", {a}, {b})"));
            }
            3 => {
                let (a, b, c) = (self.int(3), self.int(1), self.int(1));
                self.line(&format!("printf(\"%d %u %llx\\n\", {a}, {b}, {c})"));
            }
            _ => {
                let (name, key) = self.map_with_key(|held| matches!(held, Held::Value(_)));
                self.line(&format!("print({name}{})", Gen::brackets(&key)));
            }
        }
    }

    fn value(&mut self, ty: Ty, depth: u32) -> String {
        match ty {
            Ty::Int => self.int(depth),
            Ty::Text => self.text(depth),
            Ty::Pair => format!("((int64)({}), (int64)({}))", self.int(depth.min(1)), self.int(depth.min(1))),
        }
    }

    fn var_of(&mut self, ty: Ty) -> Option<String> {
        let fitting: Vec<String> = self.vars.iter().filter(|v| v.1 == ty).map(|v| v.0.clone()).collect();
        (!fitting.is_empty()).then(|| self.rng.pick(&fitting).clone())
    }

    fn int(&mut self, depth: u32) -> String {
        if depth == 0 || self.rng.chance(25) {
            return self.small();
        }
        let next = depth - 1;
        match self.rng.below(16) {
            0..=3 => {
                let op = *self.rng.pick(OPS);
                format!("({} {op} {})", self.int(next), self.int(next))
            }
            4..=5 => {
                let op = *self.rng.pick(RELATIONS);
                format!("((int64)({} {op} {}))", self.int(next), self.int(next))
            }
            6 => format!("(-({}))", self.int(next)),
            7 => format!("((int64)(!{}))", self.int(next)),
            8 => format!("(~{})", self.int(next)),
            9 => format!("({})({})", self.rng.pick(CASTS), self.int(next)),
            10 => format!("({} ? {} : {})", self.int(next), self.int(next), self.int(next)),
            11 => {
                let (name, key) = self.map_with_key(|held| held == Held::Value(Ty::Int));
                format!("{name}{}", Gen::brackets(&key))
            }
            12 => {
                let op = *self.rng.pick(&["==", "!="]);
                format!("((int64)({} {op} {}))", self.text(next), self.text(next))
            }
            13 => format!("strncmp({}, {}, {})", self.text(next), self.text(next), self.rng.below(9)),
            14 => {
                let (name, key) = self.map_with_key(|held| matches!(held, Held::Value(_)));
                if key.is_empty() {
                    self.small()
                } else {
                    format!("((int64)has_key({name}, {}))", Gen::key_argument(&key))
                }
            }
            _ => match self.var_of(Ty::Pair) {
                Some(var) => format!("{var}.{}", self.rng.below(2)),
                None => format!("(uint64)strlen({})", self.text(next)),
            },
        }
    }

    fn small(&mut self) -> String {
        match self.rng.below(10) {
            0 => "0".into(),
            1 => "1".into(),
            2 => self.rng.below(256).to_string(),
            3 => format!("{:#x}", self.rng.any() >> self.rng.below(64)),
            4 => format!("-{}", self.rng.below(1000)),
            5 => (*self.rng.pick(&["pid", "tid", "uid", "cpu", "nsecs", "elapsed"])).to_owned(),
            6 => (*self.rng.pick(&["9223372036854775807", "4294967295", "2147483648", "65536"])).to_owned(),
            _ => match self.var_of(Ty::Int) {
                Some(var) => var,
                None => self.rng.below(10).to_string(),
            },
        }
    }

    fn text(&mut self, depth: u32) -> String {
        match self.rng.below(6) {
            0 => "comm".into(),
            1 if depth > 0 => {
                if !self.has_map("@t") {
                    return "comm".into();
                }
                let (name, key) = self.map_with_key(|held| held == Held::Value(Ty::Text));
                format!("{name}{}", Gen::brackets(&key))
            }
            2 => self.var_of(Ty::Text).unwrap_or_else(|| "\"v\"".into()),
            _ => (*self.rng.pick(TEXTS)).to_owned(),
        }
    }
}
