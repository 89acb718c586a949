//! Static probes of user programs: where they are and where their arguments are.

/// A place in a binary at which a static probe was compiled in. A probe may have many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtSite {
    /// Provider.
    pub provider: String,
    /// Name.
    pub name: String,
    /// Offset in the file.
    pub offset: u64,
    /// Offset in the file of the counter that switches the probe on; `None` if it is always on.
    pub semaphore_offset: Option<u64>,
    /// Its arguments; one that cannot be read says why.
    pub args: Vec<Result<UsdtArgument, String>>,
}

/// An argument of a static probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtArgument {
    /// Bytes: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether the number has a sign.
    pub signed: bool,
    /// Where it is.
    pub at: UsdtPlace,
}

/// Where an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsdtPlace {
    /// It is this number.
    Const(i64),
    /// In a register.
    Register(UsdtRegister),
    /// In memory at `base + index * scale + disp`.
    Memory {
        /// Register that holds an address.
        base: UsdtRegister,
        /// Register added to it, times 1, 2, 4 or 8.
        index: Option<(UsdtRegister, u8)>,
        /// Bytes added to it.
        disp: i64,
    },
    /// In memory, so many bytes from the probe's instruction: a variable of the same file, wherever that is loaded.
    FromHere(i64),
}

/// Part of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsdtRegister {
    /// The whole register, as `struct pt_regs` calls it.
    pub name: &'static str,
    /// First bit used.
    pub shift: u8,
    /// Bits used.
    pub bits: u8,
}
