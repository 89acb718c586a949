//! Readers of what tracefs prints: `events/CATEGORY/EVENT/format`.

/// A field of a tracepoint's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracepointField {
    /// Name.
    pub name: String,
    /// Base type with qualifiers removed: `unsigned long`, `struct task_struct`, `char`.
    pub base: String,
    /// Number of `*`.
    pub pointers: u32,
    /// Length of an array, 0 if the file does not say it as a number.
    pub array: Option<u32>,
    /// `__data_loc`: a 4-byte word that tells where the data is.
    pub data_loc: bool,
    /// Offset in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether it has a sign.
    pub signed: bool,
}

/// The fields of a format file, in order. Lines that are no fields are passed over.
pub fn parse_format(text: &str) -> Vec<TracepointField> {
    text.lines().filter_map(parse_field).collect()
}

/// The declarations of a format file as the kernel writes them, without what every record begins with.
pub(crate) fn declarations(text: &str) -> Vec<String> {
    let fields = text.lines().filter_map(|line| line.trim().strip_prefix("field:")?.split(';').next());
    let own =
        |declaration: &&str| !declaration.rsplit([' ', '*']).next().is_some_and(|n| n.starts_with("common_"));
    fields.filter(own).map(str::to_owned).collect()
}

fn parse_field(line: &str) -> Option<TracepointField> {
    let line = line.trim();
    let rest = line.strip_prefix("field:")?;
    let mut parts = rest.split(';').map(str::trim);
    let declaration = parts.next()?;
    let (mut offset, mut size, mut signed) = (None, None, false);
    for part in parts {
        match part.split_once(':') {
            Some(("offset", n)) => offset = n.parse().ok(),
            Some(("size", n)) => size = n.parse().ok(),
            Some(("signed", n)) => signed = n == "1",
            _ => {}
        }
    }
    let data_loc = declaration.starts_with("__data_loc ") || declaration.starts_with("__rel_loc ");
    let declaration = declaration.trim_start_matches("__data_loc ").trim_start_matches("__rel_loc ");
    // `T name`, `T name[16]`, `T[] name` (data_loc), `T *name`
    let (mut words, array) = match (declaration.find('['), declaration.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            let len = declaration[open + 1..close].trim().parse().unwrap_or(0);
            (format!("{} {}", &declaration[..open], &declaration[close + 1..]), Some(len))
        }
        _ => (declaration.to_string(), None),
    };
    let pointers = words.matches('*').count() as u32;
    words = words.replace('*', " ");
    let mut tokens: Vec<&str> = words
        .split_whitespace()
        .filter(|w| !["const", "volatile", "__user", "__rcu", "__attribute__"].contains(w))
        .collect();
    let name = tokens.pop()?.to_string();
    if tokens.is_empty() {
        return None;
    }
    Some(TracepointField {
        name,
        base: tokens.join(" "),
        pointers,
        array,
        data_loc,
        offset: offset?,
        size: size?,
        signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_declaration() {
        let text = "name: x\nID: 3\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:char comm[16];\toffset:8;\tsize:16;\tsigned:0;\n\
            \tfield:__data_loc char[] name;\toffset:24;\tsize:4;\tsigned:0;\n\
            \tfield:const char *const * argv;\toffset:32;\tsize:8;\tsigned:0;\n\
            \tfield:unsigned long args[6];\toffset:40;\tsize:48;\tsigned:0;\nprint fmt: \"%s\"";
        let fields = parse_format(text);
        let shape: Vec<_> = fields
            .iter()
            .map(|f| (f.name.as_str(), f.base.as_str(), f.pointers, f.array, f.data_loc))
            .collect();
        assert_eq!(
            shape,
            [
                ("common_type", "unsigned short", 0, None, false),
                ("comm", "char", 0, Some(16), false),
                ("name", "char", 0, Some(0), true),
                ("argv", "char", 2, None, false),
                ("args", "unsigned long", 0, Some(6), false),
            ]
        );
        assert_eq!((fields[3].offset, fields[3].size), (32, 8));
    }

    #[test]
    fn garbage_is_passed_over() {
        assert!(parse_format("field:\nfield:;;\nfield:x;offset:1;size:1;\n[]").is_empty());
    }
}
