//! Tracefs's `available_filter_functions`: the functions that kprobes and fentry programs may be attached to.

/// A traceable kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Traceable<'a> {
    /// Name.
    pub name: &'a str,
    /// Module; `None` for the kernel itself.
    pub module: Option<&'a str>,
}

/// The functions in the text, in its order. Names occur as often as the kernel has functions of that name.
pub fn traceable_functions(text: &str) -> impl Iterator<Item = Traceable<'_>> {
    text.lines().filter_map(|line| {
        let (name, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let module = rest.trim_start().strip_prefix('[').and_then(|m| m.split_once(']')).map(|(m, _)| m);
        // Weak functions that were overridden are listed under this placeholder.
        (!name.is_empty() && !name.starts_with("__ftrace_invalid_address___"))
            .then_some(Traceable { name, module })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_modules() {
        let text = "vfs_read\n__ftrace_invalid_address___64\next4_read [ext4]\nno_newline";
        let all: Vec<_> = traceable_functions(text).map(|t| (t.name, t.module)).collect();
        assert_eq!(all, [("vfs_read", None), ("ext4_read", Some("ext4")), ("no_newline", None)]);
    }
}
