//! Other ways to look at a compilation than a stage's text: after passes, as time, as JSON, as a test case.

use crate::driver;
use crate::dump::{Stage, dump};
use crate::sources;
use crate::target::{Options, Target};
use crate::verify::{rejections, verify_object};
use ebpf_codegen::opt::PASSES;
use hark_diag::{Code, Diagnostic, FileId, SourceMap, Span, Style, did_you_mean, render};
use hark_object::{json_maps, json_object, json_string};
use std::fmt::Write;

/// The IR after each run of an optimiser pass (`all`: after every one), under headings.
///
/// # Errors
/// If there is no such pass, or the script is wrong.
pub fn after_passes(
    pass: &str,
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
) -> Result<String, Vec<Diagnostic>> {
    if pass != "all" && !PASSES.iter().any(|p| p.name == pass) {
        let diag = Diagnostic::error_without_span(Code::BAD_USAGE, format!("there is no pass {pass}"));
        let names: Vec<&str> = PASSES.iter().map(|p| p.name).collect();
        return Err(vec![match did_you_mean(pass, names.iter().copied()) {
            Some(near) => diag.with_help(format!("did you mean `{near}`?")),
            None => diag.with_help(format!("passes are {} and all", names.join(", "))),
        }]);
    }
    let (script, mut diags) = sources::parse(map, file, target, &options.sources);
    let front = driver::analyze(&script, target, options, &mut diags)?;
    let lowered = driver::lower(&front, target, options, &mut diags)?;
    let codegen =
        ebpf_codegen::Options { dump_after: Some(pass.to_string()), ..driver::codegen_options(options) };
    let mut out = String::new();
    for (i, module) in lowered.modules.iter().enumerate() {
        let env = driver::environment(&front.script, &lowered, i, target);
        let compiled = ebpf_codegen::compile(module, &env, &codegen)
            .map_err(|e| vec![driver::refused(&e, place(&front, i))])?;
        for (heading, text) in compiled.trace {
            let _ = write!(out, "; {heading}\n{text}\n");
        }
    }
    Ok(out)
}

fn place(front: &driver::Front, i: usize) -> Span {
    front.script.units[i].probes.first().map_or(Span::default(), |probe| probe.2)
}

/// Where compilation spends its time: a stage and its nanoseconds by the clock `now`, in order.
///
/// # Errors
/// What is wrong with the script.
pub fn timed(
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
    now: &dyn Fn() -> u64,
) -> Result<Vec<(&'static str, u64)>, Vec<Diagnostic>> {
    let mut times = Vec::new();
    let mut last = now();
    let mut lap = |name, times: &mut Vec<(&'static str, u64)>| {
        let at = now();
        times.push((name, at.saturating_sub(last)));
        last = at;
    };
    let (script, mut diags) = sources::parse(map, file, target, &options.sources);
    lap("parse", &mut times);
    let front = driver::analyze(&script, target, options, &mut diags)?;
    lap("types", &mut times);
    let lowered = driver::lower(&front, target, options, &mut diags)?;
    lap("lower", &mut times);
    let compiled = driver::generate(&front.script, &lowered, target, options).map_err(|e| vec![*e])?;
    lap("codegen", &mut times);
    let (object, _) = driver::assemble(front.script, lowered, compiled);
    lap("object", &mut times);
    let reports = verify_object(&object, target);
    lap("verify", &mut times);
    let rejected = rejections(&object, &reports);
    if rejected.is_empty() { Ok(times) } else { Err(rejected) }
}

/// The stages `maps`, `object` and `verify` as JSON.
///
/// # Errors
/// If the stage has no such form, or the script is wrong.
pub fn json(
    stage: Stage,
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
) -> Result<String, Vec<Diagnostic>> {
    if !matches!(stage, Stage::Maps | Stage::Object | Stage::Verify) {
        let message = format!("the stage {} has no JSON form; maps, object and verify have", stage.name());
        return Err(vec![Diagnostic::error_without_span(Code::BAD_USAGE, message)]);
    }
    let object = driver::compile(map, file, target, options)?.object;
    Ok(match stage {
        Stage::Maps => json_maps(&object),
        Stage::Object => json_object(&object),
        _ => {
            let reports = verify_object(&object, target);
            let rows: Vec<String> = object
                .programs
                .iter()
                .zip(&reports)
                .map(|(program, report)| {
                    let message = report.findings.first().map(|f| f.message.as_str());
                    format!(
                        "{{\"program\":{},\"verdict\":{},\"message\":{},\"instructions\":{},\"paths\":{},\"stack\":{}}}",
                        json_string(&program.name),
                        json_string(report.verdict.name()),
                        message.map_or("null".to_string(), json_string),
                        report.stats.processed,
                        report.stats.paths,
                        report.stats.stack
                    )
                })
                .collect();
            format!("[{}]\n", rows.join(","))
        }
    })
}

/// A case for the golden tests: the script with a header, and what stages make of it now. A script that does not
/// compile shows its messages.
pub fn golden_case(
    stages: &[Stage],
    map: &SourceMap,
    file: FileId,
    target: &Target,
    options: &Options,
) -> String {
    let mut out = format!("//! kernel = {:?}\n", target.profile.version.to_string());
    let words = |words: &[String]| words.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    if !options.positional.is_empty() {
        let _ = writeln!(out, "//! args = [{}]", words(&options.positional));
    }
    if !options.disabled_passes.is_empty() {
        let _ = writeln!(out, "//! without = [{}]", words(&options.disabled_passes));
    }
    if options.allow_unsafe {
        out.push_str("//! unsafe = true\n");
    }
    out.push_str(map.file(file).text.trim_end());
    out.push('\n');
    let mut block = |name: &str, text: &str| {
        let _ = write!(out, "\n//= {name}\n");
        for line in text.lines() {
            let _ = writeln!(out, "{}", format!("// {line}").trim_end());
        }
    };
    for stage in stages {
        match dump(*stage, map, file, target, options) {
            Ok(text) => block(stage.name(), &text),
            Err(diags) => {
                block("diag", &render(map, &diags, Style::Plain));
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelTypes;
    use bpf_facts::KernelProfile;
    use hark_object::EmptyCatalog;
    use std::sync::Arc;

    fn with<T>(script: &str, look: impl FnOnce(&SourceMap, FileId, &Target, &Options) -> T) -> T {
        let mut map = SourceMap::default();
        let file = map.add("x.bt", script);
        let target = Target {
            profile: KernelProfile::named("6.1").expect("a version"),
            btf: KernelTypes::none(),
            catalog: Arc::new(EmptyCatalog),
            n_cpus: 2,
            pid_namespace: false,
        };
        look(&map, file, &target, &Options::default())
    }

    const SCRIPT: &str = "kprobe:f { @[pid] = count(); }";

    #[test]
    fn a_case_holds_script_and_stages() {
        let case = with(SCRIPT, |m, f, t, o| golden_case(&[Stage::Types], m, f, t, o));
        assert!(case.starts_with("//! kernel = \"6.1\"\nkprobe:f {"), "{case}");
        assert!(case.contains("\n//= types\n// kprobe:f\n"), "{case}");
        let case = with("kprobe:f { x( }", |m, f, t, o| golden_case(&[Stage::Types], m, f, t, o));
        assert!(case.contains("\n//= diag\n// x.bt:1:"), "{case}");
    }

    #[test]
    fn passes_are_known_by_name() {
        let text = with(SCRIPT, |m, f, t, o| after_passes("dce", m, f, t, o)).expect("a script");
        assert!(text.contains("dce"), "{text}");
        let wrong = with(SCRIPT, |m, f, t, o| after_passes("dcee", m, f, t, o)).expect_err("no pass");
        assert_eq!(wrong[0].helps, ["did you mean `dce`?"]);
    }

    #[test]
    fn json_of_three_stages() {
        let json = |stage| with(SCRIPT, |m, f, t, o| json(stage, m, f, t, o));
        assert!(json(Stage::Maps).expect("maps").starts_with("[{\"name\":\"@\",\"type\":\"percpu_hash\""));
        assert!(json(Stage::Object).expect("object").contains("\"name\":\"kprobe:f\""));
        assert!(json(Stage::Verify).expect("verdicts").contains("\"verdict\":\"accept\""));
        assert!(json(Stage::Ast).is_err());
    }

    #[test]
    fn time_is_told_by_the_clock_given() {
        let clock = std::cell::Cell::new(0);
        let tick = || clock.replace(clock.get() + 5);
        let times = with(SCRIPT, |m, f, t, o| timed(m, f, t, o, &tick)).expect("a script");
        assert!(times.iter().all(|(_, ns)| *ns == 5) && times.len() > 4);
    }
}
