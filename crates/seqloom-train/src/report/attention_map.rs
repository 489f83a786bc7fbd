//! A model's attention while it wrote, as a picture with both sentences as axes.
//!
//! There is a row per written token and a column per read token; a darker cell has more weight. Cells are squares of
//! plain SVG and labels stay text, so the picture can be searched and needs no fonts on the machine that draws it.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};
use crate::replace::replace;

/// Side of a cell in pixels, unless the picture would be too wide.
const CELL: i32 = 26;

/// Most pixels for the cells of an axis, as long as each is at least [`LEAST`] wide.
const WIDEST: usize = 1600;

/// Least side of a cell.
const LEAST: i32 = 6;

/// Height of letters.
const LETTER: i32 = 13;

/// Approximate width of a letter.
const ADVANCE: i32 = 8;

/// Room around the cells, besides the labels.
const MARGIN: i32 = 16;

/// Room for the title.
const TITLE: i32 = 34;

/// Levels of the scale beside the cells.
const LEVELS: i32 = 10;

/// How far outside 0 to 1 a weight may be: a softmax in f32 over thousands of positions rounds at most that much.
const SLACK: f32 = 1e-3;

/// What [`attention_map`] draws.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMap<'a> {
    /// Line above the picture.
    pub title: &'a str,
    /// The tokens that were read, S of them, from left to right.
    pub source: &'a [String],
    /// The tokens that were written, T of them, from top to bottom.
    pub target: &'a [String],
    /// Weights [T, S] in row-major order, 0 to 1.
    pub weights: &'a [f32],
}

/// Draws a map into an SVG file, replacing it whole.
///
/// # Errors
/// [`Error::Plot`] if a sentence has no tokens, the weights are not T·S, or one is not between 0 and 1; [`Error::Io`] if the
/// file cannot be written.
pub fn attention_map(path: impl AsRef<Path>, map: AttentionMap<'_>) -> Result<()> {
    let path = path.as_ref();
    let failed = |detail: String| Error::Plot { path: path.to_owned(), detail };
    map.check().map_err(failed)?;
    let frame = Frame::of(&map);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, frame.size()).into_drawing_area();
        draw(&area, &map, &frame).map_err(failed)?;
        area.present().map_err(|e| failed(e.to_string()))?;
    }
    replace(path, |file| std::io::Write::write_all(file, svg.as_bytes()))
}

impl AttentionMap<'_> {
    fn check(&self) -> std::result::Result<(), String> {
        let (rows, columns) = (self.target.len(), self.source.len());
        if rows == 0 || columns == 0 {
            return Err(format!("{columns} source and {rows} target tokens leave nothing to draw"));
        }
        if Some(self.weights.len()) != rows.checked_mul(columns) {
            let has = self.weights.len();
            return Err(format!(
                "{has} weights are not one for each of {rows} target and {columns} source tokens"
            ));
        }
        match self.weights.iter().position(|w| !(-SLACK..=1.0 + SLACK).contains(w)) {
            None => Ok(()),
            Some(at) => Err(format!(
                "the weight of target token {} for source token {} is {}, it must be between 0 and 1",
                at / columns,
                at % columns,
                self.weights[at]
            )),
        }
    }
}

/// Where things are, in pixels.
struct Frame {
    cell: i32,
    left: i32,
    top: i32,
    rows: i32,
    columns: i32,
}

impl Frame {
    fn of(map: &AttentionMap<'_>) -> Self {
        let longest =
            |tokens: &[String]| tokens.iter().map(|t| t.chars().count()).max().unwrap_or(0).min(200) as i32;
        let most = map.source.len().max(map.target.len());
        Self {
            cell: i32::try_from(WIDEST / most).unwrap_or(LEAST).clamp(LEAST, CELL),
            left: MARGIN + longest(map.target) * ADVANCE + LETTER,
            top: TITLE + longest(map.source) * ADVANCE + LETTER,
            rows: i32::try_from(map.target.len()).unwrap_or(i32::MAX),
            columns: i32::try_from(map.source.len()).unwrap_or(i32::MAX),
        }
    }

    /// The upper left corner of a cell.
    fn corner(&self, row: i32, column: i32) -> (i32, i32) {
        (self.left + column * self.cell, self.top + row * self.cell)
    }

    fn size(&self) -> (u32, u32) {
        let (right, bottom) = self.corner(self.rows.max(5), self.columns);
        ((right + MARGIN + 5 * CELL).max(320) as u32, (bottom + MARGIN) as u32)
    }
}

fn draw(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    map: &AttentionMap<'_>,
    frame: &Frame,
) -> std::result::Result<(), String> {
    let failed = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    let font = ("sans-serif", LETTER).into_text_style(area).color(&BLACK);
    let at = |h, v| font.pos(Pos::new(h, v));
    let text = |words: &str, style: TextStyle<'_>, place| {
        area.draw(&Text::new(words.to_owned(), place, style)).map_err(failed)
    };
    area.fill(&WHITE).map_err(failed)?;
    text(map.title, at(HPos::Left, VPos::Top), (MARGIN, MARGIN / 2))?;
    let half = frame.cell / 2;
    for (row, label) in (0..).zip(map.target) {
        let (x, y) = frame.corner(row, 0);
        text(label, at(HPos::Right, VPos::Center), (x - LETTER / 2, y + half))?;
    }
    for (column, label) in (0..).zip(map.source) {
        let (x, y) = frame.corner(0, column);
        let upwards = at(HPos::Left, VPos::Center).transform(FontTransform::Rotate270);
        text(label, upwards, (x + half, y - LETTER / 2))?;
    }
    for (row, weights) in (0..).zip(map.weights.chunks(map.source.len())) {
        for (column, &weight) in (0..).zip(weights) {
            let (x, y) = frame.corner(row, column);
            let cell =
                Rectangle::new([(x, y), (x + frame.cell - 1, y + frame.cell - 1)], shade(weight).filled());
            area.draw(&cell).map_err(failed)?;
        }
    }
    // The scale: 1 above, 0 below.
    let (x, y) = frame.corner(0, frame.columns);
    let (x, height) = (x + CELL, CELL / 2);
    for level in 0..=LEVELS {
        let top = y + (LEVELS - level) * height;
        let value = level as f32 / LEVELS as f32;
        let step = Rectangle::new([(x, top), (x + CELL, top + height)], shade(value).filled());
        area.draw(&step).map_err(failed)?;
        if level % 5 == 0 {
            text(&format!("{value:.1}"), at(HPos::Left, VPos::Center), (x + CELL + 6, top + height / 2))?;
        }
    }
    Ok(())
}

/// The colour of a weight: from almost white to dark blue, so that 0 still shows as a cell.
fn shade(weight: f32) -> RGBColor {
    let mix = |none: f32, all: f32| (none + (all - none) * weight.clamp(0.0, 1.0)).round() as u8;
    RGBColor(mix(241.0, 8.0), mix(245.0, 48.0), mix(250.0, 107.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn drawn(source: &[&str], target: &[&str], weights: &[f32]) -> Result<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("map.svg");
        let (source, target) = (tokens(source), tokens(target));
        attention_map(&path, AttentionMap { title: "a date", source: &source, target: &target, weights })?;
        Ok(std::fs::read_to_string(&path).unwrap())
    }

    fn colour(weight: f32) -> String {
        let RGBColor(r, g, b) = shade(weight);
        format!("fill=\"#{r:02X}{g:02X}{b:02X}\"")
    }

    #[test]
    fn there_is_a_cell_for_each_pair_and_a_label_for_each_token() {
        let svg =
            drawn(&["3rd", "March", "2021"], &["2021-", "03"], &[0.0, 0.25, 0.75, 0.6, 0.4, 0.0]).unwrap();
        for word in ["<svg", "a date", "3rd", "March", "2021", "2021-", "03", "0.0", "0.5", "1.0"] {
            assert!(svg.lines().any(|line| line.contains(word)), "{word} is missing");
        }
        // Six cells, the scale and the ground.
        assert_eq!(svg.matches("<rect").count(), 6 + LEVELS as usize + 1 + 1);
        assert_eq!(svg.matches(&colour(0.75)).count(), 1);
        assert_eq!(svg.matches(&colour(0.25)).count(), 1);
        // Twice in the map, once in the scale.
        assert_eq!(svg.matches(&colour(0.0)).count(), 3);
        assert_eq!(svg.matches("rotate(270").count(), 3);
    }

    #[test]
    fn cells_stand_in_their_row_and_column() {
        let svg = drawn(&["a", "b", "c"], &["x", "y"], &[0.05, 0.05, 0.9, 0.35, 0.6, 0.05]).unwrap();
        let place = |weight: f32, axis: &str| -> i32 {
            let line = svg.lines().find(|l| l.contains("<rect") && l.contains(&colour(weight))).unwrap();
            let value = line.split(&format!(" {axis}=\"")).nth(1).unwrap();
            value.split('"').next().unwrap().parse().unwrap()
        };
        // 0.9 is (x, c), 0.35 (y, a), and no level of the scale has the colour of 0.35.
        assert_eq!(place(0.9, "x") - place(0.35, "x"), 2 * CELL);
        assert_eq!(place(0.35, "y") - place(0.9, "y"), CELL);
    }

    #[test]
    fn words_that_look_like_markup_stay_words() {
        let svg = drawn(&["<b>&"], &["\"'"], &[1.0]).unwrap();
        assert!(svg.contains("&lt;b&gt;&amp;") && !svg.contains("<b>"), "{svg}");
    }

    #[test]
    fn long_sentences_get_small_cells() {
        let many: Vec<&str> = vec!["word"; 500];
        let svg = drawn(&many, &["x"], &vec![0.002; 500]).unwrap();
        assert!(svg.contains(&format!("width=\"{}\" height=\"{}\"", LEAST - 1, LEAST - 1)), "cells");
    }

    #[test]
    fn what_is_no_map_is_named() {
        let detail = |source: &[&str], target: &[&str], weights: &[f32]| match drawn(source, target, weights)
            .unwrap_err()
        {
            Error::Plot { detail, path } => {
                assert!(path.ends_with("map.svg"));
                detail
            }
            other => panic!("{other}"),
        };
        assert!(detail(&[], &["x"], &[]).contains("0 source and 1 target"));
        assert!(detail(&["a", "b"], &["x"], &[1.0]).contains("1 weights are not one for each"));
        let message = detail(&["a", "b"], &["x", "y"], &[0.5, 0.5, f32::NAN, 1.0]);
        assert!(message.contains("target token 1 for source token 0 is NaN"), "{message}");
        assert!(detail(&["a"], &["x"], &[1.1]).contains("is 1.1"));
        assert!(drawn(&["a"], &["x"], &[1.000_01]).is_ok());
    }
}
