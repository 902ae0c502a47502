//! Turns TypeScript into JavaScript.
//!
//! Types are overwritten with spaces, so that each line and column of the author's file stays what it is, in stack
//! traces, too. Some syntax of TypeScript is more than types (enums, namespaces, parameter properties, JSX), and some
//! types cannot be overwritten in their place. Which ones that are need not be known: the result must print as what
//! oxc's transformer makes of the file, and where it does not, the transformer's output is taken, and laid out on the
//! lines of the file.

mod blank;
mod lines;

use std::path::Path;

use oxc_allocator::{Allocator, Vec};
use oxc_ast::ast::{Program, Statement};
use oxc_ast_visit::{VisitMut, walk_mut};
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use oxc_transformer::{TransformOptions, Transformer};

use super::place;

/// The JavaScript of a TypeScript module.
pub(super) fn to_javascript(file: &str, source: &str) -> Result<String, String> {
    let kind = SourceType::from_path(Path::new(file)).map_err(|error| format!("{file}: {error}"))?.with_module(true);
    let allocator = Allocator::default();
    let blanked = {
        let program = parse(&allocator, file, source, kind)?;
        let semantic = SemanticBuilder::new().build(&program).semantic;
        blank::types(source, &program, semantic.scoping())
    };
    let mut program = parse(&allocator, file, source, kind)?;
    let scoping = SemanticBuilder::new().with_enum_eval(true).build(&program).semantic.into_scoping();
    let options = TransformOptions::default();
    let done = Transformer::new(&allocator, Path::new(file), &options).build_with_scoping(scoping, &mut program);
    if let Some(error) = done.diagnostics.into_iter().next() {
        return Err(message(file, source, &error));
    }
    let laid_out = Codegen::new().build(&program).code;
    let placed = lines::with_lines(file, &program);
    let transformed = print(program);
    // The transformer marks as a module what has lost its last import.
    let transformed = transformed.strip_suffix("export{};").unwrap_or(&transformed);
    let is_same = |text: &String| {
        let parsed = Parser::new(&allocator, allocator.alloc_str(text), SourceType::mjs()).parse();
        if !parsed.diagnostics.is_empty() {
            return false;
        }
        let printed = print(parsed.program);
        printed.strip_suffix("export{};").unwrap_or(&printed) == transformed
    };
    Ok(blanked.filter(is_same).or_else(|| Some(placed).filter(is_same)).unwrap_or(laid_out))
}

/// A JavaScript module as it is, if it can be parsed: the messages of the parser say more than those of the engine.
pub(super) fn check_javascript(file: &str, source: String) -> Result<String, String> {
    let allocator = Allocator::default();
    parse(&allocator, file, &source, SourceType::mjs())?;
    Ok(source)
}

fn parse<'a>(allocator: &'a Allocator, file: &str, source: &'a str, kind: SourceType) -> Result<Program<'a>, String> {
    let parsed = Parser::new(allocator, source, kind).parse();
    match parsed.diagnostics.into_iter().next() {
        Some(error) => Err(message(file, source, &error)),
        None => Ok(parsed.program),
    }
}

/// Without comments, layout, and the semicolons that overwritten declarations leave, so that only the code is compared.
fn print(mut program: Program<'_>) -> String {
    WithoutEmptyStatements.visit_program(&mut program);
    Codegen::new().with_options(CodegenOptions::minify()).build(&program).code
}

struct WithoutEmptyStatements;

impl<'a> VisitMut<'a> for WithoutEmptyStatements {
    fn visit_statements(&mut self, statements: &mut Vec<'a, Statement<'a>>) {
        statements.retain(|statement| !matches!(statement, Statement::EmptyStatement(_)));
        walk_mut::walk_statements(self, statements);
    }
}

pub(super) fn message(file: &str, source: &str, error: &OxcDiagnostic) -> String {
    let label = error.labels.first();
    let span = label.map_or((0, 1), |label| (label.offset() as usize, (label.offset() + label.len()) as usize));
    let help = error.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    place::message(file, source, span, &format!("{}{help}", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn javascript(source: &str) -> String {
        to_javascript("plugin.ts", source).expect("JavaScript")
    }

    #[test]
    fn types_are_overwritten_in_their_place() {
        let source = "import type { A } from 'a';\nimport { b, type C, D } from 'b';\ninterface E { x: number }\n\
            type F = string;\ndeclare const g: number;\nexport type { A };\n\
            export async function h<T extends C>(this: D, x?: T, ...y: F[]): Promise<T> { return x as T; }\n\
            class I<T> extends b<T> implements E {\n  private readonly x: number = 1;\n  y!: T;\n  declare z: F;\n\
            \x20 static override m?(): void;\n  public async n(a: T): Promise<void> { a!.b = <T>a; }\n  [k: string]: F;\n}\n\
            const j = (a: F): a is F => a satisfies F;\nlet k = new Map<string, F>();\nk = b<F>;\n\
            try { throw 1 } catch (e: unknown) { e }\nexport default abstract class L { abstract q(): void; r = 1 }\n\
            function over(a: string): void;\nfunction over(a: unknown) { return a }\n";
        let made = javascript(source);
        assert_eq!(made.len(), source.len(), "{made}");
        for (line, (one, other)) in source.lines().zip(made.lines()).enumerate() {
            assert_eq!(one.len(), other.len(), "line {line}");
            assert!(
                one.bytes().zip(other.bytes()).all(|(one, other)| one == other || b" ;".contains(&other)),
                "{other}"
            );
        }
        assert!(made.contains("import { b") && !made.contains("D }") && !made.contains("interface"), "{made}");
    }

    #[test]
    fn a_statement_that_goes_does_not_join_its_neighbours() {
        let made = javascript(
            "let a = f\ntype T = 1\n(a as T)\nlet b = a as T\n[1].map(f)\nfunction f(x?: unknown): any { return f }",
        );
        let lines: std::vec::Vec<_> = made.lines().map(str::trim_end).collect();
        assert_eq!(lines[1], ";");
        assert!(lines[3].ends_with(';'), "{made}");
    }

    #[test]
    fn an_import_that_nothing_uses_moves_no_line() {
        for source in [
            "import { get, Refusal } from 'coinslot';\nget();\n",
            "import { Refusal, get } from 'coinslot';\nget();\n",
            "import a, { b } from 'c';\nimport * as d from 'e';\nimport 'f';\na();\n",
            "import a, { b } from 'c';\nb();\n",
        ] {
            let made = javascript(source);
            assert_eq!(made.lines().last(), source.lines().last(), "{made}");
            assert_eq!(made.lines().count(), source.lines().count(), "{made}");
        }
    }

    #[test]
    fn what_is_more_than_types_is_transformed() {
        let made = javascript(
            "enum Size { Small = 1 }\nclass A { constructor(private x: number) {} get y() { return this.x } }\nexport { Size, A };",
        );
        assert!(made.contains("this.x=x") && made.contains("Small"), "{made}");
        let made = javascript("export const f = (a: number): {\n  b: number\n} => ({ b: a });");
        assert!(made.contains("=>"), "{made}");
    }

    #[test]
    fn what_is_transformed_keeps_its_lines() {
        let source = "import { get, Refusal } from 'coinslot';\n\nexport enum Size {\n  Small = 1,\n  Large,\n}\n\n\
            class A {\n  constructor(private x: number) {}\n  f(): string {\n    // why\n    throw new Error(`a\n${this.x}\n`);\n  }\n}\n\n\
            get(new A(Size.Large).f());\n";
        let made = javascript(source);
        for part in ["class A", "throw new Error", "get(new A"] {
            let line = |text: &str| text.lines().position(|line| line.contains(part));
            assert_eq!(line(&made), line(source), "{part}: {made}");
        }
    }

    #[test]
    fn a_module_that_loses_its_last_import_keeps_its_lines() {
        let made = javascript("import { A } from './a';\n\n\nthrow new Error('boom');\n");
        assert_eq!(made.lines().nth(3), Some("throw new Error('boom');"), "{made}");
    }

    #[test]
    fn a_syntax_error_has_its_place_and_its_line() {
        let error = to_javascript("plugin.ts", "const a = 1;\nconst b = (;\n").expect_err("no TypeScript");
        assert!(error.starts_with("plugin.ts:2:12: ") && error.contains("\n  const b = (;\n"), "{error}");
    }
}
