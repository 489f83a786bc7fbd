//! The files that the rules check, and Rust source split into code, comments and strings.
//!
//! Rules work on a [`Tree`] in memory, never on the disk, so a test can give each one a tree of two lines that breaks
//! it. The split is a small lexer and not a parser: rules ask which words are in code and which in strings, and a
//! parser could not read files that do not yet compile.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::workspace;

/// Extensions of files that rules check.
const EXTENSIONS: &[&str] = &["rs", "wgsl", "toml", "md", "yml", "json", "py", "lock"];

/// Programs over other frameworks, which `bench --peers` runs. They are not part of the workspace and stay as they were
/// when their figures were taken, so rules about our crates do not apply.
pub const PEERS: &str = "bench/peers/";

/// Text files by path relative to the root, `/` between parts.
#[derive(Default)]
pub struct Tree {
    pub files: BTreeMap<String, Source>,
}

/// One file. For Rust `code` and `strings` have the same lines as `text`, with all else blanked.
pub struct Source {
    pub text: String,
    /// Only code: no comments, no contents of strings. Equals `text` if the file is not Rust.
    pub code: String,
    /// Only the contents of strings. Empty if the file is not Rust.
    pub strings: String,
}

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub file: String,
    /// From 1; 0 means the file as a whole.
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

impl Tree {
    /// The text files of a workspace.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        for path in workspace::files(root, EXTENSIONS)? {
            let text = workspace::read(&root.join(&path))?;
            tree.insert(path, text);
        }
        Ok(tree)
    }

    /// Adds a file.
    pub fn insert(&mut self, path: String, text: String) {
        let (code, strings) =
            if path.ends_with(".rs") { split(&text) } else { (text.clone(), String::new()) };
        self.files.insert(path, Source { text, code, strings });
    }

    /// Files with that extension.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &Source)> {
        let dot = format!(".{extension}");
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(&dot))
            .map(|(path, source)| (&**path, source))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        Self::from(&files[..])
    }
}

#[cfg(test)]
impl From<&[(&str, &str)]> for Tree {
    fn from(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        files.iter().for_each(|(path, text)| tree.insert((*path).to_owned(), (*text).to_owned()));
        tree
    }
}

impl Source {
    /// Lines, from 1, of the code before a `#[cfg(test)]` module: what ships.
    ///
    /// Unit tests are at the end of a file here, so everything after that line is test.
    pub fn shipped(text: &str) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(text.lines()).take_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }
}

/// Whether `word` occurs in `text` without a letter, digit or underscore next to it.
pub fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part)
            && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

/// The lexer's state.
enum State {
    Code,
    Line,
    Block(usize),
    Text,
    Raw(usize),
}

/// Code and string contents of Rust source, each with all else replaced by spaces, line by line the same.
fn split(source: &str) -> (String, String) {
    let chars: Vec<char> = source.chars().collect();
    let (mut code, mut strings) = (String::new(), String::new());
    let mut state = State::Code;
    let mut i = 0;
    while i < chars.len() {
        let rest = &chars[i..];
        let mut taken = 1;
        let (mut to_code, mut to_strings) = (false, false);
        match state {
            State::Code => match rest {
                ['/', '/', ..] => state = State::Line,
                ['/', '*', ..] => (state, taken) = (State::Block(1), 2),
                ['"', ..] => state = State::Text,
                ['r', '"' | '#', ..] if raw_hashes(rest).is_some() && !in_word(&chars, i) => {
                    let hashes = raw_hashes(rest).unwrap_or(0);
                    (state, taken) = (State::Raw(hashes), hashes + 2);
                }
                ['\'', '\\', _, ..] => {
                    taken = 3 + rest[3..].iter().position(|&c| c == '\'').map_or(0, |end| end + 1);
                }
                ['\'', _, '\'', ..] => taken = 3,
                _ => to_code = true,
            },
            State::Line => {
                if rest[0] == '\n' {
                    state = State::Code;
                }
            }
            State::Block(depth) => match rest {
                ['*', '/', ..] => {
                    taken = 2;
                    state = if depth == 1 { State::Code } else { State::Block(depth - 1) };
                }
                ['/', '*', ..] => (state, taken) = (State::Block(depth + 1), 2),
                _ => {}
            },
            State::Text => match rest {
                ['\\', _, ..] => (taken, to_strings) = (2, true),
                ['"', ..] => state = State::Code,
                _ => to_strings = true,
            },
            State::Raw(hashes) => {
                let closes = rest[0] == '"' && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes;
                if closes {
                    (state, taken) = (State::Code, hashes + 1);
                } else {
                    to_strings = true;
                }
            }
        }
        for &c in &rest[..taken.min(rest.len())] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            code.push(if to_code { c } else { blank });
            strings.push(if to_strings { c } else { blank });
        }
        i += taken;
    }
    (code, strings)
}

/// The number of `#` after the `r` of a raw string, `None` if it is not a raw string.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

/// Whether the character before `i` belongs to a word; the `b` of a byte string does not count.
fn in_word(chars: &[char], i: usize) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    match i.checked_sub(1).map(|before| chars[before]) {
        Some('b') => i >= 2 && part(chars[i - 2]),
        Some(c) => part(c),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_strings_are_told_apart() {
        let source = "let a = \"in \\\" text\"; // note \"no\"\n/* b /* c */ d */ let e: &'static str = r#\"raw \" one\"#;\n'\"' f '\\'' g";
        let (code, strings) = split(source);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&strings), ["in", "\\\"", "text", "raw", "\"", "one"]);
        let code_words = words(&code);
        for gone in ["note", "b", "c", "d", "raw", "text"] {
            assert!(!code_words.iter().any(|w| w == gone), "{gone} in {code}");
        }
        assert!(code.contains("let e: &'static str") && code.contains('f') && code.contains('g'));
        assert_eq!(code.lines().count(), source.lines().count());
    }

    #[test]
    fn words_need_edges() {
        assert!(has_word("use wgpu::Device;", "wgpu"));
        assert!(!has_word("use my_wgpu;", "wgpu") && !has_word("wgpu2", "wgpu"));
    }

    #[test]
    fn test_modules_are_not_shipped() {
        let lines: Vec<_> = Source::shipped("a\n#[cfg(test)]\nmod tests {}").collect();
        assert_eq!(lines, [(1, "a")]);
    }
}
