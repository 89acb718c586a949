//! Which scripts run without the kernel: those that nothing outside of hark makes run, and that ask for nothing which
//! only the kernel knows.

use bpf_facts::HelperId;
use ebpf_asm::{Callee, Imm64, Insn, Program};
use hark_object::{Object, ProbeSpec};

/// What in `object` needs the running kernel, in words, if anything does. `simulates` says which helpers do not.
pub fn needs_kernel(object: &Object, simulates: &dyn Fn(HelperId) -> bool) -> Option<String> {
    let outside = object.probes.iter().find(|probe| !is_inside(&probe.spec));
    if let Some(probe) = outside {
        return Some(format!("the probe {}", probe.name));
    }
    object.programs.iter().find_map(|program| missing(&program.name, &program.code, simulates))
}

/// Whether hark itself makes the probe fire.
fn is_inside(spec: &ProbeSpec) -> bool {
    crate::load::runs_on_request(spec) || matches!(spec, ProbeSpec::Interval { .. })
}

fn missing(name: &str, code: &Program, simulates: &dyn Fn(HelperId) -> bool) -> Option<String> {
    code.insns.iter().find_map(|insn| match insn {
        Insn::Call(Callee::Helper(id)) if !simulates(HelperId(*id)) => {
            let helper = bpf_facts::helper(HelperId(*id)).map_or("helper", |def| def.name);
            Some(format!("bpf_{helper}, which {name} calls"))
        }
        Insn::Call(Callee::Kfunc { .. }) => Some(format!("a kernel function, which {name} calls")),
        Insn::LoadImm64 { imm: Imm64::BtfVar { .. }, .. } => {
            Some(format!("a variable of the kernel, which {name} reads"))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hark_object::TimeUnit;

    #[test]
    fn helpers_decide() {
        let needs = |text: &str| {
            let code = ebpf_asm::parse(text).expect("it assembles");
            missing("BEGIN", &code, &|id| id == HelperId::KTIME_GET_NS)
        };
        assert_eq!(needs("call 5\nexit"), None);
        assert_eq!(needs("call 35\nexit").as_deref(), Some("bpf_get_current_task, which BEGIN calls"));
    }

    #[test]
    fn what_happens_outside_of_hark_needs_the_kernel() {
        let unit = TimeUnit::Micros;
        assert!(is_inside(&ProbeSpec::Interval { period_ns: 1, unit }) && is_inside(&ProbeSpec::Begin));
        assert!(!is_inside(&ProbeSpec::Profile { period_ns: 1, hz: 0, unit }));
    }
}
