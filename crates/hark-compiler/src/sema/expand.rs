//! Macros: every use is replaced by the macro's body before anything has a type.
//!
//! A use becomes a block at the place of the call. `$v` and `@m` parameters become the caller's variable and map,
//! bare parameters the caller's expression, each time it is used. Variables of the body that are no parameters get
//! names that no script can spell, so that neither side sees the other's. Which blocks are expansions is kept beside
//! the tree: a diagnostic inside one tells where it was expanded.

use crate::builtins;
use hark_diag::{Code, Diagnostic, Span, did_you_mean};
use hark_syntax::ast::{
    Arg, Block, Expr, ExprKind, Item, Macro, MacroParam, Name, Probe, Script, Stmt, StmtKind, TypeExpr,
    TypeKind,
};
use rustc_hash::FxHashMap;

/// Deepest tree that expansion may make. The parser takes 200 levels.
const MAX_LEVEL: u32 = 400;
/// Most nodes that expansion may make of one script.
const MAX_NODES: u32 = 1_000_000;
/// Separates a variable's name from the number that makes it the expansion's own.
const OWN: char = '#';

/// The script's name of a variable that an expansion may have renamed.
pub(crate) fn spelled(name: &str) -> &str {
    name.split(OWN).next().unwrap_or(name)
}

/// Calls that were expanded, by place: the macro's name.
pub(crate) type Expansions = FxHashMap<Span, String>;

/// The script without macros.
pub(crate) fn expand(script: &Script, diags: &mut Vec<Diagnostic>) -> (Script, Expansions) {
    let mut script = script.clone();
    let mut macros: FxHashMap<String, Vec<Macro>> = FxHashMap::default();
    for item in &script.items {
        if let Item::Macro(def) = item {
            let all = macros.entry(def.name.text.clone()).or_default();
            match all.iter().find(|other| signature(&other.params) == signature(&def.params)) {
                Some(first) => {
                    let message = format!("macro {} is defined twice with these parameters", def.name.text);
                    let diag = Diagnostic::error(Code::REDEFINED, def.name.span, message);
                    diags.push(diag.with_label(first.name.span, "first defined here"));
                }
                None => all.push(def.clone()),
            }
        }
    }
    if macros.is_empty() {
        return (script, Expansions::default());
    }
    let mut expander = Expander {
        macros: &macros,
        diags,
        expansions: Expansions::default(),
        scopes: Vec::new(),
        fresh: 0,
        level: 0,
        nodes: 0,
    };
    for item in &mut script.items {
        match item {
            Item::Probe(Probe { predicate, body, .. }) => {
                if let Some(predicate) = predicate {
                    expander.expr(predicate);
                }
                expander.block(body);
            }
            Item::Func(func) => expander.block(&mut func.body),
            Item::Macro(_) | Item::MapDecl(_) => {}
        }
    }
    let expansions = expander.expansions;
    (script, expansions)
}

/// What tells overloads apart.
fn signature(params: &[MacroParam]) -> Vec<u8> {
    params
        .iter()
        .map(|p| match p {
            MacroParam::Var(_) => b'$',
            MacroParam::Map(_) => b'@',
            MacroParam::Expr(_) => b'e',
        })
        .collect()
}

/// `name($v, @m, e)`
fn shown(def: &Macro) -> String {
    let params: Vec<String> = def
        .params
        .iter()
        .map(|p| match p {
            MacroParam::Var(n) => format!("${}", n.text),
            MacroParam::Map(n) => format!("@{}", n.text),
            MacroParam::Expr(n) => n.text.clone(),
        })
        .collect();
    format!("{}({})", def.name.text, params.join(", "))
}

/// One expansion in progress.
struct Scope<'m> {
    def: &'m Macro,
    /// The call.
    span: Span,
    /// Distinguishes the variables of this expansion.
    n: u32,
    vars: FxHashMap<&'m str, String>,
    maps: FxHashMap<&'m str, String>,
    /// Arguments with the number of their nodes and their depth.
    exprs: FxHashMap<&'m str, (Arg, u32, u32)>,
}

struct Expander<'m, 'd> {
    macros: &'m FxHashMap<String, Vec<Macro>>,
    diags: &'d mut Vec<Diagnostic>,
    expansions: Expansions,
    scopes: Vec<Scope<'m>>,
    fresh: u32,
    level: u32,
    nodes: u32,
}

impl<'m> Expander<'m, '_> {
    fn report(&mut self, diag: Diagnostic) {
        let chain = self.scopes.iter().rev();
        let diag =
            chain.fold(diag, |d, s| d.with_label(s.span, format!("expanded from {}()", s.def.name.text)));
        self.diags.push(diag);
    }

    fn block(&mut self, block: &mut Block) {
        for stmt in &mut block.stmts {
            self.stmt(stmt);
        }
        if let Some(value) = &mut block.value {
            self.expr(value);
        }
    }

    fn stmt(&mut self, stmt: &mut Stmt) {
        match &mut stmt.kind {
            StmtKind::Expr(e) | StmtKind::Discard(e) => self.expr(e),
            StmtKind::Assign { target, value, .. } => {
                self.expr(target);
                self.expr(value);
            }
            StmtKind::Let { var, ty, value } => {
                self.var(var);
                if let Some(ty) = ty {
                    self.ty(ty);
                }
                if let Some(value) = value {
                    self.expr(value);
                }
            }
            StmtKind::While { cond, body } => {
                self.expr(cond);
                self.block(body);
            }
            StmtKind::ForRange { var, from, to, body } => {
                self.var(var);
                self.expr(from);
                self.expr(to);
                self.block(body);
            }
            StmtKind::ForMap { var, map, body } => {
                self.var(var);
                self.expr(map);
                self.block(body);
            }
            StmtKind::Unroll { count, body } => {
                self.expr(count);
                self.block(body);
            }
            StmtKind::Return(value) => {
                if let Some(value) = value {
                    self.expr(value);
                }
            }
            StmtKind::Break | StmtKind::Continue => {}
        }
    }

    fn var(&mut self, name: &mut Name) {
        name.text = self.var_name(&name.text);
    }

    fn var_name(&self, name: &str) -> String {
        match self.scopes.last() {
            None => name.to_string(),
            Some(scope) => scope.vars.get(name).cloned().unwrap_or_else(|| format!("{name}{OWN}{}", scope.n)),
        }
    }

    fn ty(&mut self, ty: &mut TypeExpr) {
        match &mut ty.kind {
            TypeKind::Named(name) => {
                if let Some((Arg::Type(given), ..)) =
                    self.scopes.last().and_then(|s| s.exprs.get(name.as_str()))
                {
                    *ty = given.clone();
                }
            }
            TypeKind::Ptr(to) => self.ty(to),
            TypeKind::Array(elem, len) => {
                self.ty(elem);
                if let Some(len) = len {
                    self.expr(len);
                }
            }
            TypeKind::Tuple(members) => members.iter_mut().for_each(|m| self.ty(m)),
            TypeKind::Typeof(what) => self.arg(what),
            TypeKind::Struct(_) | TypeKind::Union(_) | TypeKind::Enum(_) => {}
        }
    }

    fn arg(&mut self, arg: &mut Arg) {
        match arg {
            Arg::Expr(e) => {
                if let ExprKind::Ident(name) = &e.kind
                    && let Some((given @ Arg::Type(_), ..)) =
                        self.scopes.last().and_then(|s| s.exprs.get(name.as_str()))
                {
                    *arg = given.clone();
                    return;
                }
                self.expr(e);
            }
            Arg::Type(ty) => self.ty(ty),
        }
    }

    fn expr(&mut self, e: &mut Expr) {
        self.level += 1;
        self.nodes += 1;
        if self.level > MAX_LEVEL || self.nodes > MAX_NODES {
            if self.nodes != u32::MAX {
                let what = if self.level > MAX_LEVEL { "too deeply nested" } else { "too large" };
                let message = format!("the script is {what} once its macros are expanded");
                self.report(Diagnostic::error(Code::TOO_DEEP, e.span, message));
                // Once is enough.
                self.nodes = u32::MAX - 1;
            }
            e.kind = ExprKind::Error;
            self.nodes = u32::MAX - 1;
        } else {
            self.expr_inside(e);
        }
        self.level -= 1;
    }

    fn expr_inside(&mut self, e: &mut Expr) {
        match &mut e.kind {
            ExprKind::Int { .. }
            | ExprKind::Bool(_)
            | ExprKind::Str(_)
            | ExprKind::Positional(_)
            | ExprKind::PositionalCount
            | ExprKind::Error => {}
            ExprKind::Var(name) => *name = self.var_name(name),
            ExprKind::Ident(name) => {
                let name = name.clone();
                self.ident(e, &name);
            }
            ExprKind::Map { name, keys } => {
                keys.iter_mut().for_each(|k| self.expr(k));
                if let Some(scope) = self.scopes.last() {
                    match scope.maps.get(name.as_str()) {
                        Some(given) => *name = given.clone(),
                        None => {
                            let message = format!("a macro sees only the maps it is given, not @{name}");
                            let help =
                                format!("make it a parameter: macro {}(…, @{name})", scope.def.name.text);
                            let diag = Diagnostic::error(Code::UNDEFINED_VARIABLE, e.span, message);
                            self.report(diag.with_help(help));
                            e.kind = ExprKind::Error;
                        }
                    }
                }
            }
            ExprKind::Call { func, args } => {
                args.iter_mut().for_each(|a| self.arg(a));
                if self.macros.contains_key(&func.text) {
                    let (func, args) = (func.clone(), std::mem::take(args));
                    self.call(e, &func, args);
                }
            }
            ExprKind::Unary(_, inner) | ExprKind::Comptime(inner) => self.expr(inner),
            ExprKind::Cast(ty, inner) => {
                self.ty(ty);
                self.expr(inner);
            }
            ExprKind::IncDec { target, .. } => self.expr(target),
            ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Ternary { cond, then, els } => {
                self.expr(cond);
                if let Some(then) = then {
                    self.expr(then);
                }
                self.expr(els);
            }
            ExprKind::If { cond, then, els } => {
                self.expr(cond);
                self.block(then);
                if let Some(els) = els {
                    self.expr(els);
                }
            }
            ExprKind::Block(block) => self.block(block),
            ExprKind::Field { base, .. } | ExprKind::TupleField { base, .. } => self.expr(base),
            ExprKind::Tuple(members) => members.iter_mut().for_each(|m| self.expr(m)),
            ExprKind::Record(fields) => fields.iter_mut().for_each(|(_, v)| self.expr(v)),
        }
    }

    /// A bare name: a parameter, or a macro without parameters.
    fn ident(&mut self, e: &mut Expr, name: &str) {
        if let Some((given, nodes, depth)) = self.scopes.last().and_then(|s| s.exprs.get(name)) {
            let (nodes, depth) = (*nodes, *depth);
            match given.clone() {
                Arg::Expr(given) if self.level + depth <= MAX_LEVEL => *e = given,
                Arg::Expr(_) => {
                    let message = "the script is too deeply nested once its macros are expanded";
                    self.report(Diagnostic::error(Code::TOO_DEEP, e.span, message));
                    e.kind = ExprKind::Error;
                }
                Arg::Type(ty) => {
                    let message = format!("{name} is a type here; a value is needed");
                    let diag = Diagnostic::error(Code::TYPE_MISMATCH, e.span, message);
                    self.report(diag.with_label(ty.span, "given here"));
                    e.kind = ExprKind::Error;
                }
            }
            self.nodes = self.nodes.saturating_add(nodes);
            return;
        }
        // A value of this name that is built in is meant, as long as it is not called.
        if self.macros.contains_key(name) && builtins::value_named(name).is_none() {
            let func = Name { text: name.to_string(), span: e.span };
            self.call(e, &func, Vec::new());
        }
    }

    fn call(&mut self, e: &mut Expr, func: &Name, args: Vec<Arg>) {
        let Some(all) = self.macros.get(&func.text) else { return };
        let fitting = all
            .iter()
            .filter(|def| fits(def, &args))
            .max_by_key(|def| def.params.iter().filter(|p| !matches!(p, MacroParam::Expr(_))).count());
        let Some(def) = fitting else {
            if builtins::function_named(&func.text).is_some() {
                e.kind = ExprKind::Call { func: func.clone(), args };
                return;
            }
            self.no_overload(func, all, &args, e.span);
            e.kind = ExprKind::Error;
            return;
        };
        if self.scopes.iter().any(|s| std::ptr::eq(s.def, def)) {
            let mut chain: Vec<&str> = self.scopes.iter().map(|s| s.def.name.text.as_str()).collect();
            chain.push(&func.text);
            let message = format!("macro {} expands to itself: {}", func.text, chain.join(" > "));
            self.report(Diagnostic::error(Code::TOO_DEEP, e.span, message));
            e.kind = ExprKind::Error;
            return;
        }
        self.fresh += 1;
        let mut scope = Scope {
            def,
            span: e.span,
            n: self.fresh,
            vars: FxHashMap::default(),
            maps: FxHashMap::default(),
            exprs: FxHashMap::default(),
        };
        for (param, arg) in def.params.iter().zip(args) {
            match (param, arg) {
                (MacroParam::Var(name), Arg::Expr(Expr { kind: ExprKind::Var(given), .. })) => {
                    scope.vars.insert(&name.text, given);
                }
                (MacroParam::Map(name), Arg::Expr(Expr { kind: ExprKind::Map { name: given, .. }, .. })) => {
                    scope.maps.insert(&name.text, given);
                }
                (MacroParam::Var(name) | MacroParam::Map(name) | MacroParam::Expr(name), arg) => {
                    let (nodes, depth) = match &arg {
                        Arg::Expr(e) => extent(e),
                        Arg::Type(_) => (1, 1),
                    };
                    scope.exprs.insert(&name.text, (arg, nodes, depth));
                }
            }
        }
        self.expansions.insert(e.span, func.text.clone());
        let mut body = def.body.clone();
        // A macro of one expression is that expression.
        self.scopes.push(scope);
        self.block(&mut body);
        self.scopes.pop();
        body.span = e.span;
        e.kind = ExprKind::Block(body);
    }

    fn no_overload(&mut self, func: &Name, all: &[Macro], args: &[Arg], span: Span) {
        let message = format!("no definition of macro {} takes these arguments", func.text);
        let mut diag = Diagnostic::error(Code::WRONG_ARGUMENTS, span, message);
        for def in all.iter().take(4) {
            diag = diag.with_label(def.name.span, format!("there is {}", shown(def)));
        }
        let by_reference = all.iter().find(|def| def.params.len() == args.len()).and_then(|def| {
            let of = |(p, a): (&MacroParam, &Arg)| match p {
                MacroParam::Var(n) if !matches(p, a) => Some(format!("${} takes a variable", n.text)),
                MacroParam::Map(n) if !matches(p, a) => Some(format!("@{} takes a map without keys", n.text)),
                _ => None,
            };
            def.params.iter().zip(args).find_map(of)
        });
        diag = by_reference.into_iter().fold(diag, Diagnostic::with_help);
        self.report(diag);
    }
}

fn matches(param: &MacroParam, arg: &Arg) -> bool {
    match (param, arg) {
        (MacroParam::Expr(_), _) => true,
        (MacroParam::Var(_), Arg::Expr(e)) => matches!(e.kind, ExprKind::Var(_)),
        (MacroParam::Map(_), Arg::Expr(e)) => {
            matches!(&e.kind, ExprKind::Map { keys, .. } if keys.is_empty())
        }
        (MacroParam::Var(_) | MacroParam::Map(_), Arg::Type(_)) => false,
    }
}

fn fits(def: &Macro, args: &[Arg]) -> bool {
    def.params.len() == args.len() && def.params.iter().zip(args).all(|(p, a)| matches(p, a))
}

/// Names of macros, for did-you-mean.
pub(crate) fn near_macro<'a>(script: &'a Script, name: &str) -> Option<&'a str> {
    let names = script.items.iter().filter_map(|item| match item {
        Item::Macro(def) => Some(def.name.text.as_str()),
        _ => None,
    });
    did_you_mean(name, names)
}

/// Number of nodes and depth of an expression; its depth is limited already.
fn extent(e: &Expr) -> (u32, u32) {
    let mut nodes = 0;
    super::walk::walk_expr(e, &mut |_| nodes += 1);
    (nodes, depth(e))
}

fn depth(e: &Expr) -> u32 {
    let mut deepest = 0;
    super::walk::children(e, &mut |child| deepest = deepest.max(depth(child)));
    deepest + 1
}
