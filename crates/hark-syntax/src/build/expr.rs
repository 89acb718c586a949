//! Expressions.

use super::{Builder, MAX_EXPANSIONS, Rule, Tall, literal};
use crate::MAX_DEPTH;
use crate::ast::{Arg, BinOp, Expr, ExprKind, Name, UnOp};
use hark_diag::{Code, Diagnostic};
use pest::iterators::Pair;
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::sync::LazyLock;

/// Operators, from those that bind least to those that bind most.
static PRECEDENCE: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::op_or))
        .op(left(Rule::op_and))
        .op(left(Rule::op_bit_or))
        .op(left(Rule::op_bit_xor))
        .op(left(Rule::op_bit_and))
        .op(left(Rule::op_eq) | left(Rule::op_ne))
        .op(left(Rule::op_lt) | left(Rule::op_gt) | left(Rule::op_le) | left(Rule::op_ge))
        .op(left(Rule::op_shl) | left(Rule::op_shr))
        .op(left(Rule::op_add) | left(Rule::op_sub))
        .op(left(Rule::op_mul) | left(Rule::op_div) | left(Rule::op_mod))
        .op(Op::prefix(Rule::pre_inc)
            | Op::prefix(Rule::pre_dec)
            | Op::prefix(Rule::not)
            | Op::prefix(Rule::neg)
            | Op::prefix(Rule::bit_not)
            | Op::prefix(Rule::plus)
            | Op::prefix(Rule::deref)
            | Op::prefix(Rule::addr_of)
            | Op::prefix(Rule::cast)
            | Op::prefix(Rule::comptime))
        .op(Op::postfix(Rule::tuple_field)
            | Op::postfix(Rule::field)
            | Op::postfix(Rule::arrow)
            | Op::postfix(Rule::index)
            | Op::postfix(Rule::post_inc)
            | Op::postfix(Rule::post_dec))
});

fn bin_op(rule: Rule) -> BinOp {
    match rule {
        Rule::op_or => BinOp::Or,
        Rule::op_and => BinOp::And,
        Rule::op_bit_or => BinOp::BitOr,
        Rule::op_bit_xor => BinOp::BitXor,
        Rule::op_bit_and => BinOp::BitAnd,
        Rule::op_eq => BinOp::Eq,
        Rule::op_ne => BinOp::Ne,
        Rule::op_lt => BinOp::Lt,
        Rule::op_gt => BinOp::Gt,
        Rule::op_le => BinOp::Le,
        Rule::op_ge => BinOp::Ge,
        Rule::op_shl => BinOp::Shl,
        Rule::op_shr => BinOp::Shr,
        Rule::op_add => BinOp::Add,
        Rule::op_sub => BinOp::Sub,
        Rule::op_mul => BinOp::Mul,
        Rule::op_div => BinOp::Div,
        Rule::op_mod => BinOp::Mod,
        other => unreachable!("{other:?} is not an infix operator of the grammar"),
    }
}

impl Builder<'_> {
    /// An `expr` pair as a tree; `depth` is how many levels are above it.
    pub(super) fn expr(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        if depth >= MAX_DEPTH {
            return self.deep(span);
        }
        let mut parts = pair.into_inner();
        let ternary = match parts.clone().next_back() {
            Some(last) if last.as_rule() == Rule::ternary => parts.next_back(),
            _ => None,
        };
        let depth = depth + u32::from(ternary.is_some());
        let flat = if parts.len() == 1 {
            match parts.next() {
                Some(only) => self.primary(only, depth),
                None => return self.deep(span),
            }
        } else if parts.len() > MAX_DEPTH as usize && prefix_run(parts.clone()) > MAX_DEPTH {
            // The Pratt parser recurses over prefix operators.
            return self.deep(span);
        } else {
            PRECEDENCE
                .map_primary(|p| self.primary(p, depth))
                .map_prefix(|op, operand| self.prefix(op, operand, depth))
                .map_postfix(|operand, op| self.postfix(operand, op, depth))
                .map_infix(|a, op, b| {
                    let span = a.0.span.to(b.0.span);
                    let height = a.1.max(b.1) + 1;
                    let kind = ExprKind::Binary(bin_op(op.as_rule()), Box::new(a.0), Box::new(b.0));
                    self.limited(Expr { kind, span }, height, depth)
                })
                .parse(parts)
        };
        let Some(ternary) = ternary else { return flat };
        let mut branches: Vec<Tall<Expr>> =
            ternary.into_inner().filter(|p| p.as_rule() == Rule::expr).map(|p| self.expr(p, depth)).collect();
        let Some(els) = branches.pop() else { return flat };
        let then = branches.pop();
        let height = flat.1.max(els.1).max(then.as_ref().map_or(0, |t| t.1)) + 1;
        let span = flat.0.span.to(els.0.span);
        let kind = ExprKind::Ternary {
            cond: Box::new(flat.0),
            then: then.map(|t| Box::new(t.0)),
            els: Box::new(els.0),
        };
        self.limited(Expr { kind, span }, height, depth - 1)
    }

    /// `expr` if it is not too high for where it stands.
    fn limited(&self, expr: Expr, height: u32, depth: u32) -> Tall<Expr> {
        if depth + height > MAX_DEPTH { self.deep(expr.span) } else { Tall(expr, height) }
    }

    fn prefix(&self, op: Pair<'_, Rule>, operand: Tall<Expr>, depth: u32) -> Tall<Expr> {
        let span = self.span(&op).to(operand.0.span);
        let height = operand.1 + 1;
        let x = Box::new(operand.0);
        let kind = match op.as_rule() {
            Rule::pre_inc => ExprKind::IncDec { target: x, increment: true, postfix: false },
            Rule::pre_dec => ExprKind::IncDec { target: x, increment: false, postfix: false },
            Rule::not => ExprKind::Unary(UnOp::Not, x),
            Rule::neg => ExprKind::Unary(UnOp::Neg, x),
            Rule::bit_not => ExprKind::Unary(UnOp::BitNot, x),
            Rule::plus => ExprKind::Unary(UnOp::Plus, x),
            Rule::deref => ExprKind::Unary(UnOp::Deref, x),
            Rule::addr_of => ExprKind::Unary(UnOp::AddrOf, x),
            Rule::comptime => ExprKind::Comptime(x),
            Rule::cast => match op.into_inner().next() {
                Some(ty) => {
                    let Tall(ty, type_height) = self.ty(ty, depth);
                    let height = height.max(type_height + 1);
                    return self.limited(Expr { kind: ExprKind::Cast(ty, x), span }, height, depth);
                }
                None => ExprKind::Error,
            },
            other => unreachable!("{other:?} is not a prefix operator of the grammar"),
        };
        self.limited(Expr { kind, span }, height, depth)
    }

    fn postfix(&self, operand: Tall<Expr>, op: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = operand.0.span.to(self.span(&op));
        let mut height = operand.1 + 1;
        let base = Box::new(operand.0);
        let rule = op.as_rule();
        let kind = match rule {
            Rule::post_inc => ExprKind::IncDec { target: base, increment: true, postfix: true },
            Rule::post_dec => ExprKind::IncDec { target: base, increment: false, postfix: true },
            Rule::field | Rule::arrow | Rule::tuple_field | Rule::index => match op.into_inner().next() {
                None => ExprKind::Error,
                Some(part) if rule == Rule::index => {
                    let index = self.expr(part, depth + 1);
                    height = height.max(index.1 + 1);
                    ExprKind::Index(base, Box::new(index.0))
                }
                Some(part) if rule == Rule::tuple_field => match part.as_str().parse() {
                    Ok(index) => ExprKind::TupleField { base, index },
                    Err(_) => {
                        self.error(Code::BAD_LITERAL, self.span(&part), "no tuple has so many fields");
                        ExprKind::Error
                    }
                },
                Some(part) => {
                    ExprKind::Field { base, field: self.name(&part, 0), arrow: rule == Rule::arrow }
                }
            },
            other => unreachable!("{other:?} is not a postfix operator of the grammar"),
        };
        self.limited(Expr { kind, span }, height, depth)
    }

    fn primary(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::var => ExprKind::Var(pair.as_str()[1..].to_string()),
            Rule::positional => match pair.as_str()[1..].parse() {
                Ok(n) => ExprKind::Positional(n),
                Err(_) => {
                    self.error(Code::BAD_LITERAL, span, "there cannot be so many positional parameters");
                    ExprKind::Error
                }
            },
            Rule::positional_count => ExprKind::PositionalCount,
            Rule::int => match literal::int(pair.as_str()) {
                Ok((value, duration)) => ExprKind::Int { value, duration },
                Err(why) => {
                    self.error(Code::BAD_LITERAL, span, why);
                    ExprKind::Error
                }
            },
            Rule::string => ExprKind::Str(self.string(&pair)),
            Rule::error_mark => {
                if !self.repaired.get() {
                    self.error(Code::SYNTAX, span, "a control character stands here");
                }
                ExprKind::Error
            }
            Rule::block => {
                let Tall(block, height) = self.block(pair, depth + 1);
                return Tall(Expr { kind: ExprKind::Block(block), span }, height + 1);
            }
            Rule::if_expr => return self.if_expr(pair, depth),
            Rule::map => return self.map(pair, depth),
            Rule::paren => return self.paren(pair, depth),
            Rule::record => return self.record(pair, depth),
            Rule::name_expr => return self.name_expr(pair, depth),
            other => unreachable!("{other:?} is not an operand of the grammar"),
        };
        Tall(Expr { kind, span }, 1)
    }

    /// The bytes of a `string` pair.
    pub(super) fn string(&self, pair: &Pair<'_, Rule>) -> Vec<u8> {
        let (bytes, wrong) = literal::string(pair.as_str());
        for (at, len, why) in wrong {
            let lo = self.base.get() + pair.as_span().start() + at;
            let diag = Diagnostic::error(Code::BAD_LITERAL, self.file_span(lo..lo + len), why)
                .with_help("escapes are \\n \\t \\r \\\" \\\\ \\NNN (octal) and \\xHH");
            self.report(diag);
        }
        bytes
    }

    fn exprs<'i>(&self, pairs: impl Iterator<Item = Pair<'i, Rule>>, depth: u32) -> Tall<Vec<Expr>> {
        let mut height = 0;
        let exprs = pairs
            .filter(|p| p.as_rule() == Rule::expr)
            .map(|p| {
                let Tall(expr, h) = self.expr(p, depth);
                height = height.max(h);
                expr
            })
            .collect();
        Tall(exprs, height)
    }

    fn map(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        let mut name = String::new();
        let mut keys = Tall(Vec::new(), 0);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::map_name => name = part.as_str()[1..].to_string(),
                _ => keys = self.exprs(part.into_inner(), depth + 1),
            }
        }
        Tall(Expr { kind: ExprKind::Map { name, keys: keys.0 }, span }, keys.1 + 1)
    }

    fn paren(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        let comma = pair.clone().into_inner().any(|p| p.as_rule() == Rule::comma);
        let Tall(mut parts, height) = self.exprs(pair.into_inner(), depth + 1);
        if !comma && let Some(only) = parts.pop() {
            // The place of an expression in parentheses includes them: so the formatter knows of them.
            return Tall(Expr { kind: only.kind, span }, height);
        }
        Tall(Expr { kind: ExprKind::Tuple(parts), span }, height + 1)
    }

    fn record(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        let mut fields: Vec<(Name, Expr)> = Vec::new();
        let mut height = 0;
        for field in pair.into_inner().filter(|p| p.as_rule() == Rule::record_field) {
            let mut parts = field.into_inner();
            if let (Some(name), Some(value)) = (parts.next(), parts.next_back()) {
                let Tall(value, h) = self.expr(value, depth + 1);
                height = height.max(h);
                fields.push((self.name(&name, 0), value));
            }
        }
        Tall(Expr { kind: ExprKind::Record(fields), span }, height + 1)
    }

    fn name_expr(&self, pair: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let Some(name) = parts.next() else { return self.deep(span) };
        let Some(args) = parts.next() else {
            let text = name.as_str();
            let kind = match text {
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                _ => {
                    if let Some(defined) = self.objects.get(text).filter(|o| !o.is_expr) {
                        let diag = Diagnostic::error(
                            Code::PREPROCESSOR,
                            span,
                            format!("`{text}` is #defined as something that is not an expression"),
                        )
                        .with_label(defined.span, "defined here");
                        self.report(diag);
                    }
                    ExprKind::Ident(text.to_string())
                }
            };
            return Tall(Expr { kind, span }, 1);
        };
        if self.functions.contains_key(name.as_str()) {
            return self.expand(name.as_str(), args, depth);
        }
        let mut height = 0;
        let args = args
            .into_inner()
            .filter_map(|part| {
                let (arg, h) = match part.as_rule() {
                    Rule::expr => {
                        let Tall(expr, h) = self.expr(part, depth + 1);
                        (Arg::Expr(expr), h)
                    }
                    Rule::ty_arg => {
                        let Tall(ty, h) = self.ty(part.into_inner().next()?, depth + 1);
                        (Arg::Type(ty), h)
                    }
                    _ => return None,
                };
                height = height.max(h);
                Some(arg)
            })
            .collect();
        let func = self.name(&name, 0);
        Tall(Expr { kind: ExprKind::Call { func, args }, span }, height + 1)
    }

    /// The use of a function-like `#define`: its text with the arguments' texts put in, as C does it.
    fn expand(&self, name: &str, args: Pair<'_, Rule>, depth: u32) -> Tall<Expr> {
        let lo = self.base.get() + args.as_span().start();
        let whole = self.span(&args);
        let span = self.fixed.unwrap_or_else(|| self.file_span(lo.saturating_sub(name.len())..lo).to(whole));
        let error = Tall(Expr { kind: ExprKind::Error, span }, 1);
        let Some(macro_def) = self.functions.get(name) else { return error };
        let texts: Vec<&str> = args
            .into_inner()
            .filter(|p| matches!(p.as_rule(), Rule::expr | Rule::ty_arg))
            .map(|p| p.as_str().trim_end())
            .collect();
        if texts.len() != macro_def.params.len() {
            let diag = Diagnostic::error(
                Code::WRONG_ARGUMENTS,
                span,
                format!("`{name}` takes {} arguments, not {}", macro_def.params.len(), texts.len()),
            )
            .with_label(macro_def.span, "defined here");
            self.report(diag);
            return error;
        }
        let budget = self.expansion_budget.get();
        if budget == 0 {
            // Said already.
            return error;
        }
        let endless = self.expansions >= MAX_EXPANSIONS || budget == 1;
        self.expansion_budget.set(if endless { 0 } else { budget - 1 });
        if endless {
            self.error(Code::PREPROCESSOR, span, format!("`{name}` expands without end"));
            return error;
        }
        if macro_def.text.contains('#') {
            let message = format!("`{name}` uses # or ##, which hark's preprocessor does not have");
            self.report(
                Diagnostic::error(Code::PREPROCESSOR, span, message)
                    .with_label(macro_def.span, "defined here"),
            );
            return error;
        }
        let text = substitute(&macro_def.text, &macro_def.params, &texts);
        // What grows without bound is not a program.
        if text.len() > 1 << 14 || crate::recover::too_deep(&text).is_some() {
            return self.deep(span);
        }
        let Ok(pairs) = super::grammar(Rule::expr_entry, &text) else {
            let diag = Diagnostic::error(
                Code::PREPROCESSOR,
                span,
                format!("`{name}` expands to `{text}`, which is not an expression"),
            )
            .with_label(macro_def.span, "defined here");
            self.report(diag);
            return error;
        };
        let inner = self.for_expansion(&text, span);
        let Some(pair) = super::first_inner(pairs) else { return error };
        let expanded = inner.expr(pair, depth);
        self.end_expansion(&inner);
        expanded
    }
}

/// Length of the longest run of prefix operators.
fn prefix_run<'i>(parts: impl Iterator<Item = Pair<'i, Rule>>) -> u32 {
    let mut longest = 0;
    let mut run = 0;
    for part in parts {
        let is_prefix = matches!(
            part.as_rule(),
            Rule::pre_inc
                | Rule::pre_dec
                | Rule::not
                | Rule::neg
                | Rule::bit_not
                | Rule::plus
                | Rule::deref
                | Rule::addr_of
                | Rule::cast
                | Rule::comptime
        );
        run = if is_prefix { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// `text` with every name in `params` that is not in a string replaced.
fn substitute(text: &str, params: &[String], args: &[&str]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = if first == '"' {
            let mut escaped = false;
            let close = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            close.map_or(rest.len(), |(at, _)| at + 1)
        } else if first.is_ascii_alphanumeric() || matches!(first, '_' | '$' | '@') {
            1 + rest[1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(len);
        match params.iter().position(|p| p == word) {
            Some(n) => out.push_str(args[n]),
            None => out.push_str(word),
        }
        rest = after;
    }
    out
}
