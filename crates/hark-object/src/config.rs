//! Configuration: keys, their defaults, their meaning.

use std::fmt;

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

/// The licences under which the kernel lets a program call all helpers.
const LICENSES: &[&str] =
    &["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

const FEATURE_GATE: ConfigType = ConfigType::OneOf(&["error", "warn", "enable"]);

const fn count(max: u64) -> ConfigType {
    ConfigType::Int { min: 0, max }
}

macro_rules! key {
    ($field:ident, bool, $doc:literal) => {
        ConfigKey {
            name: stringify!($field),
            ty: ConfigType::Bool,
            doc: $doc,
            set: |config, value| config.$field = truth(value).unwrap_or(config.$field),
            get: |config| config.$field.to_string(),
        }
    };
    ($field:ident, int $ty:expr, $doc:literal) => {
        ConfigKey {
            name: stringify!($field),
            ty: $ty,
            doc: $doc,
            set: |config, value| config.$field = value.parse().unwrap_or(config.$field),
            get: |config| config.$field.to_string(),
        }
    };
    ($field:ident, text $ty:expr, $doc:literal) => {
        ConfigKey {
            name: stringify!($field),
            ty: $ty,
            doc: $doc,
            set: |config, value| config.$field = canonical($ty, value).to_string(),
            get: |config| config.$field.clone(),
        }
    };
}

/// Every key, by name.
#[rustfmt::skip]
pub static CONFIG_KEYS: &[ConfigKey] = &[
    key!(cache_user_symbols, text ConfigType::OneOf(&["PER_PID", "PER_PROGRAM", "NONE"]), "How symbols of user programs are kept: per process, per binary, or not at all."),
    key!(cpp_demangle, bool, "Whether C++ names in user stacks and symbols are demangled."),
    key!(lazy_symbolication, bool, "Whether user addresses become names when they are printed rather than when a process is first seen."),
    key!(license, text ConfigType::OneOf(LICENSES), "Licence that programs are loaded under."),
    key!(log_size, int ConfigType::Int { min: 1, max: u32::MAX as u64 >> 2 }, "Bytes of the kernel verifier's log."),
    key!(max_bpf_progs, int count(u32::MAX as u64), "Most programs that a script may need."),
    key!(max_cat_bytes, int count(u32::MAX as u64), "Most bytes of a file that cat() prints."),
    key!(max_map_keys, int ConfigType::Int { min: 1, max: u32::MAX as u64 }, "Entries of a map that does not say how many."),
    key!(max_probes, int count(u32::MAX as u64), "Most places that a script may attach to."),
    key!(max_strlen, int ConfigType::Int { min: 1, max: 1 << 20 }, "Bytes of text that str(), buf() and path() read at most."),
    ConfigKey {
        name: "missing_probes",
        ty: ConfigType::OneOf(&["error", "warn", "ignore"]),
        doc: "What to do about attach points that do not exist: refuse to run, say so, or go on silently.",
        set: |config, value| {
            config.missing_probes = match value.to_ascii_lowercase().as_str() {
                "warn" => MissingProbes::Warn,
                "ignore" => MissingProbes::Ignore,
                _ => MissingProbes::Error,
            }
        },
        get: |config| {
            match config.missing_probes {
                MissingProbes::Error => "error",
                MissingProbes::Warn => "warn",
                MissingProbes::Ignore => "ignore",
            }
            .to_string()
        },
    },
    key!(on_stack_limit, int count(512), "Objects of more bytes than this live in preallocated memory instead of the stack."),
    key!(perf_rb_pages, int count(1 << 24), "Pages of the ring buffer that carries events; 0 chooses by the machine's memory."),
    key!(print_maps_on_exit, bool, "Whether maps are printed at the end."),
    key!(show_debug_info, bool, "Whether stacks show file, line and inlined functions where debug information exists."),
    ConfigKey {
        name: "stack_mode",
        ty: ConfigType::OneOf(&["bpftrace", "perf", "raw", "build_id"]),
        doc: "How stacks print unless the script says otherwise.",
        set: |config, value| config.stack_mode = StackMode::named(value).unwrap_or(config.stack_mode),
        get: |config| config.stack_mode.name().to_string(),
    },
    key!(str_trunc_trailer, text ConfigType::Text, "What is appended to a text that was cut; nothing if empty."),
    key!(unstable_dw_ustack, text FEATURE_GATE, "Whether dw_ustack() may be used."),
    key!(unstable_import_statement, text FEATURE_GATE, "Whether import may be used."),
    key!(unstable_tseries, text FEATURE_GATE, "Whether tseries() may be used."),
    key!(unstable_typeinfo, text FEATURE_GATE, "Whether typeinfo() may be used."),
    key!(use_blazesym, bool, "Whether names are looked up with debug information."),
];

/// Keys of other versions: accepted, without effect.
#[rustfmt::skip]
const FORMER_KEYS: &[&str] =
    &["unstable_map_decl", "unstable_macro", "unstable_import", "symbol_source", "max_type_res_iterations", "verify_llvm_ir", "max_ast_nodes", "debug_output"];

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What is wrong, lower case.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The key that `name` means, in any case, with or without `BPFTRACE_` or `HARK_` before it.
pub fn config_key(name: &str) -> Option<&'static ConfigKey> {
    let name = plain_name(name);
    CONFIG_KEYS.iter().find(|key| key.name == name)
}

fn plain_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let plain = name.strip_prefix("bpftrace_").or_else(|| name.strip_prefix("hark_"));
    plain.unwrap_or(&name).to_string()
}

impl Config {
    /// Sets `name` to `value`, both as the script or the environment spell them.
    ///
    /// # Errors
    /// If there is no such key, or the value has another form.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(key) = config_key(name) else {
            if FORMER_KEYS.contains(&plain_name(name).as_str()) {
                return Ok(());
            }
            let near = hark_diag::did_you_mean(&plain_name(name), CONFIG_KEYS.iter().map(|key| key.name));
            return Err(ConfigError {
                message: format!("there is no configuration key {name}"),
                help: near.map(|near| format!("did you mean `{near}`?")),
            });
        };
        key.check(value)?;
        (key.set)(self, value);
        Ok(())
    }
}

impl ConfigKey {
    /// The environment variables that set it; the first wins.
    pub fn env_names(&self) -> [String; 2] {
        let upper = self.name.to_ascii_uppercase();
        [format!("HARK_{upper}"), format!("BPFTRACE_{upper}")]
    }

    /// Whether `value` has its form.
    ///
    /// # Errors
    /// Says which values there are.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        let (fits, wants) = match self.ty {
            ConfigType::Text => (true, String::new()),
            ConfigType::Bool => (truth(value).is_some(), "it is true or false".to_string()),
            ConfigType::Int { min, max } => {
                let fits = value.parse::<u64>().is_ok_and(|n| (min..=max).contains(&n));
                (fits, format!("it is a number from {min} to {max}"))
            }
            ConfigType::OneOf(words) => (
                words.iter().any(|w| w.eq_ignore_ascii_case(value)),
                format!("it is one of: {}", words.join(", ")),
            ),
        };
        if fits {
            return Ok(());
        }
        Err(ConfigError { message: format!("{} cannot be `{value}`", self.name), help: Some(wants) })
    }
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// `value` as the list of words spells it.
fn canonical(ty: ConfigType, value: &str) -> &str {
    match ty {
        ConfigType::OneOf(words) => {
            words.iter().find(|w| w.eq_ignore_ascii_case(value)).copied().unwrap_or(value)
        }
        ConfigType::Bool | ConfigType::Int { .. } | ConfigType::Text => value,
    }
}

impl StackMode {
    /// All of them.
    pub const ALL: [StackMode; 4] =
        [StackMode::Bpftrace, StackMode::Perf, StackMode::Raw, StackMode::BuildId];

    /// What scripts call it.
    pub const fn name(self) -> &'static str {
        match self {
            StackMode::Bpftrace => "bpftrace",
            StackMode::Perf => "perf",
            StackMode::Raw => "raw",
            StackMode::BuildId => "build_id",
        }
    }

    /// The mode of that name, in any case.
    pub fn named(name: &str) -> Option<StackMode> {
        StackMode::ALL.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_every_default_is_a_value_of_its_key() {
        assert!(CONFIG_KEYS.windows(2).all(|w| w[0].name < w[1].name));
        for key in CONFIG_KEYS {
            let mut config = Config::default();
            let value = (key.get)(&config);
            key.check(&value).expect(key.name);
            (key.set)(&mut config, &value);
            assert_eq!(config, Config::default(), "{}", key.name);
        }
    }

    #[test]
    fn every_key_takes_another_value() {
        for key in CONFIG_KEYS {
            let mut config = Config::default();
            let other = match key.ty {
                ConfigType::Bool => ["off", "yes"][usize::from((key.get)(&config) == "false")].to_string(),
                ConfigType::Int { .. } => "7".into(),
                ConfigType::Text => "…".into(),
                ConfigType::OneOf(words) => words[1].to_lowercase(),
            };
            config.set(&format!("BPFTRACE_{}", key.name.to_uppercase()), &other).expect(key.name);
            if !matches!(key.ty, ConfigType::OneOf(w) if w[1] == (key.get)(&Config::default())) {
                assert_ne!(config, Config::default(), "{}", key.name);
            }
        }
    }

    #[test]
    fn wrong_settings_are_explained() {
        let mut config = Config::default();
        let error = config.set("max_strln", "1").expect_err("no such key");
        assert_eq!(error.help.as_deref(), Some("did you mean `max_strlen`?"));
        let error = config.set("missing_probes", "maybe").expect_err("no such value");
        assert_eq!(error.help.as_deref(), Some("it is one of: error, warn, ignore"));
        assert!(config.set("max_map_keys", "0").is_err() && config.set("cpp_demangle", "2").is_err());
        assert_eq!(config, Config::default());
        config.set("unstable_map_decl", "enable").expect("a former key");
    }
}
