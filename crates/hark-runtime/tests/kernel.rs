//! Whole runs of hand-made objects on the running kernel. Without the rights for that, tests say so and pass.

use bpf_facts::{AttachType, KernelProfile, MapType, ProgType};
use bpf_syscall::child::{Child, split_words};
use bpf_syscall::{Kernel, LinuxKernel, MapCreate};
use ebpf_asm::{InsnIdx, MapRef, Program, SrcLoc, parse_with_helpers};
use hark_diag::{SourceMap, Span, Style};
use hark_object::agg::Agg;
use hark_object::{
    Config, EmptyCatalog, EventDef, EventKind, Field, Format, Loss, MapDef, MapRole, MissingProbes, Object,
    ProbeDef, ProbeSpec, ProgramDef, RUN_INFO_SIZE, RunField, TextFormat, TimeUnit, Ty, UserMap,
};
use hark_runtime::{Buffering, HostNames, Mode, Options, Output, OutputFormat, RunError, Setup, Sink, run};

/// The kernel, or why it is out of reach.
fn kernel() -> Option<LinuxKernel> {
    let kernel = LinuxKernel::new().expect("possible CPUs");
    match kernel.map_create(&MapCreate::new("probe", MapType::Ringbuf, 0, 0, 4096)) {
        Ok(_) => Some(kernel),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

struct Script {
    object: Object,
    format: OutputFormat,
    child: Option<Child>,
    options: Options,
}

struct Run {
    out: String,
    err: String,
    code: i32,
    lost: bool,
}

impl Script {
    /// An object with a ring for events, `map[0]`.
    fn new() -> Script {
        let ring = MapDef {
            name: "events".into(),
            ty: MapType::Ringbuf,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            role: MapRole::Events,
        };
        let object = Object {
            license: "GPL".into(),
            maps: vec![ring],
            programs: vec![],
            probes: vec![],
            events: vec![],
            locs: vec![],
            config: Config::default(),
        };
        Script { object, format: OutputFormat::Text, child: None, options: Options::default() }
    }

    fn map(&mut self, name: &str, ty: MapType, key: Option<Ty>, value: Ty) {
        let user = UserMap { key, value, generations: false };
        let key_size = user.key.as_ref().map_or(4, |key| key.layout().size);
        let value_size = match &user.key {
            Some(_) => user.value.layout().size,
            None => user.presence_offset() + 8,
        };
        let max_entries = if user.key.is_some() { 64 } else { 1 };
        self.raw_map(name, ty, (key_size, value_size, max_entries), MapRole::User(user));
    }

    fn raw_map(
        &mut self,
        name: &str,
        ty: MapType,
        (key_size, value_size, max_entries): (u32, u32, u32),
        role: MapRole,
    ) {
        let def = MapDef { name: name.into(), ty, key_size, value_size, max_entries, flags: 0, role };
        self.object.maps.push(def);
    }

    /// An event; its span is the first byte of the script's text.
    fn event(&mut self, kind: EventKind, size: u32) {
        self.object.events.push(EventDef { kind, size, span: Span::default() });
    }

    fn printf(&mut self, format: &str, args: &[(u32, Ty)], size: u32) {
        let args = args.iter().map(|(offset, ty)| Field { offset: *offset, ty: ty.clone() }).collect();
        let format = Format::parse(format.as_bytes()).expect("a format");
        self.event(EventKind::Printf(TextFormat { format, args }), size);
    }

    fn probe(&mut self, spec: ProbeSpec, asm: &str) {
        let code = assemble(asm);
        self.object.programs.push(ProgramDef {
            name: spec.to_string(),
            ty: ProgType::RawTracepoint,
            attach_type: AttachType::None,
            code,
            btf_target: None,
            sleepable: false,
            types: None,
        });
        let program = self.object.programs.len() - 1;
        self.object.probes.push(ProbeDef { name: spec.to_string(), spec, program, span: Span::default() });
    }

    fn run(self, kernel: &LinuxKernel) -> Result<Run, RunError> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut sources = SourceMap::default();
        sources.add("stdin", "BEGIN { a; b }");
        let names = HostNames::for_config(&Config::default());
        let profile = KernelProfile::named("6.1").expect("a profile");
        let ended = run(Setup {
            kernel,
            profile: &profile,
            confirm: &|_| false,
            object: &self.object,
            catalog: &EmptyCatalog,
            names: &names,
            output: Output {
                sink: Sink::new(Box::new(&mut out), Buffering::Line),
                err: Box::new(&mut err),
                format: self.format,
                sources: &sources,
                style: Style::Plain,
                warnings: true,
                errors: 0,
            },
            options: self.options,
            child: self.child,
            process: None,
        })?;
        let text = |bytes| String::from_utf8(bytes).expect("utf-8");
        Ok(Run { code: ended.code, lost: ended.lost, out: text(out), err: text(err) })
    }
}

fn assemble(asm: &str) -> Program {
    let helper = |name: &str| bpf_facts::helper_by_name(name).map(|def| def.id.0);
    parse_with_helpers(asm, &helper).unwrap_or_else(|error| panic!("{error}:\n{asm}"))
}

/// Sends event `number` with `words` behind the header.
fn send(number: usize, words: &[i64]) -> String {
    let size = 8 + 8 * words.len();
    let stores: String = words
        .iter()
        .enumerate()
        .map(|(i, word)| format!("r1 = {word} ll\n*(u64 *)(r0 + {}) = r1\n", 8 + 8 * i))
        .collect();
    format!(
        "r1 = map[0] ll\nr2 = {size}\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto full{number}\n\
         *(u64 *)(r0 + 0) = {number}\n{stores}r1 = r0\nr2 = 0\ncall ringbuf_submit\nfull{number}:\n"
    )
}

/// Puts 8 bytes into a map with keys of 8 bytes.
fn put(map: usize, key: i64, value: i64) -> String {
    format!(
        "*(u64 *)(r10 - 8) = {key}\n*(u64 *)(r10 - 16) = {value}\nr1 = map[{map}] ll\nr2 = r10\nr2 += -8\n\
         r3 = r10\nr3 += -16\nr4 = 0\ncall map_update_elem\n"
    )
}

const END: &str = "r0 = 0\nexit\n";

#[test]
fn begin_and_end_print_through_the_ring() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.printf("%d %s\n", &[(8, Ty::I64), (16, Ty::Str { cap: 8 })], 24);
    script.printf("bye\n", &[], 8);
    let text = i64::from_le_bytes(*b"forum\0\0\0");
    script.probe(ProbeSpec::Begin, &format!("{}{END}", send(0, &[42, text])));
    script.probe(ProbeSpec::End, &format!("{}{END}", send(1, &[])));
    let run = script.run(&kernel).expect("runs");
    assert_eq!(run.out, "42 forum\nbye\n\n\n");
    assert_eq!((run.err.as_str(), run.code, run.lost), ("Attached 2 probes\n", 0, false));
}

#[test]
fn maps_are_printed_by_name_at_the_end() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.map("@z", MapType::Hash, Some(Ty::I64), Ty::I64);
    script.map("@count", MapType::PercpuHash, Some(Ty::I64), Ty::Agg(Agg::Count));
    script.map("@assigned", MapType::Array, None, Ty::I64);
    script.map("@never", MapType::Array, None, Ty::I64);
    script.map("@empty", MapType::Hash, Some(Ty::I64), Ty::I64);
    let scalar = "*(u32 *)(r10 - 4) = 0\nr1 = map[3] ll\nr2 = r10\nr2 += -4\ncall map_lookup_elem\n\
                  if r0 == 0 goto none\n*(u64 *)(r0 + 0) = 7\n*(u64 *)(r0 + 8) = 1\nnone:\n";
    let body = [put(1, 1, 30), put(1, 2, 10), put(2, 5, 3), scalar.into(), END.into()].concat();
    script.probe(ProbeSpec::Begin, &body);
    let run = script.run(&kernel).expect("runs");
    assert_eq!(run.out, "\n\n@assigned: 7\n@count[5]: 3\n@z[2]: 10\n@z[1]: 30\n");
    assert_eq!(run.err, "Attached 1 probe\n");
}

#[test]
fn actions_happen_in_the_order_in_which_they_were_asked_for() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.map("@", MapType::Hash, Some(Ty::I64), Ty::I64);
    let map = MapRef(1);
    script.printf("a\n", &[], 8);
    script.event(EventKind::PrintMap { map, top: None, div: None, then: hark_object::Then::Keep }, 8);
    script.event(EventKind::Zero(map), 8);
    script.event(EventKind::PrintMap { map, top: None, div: None, then: hark_object::Then::Keep }, 8);
    script.event(EventKind::Clear(map), 8);
    script.event(EventKind::PrintMap { map, top: None, div: None, then: hark_object::Then::Keep }, 8);
    script.event(EventKind::Exit(Some(Field { offset: 8, ty: Ty::I64 })), 16);
    let body = [
        put(1, 3, 4),
        send(0, &[]),
        send(1, &[]),
        send(2, &[]),
        send(3, &[]),
        send(4, &[]),
        send(5, &[]),
        send(6, &[9]),
        END.into(),
    ];
    script.probe(ProbeSpec::Begin, &body.concat());
    let run = script.run(&kernel).expect("runs");
    assert_eq!(run.out, "a\n@[3]: 4\n@[3]: 0\n\n\n");
    assert_eq!(run.code, 9);
}

#[test]
fn json_has_one_object_a_line() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.format = OutputFormat::Json;
    script.map("@", MapType::Hash, Some(Ty::I64), Ty::I64);
    script.printf("a\n", &[], 8);
    script.event(EventKind::Print(Field { offset: 8, ty: Ty::I64 }), 16);
    script.probe(ProbeSpec::Begin, &[put(1, 3, 4), send(0, &[]), send(1, &[-5]), END.into()].concat());
    let run = script.run(&kernel).expect("runs");
    assert_eq!(
        run.out,
        "{\"type\": \"attached_probes\", \"count\": 1, \"data\": {\"probes\": 1}}\n\
         {\"type\": \"printf\", \"data\": \"a\\n\"}\n\
         {\"type\": \"value\", \"data\": -5}\n\
         {\"type\": \"map\", \"data\": {\"@\": {\"3\": 4}}}\n"
    );
    assert_eq!(run.err, "");
}

#[test]
fn what_gets_lost_is_reported() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.raw_map("losses", MapType::PercpuArray, (4, 8, Loss::COUNTED), MapRole::Losses);
    let row = Loss::MapFull.row(0);
    let count = format!(
        "*(u32 *)(r10 - 4) = {row}\nr1 = map[1] ll\nr2 = r10\nr2 += -4\ncall map_lookup_elem\n\
         if r0 == 0 goto none\n*(u64 *)(r0 + 0) = 3\nnone:\n{END}"
    );
    script.probe(ProbeSpec::Begin, &count);
    let run = script.run(&kernel).expect("runs");
    assert!(run.lost);
    assert_eq!(
        run.err,
        "Attached 1 probe\nWARNING: 3 map updates failed: the map was full (raise max_map_keys)\n"
    );
}

#[test]
fn control_events_survive_a_full_ring() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.map("@", MapType::Hash, Some(Ty::I64), Ty::I64);
    script.event(EventKind::Clear(MapRef(1)), 8);
    script.event(EventKind::Exit(None), 8);
    script.raw_map("pending", MapType::Array, (4, 16, 1), MapRole::Pending);
    // As generated code does when it cannot reserve a record: clear was asked for twice, exit with status 5.
    let pend = format!(
        "*(u32 *)(r10 - 20) = 0\nr1 = map[2] ll\nr2 = r10\nr2 += -20\ncall map_lookup_elem\n\
         if r0 == 0 goto none\n*(u64 *)(r0 + 0) = 2\n*(u64 *)(r0 + 8) = 6\nnone:\n{END}"
    );
    script.probe(ProbeSpec::Begin, &[put(1, 3, 4), pend].concat());
    let run = script.run(&kernel).expect("runs");
    assert_eq!((run.out.as_str(), run.code), ("\n\n", 5));
}

#[test]
fn programs_know_the_run_they_belong_to() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.raw_map("run", MapType::Array, (4, RUN_INFO_SIZE, 1), MapRole::RunInfo);
    script.raw_map("data", MapType::Array, (4, 8, 1), MapRole::Data(vec![0x2a]));
    script.printf("%d %d\n", &[(8, Ty::I64), (16, Ty::I64)], 24);
    let offset = RunField::OwnPid.offset();
    let body = format!(
        "r1 = map[1][0]+{offset} ll\nr6 = *(u64 *)(r1 + 0)\nr1 = map[2][0]+0 ll\nr7 = *(u64 *)(r1 + 0)\n\
         r1 = map[0] ll\nr2 = 24\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto full\n*(u64 *)(r0 + 0) = 0\n\
         *(u64 *)(r0 + 8) = r6\n*(u64 *)(r0 + 16) = r7\nr1 = r0\nr2 = 0\ncall ringbuf_submit\nfull:\n{END}"
    );
    script.probe(ProbeSpec::Begin, &body);
    let run = script.run(&kernel).expect("runs");
    assert_eq!(run.out, format!("{} 42\n\n\n", std::process::id()));
}

#[test]
fn a_rejected_program_is_reported_at_the_statement() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.probe(ProbeSpec::Begin, "r1 = 5 ll\nr0 = *(u64 *)(r3 + 0)\nexit\n");
    let span = Span { lo: 11, hi: 12, ..Span::default() };
    script.object.locs = vec![Span::default(), span];
    script.object.programs[0].code.locs = vec![(InsnIdx(0), SrcLoc(0)), (InsnIdx(1), SrcLoc(1))];
    let error = script.run(&kernel).map(|_| ()).expect_err("the verifier refuses it");
    let RunError::Rejected { insn, span: at, message, .. } = &error else { panic!("{error:?}") };
    assert_eq!((*insn, *at), (Some(1), Some(span)));
    assert!(message.contains("R3 !read_ok"), "{message}");
    let mut sources = SourceMap::default();
    sources.add("stdin", "BEGIN { a; b }");
    let text = hark_diag::render(&sources, &[error.diagnostic()], Style::Plain);
    assert!(
        text.starts_with("stdin:1:12-13: ERROR: the kernel's verifier rejects begin: R3 !read_ok [H0602]"),
        "{text}"
    );
    assert!(text.contains("at instruction 1"), "{text}");
}

#[test]
fn the_end_of_the_child_ends_the_run() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.printf("end\n", &[], 8);
    script.probe(ProbeSpec::End, &format!("{}{END}", send(0, &[])));
    script.child = Some(Child::spawn_held(&split_words("sleep 0.05").expect("words")).expect("a child"));
    let begun = std::time::Instant::now();
    let run = script.run(&kernel).expect("runs");
    assert_eq!(run.out, "end\n\n\n");
    assert!(begun.elapsed().as_millis() >= 50);
}

#[test]
fn files_and_commands_are_shown_in_their_place() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    let plain =
        |text: &str| TextFormat { format: Format::parse(text.as_bytes()).expect("a format"), args: vec![] };
    let path = std::env::temp_dir().join(format!("hark-cat-{}", std::process::id()));
    std::fs::write(&path, "content\n").expect("written");
    script.event(EventKind::Cat(plain(&path.display().to_string())), 8);
    script.event(EventKind::Cat(plain("/no/such/file")), 8);
    script.event(EventKind::System(plain("echo hi")), 8);
    script.event(EventKind::System(plain("echo no; exit 3")), 8);
    script.event(EventKind::Time("%%x".into()), 8);
    let body: Vec<String> = (0..5).map(|i| send(i, &[])).collect();
    script.probe(ProbeSpec::Begin, &format!("{}{END}", body.concat()));
    let run = script.run(&kernel).expect("runs");
    std::fs::remove_file(path).expect("removed");
    assert_eq!(run.out, "content\nhi\n\n%x\n\n");
    assert_eq!(
        run.err,
        "Attached 1 probe\n\
         ERROR: failed to open file '/no/such/file' (No such file or directory)\n\
         ERROR: command 'echo no; exit 3' failed: exit status: 3\n"
    );
}

#[test]
fn a_dry_run_shows_nothing_of_the_script() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.options.dry_run = true;
    script.printf("never\n", &[], 8);
    script.probe(ProbeSpec::Begin, &format!("{}{END}", send(0, &[])));
    let run = script.run(&kernel).expect("runs");
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "Attached 1 probe\n"));
}

#[test]
fn a_reader_that_goes_away_is_told_from_other_failures() {
    let Some(kernel) = kernel() else { return };
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut script = Script::new();
    script.printf("x\n", &[], 8);
    script.probe(ProbeSpec::Begin, &format!("{}{END}", send(0, &[])));
    let sources = SourceMap::default();
    let names = HostNames::for_config(&Config::default());
    let profile = KernelProfile::named("6.1").expect("a profile");
    let result = run(Setup {
        kernel: &kernel,
        profile: &profile,
        confirm: &|_| false,
        object: &script.object,
        catalog: &EmptyCatalog,
        names: &names,
        output: Output {
            sink: Sink::new(Box::new(Closed), Buffering::Line),
            err: Box::new(std::io::sink()),
            format: OutputFormat::Text,
            sources: &sources,
            style: Style::Plain,
            warnings: true,
            errors: 0,
        },
        options: Options::default(),
        child: None,
        process: None,
    });
    assert!(result.map(|_| ()).expect_err("nobody reads").is_broken_pipe());
}

#[test]
fn an_attached_program_runs_until_the_script_exits() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.printf("tick\n", &[], 8);
    script.event(EventKind::Exit(Some(Field { offset: 8, ty: Ty::I64 })), 16);
    script.printf("end\n", &[], 8);
    let body = format!("{}{}{END}", send(0, &[]), send(1, &[4]));
    script.probe(ProbeSpec::Interval { period_ns: 10_000_000, unit: TimeUnit::Millis }, &body);
    script.object.programs[0].ty = ProgType::PerfEvent;
    script.probe(ProbeSpec::End, &format!("{}{END}", send(2, &[])));
    let run = script.run(&kernel).expect("runs");
    assert!(run.out.starts_with("tick\n") && run.out.ends_with("end\n\n\n"), "{}", run.out);
    assert_eq!((run.err.as_str(), run.code), ("Attached 2 probes\n", 4));
}

#[test]
fn probes_that_do_not_exist_are_an_error_a_warning_or_nothing() {
    let Some(kernel) = kernel() else { return };
    let script = |missing_probes| {
        let mut script = Script::new();
        script.object.config.missing_probes = missing_probes;
        script.printf("begin\n", &[], 8);
        script.probe(ProbeSpec::Begin, &format!("{}{END}", send(0, &[])));
        let event = "no_such_event".into();
        script.probe(ProbeSpec::Tracepoint { category: "sched".into(), event }, END);
        script
    };
    let error = script(MissingProbes::Error).run(&kernel).map(|_| ()).expect_err("there is none");
    assert!(matches!(&error, RunError::Attach { failure, .. } if failure.missing), "{error}");
    let run = script(MissingProbes::Warn).run(&kernel).expect("goes on");
    assert!(run.err.contains("WARNING: tracepoint:sched:no_such_event"), "{}", run.err);
    let run = script(MissingProbes::Ignore).run(&kernel).expect("goes on");
    assert_eq!((run.out.as_str(), run.err.as_str()), ("begin\n\n\n", "Attached 1 probe\n"));
}

#[test]
fn test_probes_pass_or_fail() {
    let Some(kernel) = kernel() else { return };
    let script = |format| {
        let mut script = Script::new();
        script.format = format;
        script.options.mode = Mode::Test;
        script.printf("said\n", &[], 8);
        script.event(EventKind::Exit(Some(Field { offset: 8, ty: Ty::I64 })), 16);
        script.probe(ProbeSpec::Test("good".into()), &format!("{}{END}", send(0, &[])));
        script.probe(ProbeSpec::Test("bad".into()), &format!("{}r0 = 1\nexit\n", send(0, &[])));
        script.probe(ProbeSpec::Test("leaves".into()), &format!("{}{END}", send(1, &[2])));
        script.run(&kernel).expect("runs")
    };
    let run = script(OutputFormat::Text);
    let plain: Vec<String> = run
        .out
        .replace("\x1b[32m", "")
        .replace("\x1b[31m", "")
        .replace("\x1b[0m", "")
        .lines()
        .map(|line| line.split(" (").next().unwrap_or_default().to_string())
        .collect();
    assert_eq!(
        plain,
        [
            "[==========] Running 3 tests.",
            "[ RUN      ] good",
            "[       OK ] good",
            "[ RUN      ] bad",
            "said",
            "[  FAILED  ] bad",
            "[ RUN      ] leaves",
            "[  FAILED  ] leaves",
            "[==========] 3 tests ran.",
            "[  PASSED  ] 1 test.",
            "[  FAILED  ] 2 tests, listed below:",
            "[  FAILED  ] bad",
            "[  FAILED  ] leaves",
            "",
            "",
        ]
    );
    assert_eq!(run.code, 1);
    let run = script(OutputFormat::Json);
    let kinds: Vec<&str> =
        run.out.lines().map(|line| &line[..line.find("duration").unwrap_or(line.len())]).collect();
    assert_eq!(kinds[0], "{\"type\": \"test_result\", \"data\": {\"good\": {\"");
    assert!(run.out.contains("\"passed\": false, \"output\": \"said\\n\"}}}"), "{}", run.out);
}

#[test]
fn bench_probes_are_timed() {
    let Some(kernel) = kernel() else { return };
    let mut script = Script::new();
    script.options.mode = Mode::Bench;
    script.probe(ProbeSpec::Bench("nothing".into()), END);
    script.probe(ProbeSpec::Bench("skipped".into()), "r0 = 1\nexit\n");
    let run = script.run(&kernel).expect("runs");
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "Benchmark                                Time(ns)       Iterations");
    assert_eq!(lines[1], "-".repeat(66));
    assert!(lines[2].starts_with("nothing                                  "), "{}", lines[2]);
    assert_eq!(lines.len(), 5, "{lines:?}");
}
