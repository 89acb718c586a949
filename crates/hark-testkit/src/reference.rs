//! `docs/reference.md`, written from the tables that the program itself uses.

use std::fmt::Write;

use bpf_facts::{FEATURES, HELPERS, ProgType};
use hark_compiler::{Stage, builtins, probes};
use hark_diag::CODES;
use hark_object::{CONFIG_KEYS, Config, ConfigType};

/// A cell of a table: one line, with the character that ends cells escaped.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The whole reference.
pub fn reference() -> String {
    let mut out = String::from(
        "# Reference\n\n\
         Written by `HARK_BLESS=1 cargo test -p hark-tests --test docs` from the tables in the sources; do not edit.\n\
         The guide is [language.md](language.md).\n\n\
         - [Probes](#probes)\n- [Builtins and functions](#builtins-and-functions)\n- [Configuration](#configuration)\n\
         - [Stages of compilation](#stages-of-compilation)\n- [Kernel abilities](#kernel-abilities)\n\
         - [Kernel helpers](#kernel-helpers)\n- [Error codes](#error-codes)\n",
    );
    probe_kinds(&mut out);
    functions(&mut out);
    configuration(&mut out);
    stages(&mut out);
    kernel(&mut out);
    codes(&mut out);
    out
}

fn probe_kinds(out: &mut String) {
    out.push_str("\n## Probes\n\n| probe | short | form | meaning |\n|---|---|---|---|\n");
    for kind in probes::ALL {
        let _ = writeln!(
            out,
            "| `{}` | {} | `{}` | {} |",
            kind.name(),
            kind.aliases().iter().map(|alias| format!("`{alias}`")).collect::<Vec<_>>().join(", "),
            cell(kind.syntax()),
            cell(kind.doc())
        );
    }
}

fn functions(out: &mut String) {
    out.push_str(
        "\n## Builtins and functions\n\nWhat takes no arguments may be written with or without `()`.\n\n\
         | form | meaning |\n|---|---|\n",
    );
    let mut all: Vec<_> = builtins::all().collect();
    all.sort_by_key(|builtin| builtin.name());
    for builtin in all {
        let doc = builtin.doc();
        // Rows of a table begin with the name, which aggregations' forms do not.
        let forms = cell(doc.signature);
        let _ = writeln!(out, "| `{forms}` | {} |", cell(doc.text));
    }
}

fn configuration(out: &mut String) {
    out.push_str(
        "\n## Configuration\n\nIn a script `config = { key = value; }`, in the environment `HARK_KEY=value` or \
         `BPFTRACE_KEY=value`; the environment wins, and `HARK_` over `BPFTRACE_`.\n\n\
         | key | default | values | meaning |\n|---|---|---|---|\n",
    );
    let defaults = Config::default();
    for key in CONFIG_KEYS {
        let values = match key.ty {
            ConfigType::Bool => "true, false".to_string(),
            ConfigType::Int { min, max } => format!("{min} to {max}"),
            ConfigType::Text => "any text".to_string(),
            ConfigType::OneOf(words) => words.join(", "),
        };
        let default = (key.get)(&defaults);
        let _ = writeln!(out, "| `{}` | `{default}` | {} | {} |", key.name, cell(&values), cell(key.doc));
    }
}

fn stages(out: &mut String) {
    out.push_str("\n## Stages of compilation\n\n`hark dump --stage NAME`: ");
    let names: Vec<String> = Stage::ALL.iter().map(|(name, _)| format!("`{name}`")).collect();
    let _ = writeln!(out, "{}.", names.join(", "));
}

fn kernel(out: &mut String) {
    out.push_str(
        "\n## Kernel abilities\n\nWhat hark uses where it exists; `hark features` asks the running kernel.\n\n\
         | ability | since Linux | used for |\n|---|---|---|\n",
    );
    for def in FEATURES {
        let _ = writeln!(out, "| `{}` | {} | {} |", def.feature.key(), def.since, cell(def.why));
    }
    out.push_str(
        "\n## Kernel helpers\n\nThose that tracing programs may call, and the first kernel in which a program on a \
         kprobe may.\n\n| helper | number | since Linux |\n|---|---|---|\n",
    );
    for def in HELPERS {
        if let Some(since) = def.since_in(ProgType::Kprobe) {
            let _ = writeln!(out, "| `{}` | {} | {since} |", def.name, def.id.0);
        }
    }
}

fn codes(out: &mut String) {
    out.push_str(
        "\n## Error codes\n\n`hark explain CODE` prints one.\n\n| code | name | meaning |\n|---|---|---|\n",
    );
    for def in CODES {
        let _ = writeln!(out, "| {} | `{}` | {} |", def.code, def.name, cell(def.explanation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_there() {
        let text = reference();
        for part in
            ["| `kprobe` | `k`", "str(pointer", "| `max_strlen` | `1024`", "| H0101 |", "`kprobe_multi`"]
        {
            assert!(text.contains(part), "{part}");
        }
        // A cell must not break its row.
        let rows = text.lines().filter(|line| line.starts_with('|'));
        assert!(rows.clone().count() > 200 && rows.clone().all(|row| row.ends_with('|')));
    }
}
