//! What is written is read back; and whatever the bytes are, every question ends with an answer.

use std::sync::Arc;

use hark_btf::{
    Btf, BtfError, Builder, Def, DefMember, Endian, IntEncoding, Kind, Linkage, PathError, SectionVar, Type,
    TypeId,
};
use proptest::prelude::*;

/// The definition that would write this type.
fn to_def(ty: &Type<'_>) -> Def {
    let name = ty.name().to_owned();
    let target = ty.target().unwrap_or_default();
    let size = ty.stated_size().unwrap_or(0);
    let members = || {
        ty.members()
            .map(|m| DefMember {
                name: m.name.to_owned(),
                ty: m.ty,
                bit_offset: m.bit_offset,
                bitfield: m.bitfield,
            })
            .collect()
    };
    match ty.kind() {
        Kind::Void => unreachable!("void is not written"),
        Kind::Int => Def::Int(name, size, ty.int().unwrap()),
        Kind::Ptr => Def::Ptr(target),
        Kind::Array => {
            let a = ty.array().unwrap();
            Def::Array(a.element, a.index, a.len)
        }
        Kind::Struct => Def::Struct(name, size, members()),
        Kind::Union => Def::Union(name, size, members()),
        Kind::Enum | Kind::Enum64 => {
            Def::Enum(name, size, ty.enumerators().map(|e| (e.name.to_owned(), e.value)).collect())
        }
        Kind::Fwd if ty.is_union_fwd() => Def::FwdUnion(name),
        Kind::Fwd => Def::FwdStruct(name),
        Kind::Typedef => Def::Typedef(name, target),
        Kind::Volatile => Def::Volatile(target),
        Kind::Const => Def::Const(target),
        Kind::Restrict => Def::Restrict(target),
        Kind::Func => Def::Func(name, target, ty.linkage().unwrap()),
        Kind::FuncProto => Def::FuncProto(target, ty.params().map(|p| (p.name.to_owned(), p.ty)).collect()),
        Kind::Var => Def::Var(name, target, ty.linkage().unwrap()),
        Kind::Datasec => Def::Datasec(name, size, ty.section_vars().collect()),
        Kind::Float => Def::Float(name, size),
        Kind::DeclTag => Def::DeclTag(name, target, ty.component()),
        Kind::TypeTag => Def::TypeTag(name, target),
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-c]{0,3}"
}

/// Ids around those that exist, so that references dangle and form cycles.
fn id() -> impl Strategy<Value = TypeId> {
    (0u32..24).prop_map(TypeId)
}

fn linkage() -> impl Strategy<Value = Linkage> {
    prop_oneof![Just(Linkage::Static), Just(Linkage::Global), Just(Linkage::Extern)]
}

fn members() -> impl Strategy<Value = Vec<DefMember>> {
    let member = (name(), id(), 0u32..1 << 20, proptest::option::of(1u8..=64))
        .prop_map(|(name, ty, bit_offset, bitfield)| DefMember { name, ty, bit_offset, bitfield });
    proptest::collection::vec(member, 0..4)
}

fn int() -> impl Strategy<Value = IntEncoding> {
    // All bits used: fewer would make a member of this type an old-style bitfield.
    any::<(bool, bool, bool)>().prop_map(|(signed, is_char, is_bool)| IntEncoding {
        signed,
        is_char,
        is_bool,
        bits: 32,
        bit_offset: 0,
    })
}

fn enumeration() -> impl Strategy<Value = Def> {
    let values = prop_oneof![-5i128..5, Just(i128::from(i32::MIN)), Just(0x7fff_ffff)];
    let wide = prop_oneof![Just(i128::from(i64::MIN)), Just(i128::from(i64::MAX)), -5i128..5];
    let narrow = proptest::collection::vec((name(), values), 0..4);
    let wide = proptest::collection::vec((name(), wide), 0..4);
    prop_oneof![
        (name(), narrow).prop_map(|(n, v)| Def::Enum(n, 4, v)),
        (name(), wide).prop_map(|(n, v)| Def::Enum(n, 8, v)),
    ]
}

fn def() -> impl Strategy<Value = Def> {
    let var =
        (id(), any::<u32>(), any::<u32>()).prop_map(|(var, offset, size)| SectionVar { var, offset, size });
    prop_oneof![
        (name(), int()).prop_map(|(n, e)| Def::Int(n, 4, e)),
        id().prop_map(Def::Ptr),
        (id(), id(), any::<u32>()).prop_map(|(a, b, n)| Def::Array(a, b, n)),
        (name(), any::<u32>(), members()).prop_map(|(n, s, m)| Def::Struct(n, s, m)),
        (name(), any::<u32>(), members()).prop_map(|(n, s, m)| Def::Union(n, s, m)),
        enumeration(),
        name().prop_map(Def::FwdStruct),
        name().prop_map(Def::FwdUnion),
        (name(), id()).prop_map(|(n, t)| Def::Typedef(n, t)),
        id().prop_map(Def::Volatile),
        id().prop_map(Def::Const),
        id().prop_map(Def::Restrict),
        (name(), id(), linkage()).prop_map(|(n, t, l)| Def::Func(n, t, l)),
        (id(), proptest::collection::vec((name(), id()), 0..4)).prop_map(|(r, p)| Def::FuncProto(r, p)),
        (name(), id(), linkage()).prop_map(|(n, t, l)| Def::Var(n, t, l)),
        (name(), any::<u32>(), proptest::collection::vec(var, 0..3))
            .prop_map(|(n, s, v)| Def::Datasec(n, s, v)),
        (name(), 1u32..16).prop_map(|(n, s)| Def::Float(n, s)),
        (name(), id(), proptest::option::of(0u32..5)).prop_map(|(n, t, c)| Def::DeclTag(n, t, c)),
        (name(), id()).prop_map(|(n, t)| Def::TypeTag(n, t)),
    ]
}

fn build(endian: Endian, defs: &[Def]) -> Vec<u8> {
    let mut b = Builder::new(endian);
    for def in defs {
        b.add(def.clone());
    }
    b.build()
}

/// Every query about every type. The results are not looked at: they must come, and soon.
fn ask_everything(btf: &Btf) {
    for ty in btf.own_types() {
        let id = ty.id();
        let _ = (btf.resolve(id), btf.size_of(id), btf.align_of(id), btf.layout(id), btf.func_proto_of(id));
        let _ = (btf.type_name(id), btf.definition(id), btf.find(ty.kind(), ty.name()));
        for name in btf.member_names(id) {
            let _ = btf.resolve_path(id, &[name, name]);
        }
        for e in ty.enumerators() {
            let _ = btf.enumerator(e.name);
        }
        let _ = (ty.params().count(), ty.section_vars().count(), ty.linkage(), ty.component(), ty.int());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_it_wrote(defs in proptest::collection::vec(def(), 0..20), big in any::<bool>()) {
        let endian = if big { Endian::Big } else { Endian::Little };
        let btf = Btf::parse(build(endian, &defs)).unwrap();
        let read: Vec<Def> = btf.own_types().map(|ty| to_def(&ty)).collect();
        prop_assert_eq!(read, defs);
    }

    #[test]
    fn answers_however_types_refer_to_each_other(defs in proptest::collection::vec(def(), 0..20)) {
        ask_everything(&Btf::parse(build(Endian::Little, &defs)).unwrap());
    }

    #[test]
    fn answers_or_refuses_damaged_bytes(
        defs in proptest::collection::vec(def(), 1..20),
        hits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut bytes = build(Endian::Little, &defs);
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(btf) = Btf::parse(bytes) {
            ask_everything(&btf);
        }
    }

    #[test]
    fn finds_what_is_there(defs in proptest::collection::vec(def(), 0..20)) {
        let btf = Btf::parse(build(Endian::Little, &defs)).unwrap();
        // Twice, so that both the scan and the index are asked.
        for ty in btf.own_types().chain(btf.own_types()).filter(|ty| !ty.name().is_empty()) {
            let first = btf.own_types().find(|t| (t.kind(), t.name()) == (ty.kind(), ty.name())).map(|t| t.id());
            prop_assert_eq!(btf.find(ty.kind(), ty.name()), first);
        }
    }
}

#[test]
fn split_btf_refers_to_its_base() {
    let mut b = Builder::new(Endian::Little);
    let int = b.int("int", 4, true);
    let base_struct = b.structure("device", 4, vec![DefMember::new("id", int, 0)]);
    let base = Arc::new(Btf::parse(b.build()).unwrap());

    let mut module = Builder::split(&base);
    let own =
        module.structure("mine", 8, vec![DefMember::new("dev", base_struct, 0), DefMember::new("n", int, 4)]);
    let module = Btf::parse_split(base.clone(), module.build()).unwrap();

    assert_eq!(own, TypeId(3));
    assert_eq!(module.find(Kind::Struct, "mine"), Some(own));
    assert_eq!(module.find(Kind::Struct, "device"), Some(base_struct));
    assert_eq!(base.find(Kind::Struct, "mine"), None);
    assert_eq!(module.definition(own).unwrap(), "struct mine {\n\tstruct device dev;\n\tint n;\n};");
    assert_eq!(module.resolve_path(own, &["dev", "id"]).unwrap().offset, 0);
    let names: Vec<_> = module.types_of(Kind::Struct).map(|t| t.name()).collect();
    assert_eq!(names, ["device", "mine"]);
}

#[test]
fn a_cycle_of_typedefs_has_no_type_behind_it() {
    let mut b = Builder::new(Endian::Little);
    b.typedef("a", TypeId(2));
    b.typedef("b", TypeId(1));
    let btf = Btf::parse(b.build()).unwrap();
    assert!(btf.resolve(TypeId(1)).is_none());
    assert_eq!(btf.resolve_path(TypeId(1), &["x"]), Err(PathError::Broken { at: 0 }));
}

/// Each struct holds two of the next: 2^60 members by name. Every answer is cut short.
#[test]
fn a_bomb_of_anonymous_structs_is_given_up() {
    let mut b = Builder::new(Endian::Little);
    for i in 0..60 {
        let member = |at| DefMember { bit_offset: at, ..DefMember::new("", TypeId(i + 2), 0) };
        b.structure("", 8, vec![member(0), member(8)]);
    }
    b.structure("", 8, vec![]);
    let btf = Btf::parse(b.build()).unwrap();
    let start = std::time::Instant::now();
    assert!(btf.layout(TypeId(1)).is_none());
    assert_eq!(btf.resolve_path(TypeId(1), &["x"]), Err(PathError::Broken { at: 0 }));
    assert!(btf.align_of(TypeId(1)).is_none());
    assert!(btf.definition(TypeId(1)).unwrap().contains("<broken type>"));
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn wrong_files_are_named() {
    let good = build(Endian::Little, &[Def::Ptr(TypeId(0))]);
    let damage = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Btf::parse(bytes).unwrap_err()
    };
    assert_eq!(damage(0, 0x7f), BtfError::BadMagic(0xeb7f));
    assert_eq!(damage(2, 9), BtfError::UnknownVersion(9));
    assert_eq!(damage(24 + 7, 31), BtfError::UnknownKind { id: TypeId(1), kind: 31 });
    assert_eq!(damage(24 + 7, Kind::Array as u8), BtfError::TypeCut(TypeId(1)));
    assert_eq!(damage(24 + 12, b'x'), BtfError::BadStrings);
    let cut = Btf::parse(good[..30].to_vec()).unwrap_err();
    assert_eq!(cut.to_string(), "btf is cut off: 36 bytes needed, 30 there");
}
