//! Names as the programmer wrote them.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, ParseOptions};

/// Longest name that is given back, and the deepest nesting followed: a mangled name of a kilobyte can stand for
/// gigabytes.
const MAX_LEN: usize = 16 << 10;
const MAX_DEPTH: u32 = 96;

/// A C++ name (`_ZN2ns1fEi` → `ns::f(int)`); `None` for names that are none.
pub fn demangle_cpp(name: &str) -> Option<String> {
    // Rust's older names look like C++ ones but for their last part.
    if !name.starts_with("_Z") || rustc_demangle::try_demangle(name).is_ok() {
        return None;
    }
    let parse = ParseOptions::default().recursion_limit(MAX_DEPTH);
    let symbol = cpp_demangle::Symbol::new_with_options(name, &parse).ok()?;
    let mut out = Short(String::new());
    let options = DemangleOptions::default().recursion_limit(MAX_DEPTH);
    symbol.structured_demangle(&mut out, &options).ok()?;
    Some(out.0)
}

/// A Rust name (`_RNvC4hark4main` → `hark::main`), without the hash; `None` for names that are none.
pub fn demangle_rust(name: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    let mut out = Short(String::new());
    write!(out, "{symbol:#}").ok()?;
    Some(out.0)
}

/// A demangled C++ name without its parameters: `ns::f(int)` → `ns::f`, as `uprobe:BIN:cpp:"ns::f"` has it.
pub fn without_parameters(demangled: &str) -> &str {
    // Parentheses also occur in names: `(anonymous namespace)::f(int)`, `operator()(int)`, `f(int (*)(char)) const`.
    let mut depth = 0usize;
    let mut start = None;
    for (i, c) in demangled.char_indices() {
        match c {
            '(' if depth == 0 && !demangled[..i].ends_with("operator") => (start, depth) = (Some(i), 1),
            '(' | '<' => depth += 1,
            ')' | '>' => depth = depth.saturating_sub(1),
            ':' if depth == 0 => start = None,
            _ => {}
        }
    }
    start.map_or(demangled, |i| &demangled[..i])
}

/// A string that refuses to grow beyond [`MAX_LEN`].
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        if self.0.len() + s.len() > MAX_LEN {
            return Err(fmt::Error);
        }
        self.0.push_str(s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_languages() {
        assert_eq!(demangle_cpp("_ZN2ns1fEi").as_deref(), Some("ns::f(int)"));
        assert_eq!(demangle_cpp("malloc"), None);
        assert_eq!(demangle_rust("_ZN4hark4main17h0123456789abcdefE").as_deref(), Some("hark::main"));
        assert_eq!(demangle_rust("_RNvC4hark4main").as_deref(), Some("hark::main"));
        assert_eq!(demangle_cpp("_ZN4hark4main17h0123456789abcdefE"), None);
        assert_eq!(demangle_rust("_ZN2ns1fEi"), None);
    }

    #[test]
    fn cuts_parameters() {
        for (whole, name) in [
            ("ns::f(int)", "ns::f"),
            ("main", "main"),
            ("(anonymous namespace)::f(int (*)(char))", "(anonymous namespace)::f"),
            ("ns::s<int, (e)2>::g() const", "ns::s<int, (e)2>::g"),
            ("ns::s::operator()(int)", "ns::s::operator()"),
        ] {
            assert_eq!(without_parameters(whole), name);
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_refused(name in "_(Z|R)[0-9A-Za-z_]{0,60}") {
            let _ = (demangle_cpp(&name), demangle_rust(&name));
            let _ = without_parameters(&name);
        }
    }
}
