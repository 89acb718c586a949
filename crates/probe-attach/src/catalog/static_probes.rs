//! Static probes of binaries, with their arguments as programs are to find them.

use hark_object::{UsdtArgument, UsdtPlace, UsdtRegister, UsdtSite};
use hark_symbols::{Elf, Location, Register, UsdtArg, UsdtProbe, parse_each_arg};

/// A place of a static probe.
pub(super) fn site(elf: &Elf, probe: &UsdtProbe<'_>) -> UsdtSite {
    let args = parse_each_arg(elf.machine(), probe.args);
    UsdtSite {
        provider: probe.provider.to_string(),
        name: probe.name.to_string(),
        offset: probe.offset,
        semaphore_offset: probe.semaphore_offset,
        args: args
            .into_iter()
            .map(|arg| argument(elf, probe, &arg.map_err(|error| error.to_string())?))
            .collect(),
    }
}

fn argument(elf: &Elf, probe: &UsdtProbe<'_>, arg: &UsdtArg) -> Result<UsdtArgument, String> {
    if arg.float {
        return Err("it is a floating point number".to_string());
    }
    let at = match &arg.at {
        Location::Const(number) => UsdtPlace::Const(*number),
        Location::Reg(reg) => UsdtPlace::Register(register(*reg)),
        Location::Mem { base, index, disp } => UsdtPlace::Memory {
            base: register(*base),
            index: index.map(|(reg, scale)| (register(reg), scale)),
            disp: *disp,
        },
        Location::Symbol { name, disp } => {
            let symbol = elf.symbols().find(|symbol| symbol.name == name);
            let addr = symbol.ok_or_else(|| format!("the file has no symbol {name}"))?.addr;
            UsdtPlace::FromHere(addr.wrapping_sub(probe.addr).wrapping_add_signed(*disp) as i64)
        }
    };
    Ok(UsdtArgument { bytes: arg.size, signed: arg.signed, at })
}

fn register(reg: Register) -> UsdtRegister {
    UsdtRegister { name: reg.name, shift: reg.shift, bits: reg.bits }
}
