//! Prints JavaScript with the lines of the TypeScript that it was made of.
//!
//! The printer gives the code without layout, and the place in the source of each piece. Line ends and spaces that go in
//! before a piece bring it to its place, as long as nothing that was added (an enum's function, say) took that place.

use std::path::PathBuf;

use oxc_ast::ast::Program;
use oxc_codegen::{Codegen, CodegenOptions};

/// The characters after which a line end does not change the meaning of the code.
const BEFORE_LINE_END: [char; 7] = [';', '{', '}', ',', '(', '[', ')'];

/// The code of a program. The caller checks that it is the same code: text of a template may look like its end.
pub(super) fn with_lines(file: &str, program: &Program<'_>) -> String {
    let options = CodegenOptions { source_map_path: Some(PathBuf::from(file)), ..CodegenOptions::minify() };
    let printed = Codegen::new().with_options(options).build(program);
    let Some(map) = printed.map else { return printed.code };
    let mut tokens = map.get_tokens().peekable();
    let mut out = Placed::default();
    let (mut line, mut column) = (0, 0);
    for c in printed.code.chars() {
        while let Some(token) = tokens.next_if(|token| (token.get_dst_line(), token.get_dst_col()) <= (line, column)) {
            if (token.get_dst_line(), token.get_dst_col()) == (line, column) {
                out.move_to(token.get_src_line(), token.get_src_col());
            }
        }
        out.push(c);
        if c == '\n' {
            (line, column) = (line + 1, 0);
        } else {
            column += u32::try_from(c.len_utf16()).unwrap_or(1);
        }
    }
    out.text
}

/// A text, and the place of its end, from 0.
#[derive(Debug, Default)]
struct Placed {
    text: String,
    line: u32,
    column: u32,
}

impl Placed {
    fn push(&mut self, c: char) {
        self.text.push(c);
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 0);
        } else {
            self.column += u32::try_from(c.len_utf16()).unwrap_or(1);
        }
    }

    /// Adds line ends and spaces up to a place, where they can stand and the place is not behind.
    fn move_to(&mut self, line: u32, column: u32) {
        if !self.text.is_empty() && !self.text.ends_with(BEFORE_LINE_END) {
            return;
        }
        while self.line < line {
            self.push('\n');
        }
        while self.line == line && self.column < column {
            self.push(' ');
        }
    }
}
