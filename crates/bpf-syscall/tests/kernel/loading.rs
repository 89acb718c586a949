//! Loading programs and type information.

use crate::{assemble, count, count_own, counter, kernel, load};
use bpf_facts::ProgType;
use bpf_syscall::{Errno, IdKind, Kernel, LogLevel, ProgLoad, TestRun};

#[test]
fn programs_run_once_on_demand() {
    let Some(kernel) = kernel() else { return };
    let map = counter(&kernel);
    let prog = load(&kernel, ProgType::RawTracepoint, &count_own(), &[&map]);
    for cpu in [None, Some(0)] {
        kernel.prog_test_run(&prog, &TestRun { cpu, ..TestRun::default() }).expect("it ran");
    }
    assert!(count(&kernel, &map) >= 1, "on another CPU it runs in a task of the kernel's choice");
    let error =
        kernel.prog_test_run(&load(&kernel, ProgType::Kprobe, "r0 = 0\nexit", &[]), &TestRun::default());
    assert_eq!(error.expect_err("kprobes cannot be run so").errno, Errno::ENOTSUPP);
}

#[test]
fn a_rejection_comes_with_its_reason() {
    let Some(kernel) = kernel() else { return };
    let code = assemble("r6 = r1\nr0 = *(u64 *)(r2 + 0)\nexit", &[]);
    let error = kernel.prog_load(&ProgLoad::new("wrong", ProgType::Kprobe, &code)).expect_err("rejected");
    assert_eq!(error.errno(), Errno::EACCES);
    let reason = error.log.decisive().expect("a reason");
    assert_eq!((reason.insn, reason.message), (Some(1), "R2 !read_ok"));
    assert_eq!(
        error.to_string(),
        "bpf(BPF_PROG_LOAD) of wrong: Permission denied (EACCES): at instruction 1: R2 !read_ok"
    );
}

#[test]
fn a_long_log_is_read_to_its_end() {
    let Some(kernel) = kernel() else { return };
    // Some 20,000 instructions on the path that is refused make a log of more than the first buffer.
    let text = format!("r0 = 0\n{}r0 = r9\nexit", "r0 += 1\n".repeat(20_000));
    let code = assemble(&text, &[]);
    let error = kernel.prog_load(&ProgLoad::new("long", ProgType::Kprobe, &code)).expect_err("rejected");
    assert!(error.log.text.len() > 64 << 10, "{}", error.log.text.len());
    assert!(!error.log.truncated);
    let reason = error.log.decisive().expect("a reason");
    assert_eq!((reason.insn, reason.message), (Some(20_001), "R9 !read_ok"));
}

#[test]
fn accepted_programs_are_logged_on_request() {
    let Some(kernel) = kernel() else { return };
    let code = assemble("r0 = 0\nexit", &[]);
    let request = ProgLoad::new("fine", ProgType::Kprobe, &code);
    let log = |log| kernel.prog_load(&ProgLoad { log, ..request }).expect("loaded").log;
    assert!(log(LogLevel::None).text.is_empty());
    assert_eq!(log(LogLevel::Stats).processed(), Some(2));
    assert!(log(LogLevel::Full).text.contains("r0 = 0"));
}

#[test]
fn the_kernel_knows_what_it_has_loaded() {
    let Some(kernel) = kernel() else { return };
    let prog = load(&kernel, ProgType::RawTracepoint, "r0 = 0\nexit", &[]);
    let statistics = kernel.enable_stats();
    for _ in 0..3 {
        kernel.prog_test_run(&prog, &TestRun::default()).expect("it ran");
    }
    let info = kernel.prog_info(&prog).expect("info");
    assert_eq!((info.name.as_str(), info.ty), ("test", ProgType::RawTracepoint as u32));
    assert!(info.xlated_len >= 16, "{info:?}");
    match statistics {
        // Another test may have switched them on as well, never off.
        Ok(_) => assert!(info.run_cnt >= 3 && info.run_time_ns > 0, "{info:?}"),
        Err(error) => println!("skipped: {error}"),
    }
    let again = kernel.prog_by_id(info.id).expect("opened by its id");
    assert_eq!(kernel.prog_info(&again).expect("info").id, info.id);
    let mut id = 0;
    while id != info.id {
        id = kernel.next_id(IdKind::Prog, id).expect("ids").expect("ours is among them");
    }
}

#[test]
fn malformed_type_information_is_refused() {
    let Some(kernel) = kernel() else { return };
    let error = kernel.btf_load(&[0; 32]).expect_err("no BTF");
    assert_eq!(error.errno(), Errno::EINVAL);
    assert!(error.log.text.contains("magic"), "{:?}", error.log);
}

#[test]
fn vmlinux_is_the_first_btf() {
    let Some(kernel) = kernel() else { return };
    match kernel.next_id(IdKind::Btf, 0).expect("ids") {
        Some(id) => {
            let btf = kernel.btf_by_id(id).expect("opened");
            let info = kernel.btf_info(&btf).expect("info");
            assert_eq!((info.name.as_str(), info.kernel, info.id), ("vmlinux", true, id));
        }
        None => println!("skipped: the kernel has not read its BTF yet"),
    }
}
