//! The catalogue of error codes. One row is one code; the text of `hark explain` stands here.
//!
//! Ranges: `H01xx` syntax, `H02xx` names, `H03xx` types, `H04xx` probes, `H05xx` limits and code generation,
//! `H06xx` verification, `H07xx` loading and attaching, `H08xx` run time, `H09xx` command line and configuration.

use std::fmt;

/// The number of an error; prints as `H0203`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "H{:04}", self.0)
    }
}

/// What there is to know of a code.
#[derive(Clone, Copy, Debug)]
pub struct CodeDef {
    /// The code.
    pub code: Code,
    /// A few words, in kebab case.
    pub name: &'static str,
    /// What it means, why it is an error, and what to do, in full sentences.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $konst:ident = $number:literal $name:literal $explanation:literal;)*) => {
        impl Code { $($(#[$doc])* #[doc = $explanation] pub const $konst: Code = Code($number);)* }
        /// Every code, in order.
        pub static CODES: &[CodeDef] = &[$(CodeDef { code: Code($number), name: $name, explanation: $explanation }),*];
    };
}

codes! {
    SYNTAX = 101 "syntax" "The text is not what the grammar expects at this place. The message says what could stand there.";
    TOO_DEEP = 102 "too-deep" "Expressions or blocks are nested deeper than 200 levels (operators in a row count, too), or the script is longer than 1 MiB. No script that a person writes comes near; a generated one should use variables for parts.";
    BAD_LITERAL = 103 "bad-literal" "A number does not fit 64 bits, or a string holds an escape that does not exist. Escapes are \\n \\t \\r \\\" \\\\ \\NNN (octal) and \\xHH.";
    PREPROCESSOR = 104 "preprocessor" "A line that begins with # is not one that hark understands. Supported are #include, #define of expressions with or without parameters, #undef, #if, #ifdef, #ifndef, #elif, #else, #endif, #error and #warning; # and ## in the text of a #define are not.";
    SECTION_ORDER = 105 "section-order" "A script is: preprocessor lines and C definitions, then config and imports, then probes, macros and functions. Something stands before what must come first.";
    CANNOT_READ = 106 "cannot-read" "A file that the script takes in with import or #include is not there, cannot be read, or lies in a directory that everyone may write to.";
    UNKNOWN_FUNCTION = 201 "unknown-function" "There is no function of this name. `docs/reference.md` lists all.";
    UNKNOWN_BUILTIN = 202 "unknown-name" "There is no builtin, macro or constant of this name. Variables begin with $, maps with @.";
    UNDEFINED_VARIABLE = 203 "undefined-variable" "A scratch variable is read before any statement assigns it in this scope.";
    UNKNOWN_TYPE = 204 "unknown-type" "No struct, union, enum or typedef of this name is known: neither the script nor the kernel's BTF defines it.";
    UNKNOWN_FIELD = 205 "unknown-field" "The struct has no member of this name. Kernels rename members; the message names near ones.";
    REDEFINED = 206 "redefined" "The name is already taken in this scope.";
    TYPE_MISMATCH = 301 "type-mismatch" "The operand's type does not fit the operation.";
    WRONG_ARGUMENTS = 302 "wrong-arguments" "The function takes other arguments than these; the message shows its signature.";
    NOT_ASSIGNABLE = 303 "not-assignable" "The value's type differs from the type the variable or map already has.";
    BAD_FORMAT = 304 "bad-format" "The format string and its arguments do not agree, or a conversion does not exist.";
    NOT_CONSTANT = 305 "not-constant" "This place needs a constant known when the script is compiled.";
    NOT_AVAILABLE_HERE = 306 "not-available-here" "The builtin or function does not exist in this kind of probe.";
    SIGN_MISMATCH = 307 "sign-mismatch" "A signed and an unsigned value are compared or combined; the result is taken as signed 64 bit.";
    DISCARDED = 308 "discarded-value" "The statement computes a value and drops it.";
    UNUSED = 309 "unused" "Something is defined and never used.";
    UNSTABLE = 310 "unstable" "The function exists, but its form may still change between versions.";
    ASSERTION = 311 "assertion" "The script itself refuses: a static_assert() does not hold, or fail() stands where it is reached.";
    UNASSIGNED = 312 "unassigned" "A variable that is declared without a value is read before any statement assigns it; it is zero there, which may not be what was meant.";
    NEEDLESS_CAST = 313 "needless-cast" "The expression has the type already that it is cast to. The cast can go, or another type was meant.";
    DEBUGGING = 314 "debugging" "debugf() writes to the kernel's trace_pipe, which all tracers share and which is slow. It helps to find out what a script does; printf() is for output that is meant to stay.";
    BAD_PROBE = 401 "bad-probe" "The attach point is not well-formed for its probe type; the message shows the form it takes.";
    UNKNOWN_PROBE_TYPE = 402 "unknown-probe-type" "There is no probe type of this name. `hark -l` lists what exists.";
    NO_SUCH_PROBE = 403 "no-such-probe" "The kernel or binary has nothing of this name to attach to. Set `config = { missing_probes = \"warn\" }` to go on without.";
    TOO_MANY_PROBES = 404 "too-many-probes" "The attach points match more places than max_probes permits. Narrow the pattern or raise it.";
    NEEDS_KERNEL = 501 "needs-newer-kernel" "The kernel lacks something that the script needs; the message names it and the version that has it.";
    TOO_LARGE = 502 "too-large" "The program or a value exceeds what the kernel permits.";
    INTERNAL = 503 "internal-error" "This is a defect of hark. Please report it together with the output of `hark dump --golden SCRIPT`.";
    UNSAFE_NEEDED = 504 "unsafe-needed" "The function changes the system it looks at; it needs the --unsafe flag.";
    SIM_REJECTS = 601 "verifier-would-reject" "hark's own verifier says that the kernel would refuse the program; the message names the value and what is missing.";
    KERNEL_REJECTS = 602 "kernel-rejects" "The kernel's verifier refused the program, though hark's own accepted it. Please report it with the output of `hark dump --golden SCRIPT`.";
    CANNOT_LOAD = 701 "cannot-load" "The kernel refused to create a map or load a program for another reason than verification.";
    CANNOT_ATTACH = 702 "cannot-attach" "The program is loaded, but could not be attached to its probe.";
    NO_PERMISSION = 703 "no-permission" "The kernel does not let this process trace. Run as root, or give the binary CAP_BPF and CAP_PERFMON.";
    RUNTIME = 801 "run-time" "Something failed while the script was running.";
    TEST_FAILED = 802 "test-failed" "A test of `hark test` went another way than it expects: the output, the exit status, or a program that trapped.";
    BAD_TEST = 803 "bad-test" "A line of a test, one that begins with `//:`, cannot be understood, or names a probe or member that does not exist; docs/testing.md shows what there is.";
    BAD_CONFIG = 901 "bad-config" "The configuration key does not exist or its value has another form.";
    BAD_USAGE = 902 "bad-usage" "The command line cannot be understood.";
}

/// What there is to know of `code`.
pub fn code_def(code: Code) -> Option<&'static CodeDef> {
    CODES.iter().find(|def| def.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(CODES.windows(2).all(|w| w[0].code < w[1].code));
    }
}
