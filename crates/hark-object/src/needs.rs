//! What an object needs of the kernel it is loaded into: read off its programs and maps, not off the script.

use crate::object::Object;
use crate::probe::ProbeSpec;
use bpf_facts::{Feature, HelperId, V, map_type, prog_type};
use ebpf_asm::{AluOp, AtomicOp, Callee, Imm64, Insn, SwapOp, Width};
use std::collections::BTreeMap;

/// Something that the kernel must have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// `program type`, `map type`, `helper` or `feature`.
    pub kind: &'static str,
    /// Its name: `kprobe`, `percpu_hash`, `ktime_get_boot_ns`, `isa_v4`.
    pub name: String,
    /// First kernel that has it.
    pub since: V,
}

/// Everything an object needs, by kind and name.
pub fn needs(object: &Object) -> Vec<Need> {
    let mut found = Found::default();
    for program in &object.programs {
        if let Some(def) = prog_type(program.ty) {
            found.add("program type", def.name, def.since);
        }
        for insn in &program.code.insns {
            found.insn(insn, program.ty);
        }
    }
    for map in &object.maps {
        if let Some(def) = map_type(map.ty) {
            found.add("map type", def.name, def.since);
        }
    }
    for probe in &object.probes {
        match &probe.spec {
            ProbeSpec::Fentry { .. } => found.feature(Feature::Fentry),
            ProbeSpec::Iter { .. } => found.feature(Feature::Iter),
            _ => {}
        }
    }
    found.0.into_iter().map(|((kind, name), since)| Need { kind, name, since }).collect()
}

#[derive(Default)]
struct Found(BTreeMap<(&'static str, String), V>);

impl Found {
    fn add(&mut self, kind: &'static str, name: &str, since: V) {
        let known = self.0.entry((kind, name.to_string())).or_insert(since);
        *known = since.max(*known);
    }

    fn feature(&mut self, feature: Feature) {
        self.add("feature", &feature.key(), feature.def().since);
    }

    fn insn(&mut self, insn: &Insn, ty: bpf_facts::ProgType) {
        match insn {
            Insn::Call(Callee::Helper(id)) => {
                if let Some(def) = bpf_facts::helper(HelperId(*id)) {
                    self.add("helper", def.name, def.since_in(ty).unwrap_or(def.since));
                }
            }
            Insn::Alu { op: AluOp::Sdiv | AluOp::Smod, .. }
            | Insn::MovSx { .. }
            | Insn::Load { sext: true, .. }
            | Insn::Swap { op: SwapOp::Swap, .. } => self.feature(Feature::IsaV4),
            Insn::Atomic { op, fetch, .. } if *fetch || *op != AtomicOp::Add => {
                self.feature(Feature::AtomicFetch);
            }
            Insn::JumpIf { w: Width::W32, .. } => self.feature(Feature::Jmp32),
            Insn::LoadImm64 { imm: Imm64::MapValue(..), .. } => self.feature(Feature::MapValueAddr),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::object::ProgramDef;
    use bpf_facts::{AttachType, ProgType};

    fn needs_of(text: &str) -> Vec<String> {
        let code = ebpf_asm::parse(text).expect("assembly");
        let program = ProgramDef {
            name: "x".into(),
            ty: ProgType::Kprobe,
            attach_type: AttachType::None,
            code,
            btf_target: None,
            sleepable: false,
            types: None,
        };
        let object = Object {
            license: "GPL".into(),
            maps: Vec::new(),
            programs: vec![program],
            probes: Vec::new(),
            events: Vec::new(),
            locs: Vec::new(),
            config: Config::default(),
        };
        needs(&object).into_iter().map(|n| format!("{} {} {}", n.kind, n.name, n.since)).collect()
    }

    #[test]
    fn instructions_and_helpers() {
        assert_eq!(needs_of("r0 = 0\nexit"), ["program type kprobe 4.1"]);
        assert_eq!(
            needs_of("call 125\nr0 s/= 3\nif w0 == 0 goto +0\nexit"),
            [
                "feature isa_v4 6.6",
                "feature jmp32 5.1",
                "helper ktime_get_boot_ns 5.8",
                "program type kprobe 4.1"
            ]
        );
    }
}
