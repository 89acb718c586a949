//! `hark verify --jsonl`: cases in, verdicts out.

use super::Target;
use crate::host;
use bpf_facts::{Arch, KernelProfile, V};
use bpf_input::{Judgement, read_case, write_verdict};
use hark_btf::Btf;
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use verifier_sim::{Options, Verdict};

/// `forced`: the kernel of the command line counts, not that of the case.
pub(super) fn run(target: &Target, forced: bool) -> ExitCode {
    let mut files: HashMap<String, Arc<Btf>> = HashMap::new();
    let mut open = |path: &str| -> Result<Arc<Btf>, String> {
        if let Some(btf) = files.get(path) {
            return Ok(Arc::clone(btf));
        }
        let btf = host::open_btf(path)?;
        files.insert(path.to_string(), Arc::clone(&btf));
        Ok(btf)
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = match line {
            Ok(line) => line,
            Err(e) => {
                eprintln!("hark: cannot read standard input: {e}");
                return ExitCode::from(super::UNSURE);
            }
        };
        if line.trim().is_empty() {
            continue;
        }
        let (name, judged) = match read_case(&line, &mut open) {
            Ok((case, of)) => {
                let arch = if of.arch.contains("arm") || of.arch == "aarch64" {
                    Arch::Aarch64
                } else {
                    Arch::X86_64
                };
                let named = V::parse(&of.release).filter(|_| !forced).map(|v| KernelProfile::of(v, arch));
                let profile = named.as_ref().unwrap_or(&target.profile);
                let btf = of.btf.as_ref().or(target.btf.as_ref());
                (case.name.clone(), case.judge(profile, btf.map(Arc::as_ref), &Options::default()))
            }
            Err(bad) => (bad.name, unsure(bad.why)),
        };
        if writeln!(out, "{}", write_verdict(&name, &judged)).and_then(|()| out.flush()).is_err() {
            // Nobody reads on.
            break;
        }
    }
    ExitCode::SUCCESS
}

fn unsure(reason: String) -> Judgement {
    Judgement { verdict: Verdict::Unsure, slot: None, reason, program: None, report: None }
}
