//! Settings: defaults, then the script's `config` block, then the environment.

use crate::target::Options;
use hark_diag::{Code, Diagnostic};
use hark_object::Config;
use hark_syntax::ast::{self, ExprKind};

pub(super) fn settings(script: &ast::Script, options: &Options, diags: &mut Vec<Diagnostic>) -> Config {
    let mut config = Config::default();
    for item in &script.config {
        let text = match &item.value.kind {
            ExprKind::Int { value, .. } => value.to_string(),
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Str(text) => String::from_utf8_lossy(text).into_owned(),
            ExprKind::Ident(name) => name.clone(),
            _ => {
                let message = "a setting is a number, a word or a text";
                diags.push(Diagnostic::error(Code::BAD_CONFIG, item.value.span, message));
                continue;
            }
        };
        if let Err(e) = config.set(&item.key.text, &text) {
            let diag = Diagnostic::error(Code::BAD_CONFIG, item.key.span, e.message);
            diags.push(e.help.into_iter().fold(diag, Diagnostic::with_help));
        }
    }
    for (key, value) in &options.config {
        if let Err(e) = config.set(key, value) {
            let diag =
                Diagnostic::error_without_span(Code::BAD_CONFIG, format!("environment: {}", e.message));
            diags.push(e.help.into_iter().fold(diag, Diagnostic::with_help));
        }
    }
    config
}
