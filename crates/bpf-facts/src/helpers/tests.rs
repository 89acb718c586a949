use super::{ARGS, ATTACH, Arg, HELPERS, HelperId, NOT_GPL, SINCE, helper, helper_by_name};
use crate::progs::{PROG_TYPES, ProgType};
use crate::version::V;
use std::collections::HashSet;

/// Number and name of every helper, as the list in `include/uapi/linux/bpf.h` has them.
const UAPI: &str = include_str!("uapi.txt");

#[test]
fn numbers_and_names_are_those_of_the_uapi() {
    let ours: Vec<_> = HELPERS.iter().map(|def| format!("{} {}", def.id.0, def.name)).collect();
    let theirs: Vec<_> = UAPI.lines().collect();
    assert_eq!(ours, theirs);
}

#[test]
fn rows_are_sorted_and_names_unique() {
    assert!(HELPERS.is_sorted_by_key(|def| def.id));
    let names: HashSet<_> = HELPERS.iter().map(|def| def.name).collect();
    assert_eq!(names.len(), HELPERS.len());
}

#[test]
fn later_helpers_are_not_older() {
    for pair in HELPERS.windows(2) {
        assert!(pair[0].since <= pair[1].since, "{}", pair[1].name);
    }
}

/// Every argument list, of the rows and of their exceptions.
fn all_args() -> impl Iterator<Item = (HelperId, [Arg; 5])> {
    let exceptions = ARGS.iter().flat_map(|row| row.ids.iter().map(|id| (*id, row.args)));
    HELPERS.iter().map(|def| (def.id, def.args)).chain(exceptions)
}

#[test]
fn memory_is_followed_by_its_length() {
    for (id, args) in all_args() {
        let name = helper(id).map_or("?", |def| def.name);
        for (i, arg) in args.iter().enumerate() {
            let is_mem = matches!(arg, Arg::Mem(_) | Arg::MemOrNull(_));
            assert_eq!(is_mem, args.get(i + 1).is_some_and(|next| next.is_len()), "{name} argument {i}");
        }
    }
}

#[test]
fn arguments_have_no_gaps() {
    for (id, args) in all_args() {
        let n = args.iter().take_while(|arg| **arg != Arg::None).count();
        assert!(args[n..].iter().all(|arg| *arg == Arg::None), "{}", id.0);
    }
}

#[test]
fn map_types_stand_where_a_map_is_taken() {
    for def in HELPERS {
        // A local storage's map is that of the cgroup; a timer's is where the timer lies.
        assert_eq!(def.maps.is_empty(), !def.args.contains(&Arg::ConstMapPtr), "{}", def.name);
        assert!(!def.progs.is_empty(), "{}", def.name);
    }
}

#[test]
fn what_is_acquired_is_no_scalar() {
    for def in HELPERS.iter().filter(|def| def.flags.acquires) {
        assert!(!matches!(def.ret, super::Ret::Scalar | super::Ret::Void), "{}", def.name);
    }
}

#[test]
fn exceptions_are_of_program_types_that_may_call_the_helper() {
    let callable = |id: HelperId, ty: ProgType| helper(id).is_some_and(|def| def.progs.contains(ty));
    for row in SINCE {
        for id in row.ids {
            let some = PROG_TYPES.iter().any(|def| row.progs.contains(def.ty) && callable(*id, def.ty));
            assert!(some, "since of {}", id.0);
            assert!(helper(*id).is_some_and(|def| def.since <= row.since), "since of {}", id.0);
        }
    }
    for row in ATTACH {
        for id in row.ids {
            assert!(callable(*id, row.prog), "attach of {} in {:?}", id.0, row.prog);
        }
    }
    for (id, prog) in NOT_GPL {
        assert!(callable(*id, *prog));
    }
}

#[test]
fn program_types_get_helpers_at_different_times() {
    let cookie = helper(HelperId::GET_ATTACH_COOKIE).expect("a row");
    assert_eq!(cookie.since_in(ProgType::Kprobe), Some(V(5, 15)));
    assert_eq!(cookie.since_in(ProgType::Tracing), Some(V(5, 19)));
    assert_eq!(cookie.since_in(ProgType::RawTracepoint), Some(V(6, 10)));
    assert_eq!(cookie.since_in(ProgType::Xdp), None);
}

#[test]
fn arguments_differ_between_program_types_and_kernels() {
    let cookie = helper_by_name("get_socket_cookie").expect("a row");
    assert_eq!(cookie.args_in(ProgType::SchedCls, V(6, 1))[0], Arg::Ctx);
    assert_eq!(cookie.args_in(ProgType::Tracing, V(6, 1))[0], Arg::SockCommonBtf);
    assert_eq!(cookie.args_in(ProgType::Tracing, V(6, 18))[0], Arg::SockCommonBtfOrNull);
}
