//! The state of checking: scopes, variables, maps, diagnostics.

use super::expand::{Expansions, spelled};
use super::join::join;
use super::units::UnitSource;
use super::walk::walk_expr;
use crate::ctypes::CTypes;
use crate::probes::Context;
use crate::target::{Options, Target};
use crate::typed::{Expr, ExprKind, MapId, MapInfo, MapKind, Unit, VarId, VarInfo, wrap};
use crate::types::Type;
use hark_diag::{Code, Diagnostic, Span};
use hark_object::Config;
use hark_syntax::ast::{self, Item};
use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A map while its types are being inferred.
pub(super) struct MapState {
    /// Key: `None` until it is used; `Some(None)` without keys.
    key: Option<Option<Type>>,
    value: Type,
    declared: Option<(MapKind, u32)>,
    span: Span,
    assigned: bool,
    read: bool,
}

/// Checks expressions and statements; builtins see it as their context.
pub struct Checker<'a> {
    pub(crate) target: &'a Target,
    pub(crate) options: &'a Options,
    pub(crate) types: &'a CTypes,
    pub(crate) config: &'a Config,
    pub(super) script: &'a ast::Script,
    pub(super) defines: FxHashMap<&'a str, &'a ast::Expr>,
    expansions: &'a Expansions,
    /// Macros being checked, outermost first: the call and the name.
    expanding: Vec<(Span, &'a str)>,
    /// Options that the script asks for with `getopt`: what to show of each.
    pub(crate) named_options: IndexMap<String, String>,
    maps: IndexMap<String, MapState>,
    /// Types of variables by unit and declaration, kept from round to round.
    vars: Vec<IndexMap<(String, Span), VarInfo>>,
    diags: Vec<Diagnostic>,
    /// Of what is looked at once only.
    lasting: Vec<Diagnostic>,
    /// Blocks are missing for errors that have been reported: what they would assign is not known.
    pub(super) incomplete: bool,
    changed: bool,
    last_round: bool,
    // The unit being checked:
    pub(crate) context: Arc<Context>,
    unit: usize,
    scopes: Vec<FxHashMap<String, VarId>>,
    pub(super) loops: u32,
    /// Variables that `let` declares and nothing has assigned so far, and where.
    unassigned: IndexMap<VarId, Span>,
    /// Inside of `sizeof`, `typeof` and their kin, which do not run what they look at.
    pub(crate) unevaluated: u32,
    /// Nesting of `#define`s being replaced, to stop cycles.
    pub(super) define_depth: u32,
    /// Uses of `#define`s in this round, those in others counted each time.
    pub(super) define_uses: u32,
    /// How often the place being checked is repeated by `unroll`.
    pub(super) copies: u64,
}

impl<'a> Checker<'a> {
    pub(super) fn new(
        script: &'a ast::Script,
        expansions: &'a Expansions,
        target: &'a Target,
        options: &'a Options,
        types: &'a CTypes,
        config: &'a Config,
    ) -> Self {
        let context = Arc::new(Context::plain("none", String::new(), bpf_facts::ProgType::RawTracepoint));
        Self {
            target,
            options,
            types,
            config,
            script,
            expansions,
            expanding: Vec::new(),
            named_options: IndexMap::new(),
            defines: script.defines.iter().map(|d| (d.name.text.as_str(), &d.value)).collect(),
            maps: IndexMap::new(),
            vars: Vec::new(),
            diags: Vec::new(),
            lasting: Vec::new(),
            incomplete: false,
            changed: false,
            last_round: false,
            context,
            unit: 0,
            scopes: Vec::new(),
            loops: 0,
            unassigned: IndexMap::new(),
            unevaluated: 0,
            define_depth: 0,
            define_uses: 0,
            copies: 1,
        }
    }

    pub(super) fn start_round(&mut self) {
        self.changed = false;
        self.define_uses = 0;
        self.diags.clear();
    }

    pub(super) fn start_last_round(&mut self) {
        self.start_round();
        self.last_round = true;
    }

    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    pub(super) fn unit(&mut self, index: usize, source: &UnitSource<'_>) -> Unit {
        if self.vars.len() <= index {
            self.vars.push(IndexMap::new());
        }
        self.unit = index;
        self.context = source.context.clone();
        self.scopes = vec![FxHashMap::default()];
        self.unassigned.clear();
        self.loops = 0;
        let predicate = source.probe.predicate.as_ref().map(|e| self.condition(e));
        let body = self.statements(&source.probe.body);
        for (id, span) in std::mem::take(&mut self.unassigned) {
            let message = format!("${} is declared but never assigned", self.vars[index][id.0 as usize].name);
            self.report(Diagnostic::warning(Code::UNUSED, span, message));
        }
        let vars = self.vars[index].values().map(|v| VarInfo { ty: v.ty.settled(), ..v.clone() }).collect();
        Unit { probes: source.probes.clone(), context: source.context.clone(), vars, predicate, body }
    }

    pub(super) fn finish(mut self) -> (IndexMap<String, MapInfo>, Vec<Diagnostic>) {
        let mut maps = IndexMap::new();
        for (name, state) in std::mem::take(&mut self.maps) {
            if !state.read && !state.assigned {
                let text = format!("@{name} is declared but never used");
                self.diags.push(Diagnostic::warning(Code::UNUSED, state.span, text));
            }
            let key = state.key.flatten().map(|k| k.settled());
            let info =
                MapInfo { key, value: state.value.settled(), declared: state.declared, generations: false };
            maps.insert(name, info);
        }
        self.lasting.extend(self.diags);
        (maps, self.lasting)
    }

    /// Reports.
    pub fn report(&mut self, diag: Diagnostic) {
        // What stands in the call itself needs no telling where that is.
        let inside = |call: &Span| {
            diag.primary
                .as_ref()
                .is_none_or(|p| p.span.file == call.file && p.span.lo >= call.lo && p.span.hi <= call.hi)
        };
        let chain: Vec<_> = self.expanding.iter().rev().filter(|(call, _)| !inside(call)).copied().collect();
        let diag = chain
            .into_iter()
            .fold(diag, |d, (call, name)| d.with_label(call, format!("expanded from {name}()")));
        self.diags.push(diag);
    }

    /// The calls of the macros that what is looked at was expanded from, innermost first.
    pub(crate) fn expanded_from(&self) -> Vec<Span> {
        self.expanding.iter().rev().map(|(call, _)| *call).collect()
    }

    /// Runs `f` for the block at `span`; if that is an expanded macro, what `f` reports tells so.
    pub(super) fn in_expansion<T>(&mut self, span: Span, f: impl FnOnce(&mut Self) -> T) -> T {
        let name = self.expansions.get(&span);
        if let Some(name) = name {
            self.expanding.push((span, name));
        }
        let result = f(self);
        if name.is_some() {
            self.expanding.pop();
        }
        result
    }

    /// Reports an error and gives the expression that stands in its place.
    pub(crate) fn fail(&mut self, diag: Diagnostic) -> Expr {
        let span = diag.primary.as_ref().map_or(Span::default(), |l| l.span);
        self.report(diag);
        Expr::error(span)
    }

    // Variables

    pub(super) fn push_scope(&mut self) {
        self.scopes.push(FxHashMap::default());
    }

    pub(super) fn pop_scope(&mut self) {
        self.scopes.pop();
    }

    pub(super) fn find_var(&self, name: &str) -> Option<VarId> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name).copied())
    }

    /// Declares a variable in the innermost scope; its type is known from the round before.
    pub(super) fn declare_var(&mut self, name: &str, span: Span) -> VarId {
        let entry = self.vars[self.unit].entry((name.to_string(), span));
        let id = VarId(entry.index() as u32);
        entry.or_insert_with(|| VarInfo {
            name: spelled(name).to_string(),
            ty: Type::Unknown,
            fixed: false,
            zeroed: false,
        });
        self.scopes.last_mut().expect("a unit has a scope").insert(name.to_string(), id);
        id
    }

    /// The variable of a name, declared here if there is none.
    pub(crate) fn var_or_new(&mut self, name: &str, span: Span) -> VarId {
        self.find_var(name).unwrap_or_else(|| self.declare_var(name, span))
    }

    pub(super) fn var_type(&self, id: VarId) -> Type {
        self.vars[self.unit][id.0 as usize].ty.settled()
    }

    /// Joins what is assigned into the variable's type.
    pub(crate) fn assign_var(&mut self, id: VarId, ty: &Type, span: Span) {
        self.mark_assigned(id);
        let var = &mut self.vars[self.unit][id.0 as usize];
        let parked = if var.zeroed { ty.parked() } else { ty.clone() };
        let ty = &parked;
        match join(&var.ty, ty) {
            Some(joined) if var.fixed && joined != var.ty => {
                self.refuse_declared(id, ty, span);
            }
            Some(joined) => {
                if joined != var.ty {
                    var.ty = joined;
                    self.changed = true;
                }
            }
            None => {
                let message =
                    format!("${} is {}, it cannot take {}", var.name, var.ty.settled(), ty.settled());
                self.report(Diagnostic::error(Code::NOT_ASSIGNABLE, span, message));
            }
        }
    }

    /// Says that the type of a `let` does not hold a value.
    fn refuse_declared(&mut self, id: VarId, ty: &Type, span: Span) {
        let var = &self.vars[self.unit][id.0 as usize];
        let message =
            format!("${} is declared as {}, it cannot take {}", var.name, var.ty.settled(), ty.settled());
        let diag = Diagnostic::error(Code::NOT_ASSIGNABLE, span, message);
        self.report(diag.with_help("cast the value to the type, or declare the variable wider"));
    }

    /// As [`Checker::assign_var`], of a value: a variable whose type `let` says takes every integer, cut to its width,
    /// but no literal that does not fit.
    pub(super) fn assign_value(&mut self, id: VarId, value: &Expr, span: Span) {
        self.mark_assigned(id);
        let var = &self.vars[self.unit][id.0 as usize];
        if let (true, Type::Int { bytes, signed }) = (var.fixed, &var.ty)
            && matches!(value.ty, Type::Int { .. } | Type::Enum(_))
        {
            let fits = match value.kind {
                ExprKind::Int(n) => {
                    let below_zero = n < 0 && value.ty != Type::U64;
                    wrap(n, *bytes, *signed) == n && (below_zero == (*signed && n < 0))
                }
                _ => true,
            };
            if !fits {
                self.refuse_declared(id, &value.ty, span);
            }
            return;
        }
        self.assign_var(id, &value.inferred(), span);
    }

    /// Takes note that the variable has a value from here on.
    pub(super) fn mark_assigned(&mut self, id: VarId) {
        self.unassigned.shift_remove(&id);
    }

    /// Warns of the use of a variable that nothing has assigned so far.
    pub(super) fn use_var(&mut self, id: VarId, span: Span) {
        if self.unevaluated == 0 && self.unassigned.contains_key(&id) {
            let name = &self.vars[self.unit][id.0 as usize].name;
            let message = format!("${name} is used before it is assigned: it is zero here");
            let diag = Diagnostic::warning(Code::UNASSIGNED, span, message);
            self.report(diag);
        }
    }

    /// Says that the variable begins as zero.
    pub(super) fn begin_as_zero(&mut self, id: VarId, span: Span) {
        self.vars[self.unit][id.0 as usize].zeroed = true;
        self.unassigned.insert(id, span);
    }

    /// Whether `let` says the variable's type.
    pub(super) fn is_fixed(&self, id: VarId) -> bool {
        self.vars[self.unit][id.0 as usize].fixed
    }

    /// Fixes the variable's type, as `let $x: T` does.
    pub(super) fn fix_var(&mut self, id: VarId, ty: Type) {
        let var = &mut self.vars[self.unit][id.0 as usize];
        var.fixed = true;
        if var.ty != ty {
            var.ty = ty;
            self.changed = true;
        }
    }

    pub(super) fn var_names(&self) -> Vec<&str> {
        self.scopes.iter().flat_map(|s| s.keys().map(|name| spelled(name))).collect()
    }

    // Maps

    pub(super) fn declare_maps(&mut self, items: &'a [Item]) {
        for item in items {
            let Item::MapDecl(decl) = item else { continue };
            let kind = match decl.kind.text.as_str() {
                "hash" => MapKind::Hash,
                "lruhash" => MapKind::LruHash,
                "percpuhash" => MapKind::PercpuHash,
                "percpulruhash" => MapKind::PercpuLruHash,
                other => {
                    let text = format!("unknown kind of map: {other}");
                    self.lasting.push(
                        Diagnostic::error(Code::UNKNOWN_TYPE, decl.kind.span, text)
                            .with_help("maps are hash, lruhash, percpuhash or percpulruhash"),
                    );
                    continue;
                }
            };
            let mut size = None;
            walk_expr(&decl.size, &mut |e| {
                if let ast::ExprKind::Int { value, .. } = e.kind {
                    size = u32::try_from(value).ok().filter(|n| *n > 0);
                }
            });
            let Some(size) = size else {
                let text = "the size of a map is a number above 0";
                self.lasting.push(Diagnostic::error(Code::NOT_CONSTANT, decl.size.span, text));
                continue;
            };
            let state = MapState {
                key: None,
                value: Type::Unknown,
                declared: Some((kind, size)),
                span: decl.span,
                assigned: false,
                read: false,
            };
            self.maps.insert(decl.map.text.clone(), state);
        }
    }

    /// The map of a name, made on first use.
    pub(crate) fn map_id(&mut self, name: &str, span: Span) -> MapId {
        let entry = self.maps.entry(name.to_string());
        let index = entry.index();
        entry.or_insert(MapState {
            key: None,
            value: Type::Unknown,
            declared: None,
            span,
            assigned: false,
            read: false,
        });
        MapId(index as u32)
    }

    fn map_name(&self, id: MapId) -> &str {
        self.maps.get_index(id.0 as usize).map_or("", |(name, _)| name)
    }

    fn map_mut(&mut self, id: MapId) -> &mut MapState {
        &mut self.maps[id.0 as usize]
    }

    /// The type of the map's values.
    pub(crate) fn map_value(&self, id: MapId) -> Type {
        self.maps[id.0 as usize].value.settled()
    }

    /// The type of the map's keys; `None` without keys or as long as it is not known.
    pub(crate) fn map_key(&self, id: MapId) -> Option<Type> {
        self.maps[id.0 as usize].key.clone().flatten().map(|k| k.settled())
    }

    /// Whether the map is known to have no keys.
    pub(crate) fn is_scalar_map(&self, id: MapId) -> bool {
        self.maps[id.0 as usize].key == Some(None)
    }

    /// Says so if the map is never assigned anywhere.
    pub(crate) fn read_map(&mut self, id: MapId, span: Span) {
        let last = self.last_round;
        let map = self.map_mut(id);
        map.read = true;
        if last && !map.assigned && !self.incomplete {
            let message = format!("undefined map: @{}", self.map_name(id));
            let diag = Diagnostic::error(Code::UNDEFINED_VARIABLE, span, message)
                .with_help("no statement of the script assigns it");
            self.report(diag);
        }
    }

    /// Joins what is assigned into the type of the map's values.
    pub(super) fn assign_map(&mut self, id: MapId, ty: &Type, span: Span) {
        let map = self.map_mut(id);
        map.assigned = true;
        let joined = match (&map.value, ty) {
            (Type::Agg(a), Type::Agg(b)) if a == b => Some(Type::Agg(*a)),
            (Type::Agg(_), Type::Agg(_)) => None,
            (a, b) => join(a, b),
        };
        match joined {
            Some(joined) => {
                if joined != map.value {
                    map.value = joined;
                    self.changed = true;
                }
            }
            None => {
                let value = map.value.settled();
                let message =
                    format!("@{} holds {value}, it cannot take {}", self.map_name(id), ty.settled());
                self.report(Diagnostic::error(Code::NOT_ASSIGNABLE, span, message));
            }
        }
    }

    /// Joins the key used here into the map's; gives the key as one expression.
    pub(crate) fn map_access(&mut self, id: MapId, keys: &[ast::Expr], span: Span) -> Option<Expr> {
        let key = match keys {
            [] => None,
            [one] => Some(self.parked(one)),
            many => {
                let members: Vec<Expr> = many.iter().map(|k| self.parked(k)).collect();
                let ty = Type::Tuple(members.iter().map(|m| m.ty.clone()).collect());
                Some(Expr { kind: ExprKind::Tuple(members), ty, span })
            }
        };
        let inferred = key.as_ref().map(Expr::inferred);
        if let (Some(key), Some(ty)) = (&key, &inferred)
            && matches!(ty, Type::Void | Type::Agg(_))
        {
            let message = format!("{ty} cannot be a key");
            self.report(Diagnostic::error(Code::TYPE_MISMATCH, key.span, message));
            return None;
        }
        let map = self.map_mut(id);
        let (joined, fits) = match (&map.key, inferred) {
            (None, new) => (Some(new), true),
            (Some(None), None) => (None, true),
            (Some(Some(old)), Some(new)) => match join(old, &new) {
                Some(joined) if joined != *old => (Some(Some(joined)), true),
                Some(_) => (None, true),
                None => (None, false),
            },
            (Some(None), Some(_)) | (Some(Some(_)), None) => (None, false),
        };
        if let Some(joined) = joined {
            map.key = Some(joined);
            self.changed = true;
        }
        if !fits {
            let old = self.map_key(id);
            let first = self.map_mut(id).span;
            let name = self.map_name(id);
            let message = match (&old, &key) {
                (None, _) => format!("@{name} is used without a key elsewhere"),
                (Some(old), None) => format!("@{name} needs a key of type {old}"),
                (Some(old), Some(key)) => format!("@{name} has keys of type {old}, not {}", key.ty),
            };
            let diag =
                Diagnostic::error(Code::NOT_ASSIGNABLE, span, message).with_label(first, "first used here");
            self.report(diag);
            return key;
        }
        let want = self.map_key(id);
        key.zip(want).map(|(key, want)| self.convert(key, &want))
    }
}
