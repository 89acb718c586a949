//! The conditions of `#if` and `#elif`: C integer expressions over `defined`, constants and `#define`d names.

use super::Macros;
use crate::ast::{Arg, BinOp, Expr, ExprKind, UnOp};
use crate::build;

/// How often a name may stand for text with another name in it.
const MAX_EXPANSIONS: u32 = 16;

/// Whether the condition holds.
///
/// # Errors
/// A sentence for the author: the text is not a condition.
pub(super) fn holds(text: &str, macros: &Macros, predefined: &[String]) -> Result<bool, String> {
    if text.trim().is_empty() {
        return Err("#if needs a condition".to_string());
    }
    let eval = Eval { macros, predefined };
    eval.text(&with_parentheses(text), 0).map(|value| value != 0)
}

/// `defined NAME` as `defined(NAME)`, which is how a call looks to the grammar.
fn with_parentheses(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("defined") {
        let (before, after) = rest.split_at(at + "defined".len());
        out.push_str(before);
        let trimmed = after.trim_start();
        let name_len = trimmed.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if after.len() > trimmed.len() && name_len > 0 {
            out.push_str(&format!("({})", &trimmed[..name_len]));
            rest = &trimmed[name_len..];
        } else {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

struct Eval<'a> {
    macros: &'a Macros,
    predefined: &'a [String],
}

impl Eval<'_> {
    fn text(&self, text: &str, expansions: u32) -> Result<i64, String> {
        if expansions > MAX_EXPANSIONS {
            return Err("a name in this condition stands for itself".to_string());
        }
        let expr = build::bare_expr(text).ok_or("this is not a condition that hark understands")?;
        self.expr(&expr, expansions)
    }

    /// The parser has limited the depth of `expr`.
    fn expr(&self, expr: &Expr, expansions: u32) -> Result<i64, String> {
        let not_here = || Err("only integers, `defined` and operators can stand in a condition".to_string());
        match &expr.kind {
            ExprKind::Int { value, duration: false } => Ok(*value as i64),
            ExprKind::Bool(b) => Ok(i64::from(*b)),
            ExprKind::Ident(name) => self.name(name, expansions),
            ExprKind::Call { func, args } if func.text == "defined" => match args.as_slice() {
                [Arg::Expr(Expr { kind: ExprKind::Ident(name), .. })] => {
                    Ok(i64::from(self.macros.is_defined(name)))
                }
                _ => Err("`defined` takes one name".to_string()),
            },
            ExprKind::Unary(op, e) => {
                let value = self.expr(e, expansions)?;
                match op {
                    UnOp::Not => Ok(i64::from(value == 0)),
                    UnOp::BitNot => Ok(!value),
                    UnOp::Neg => Ok(value.wrapping_neg()),
                    UnOp::Plus => Ok(value),
                    UnOp::Deref | UnOp::AddrOf => not_here(),
                }
            }
            ExprKind::Binary(BinOp::Or, a, b) => {
                Ok(i64::from(self.expr(a, expansions)? != 0 || self.expr(b, expansions)? != 0))
            }
            ExprKind::Binary(BinOp::And, a, b) => {
                Ok(i64::from(self.expr(a, expansions)? != 0 && self.expr(b, expansions)? != 0))
            }
            ExprKind::Binary(op, a, b) => binary(*op, self.expr(a, expansions)?, self.expr(b, expansions)?),
            ExprKind::Ternary { cond, then: Some(then), els } => {
                if self.expr(cond, expansions)? != 0 {
                    self.expr(then, expansions)
                } else {
                    self.expr(els, expansions)
                }
            }
            _ => not_here(),
        }
    }

    /// As in C, a name that stands for nothing is 0.
    fn name(&self, name: &str, expansions: u32) -> Result<i64, String> {
        let given = self
            .predefined
            .iter()
            .find_map(|p| p.split_once('=').filter(|(n, _)| *n == name).map(|(_, v)| v));
        if let Some(text) = self.macros.objects.get(name).and_then(|o| o.text.as_ref()) {
            return self.text(&text.text, expansions + 1);
        }
        match given {
            Some(text) => self.text(text, expansions + 1),
            None if self.macros.predefined.contains(name) => Ok(1),
            None => Ok(0),
        }
    }
}

fn binary(op: BinOp, a: i64, b: i64) -> Result<i64, String> {
    let zero = || "division by zero in a condition".to_string();
    Ok(match op {
        BinOp::Or => i64::from(a != 0 || b != 0),
        BinOp::And => i64::from(a != 0 && b != 0),
        BinOp::BitOr => a | b,
        BinOp::BitXor => a ^ b,
        BinOp::BitAnd => a & b,
        BinOp::Eq => i64::from(a == b),
        BinOp::Ne => i64::from(a != b),
        BinOp::Lt => i64::from(a < b),
        BinOp::Gt => i64::from(a > b),
        BinOp::Le => i64::from(a <= b),
        BinOp::Ge => i64::from(a >= b),
        BinOp::Shl => a.wrapping_shl(b as u32),
        BinOp::Shr => a.wrapping_shr(b as u32),
        BinOp::Add => a.wrapping_add(b),
        BinOp::Sub => a.wrapping_sub(b),
        BinOp::Mul => a.wrapping_mul(b),
        BinOp::Div => a.checked_div(b).ok_or_else(zero)?,
        BinOp::Mod => a.checked_rem(b).ok_or_else(zero)?,
    })
}
