//! Configuration: keys, their defaults, their meaning.

/// What to do about attach points that do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingProbes {
    /// Refuse to run.
    Error,
    /// Say so and go on.
    Warn,
    /// Go on.
    Ignore,
}

/// How stacks print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StackMode {
    /// `symbol+offset`
    Bpftrace,
    /// Address, `symbol+offset`, module.
    Perf,
    /// Hexadecimal addresses.
    Raw,
    /// Build id and file offset.
    BuildId,
}

/// The settings of a run, at their defaults or as the script and environment set them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "CONFIG_KEYS describes each")]
pub struct Config {
    pub cache_user_symbols: String,
    pub cpp_demangle: bool,
    pub lazy_symbolication: bool,
    pub license: String,
    pub log_size: u64,
    pub max_bpf_progs: u64,
    pub max_probes: u64,
    pub max_cat_bytes: u64,
    pub max_map_keys: u64,
    pub max_strlen: u64,
    pub missing_probes: MissingProbes,
    pub on_stack_limit: u64,
    pub perf_rb_pages: u64,
    pub print_maps_on_exit: bool,
    pub show_debug_info: bool,
    pub stack_mode: StackMode,
    pub str_trunc_trailer: String,
    pub use_blazesym: bool,
    pub unstable_tseries: String,
    pub unstable_dw_ustack: String,
    pub unstable_typeinfo: String,
    pub unstable_import_statement: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cache_user_symbols: "PER_PID".into(),
            cpp_demangle: true,
            lazy_symbolication: true,
            license: "GPL".into(),
            log_size: 1_000_000,
            max_bpf_progs: 1024,
            max_probes: 1024,
            max_cat_bytes: 10240,
            max_map_keys: 4096,
            max_strlen: 1024,
            missing_probes: MissingProbes::Error,
            on_stack_limit: 32,
            perf_rb_pages: 0,
            print_maps_on_exit: true,
            show_debug_info: true,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            use_blazesym: true,
            unstable_tseries: "warn".into(),
            unstable_dw_ustack: "warn".into(),
            unstable_typeinfo: "error".into(),
            unstable_import_statement: "error".into(),
        }
    }
}

/// Form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// 1/0, true/false, on/off, yes/no.
    Bool,
    /// A number from `min` to `max`.
    Int {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// Any text.
    Text,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Name in lower case.
    pub name: &'static str,
    /// Form of its value.
    pub ty: ConfigType,
    /// What it does.
    pub doc: &'static str,
    /// Writes a checked value.
    pub set: fn(&mut Config, &str),
    /// Reads the value as text.
    pub get: fn(&Config) -> String,
}

/// Every key, by name.
pub static CONFIG_KEYS: &[ConfigKey] = &[];
