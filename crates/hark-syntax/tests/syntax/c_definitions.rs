//! Structs, unions, enums and typedefs of scripts and headers.

use crate::tree;
use expect_test::expect;
use hark_diag::FileId;
use hark_syntax::{ParseOptions, dump, parse_header};

#[test]
fn members_of_every_kind() {
    expect![[r#"
        struct a
          member x
            type int
          member y
            pointer
              type int
          member z
            array
              type int
              int 4
          member u : 3
            type unsigned long long
          member (anonymous) : 5
            type unsigned long long
          member l
            type long unsigned int
          member s
            pointer
              type char
          member p
            pointer
              type u32
          member inner
            type struct b
          member next
            pointer
              type struct b
          member kind
            type enum e
          member grid
            array
              array
                type char
                binary +
                  name SIZE
                  int 1
              int 2
          member flex
            array
              type int
    "#]]
    .assert_eq(&tree(
        "struct a {
           int x, *y, z[4];
           unsigned long long u : 3, : 5;
           long unsigned int l; const char *s; u32 __user *p;
           struct b inner; struct b *next; enum e kind;
           char grid[2][SIZE + 1];
           int flex[];
         };",
    ));
}

#[test]
fn declarators_are_read_from_the_name_outwards() {
    expect![[r#"
        struct a
          member a
            array
              pointer
                type int
              int 3
          member b
            pointer
              array
                type int
                int 3
          member c
            pointer
              function
          member d
            array
              pointer
                function
              int 2
          member e
            pointer
              function
          member f
            pointer
              pointer
                function
          member g
            type char
    "#]]
    .assert_eq(&tree(
        "struct a {
           int *a[3]; int (*b)[3]; int (*c)(int, void *); int (*d[2])(void); void *(*e)(int (*)(void));
           int (**f)(void); char ((g));
         };",
    ));
}

#[test]
fn nested_and_anonymous() {
    expect![[r#"
        struct a
          member (anonymous)
            struct (anonymous)
              member x
                type int
          member u
            array
              union (anonymous)
                member y
                  type int
                member w
                  struct c
                    member z
                      type int
              int 2
          member e
            enum (anonymous)
              enumerator A
              enumerator B
    "#]]
    .assert_eq(&tree(
        "struct a { struct { int x; }; union { int y; struct c { int z; } w; } u[2]; enum { A, B } e; };",
    ));
}

#[test]
fn attributes() {
    expect![[r#"
        struct a packed aligned(8)
          member x
            type int
        struct b packed
          member x
            type int
        struct c packed aligned(16)
          member x
            type int
        struct d
          member x
            type int
    "#]]
    .assert_eq(&tree(
        "struct a { int x __attribute__((unused)); } __attribute__((packed, aligned(8)));
         struct __attribute__((__packed__)) b { int x; };
         struct c { int x; } __packed __aligned(16);
         struct d { int x; } __attribute__((preserve_access_index));",
    ));
}

#[test]
fn enums_and_typedefs() {
    expect![[r#"
        enum e
          enumerator A
          enumerator B
            int 3
          enumerator C
            binary <<
              int 1
              int 4
        enum (anonymous)
          enumerator D
            negate
              int 1
        typedef u32
          type unsigned int
        typedef pu32
          pointer
            type unsigned int
        typedef s_t
          struct (anonymous)
            member x
              type int
        typedef fn_t
          pointer
            function
    "#]]
    .assert_eq(&tree(
        "enum e { A, B = 3, C = 1 << 4, };
         enum { D = -1 };
         typedef unsigned int u32, *pu32;
         typedef struct { int x; } s_t;
         typedef int (*fn_t)(void *);
         struct forward;",
    ));
}

#[test]
fn the_semicolon_of_a_script_may_be_missing() {
    assert_eq!(tree("struct a { int x; }\nBEGIN { }"), tree("struct a { int x; };\nBEGIN { }"));
}

#[test]
fn a_header_has_types_and_constants() {
    let text = "#ifndef H\n#define H\n#pragma once\n#include <x.h>\n#define N 4\n\
        typedef unsigned int u32;\nextern int v;\nint f(struct s *p);\nstruct s *g(void);\n\
        static inline int h(int x) { return x ? 1 : 'a'; }\nstruct s { u32 a[N]; };\nstruct s w;\n\
        enum { A = N };\n_Static_assert(sizeof(int) == 4, \"\");\n#endif\n";
    let parsed = parse_header(FileId(0), text, &ParseOptions::default());
    assert_eq!(parsed.diags, []);
    expect![[r#"
        include <x.h>
        define N
          int 4
        typedef u32
          type unsigned int
        struct s
          member a
            array
              type u32
              name N
        enum (anonymous)
          enumerator A
            name N
    "#]]
    .assert_eq(&dump(&parsed.script));
}

#[test]
fn what_a_header_says_in_vain_is_a_warning() {
    let text = "struct a { STRANGE(int, x); };\nstruct b { int y; };\n#error no\n";
    let parsed = parse_header(FileId(0), text, &ParseOptions::default());
    assert!(!parsed.has_errors() && !parsed.diags.is_empty());
    assert!(dump(&parsed.script).contains("struct b"));
}
