//! Every oracle, about a second of random input each. `PROPTEST_CASES` asks for more; `fuzz/` never stops.

use std::path::Path;

use hark_testkit::oracle::{
    Compilers, Finding, Reader, Verdicts, assembler, compiler, domains, optimiser, parser, parser_of_tokens,
    readers, states, verdict,
};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any};
use proptest::test_runner::{TestCaseError, TestRunner};

/// Judges `cases` texts of up to `most` random bytes.
#[track_caller]
fn judge(cases: u32, most: usize, oracle: impl Fn(&[u8]) -> Finding) {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() };
    let config = if asked { default } else { ProptestConfig { cases, ..default } };
    let bytes = vec(any::<u8>(), 0..most);
    let judged = TestRunner::new(config).run(&bytes, |bytes| oracle(&bytes).map_err(TestCaseError::fail));
    if let Err(finding) = judged {
        panic!("{finding}");
    }
}

/// `bytes` with some of them replaced, cut off or doubled, as `hits` say.
fn damaged(bytes: &[u8], hits: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for hit in hits.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let at = ((usize::from(hit[0]) << 8 | usize::from(hit[1])) * bytes.len()) >> 16;
        match hit[2] {
            0..=2 => bytes.truncate(at),
            3..=20 => bytes.extend_from_within(at..(at + 16).min(bytes.len())),
            _ => bytes[at] = hit[3],
        }
    }
    bytes
}

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn texts_are_parsed_and_formatted() {
    judge(300, 200, |bytes| parser(&String::from_utf8_lossy(bytes)));
    judge(600, 160, parser_of_tokens);
}

#[test]
fn scripts_that_type_check_compile_and_mean_the_same_optimised() {
    let with = Compilers::new(Some(fixture("mini.btf")));
    judge(4, 300, |bytes| compiler(bytes, &with));
}

#[test]
fn functions_keep_their_meaning() {
    judge(16, 300, optimiser);
}

#[test]
fn both_verifiers_agree() {
    let Some(verdicts) = Verdicts::new() else {
        return eprintln!("skipped: no programs can be loaded here");
    };
    let benches = verdicts.benches();
    judge(300, 300, |bytes| verdict(bytes, &benches, verdicts.version()));
}

#[test]
fn what_is_accepted_does_not_trap_and_is_what_is_known_of_it() {
    judge(120, 300, states);
}

#[test]
fn what_is_known_of_numbers_holds() {
    judge(100, 200, domains);
}

#[test]
fn bytes_instructions_and_text_lead_to_each_other() {
    judge(2000, 200, assembler);
}

#[test]
fn readers_survive_damage() {
    let whole: [(Reader, Vec<u8>); 7] = [
        (Reader::Btf, fixture("mini.btf")),
        (Reader::Elf, fixture("debug.so")),
        (Reader::Tracefs, fixture("events/sched/sched_switch/format")),
        (
            Reader::Kallsyms,
            b"ffffffff81000000 T _text\nffffffff81000040 t f\t[m]\nffffffff81000080 D d\n".to_vec(),
        ),
        (
            Reader::Maps,
            b"55d0-55e0 r-xp 00001000 08:01 77 /bin/x (deleted)\n7ff0-7fff rw-p 0 00:00 0 [stack]\n".to_vec(),
        ),
        (Reader::LdCache, b"glibc-ld.so.cache1.1\x01\0\0\0\x20\0\0\0".to_vec()),
        (
            Reader::VerifierLog,
            b"0: (b7) r0 = 0\n1: R0=0\n1: (79) r1 = *(u64 *)(r2 +0)\nR2 !read_ok\n".to_vec(),
        ),
    ];
    for (reader, bytes) in whole {
        readers(reader, &bytes).unwrap_or_else(|finding| panic!("{reader:?}, undamaged: {finding}"));
        judge(60, 64, |hits| readers(reader, &damaged(&bytes, hits)));
        judge(60, 200, |bytes| readers(reader, bytes));
    }
}

/// Inputs that fuzzers found something with, below `findings/TARGET`.
#[test]
fn what_was_found_stays_mended() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings");
    for target in std::fs::read_dir(dir).expect("the findings") {
        let target = target.expect("an entry").path();
        for file in std::fs::read_dir(&target).expect("a target's findings") {
            let file = file.expect("an entry").path();
            let bytes = std::fs::read(&file).expect("a finding");
            let finding = match target.file_name().and_then(|name| name.to_str()) {
                Some("parser") => parser(&String::from_utf8_lossy(&bytes)),
                Some("tokens") => parser_of_tokens(&bytes),
                Some("optimiser") => optimiser(&bytes),
                Some("states") => states(&bytes),
                Some("domains") => domains(&bytes),
                Some("assembler") => assembler(&bytes),
                Some("kallsyms") => readers(Reader::Kallsyms, &bytes),
                other => panic!("{other:?} is no target whose findings are kept"),
            };
            finding.unwrap_or_else(|finding| panic!("{}: {finding}", file.display()));
        }
    }
}
