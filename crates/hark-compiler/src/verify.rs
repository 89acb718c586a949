//! The verifier simulation over a finished object: what the kernel would refuse is refused here, at the script's line.

use crate::target::Target;
use bpf_facts::ProgType;
use hark_diag::{Code, Diagnostic};
use hark_object::{MapDef, MapRole, Object};
use verifier_sim::{FuncDef, MapShape, Options, ProgEnv, Report, Verdict, verify};

/// The verdict on each program, in order.
pub fn verify_object(object: &Object, target: &Target) -> Vec<Report> {
    let maps: Vec<MapShape> = object.maps.iter().map(shape).collect();
    object
        .programs
        .iter()
        .map(|program| {
            let mut env = ProgEnv::new(program.ty, &maps);
            env.attach_type = program.attach_type;
            env.attach_btf_id = program.btf_target.as_ref().map(|t| t.btf_id);
            env.sleepable = program.sleepable;
            env.n_cpus = Some(target.n_cpus);
            let functions = program.types.iter().flat_map(|types| &types.functions);
            let funcs: Vec<FuncDef> =
                functions.map(|(at, id)| FuncDef { at: *at, global: false, type_id: *id }).collect();
            env.funcs = &funcs;
            let module = program.btf_target.as_ref().and_then(|t| t.module.as_deref());
            let of_module = module.and_then(|module| target.btf.of_module(module));
            if program.ty == ProgType::Tracing {
                env.btf = of_module.as_ref().unwrap_or(&target.btf).get();
            }
            verify(&program.code, &env, &target.profile, &Options::default())
        })
        .collect()
}

fn shape(map: &MapDef) -> MapShape {
    let mut shape = MapShape::new(map.ty, map.key_size, map.value_size, map.max_entries);
    shape.flags = map.flags;
    shape.frozen = matches!(map.role, MapRole::Data(_) | MapRole::RunInfo);
    if let MapRole::Data(bytes) = &map.role {
        shape.data = Some(bytes.clone());
    }
    shape
}

/// What the script's author is told of rejections.
pub(crate) fn rejections(object: &Object, reports: &[Report]) -> Vec<Diagnostic> {
    let rejected = object.programs.iter().zip(reports).filter(|(_, r)| r.verdict == Verdict::Reject);
    rejected
        .map(|(program, report)| {
            let finding = report.findings.first();
            let at = finding.map(|f| f.at);
            let what = finding.map_or("", |f| f.message.as_str());
            let message = format!("the kernel's verifier would reject {}: {what}", program.name);
            let span = at.and_then(|at| program.code.loc(at)).and_then(|loc| object.span(loc));
            let diag = match span {
                Some(span) => Diagnostic::error(Code::SIM_REJECTS, span, message),
                None => Diagnostic::error_without_span(Code::SIM_REJECTS, message),
            };
            match at {
                Some(at) => diag.with_text(format!("at instruction {}", at.0)),
                None => diag,
            }
            .with_help("please report it with the output of `hark dump --golden SCRIPT`")
        })
        .collect()
}
