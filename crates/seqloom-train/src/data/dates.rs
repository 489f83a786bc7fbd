//! Dates as people write them, and the same dates in ISO 8601: a small translation task whose answer is known.
//!
//! It has the difficulties of translation and nothing else. Fields change their order, words become numbers, parts of
//! the input (weekdays, "the", "of") mean nothing, and each output depends on one place of the input, so attention maps
//! can be checked. Every sentence is a pure function of (seed, split, number). One day in ten is held out, so no
//! held-out date appears in the training sentences in any notation.

use std::ops::Range;

use crate::random::{below, mix};

/// First and last year: a hundred years, so two digits name one: 50 to 99 are 19.., 00 to 49 are 20...
const YEARS: Range<i64> = 1950..2050;

/// One in this many days is held out, at random.
const HELD_OUT: usize = 10;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From the weekday of day 0, the first of January 1970.
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Which days sentences are about; the two have no day in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DateSplit {
    /// Nine days of ten.
    Train,
    /// The others.
    HeldOut,
}

/// A date in some notation, with the positions of its fields. All text is ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateSentence {
    /// As a person wrote it: "Wednesday, 3 Mar 2021".
    pub text: String,
    /// In ISO 8601: "2021-03-03".
    pub iso: String,
    /// The year's position in `text`, in characters.
    pub year: Range<usize>,
    /// The month's position.
    pub month: Range<usize>,
    /// The position of the day of the month.
    pub day: Range<usize>,
}

/// `count` dates of a split. The first ones are the same whatever `count` is.
///
/// ```
/// # use seqloom_train::dates::{DateSplit, dates};
/// for date in dates(1, DateSplit::Train, 100) {
///     let year = &date.text[date.year];
///     assert!(date.iso[..4].ends_with(year), "{} in {}", year, date.iso);
/// }
/// ```
#[must_use]
pub fn dates(seed: u64, split: DateSplit, count: usize) -> Vec<DateSentence> {
    let days: Vec<i64> = (days_before(YEARS.start)..days_before(YEARS.end))
        .filter(|&day| held_out(day) == (split == DateSplit::HeldOut))
        .collect();
    let stream = mix(seed, split as u64);
    (0..count as u64)
        .map(|number| {
            let draw = mix(stream, number);
            let day = days[below(draw, 0, days.len())];
            write(day, below(draw, 1, FORMS), below(draw, 2, CASES))
        })
        .collect()
}

/// Whether a day, counted from the first of January 1970, is one of those held out.
fn held_out(day: i64) -> bool {
    below(day as u64, 0, HELD_OUT) == 0
}

/// A sentence under construction.
#[derive(Default)]
struct Draft {
    text: String,
    year: Range<usize>,
    month: Range<usize>,
    day: Range<usize>,
}

impl Draft {
    fn put(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    fn year(mut self, text: &str) -> Self {
        self.year = self.text.len()..self.text.len() + text.len();
        self.put(text)
    }

    fn month(mut self, text: &str) -> Self {
        self.month = self.text.len()..self.text.len() + text.len();
        self.put(text)
    }

    fn day(mut self, text: &str) -> Self {
        self.day = self.text.len()..self.text.len() + text.len();
        self.put(text)
    }
}

/// Number of notations.
const FORMS: usize = 14;

/// As people write, in capitals, in small letters.
const CASES: usize = 3;

fn write(day_number: i64, form: usize, case: usize) -> DateSentence {
    let (y, m, d) = civil(day_number);
    let name = MONTHS[m - 1];
    let weekday = WEEKDAYS[day_number.rem_euclid(7) as usize];
    let (year, short) = (format!("{y}"), format!("{:02}", y % 100));
    let (month, month2) = (format!("{m}"), format!("{m:02}"));
    let (day, day2) = (format!("{d}"), format!("{d:02}"));
    let ordinal = format!("{d}{}", ending(d));
    let (abbreviated, weekday3) = (&name[..3], &weekday[..3]);
    let draft = Draft::default();
    let draft = match form {
        0 => draft.month(name).put(" ").day(&day).put(", ").year(&year),
        1 => draft.day(&day).put(" ").month(name).put(" ").year(&year),
        2 => draft.day(&ordinal).put(" of ").month(name).put(" ").year(&year),
        3 => draft.put("the ").day(&ordinal).put(" of ").month(name).put(", ").year(&year),
        4 => draft.put(weekday).put(", ").day(&day).put(" ").month(abbreviated).put(" ").year(&year),
        5 => draft.put(weekday3).put(", ").month(abbreviated).put(" ").day(&day).put(", ").year(&year),
        6 => draft.put(weekday).put(" the ").day(&ordinal).put(" of ").month(name).put(" ").year(&year),
        7 => draft.month(abbreviated).put(" ").day(&day).put(" '").year(&short),
        8 => draft.day(&day).put("-").month(abbreviated).put("-").year(&year),
        // Slashes as in America, full stops as in Germany, so no notation has two meanings.
        9 => draft.month(&month2).put("/").day(&day2).put("/").year(&short),
        10 => draft.month(&month).put("/").day(&day).put("/").year(&year),
        11 => draft.day(&day2).put(".").month(&month2).put(".").year(&year),
        12 => draft.day(&day).put(".").month(&month).put(".").year(&short),
        _ => draft.year(&year).put(", ").month(name).put(" ").day(&ordinal),
    };
    let text = match case {
        1 => draft.text.to_ascii_uppercase(),
        2 => draft.text.to_ascii_lowercase(),
        _ => draft.text,
    };
    let iso = format!("{y:04}-{month2}-{day2}");
    DateSentence { text, iso, year: draft.year, month: draft.month, day: draft.day }
}

/// What follows the number of a day.
fn ending(day: usize) -> &'static str {
    match day {
        11..=13 => "th",
        _ => match day % 10 {
            1 => "st",
            2 => "nd",
            3 => "rd",
            _ => "th",
        },
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from the first of January 1970 to that of `year`: 365 a year, and one for each leap year between.
fn days_before(year: i64) -> i64 {
    let leaps = |before: i64| {
        let last = before - 1;
        last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
    };
    365 * (year - 1970) + leaps(year) - leaps(1970)
}

/// Year, month and day of the month, both from 1, of a day of [`YEARS`] counted from the first of January 1970, in the
/// Gregorian calendar.
fn civil(day: i64) -> (i64, usize, usize) {
    let year = YEARS.rev().find(|&year| days_before(year) <= day).unwrap_or(YEARS.start);
    let mut rest = (day - days_before(year)) as usize;
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if rest < length {
            break;
        }
        rest -= length;
        month += 1;
    }
    (year, month + 1, rest + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_calendar_is_right() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (-307, (1969, 2, 28)),
            (-7305, (1950, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (18_689, (2021, 3, 3)),
            (29_219, (2049, 12, 31)),
        ] {
            assert_eq!(civil(day), date);
        }
        assert_eq!((days_before(2050), leap(1900), leap(2000)), (29_220, false, true));
        let text: Vec<_> = (0..FORMS).map(|form| write(18_689, form, 0).text).collect();
        assert_eq!(text[4], "Wednesday, 3 Mar 2021");
        assert_eq!(text[3], "the 3rd of March, 2021");
        assert_eq!(text[9], "03/03/21");
        assert_eq!(text[12], "3.3.21");
        assert_eq!(write(18_689, 2, 2).text, "3rd of march 2021");
        let endings = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30].map(ending);
        assert_eq!(endings, ["st", "nd", "rd", "th", "th", "th", "th", "st", "nd", "rd", "th"]);
    }

    #[test]
    fn fields_stand_where_they_are_said_to() {
        for date in dates(3, DateSplit::Train, 3000) {
            assert!(date.text.is_ascii());
            let (year, month, day) =
                (&date.text[date.year.clone()], &date.text[date.month.clone()], &date.text[date.day.clone()]);
            let (iso_year, rest) = date.iso.split_once('-').unwrap();
            let (iso_month, iso_day) = rest.split_once('-').unwrap();
            assert!(iso_year.len() == 4 && iso_year.ends_with(year), "{date:?}");
            let number: usize = iso_month.parse().unwrap();
            let named = MONTHS[number - 1].to_lowercase().starts_with(&month.to_lowercase());
            assert!(named || month.parse() == Ok(number), "{date:?}");
            let digits = day.trim_end_matches(|c: char| c.is_alphabetic());
            assert_eq!(digits.parse::<usize>(), iso_day.parse(), "{date:?}");
        }
    }

    #[test]
    fn splits_share_no_day_and_no_text() {
        let set = |split, field: fn(DateSentence) -> String| {
            dates(5, split, 20_000).into_iter().map(field).collect::<BTreeSet<_>>()
        };
        for field in [|d: DateSentence| d.iso, |d: DateSentence| d.text] {
            let (train, held) = (set(DateSplit::Train, field), set(DateSplit::HeldOut, field));
            assert!(train.len() > 10_000 && held.len() > 3000, "{} {}", train.len(), held.len());
            assert!(train.is_disjoint(&held));
        }
    }

    #[test]
    fn a_text_has_one_meaning() {
        let mut seen = std::collections::BTreeMap::new();
        for day in days_before(YEARS.start)..days_before(YEARS.end) {
            for form in 0..FORMS {
                let date = write(day, form, 2);
                let earlier = seen.insert(date.text, date.iso.clone());
                assert!(earlier.is_none_or(|iso| iso == date.iso), "{}", date.iso);
            }
        }
    }

    #[test]
    fn sentences_follow_their_seed_and_number() {
        let ten = dates(1, DateSplit::Train, 10);
        assert_eq!(ten, dates(1, DateSplit::Train, 20)[..10]);
        assert_ne!(ten, dates(2, DateSplit::Train, 10));
        assert_ne!(ten[0].iso, dates(1, DateSplit::HeldOut, 1)[0].iso);
        let forms: BTreeSet<_> = dates(1, DateSplit::Train, 400).iter().map(|d| d.text.len()).collect();
        assert!(forms.len() > 15);
    }
}
