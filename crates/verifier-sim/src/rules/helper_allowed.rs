//! Which helpers a program may call.

use super::{Check, Rule};
use crate::env::Env;
use bpf_facts::{HelperDef, HelperId};

/// Finds helper `id`, if this program may call it on this kernel.
pub(crate) fn check(env: &Env<'_>, id: u32) -> Check<&'static HelperDef> {
    let prog = env.prog;
    let def = env
        .profile
        .helper(HelperId(id), prog.ty)
        .map_err(|e| Rule::HelperAllowed.reject(&[], e.to_string()))?;
    if let Some(attach) = def.attach_in(prog.ty, env.profile.version)
        && !attach.contains(&prog.attach_type)
    {
        return Err(Rule::HelperAllowed.reject(
            &[],
            format!("helper {} is not for programs attached as {:?}", def.name, prog.attach_type),
        ));
    }
    if def.needs_gpl(prog.ty) && !prog.gpl {
        return Err(
            Rule::HelperAllowed.reject(&[], format!("helper {} needs a GPL-compatible licence", def.name))
        );
    }
    if def.flags.may_sleep && !prog.sleepable {
        return Err(Rule::HelperAllowed
            .reject(&[], format!("helper {} may sleep, and the program may not", def.name)));
    }
    Ok(def)
}
