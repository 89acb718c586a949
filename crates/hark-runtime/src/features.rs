//! What the running kernel can do, and what a script needs: the text of `hark features`.
//!
//! Sections of `  name: answer` lines, which people's scripts search. An answer is `yes`, `no`, or `cannot tell`
//! with what stood in the way.

use bpf_facts::{Feature, HELPERS, KernelProfile, ProgType, V};
use bpf_syscall::limits::{Cap, effective_capabilities};
use bpf_syscall::probe::{Answer, BtfIds, ask, ask_helper, ask_program, detect, event_source};
use bpf_syscall::{Kernel, TraceFs, host};
use hark_object::{EventKind, Field, Need, Object, ProbeSpec, Ty, needs};
use std::fmt;

/// A heading and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// Names and what is said of them.
    pub lines: Vec<(String, String)>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        self.lines.iter().try_for_each(|(name, value)| writeln!(f, "  {name}: {value}"))
    }
}

fn line(name: impl Into<String>, value: impl fmt::Display) -> (String, String) {
    (name.into(), value.to_string())
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Asks the kernel about everything. `version` is hark's own; `btf` tells whether the kernel has BTF, `ids` are
/// functions of it to ask with.
pub fn report(
    kernel: &dyn Kernel,
    assumed: &KernelProfile,
    version: &str,
    btf: bool,
    ids: BtfIds,
) -> Vec<Section> {
    let mut system = match host::uname() {
        Ok(u) => vec![line("OS", format!("Linux {} {}", u.release, u.version)), line("Arch", u.machine)],
        Err(error) => vec![line("OS", error)],
    };
    let caps = effective_capabilities();
    system.extend([Cap::Bpf, Cap::Perfmon, Cap::SysAdmin].map(|cap| line(cap.name(), yes_no(caps.has(cap)))));
    let build = vec![line("version", version), line("LLVM", "not used"), line("libbpf", "not used")];
    let helpers = HELPERS
        .iter()
        .filter(|def| def.since_in(ProgType::Kprobe).is_some())
        .map(|def| line(def.name, ask_helper(kernel, ProgType::Kprobe, def.id)))
        .collect();
    let (_, answers) = detect(kernel, assumed, ids);
    let mut features = vec![line("Instruction limit", assumed.limits.insns), line("btf", yes_no(btf))];
    features.extend(answers.iter().map(|(feature, answer)| line(feature.key(), answer)));
    vec![
        Section { title: "System".into(), lines: system },
        Section { title: "Build".into(), lines: build },
        Section { title: "Kernel helpers".into(), lines: helpers },
        Section { title: "Kernel features".into(), lines: features },
        Section { title: "Probe types".into(), lines: probe_types(kernel, ids) },
    ]
}

fn probe_types(kernel: &dyn Kernel, ids: BtfIds) -> Vec<(String, String)> {
    let program = |ty| ask_program(kernel, ty);
    let feature = |feature| ask(kernel, feature, ids);
    let tracefs = || match TraceFs::find() {
        Ok(_) => Answer::Yes,
        Err(error) => Answer::CannotTell(error.errno),
    };
    let kprobe = program(ProgType::Kprobe).and(event_source("kprobe"));
    let uprobe = program(ProgType::Kprobe).and(event_source("uprobe"));
    let perf = program(ProgType::PerfEvent);
    vec![
        line("kprobe", kprobe),
        line("kretprobe", kprobe),
        line("fentry", feature(Feature::Fentry)),
        line("fexit", feature(Feature::Fentry)),
        line("tracepoint", program(ProgType::Tracepoint).and(tracefs())),
        line("rawtracepoint", program(ProgType::RawTracepoint)),
        line("uprobe", uprobe),
        line("uretprobe", uprobe),
        line("usdt", uprobe),
        line("kprobe_multi", feature(Feature::KprobeMulti)),
        line("kprobe_session", feature(Feature::KprobeSession)),
        line("uprobe_multi", feature(Feature::UprobeMulti)),
        line("interval", perf),
        line("profile", perf),
        line("software", perf),
        line("hardware", perf.and(event_source("cpu"))),
        line("watchpoint", perf.and(event_source("breakpoint"))),
        line("iter", feature(Feature::Iter)),
    ]
}

/// What a compiled script needs, against `profile`: kernel abilities with the version that has them, and rights.
pub fn script_needs(object: &Object, profile: &KernelProfile) -> Vec<Section> {
    let needs = needs(object);
    let minimum = needs.iter().map(|need| need.since).max().unwrap_or(V(4, 1));
    let kernel = vec![
        line("minimum", format!("Linux {minimum}")),
        line("this kernel", format!("Linux {}: {}", profile.version, yes_no(profile.version >= minimum))),
    ];
    let of_kind = |kind: &str| -> Vec<(String, String)> {
        let found = needs.iter().filter(|need: &&Need| need.kind == kind);
        found.map(|need| line(&need.name, format!("Linux {}", need.since))).collect()
    };
    let caps = effective_capabilities();
    let rights = capabilities(object, profile.version).into_iter().map(|(cap, why)| {
        line(cap.name(), format!("{why} (this process has it: {})", yes_no(caps.has(cap))))
    });
    let sections = [
        ("Kernel", kernel),
        ("Program types", of_kind("program type")),
        ("Map types", of_kind("map type")),
        ("Helpers", of_kind("helper")),
        ("Features", of_kind("feature")),
        ("Capabilities", rights.collect()),
    ];
    let some = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
    some.map(|(title, lines)| Section { title: title.to_string(), lines }).collect()
}

/// The rights that loading and attaching an object takes, and what for. CAP_SYS_ADMIN stands for the first two.
fn capabilities(object: &Object, kernel: V) -> Vec<(Cap, &'static str)> {
    // CAP_BPF and CAP_PERFMON were split off in 5.8.
    let mut caps = if kernel < V(5, 8) {
        vec![(Cap::SysAdmin, "loads programs and creates maps")]
    } else {
        vec![
            (Cap::Bpf, "loads programs and creates maps"),
            (Cap::Perfmon, "reads the kernel's memory and opens events"),
        ]
    };
    let tracefs = |spec: &ProbeSpec| matches!(spec, ProbeSpec::Tracepoint { .. } | ProbeSpec::Kprobe { .. });
    if object.probes.iter().any(|probe| tracefs(&probe.spec)) {
        caps.push((Cap::DacReadSearch, "reads tracefs, unless run as root"));
    }
    let named = names_functions;
    let in_events = object.events.iter().flat_map(|event| values(&event.kind)).any(|field| named(&field.ty));
    let in_maps = object.maps.iter().any(|map| match &map.role {
        hark_object::MapRole::User(user) => named(&user.value) || user.key.as_ref().is_some_and(named),
        _ => false,
    });
    if in_events || in_maps {
        caps.push((Cap::Syslog, "reads the addresses of kernel functions, to name them"));
    }
    caps
}

/// Whether a value prints names of kernel functions.
fn names_functions(ty: &Ty) -> bool {
    match ty {
        Ty::KStack { .. } | Ty::Ksym => true,
        Ty::Tuple(parts) => parts.iter().any(names_functions),
        _ => false,
    }
}

/// The values that an event prints.
fn values(event: &EventKind) -> &[Field] {
    match event {
        EventKind::Printf(text)
        | EventKind::Message(_, text, _)
        | EventKind::Cat(text)
        | EventKind::System(text) => &text.args,
        EventKind::Print(field) => std::slice::from_ref(field),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_look_as_scripts_expect() {
        let section = Section { title: "Kernel features".into(), lines: vec![line("btf", yes_no(true))] };
        assert_eq!(section.to_string(), "Kernel features\n  btf: yes\n");
    }

    #[test]
    fn older_kernels_want_the_greater_right() {
        let object = Object {
            license: "GPL".into(),
            maps: Vec::new(),
            programs: Vec::new(),
            probes: Vec::new(),
            events: Vec::new(),
            locs: Vec::new(),
            config: hark_object::Config::default(),
        };
        let caps = |v| capabilities(&object, v).into_iter().map(|(cap, _)| cap).collect::<Vec<_>>();
        assert_eq!(caps(V(5, 4)), [Cap::SysAdmin]);
        assert_eq!(caps(V(6, 1)), [Cap::Bpf, Cap::Perfmon]);
    }
}
