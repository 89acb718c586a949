//! The documents that people read: generated ones are up to date, and every script in them compiles.

use std::fs::{read_to_string, write};

use hark_testkit::golden::Mode;
use hark_testkit::reference::reference;
use hark_testkit::scripts::{Compiler, blocks};
use hark_tests::{root_dir, tests_dir};

#[test]
fn the_reference_is_up_to_date() {
    let path = root_dir().join("docs/reference.md");
    let wanted = reference();
    if read_to_string(&path).is_ok_and(|found| found == wanted) {
        return;
    }
    if Mode::from_env().expect("HARK_BLESS is not set on CI") == Mode::Bless {
        write(&path, wanted).expect("docs/reference.md can be written");
    } else {
        panic!("docs/reference.md is out of date: HARK_BLESS=1 cargo test -p hark-tests --test docs");
    }
}

#[test]
fn scripts_in_documents_compile() {
    let compiler = Compiler::new(&tests_dir().join("fixtures")).expect("the fixtures");
    let mut wrong = String::new();
    let mut count = 0;
    for name in ["docs/language.md", "docs/differences.md"] {
        let text = read_to_string(root_dir().join(name)).expect(name);
        for (line, script) in blocks(&text, "bt") {
            count += 1;
            let complaints = compiler.complaints("block", &script);
            if !complaints.is_empty() {
                wrong.push_str(&format!("{name}:{line}:\n{complaints}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count > 20, "the documents have lost their scripts: {count}");
}

#[test]
fn examples_compile_pass_their_tests_and_say_what_they_answer() {
    let compiler = Compiler::new(&tests_dir().join("fixtures")).expect("the fixtures");
    let mut wrong = String::new();
    let mut count = 0;
    for entry in std::fs::read_dir(root_dir().join("examples")).expect("examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "bt") {
            continue;
        }
        count += 1;
        let text = read_to_string(&path).expect("UTF-8");
        let complaints = compiler.complaints(&name, &text);
        wrong.push_str(&complaints);
        wrong.push_str(&compiler.failures(&name, &text));
        let formatted = compiler.formatted(&name, &text).is_some_and(|formatted| formatted == text);
        if complaints.is_empty() && !formatted {
            wrong.push_str(&format!("{name}: run `hark fmt examples/{name}`\n"));
        }
        if !tests_dir().join("run/examples").join(&name).exists() {
            wrong.push_str(&format!("{name}: it has no case tests/run/examples/{name}\n"));
        }
        let mut lines = text.lines();
        let shebang = lines.next() == Some("#!/usr/bin/env hark");
        let question = lines
            .next()
            .is_some_and(|line| line.starts_with(&format!("// {name}: ")) && line.trim_end().ends_with('?'));
        if !shebang || !question || !text.contains("\n// Such output:\n") {
            wrong.push_str(&format!(
                "{name}: it begins with #!/usr/bin/env hark and `// {name}: QUESTION?`, and has `// Such output:`\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 16, "the examples are gone: {count}");
}
