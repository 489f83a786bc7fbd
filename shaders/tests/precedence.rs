//! Operators of all shipped text, mixed only as the grammar of WGSL allows.
//!
//! naga reads `a < b & c` as C would. The standard has no such expression and wants parentheses, so browsers refuse it. Tint
//! says so too (`cargo xtask shaders --tint`), but it needs Node; this looks at tokens alone, so it runs wherever tests do.
//! It is no parser: it cuts the text into stretches of one nesting level without a comma, and looks at the operators of
//! each. Templates are told from comparisons by this project's spaces around operators.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::BTreeSet;

use seqloom_shaders::variants;

/// Binary operators, each before those that it begins with.
const OPERATORS: [&str; 18] =
    ["<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+", "-", "*", "/", "%", "<", ">", "&", "|", "^"];

/// What ends a stretch besides brackets; assignments before what they begin with.
const ENDS: [&str; 15] =
    ["<<=", ">>=", "->", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "=", ",", ";", ":"];

/// Words behind which an operator is a sign of its operand, not between two.
const KEYWORDS: [&str; 8] = ["return", "if", "else", "while", "for", "switch", "case", "let"];

fn is_bitwise(operator: &str) -> bool {
    ["&", "|", "^"].contains(&operator)
}

fn is_shift(operator: &str) -> bool {
    ["<<", ">>"].contains(&operator)
}

fn is_relation(operator: &str) -> bool {
    ["<", ">", "<=", ">=", "==", "!="].contains(&operator)
}

fn is_logical(operator: &str) -> bool {
    ["&&", "||"].contains(&operator)
}

/// What is wrong with the operators of one stretch.
fn fault(operators: &[&str]) -> Option<&'static str> {
    let kinds: BTreeSet<_> = operators.iter().collect();
    if operators.iter().any(|operator| is_bitwise(operator)) && kinds.len() > 1 {
        return Some("a bitwise operator beside another");
    }
    if kinds.iter().filter(|operator| is_logical(operator)).count() > 1 {
        return Some("`&&` beside `||`");
    }
    for side in operators.split(|operator| is_logical(operator)) {
        if side.iter().filter(|operator| is_relation(operator)).count() > 1 {
            return Some("a comparison of a comparison");
        }
        for term in side.split(|operator| is_relation(operator)) {
            if term.len() > 1 && term.iter().any(|operator| is_shift(operator)) {
                return Some("a shift beside another operator");
            }
        }
    }
    None
}

/// The places of `source`, lines from 1, where operators are mixed without parentheses.
fn mixed(source: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    // The stretches that are open, one for each bracket; and whether the last token was an operand.
    let mut open: Vec<Vec<&str>> = vec![Vec::new()];
    let mut operand = false;
    for (number, line) in (1..).zip(source.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        let mut rest = code;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let mut close = |open: &mut Vec<Vec<&str>>, whole: bool| {
                let operators = if whole { open.pop() } else { open.last_mut().map(std::mem::take) };
                found.extend(operators.and_then(|operators| fault(&operators)).map(|fault| (number, fault)));
                if open.is_empty() {
                    open.push(Vec::new());
                }
            };
            let word =
                rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
            let starts = |texts: &[&'static str]| texts.iter().copied().find(|text| rest.starts_with(text));
            let template = c == '<' && (before.is_alphanumeric() || before == '_') && !rest.starts_with("< ");
            let in_template = open.last().is_some_and(|stretch| stretch.first() == Some(&"template"));
            let taken = if word > 0 {
                operand = !KEYWORDS.contains(&&rest[..word]);
                if !operand {
                    close(&mut open, false);
                }
                word
            } else if c.is_whitespace() {
                1
            } else if "([{".contains(c) || template {
                if c == '{' {
                    close(&mut open, false);
                }
                open.push(if template { vec!["template"] } else { Vec::new() });
                operand = false;
                1
            } else if ")]}".contains(c) || (c == '>' && in_template) {
                close(&mut open, true);
                operand = c != '}';
                1
            } else if rest.starts_with("++") || rest.starts_with("--") {
                2
            } else if let Some(end) = starts(&ENDS).filter(|end| *end != "=" || !rest.starts_with("==")) {
                if !in_template {
                    close(&mut open, false);
                }
                operand = false;
                end.len()
            } else if let Some(operator) = starts(&OPERATORS) {
                if operand && !in_template {
                    open.last_mut().unwrap().push(operator);
                }
                operand = false;
                operator.len()
            } else {
                c.len_utf8()
            };
            before = rest[..taken].chars().next_back().unwrap_or(' ');
            rest = &rest[taken..];
        }
    }
    found
}

#[test]
fn shipped_text_mixes_operators_as_the_grammar_allows() {
    let mut faults = BTreeSet::new();
    for wgsl in variants().into_iter().flatten() {
        for (line, fault) in mixed(&wgsl.source) {
            let text = wgsl.source.lines().nth(line - 1).unwrap_or_default().trim();
            faults.insert(format!("{}: {fault}: {text}", wgsl.kernel));
        }
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_the_grammar_lacks_is_found() {
    for text in [
        "let x = a < b & c;",
        "let x = a & vec4<bool>(true, b > 1u, c, d) == e;",
        "let x = vec4(0u, a + b & c);",
        "let x = a & b | c;",
        "let x = a << 1u + b;",
        "let x = a << 1u << b;",
        "let x = a && b || c;",
        "let x = a < b == c;",
        "if a & b != 0u { return 1u | 2u ^ x; }",
        "x = y[i + 1u\n    & 3u];",
    ] {
        assert!(!mixed(text).is_empty(), "{text}");
    }
    assert_eq!(mixed("a = 1u;\nb = c | 1u\n    & d;"), [(3, "a bitwise operator beside another")]);
}

#[test]
fn what_the_grammar_has_passes() {
    for text in [
        "let x = (a < b) & vec4<bool>(true, b > 1u, c < d, d);",
        "let x = a & b & c;",
        "let odd = (r & 1u) != 0u && -x < ~y;",
        "x = array<vec4<f32>, N * M>(); y += a << 1u; z ^= (a >> 16u) ^ b;",
        "if a << 1u < b + c && d == e && !f { i++; return -x * y; }",
        "@group(0) @binding(1) var<storage, read_write> out: array<f32>; // a < b & c",
        "for (var p = 0u; p < n && q < m; p += 4u) { s[p] = t[p % 4u] + f(&u, v - 1u); }",
        "fn f(next: ptr<function, Next>, z: u32) -> vec4<f32> { (*next).a[e] = 1.0e-3f; }",
    ] {
        assert_eq!(mixed(text), [], "{text}");
    }
}
