//! What a tracing program is attached to: the arguments it is given.

use crate::rules::{Check, Rule};
use crate::{ProgEnv, Stop};
use bpf_facts::{AttachType, NO_RETURN, NO_RETURN_SINCE, ProgType, UNTRACEABLE, V};
use hark_btf::{Btf, Kind, TypeId};

/// First kernel that tells trusted pointers from others.
pub(crate) const TRUST_SINCE: V = V(6, 2);

/// The function behind an attach target.
#[derive(Clone, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) btf: &'a Btf,
    /// Name of the tracepoint, iterator, function or hook, without the kernel's prefix.
    pub(crate) name: &'a str,
    /// Arguments, the first of a tracepoint's template left out.
    pub(crate) args: Vec<hark_btf::Param<'a>>,
    /// Result.
    pub(crate) ret: TypeId,
    /// Why the kernel may refuse the attachment.
    pub(crate) doubt: Option<String>,
}

fn refuse<T>(why: String) -> Check<T> {
    Err(Rule::AttachTarget.reject(&[], why))
}

fn unsure<T>(why: String) -> Check<T> {
    Err(Box::new(Stop::Unsure(why)))
}

/// Finds the target of `prog` and checks that programs may be attached to it. `None` for program types without one.
pub(crate) fn of<'a>(prog: &ProgEnv<'a>, version: V) -> Check<Option<Target<'a>>> {
    check_sleepable(prog, version)?;
    if !matches!(prog.ty, ProgType::Tracing | ProgType::Lsm) {
        return Ok(None);
    }
    let Some(id) = prog.attach_btf_id else {
        return refuse("the program names nothing to attach to".into());
    };
    let Some(btf) = prog.btf else { return unsure("the kernel's types are not known".into()) };
    let Some(ty) = btf.type_by_id(TypeId(id)) else {
        return refuse(format!("the kernel has no type {id} to attach to"));
    };
    let wanted = |kind: Kind| {
        if ty.kind() == kind {
            Ok(())
        } else {
            refuse(format!("type {id} of the kernel is no {}", kind.name().to_lowercase()))
        }
    };
    let (mut name, mut proto, mut skip) = (ty.name(), ty.target(), 0);
    let mut doubt = None;
    match prog.attach_type {
        AttachType::TraceRawTp => {
            wanted(Kind::Typedef)?;
            let Some(short) = name.strip_prefix("btf_trace_") else {
                return refuse(format!("{name} is no tracepoint"));
            };
            let pointer = proto.and_then(|id| btf.type_by_id(id)).filter(|ty| ty.kind() == Kind::Ptr);
            (name, proto, skip) = (short, pointer.and_then(|ty| ty.target()), 1);
        }
        AttachType::TraceIter => {
            wanted(Kind::Func)?;
            let Some(short) = name.strip_prefix("bpf_iter_") else {
                return refuse(format!("{name} is no iterator"));
            };
            if !bpf_facts::ITER_ARGS.iter().any(|row| row.iter == short) {
                return unsure(format!("iterator {short}"));
            }
            name = short;
        }
        AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn => {
            wanted(Kind::Func)?;
            doubt = check_function(prog, name, version)?;
        }
        AttachType::LsmMac | AttachType::LsmCgroup => {
            wanted(Kind::Func)?;
            let Some(short) = name.strip_prefix("bpf_lsm_") else {
                return refuse(format!("{name} is no security hook"));
            };
            return unsure(format!("security hook {short}"));
        }
        other => return unsure(format!("programs of attach type {other:?}")),
    }
    let proto = proto.and_then(|id| btf.type_by_id(id)).filter(|ty| ty.kind() == Kind::FuncProto);
    let Some(proto) = proto else { return refuse(format!("{name} is no function")) };
    let args: Vec<_> = proto.params().skip(skip).collect();
    if prog.attach_type != AttachType::TraceRawTp {
        check_signature(btf, name, &args)?;
    }
    Ok(Some(Target { btf, name, args, ret: proto.target().unwrap_or(TypeId::VOID), doubt }))
}

/// Which programs may sleep.
fn check_sleepable(prog: &ProgEnv<'_>, version: V) -> Check {
    if prog.ty == ProgType::Syscall {
        return if prog.sleepable { Ok(()) } else { refuse("syscall programs can only be sleepable".into()) };
    }
    if !prog.sleepable {
        return Ok(());
    }
    match (prog.ty, prog.attach_type) {
        (ProgType::Tracing, AttachType::TraceIter) if version >= V(6, 0) => Ok(()),
        (ProgType::Tracing, AttachType::TraceFentry | AttachType::TraceFexit | AttachType::ModifyReturn) => {
            Ok(())
        }
        (ProgType::Kprobe, _) if version >= V(5, 20) => Ok(()),
        (ProgType::Lsm, AttachType::LsmMac) | (ProgType::StructOps, _) => Ok(()),
        (ProgType::Tracing | ProgType::RawTracepoint | ProgType::Tracepoint, _) if version >= V(7, 0) => {
            unsure("sleepable tracepoint programs".into())
        }
        _ => refuse("programs of this type cannot sleep".into()),
    }
}

/// Refuses what is known to be; says what is not known.
fn check_function(prog: &ProgEnv<'_>, name: &str, version: V) -> Check<Option<String>> {
    if UNTRACEABLE.contains(&name) {
        return refuse(format!("nothing can be attached to {name}"));
    }
    if prog.attach_type != AttachType::TraceFentry && version >= NO_RETURN_SINCE && NO_RETURN.contains(&name)
    {
        return refuse(format!("{name} never returns"));
    }
    // Entry points of system calls are all in the list of functions whose errors may be injected.
    let listed = ["__x64_sys_", "__ia32_sys_", "__arm64_sys_"].iter().any(|prefix| name.starts_with(prefix));
    if prog.sleepable && !listed {
        return Ok(Some(format!("whether programs on {name} may sleep")));
    }
    if prog.attach_type == AttachType::ModifyReturn
        && !prog.sleepable
        && !listed
        && !name.starts_with("security_")
    {
        return Ok(Some(format!("whether the result of {name} may be changed")));
    }
    Ok(None)
}

/// Most arguments of a function that is traced.
const MAX_ARGS: usize = 12;

fn check_signature(btf: &Btf, name: &str, args: &[hark_btf::Param<'_>]) -> Check {
    if args.len() > MAX_ARGS {
        return refuse(format!("{name} has more than {MAX_ARGS} arguments"));
    }
    for (i, arg) in args.iter().enumerate() {
        if arg.ty == TypeId::VOID {
            return refuse(format!("{name} takes a variable number of arguments"));
        }
        let Some(ty) = btf.resolve(arg.ty) else {
            return refuse(format!("argument {i} of {name} has no type"));
        };
        let size = btf.size_of(arg.ty).unwrap_or(0);
        let kind = matches!(ty.kind(), Kind::Int | Kind::Ptr | Kind::Enum | Kind::Enum64 | Kind::Struct);
        if !kind || size == 0 || size > 16 {
            return refuse(format!("argument {i} of {name} is none that programs can be given"));
        }
        if ty.kind() == Kind::Struct {
            return unsure(format!("argument {i} of {name} is a structure"));
        }
    }
    Ok(())
}
