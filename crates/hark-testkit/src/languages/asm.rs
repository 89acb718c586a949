//! `.s`: eBPF assembly in the kernel's dialect.

use anyhow::{Result, bail};
use bpf_facts::helper_by_name;
use ebpf_asm::{Program, parse_with_helpers};
use verifier_sim::{Options, ProgEnv, verify};

use super::env;
use hark_btf::Btf;

use crate::agree::functions;
use crate::case::CaseFile;
use crate::golden::{Finding, Stages};

/// Assembly: what the assembler reads, and what the verifier says of it.
pub(super) struct Assembly;

impl Stages for Assembly {
    fn keys(&self) -> &[&str] {
        &["kernel", "prog", "maps", "attach", "license"]
    }

    fn names(&self) -> &[&str] {
        &["asm", "hex", "verify", "verdict", "log"]
    }

    fn render(&self, case: &CaseFile, stage: &str) -> Result<String> {
        let program =
            match parse_with_helpers(&case.input_in_place(), &|name| Some(helper_by_name(name)?.id.0)) {
                Ok(program) => program,
                Err(error) => return Ok(format!("error at {error}\n")),
            };
        match stage {
            "asm" => Ok(program.to_string()),
            "hex" => hex(&program),
            "verify" | "verdict" | "log" => {
                let maps = env::maps(case)?;
                let options = Options { log: stage == "log", ..Options::default() };
                let funcs = functions(&program);
                let mini = Btf::parse(std::fs::read(mini_btf())?)?;
                let mut prog = ProgEnv { funcs: &funcs, ..ProgEnv::new(env::prog_type(case)?, &maps) };
                env::attach(case, &mini, &mut prog)?;
                prog.gpl = case.str("license")?.is_none_or(|license| license == "GPL");
                let report = verify(&program, &prog, &env::profile(case)?, &options);
                if stage == "verdict" {
                    return Ok(format!("{}\n", report.verdict.name()));
                }
                Ok(format!("{}{report}\n", report.log_text(&program)))
            }
            other => bail!("no stage {other}"),
        }
    }

    fn diagnostics(&self, _case: &CaseFile) -> Result<Option<Vec<Finding>>> {
        Ok(None)
    }
}

/// One slot a line, in the order of its bytes.
fn hex(program: &Program) -> Result<String> {
    let slots = ebpf_asm::encode(program, &|map| i32::try_from(map.0).unwrap_or(-1))?;
    let line =
        |slot: &[u8; 8]| slot.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    Ok(slots.iter().map(line).collect())
}

/// The kernel of the golden cases.
fn mini_btf() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/mini.btf")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use verifier_sim::Rule;

    /// Rules whose accepted case needs a kernel that `mini.btf` is not; verifier-sim's own tests have it.
    const ACCEPTED_ELSEWHERE: &[Rule] = &[Rule::Kfunc];

    #[test]
    fn every_rule_has_an_accepted_and_a_rejected_case() {
        let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/verify/rules"));
        for rule in Rule::ALL {
            let read = |what: &str| std::fs::read_to_string(dir.join(format!("{}-{what}.s", rule.name())));
            let rejected = read("rejected").unwrap_or_else(|e| panic!("{rule}: {e}"));
            assert!(rejected.contains(&format!("rule={rule}:")), "{rule} does not reject its case");
            if !ACCEPTED_ELSEWHERE.contains(rule) {
                let accepted = read("accepted").unwrap_or_else(|e| panic!("{rule}: {e}"));
                assert!(accepted.ends_with("//= verify\n// accept\n"), "{rule} does not accept its case");
            }
        }
    }
}
