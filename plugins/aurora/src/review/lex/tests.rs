use super::*;

fn texts(source: &str, language: Language) -> Vec<(Kind, &str)> {
    tokens(source, language).into_iter().map(|token| (token.kind, token.text)).collect()
}

#[test]
fn rust_strings_characters_lifetimes_and_nested_comments_are_distinguished() {
    use Kind::*;
    let found = texts("f('a', &'a \"x\\\"\", r#\"a\"b\"#, b'\\'', '\u{e9}') /* a /* b */ c */ r#type", Language::Rust);
    let kept: Vec<_> = found.into_iter().filter(|(kind, _)| *kind != Sign).collect();
    assert_eq!(
        kept,
        [
            (Word, "f"),
            (Text, "'a'"),
            (Lifetime, "'a"),
            (Text, "\"x\\\"\""),
            (Text, "r#\"a\"b\"#"),
            (Text, "b'\\''"),
            (Text, "'\u{e9}'"),
            (Comment, "/* a /* b */ c */"),
            (Word, "r#type"),
        ]
    );
}

#[test]
fn python_prefixes_triple_quotes_and_comments_are_whole() {
    let found = texts("x = rb'\\'' + f\"\"\"a\n\"b\"\"\" # 'c'", Language::Python);
    assert_eq!(found[2], (Kind::Text, "rb'\\''"));
    assert_eq!(found[4], (Kind::Text, "f\"\"\"a\n\"b\"\"\""));
    assert_eq!(found[5], (Kind::Comment, "# 'c'"));
}

#[test]
fn code_inside_a_template_is_code_and_the_rest_is_text() {
    let found = texts("`a ${ f({b: `c`}) } eval(x)` + 1", Language::Javascript);
    assert_eq!(found.first(), Some(&(Kind::Text, "`a ${")));
    assert!(found.contains(&(Kind::Word, "f")) && found.contains(&(Kind::Text, "`c`")));
    assert!(found.contains(&(Kind::Text, "} eval(x)`")) && found.contains(&(Kind::Number, "1")));
}

#[test]
fn a_slash_is_a_division_or_a_regular_expression_by_the_token_before_it() {
    let found = texts("a / b / c; x = /[/]eval(/g.test(s)", Language::Javascript);
    assert_eq!(found.iter().filter(|(_, text)| *text == "/").count(), 2);
    assert!(found.contains(&(Kind::Text, "/[/]eval(/g")));
}

#[test]
fn positions_are_lines_and_characters_from_one() {
    let found = tokens("\u{e9} = 1\n  /* a\n b */ y", Language::Rust);
    let place = |at: usize| (found[at].line, found[at].column);
    assert_eq!((place(0), place(1), place(2)), ((1, 1), (1, 3), (1, 5)));
    assert_eq!((place(3), place(4)), ((2, 3), (3, 7)));
}

#[test]
fn any_bytes_give_tokens_that_cover_everything_but_blanks() {
    let nasty = [
        "\"",
        "'",
        "`${",
        "r#\"",
        "/*",
        "'''",
        "\\",
        "`a${`b${`",
        "\"\\",
        "0x",
        "\u{e9}'",
        "/[",
        "'\\",
        "b'",
        "#",
        "'\u{1F600}",
    ];
    for language in Language::ALL {
        for a in nasty {
            for b in nasty {
                let source = format!("{a} {b}\n{b}{a}");
                let mut end = 0;
                for token in tokens(&source, language) {
                    assert!(token.start >= end, "{source:?}");
                    assert!(source[end..token.start].trim().is_empty(), "{source:?}");
                    end = token.start + token.text.len();
                }
                assert!(source[end..].trim().is_empty(), "{source:?}");
            }
        }
    }
}
