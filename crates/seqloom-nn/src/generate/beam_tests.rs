//! Beam search against exhaustive search, over distributions small enough to list every sequence.

use super::*;

const START: u32 = 0;
const END: u32 = 3;
/// Start, two words, end.
const VOCAB: usize = 4;

/// A model whose distribution depends on everything read so far, so that a wrong parent shows. Each row's history is moved
/// by the parents as a state would be.
struct Table<F> {
    histories: Vec<Vec<u32>>,
    width: usize,
    tell: F,
    calls: usize,
}

impl<F: Fn(usize, &[u32]) -> [f32; VOCAB]> Table<F> {
    /// `tell` gives the log-probabilities of a sentence after a history.
    fn new(width: usize, tell: F) -> Self {
        Self { histories: Vec::new(), width, tell, calls: 0 }
    }
}

impl<F: Fn(usize, &[u32]) -> [f32; VOCAB]> StepModel for Table<F> {
    fn step(&mut self, tokens: &[u32], parents: &[usize]) -> Result<Vec<f32>, NnError> {
        if self.calls == 0 {
            self.histories = vec![Vec::new(); tokens.len()];
        }
        self.calls += 1;
        let moved = tokens.iter().zip(parents).map(|(&t, &p)| [&self.histories[p][..], &[t]].concat());
        self.histories = moved.collect();
        let told = self.histories.iter().enumerate().flat_map(|(row, h)| (self.tell)(row / self.width, h));
        Ok(told.collect())
    }
}

/// A distribution over the words and the end that looks random but follows from the sentence and the history; the start
/// never comes again.
fn scrambled(sentence: usize, history: &[u32]) -> [f32; VOCAB] {
    let mut state = 0x9e37_79b9_u32.wrapping_add(sentence as u32);
    for &token in history {
        state = (state ^ token).wrapping_mul(0x85eb_ca6b).rotate_left(13).wrapping_add(0xc2b2_ae35);
    }
    let weight = |i: u32| 1.0 + (state.wrapping_mul(2 * i + 1) >> 20) as f32;
    let total: f32 = (1..=3).map(weight).sum();
    std::array::from_fn(|i| if i == 0 { f32::NEG_INFINITY } else { (weight(i as u32) / total).ln() })
}

fn search(width: usize, length_penalty: f64, max_tokens: usize) -> BeamSearch {
    BeamSearch { width, length_penalty, max_tokens, start: START, end: END }
}

/// Every sequence that ends within `max_tokens` tokens, best first: tokens, ln P, score.
fn all(beam: &BeamSearch, sentence: usize) -> Vec<(Vec<u32>, f64, f64)> {
    let (mut ended, mut open) = (Vec::new(), vec![(vec![START], 0.0)]);
    for length in 0..=beam.max_tokens {
        let mut longer = Vec::new();
        for (history, log_prob) in open {
            let told = scrambled(sentence, &history);
            let end = log_prob + f64::from(told[END as usize]);
            let score = end / ((5.0 + length as f64 + 1.0) / 6.0).powf(beam.length_penalty);
            ended.push((history[1..].to_vec(), end, score));
            longer.extend(
                [1, 2].map(|t| ([&history[..], &[t]].concat(), log_prob + f64::from(told[t as usize]))),
            );
        }
        open = longer;
    }
    ended.sort_by(|a, b| b.2.total_cmp(&a.2));
    ended
}

#[test]
fn a_beam_as_wide_as_the_world_finds_the_best_of_all() {
    for alpha in [0.0, 0.6, 1.0, 3.0] {
        // 31 sequences end within 4 tokens, of 48 candidates of the last step: the beam has room for all.
        let beam = search(48, alpha, 4);
        let found = beam.run(&mut Table::new(48, scrambled), 3).unwrap();
        for (sentence, found) in found.iter().enumerate() {
            let expected = all(&beam, sentence);
            assert_eq!((found.len(), expected.len()), (31, 31));
            assert!(found.iter().all(|h| h.ended));
            for (h, (tokens, log_prob, score)) in found.iter().zip(&expected) {
                assert_eq!((&h.tokens, h.log_prob, h.score), (tokens, *log_prob, *score));
            }
        }
    }
}

#[test]
fn a_length_penalty_prefers_longer_sequences() {
    let mean = |alpha| {
        let found = search(48, alpha, 4).run(&mut Table::new(48, scrambled), 20).unwrap();
        found.iter().map(|f| f[0].tokens.len()).sum::<usize>()
    };
    assert!(mean(0.0) < mean(1.0) && mean(1.0) < mean(4.0), "{} {} {}", mean(0.0), mean(1.0), mean(4.0));
}

#[test]
fn width_one_is_greedy() {
    let found = BeamSearch::greedy(START, END, 6).run(&mut Table::new(1, scrambled), 50).unwrap();
    for (sentence, found) in found.iter().enumerate() {
        let mut history = vec![START];
        let ended = loop {
            let told = scrambled(sentence, &history);
            let best = (0..VOCAB).max_by(|&a, &b| told[a].total_cmp(&told[b])).unwrap() as u32;
            if best == END || history.len() > 6 {
                break best == END;
            }
            history.push(best);
        };
        assert_eq!((found.len(), &found[0].tokens[..], found[0].ended), (1, &history[1..], ended));
    }
    assert!(found.iter().any(|f| !f[0].ended) && found.iter().any(|f| f[0].ended), "both happen");
}

/// The likeliest first word leads to nothing likely: greedy takes it, a beam of two does not.
#[test]
fn a_wider_beam_finds_what_greedy_misses() {
    let tell = |_: usize, history: &[u32]| {
        let p: [f32; VOCAB] = match history[1..] {
            [] => [0.0, 0.6, 0.4, 0.0],
            [1] => [0.0, 0.4, 0.3, 0.3],
            [1, _] => [0.0, 0.0, 0.0, 1.0],
            [2] => [0.0, 0.05, 0.05, 0.9],
            _ => [0.0, 0.0, 0.0, 1.0],
        };
        p.map(f32::ln)
    };
    let greedy = search(1, 0.0, 5).run(&mut Table::new(1, tell), 1).unwrap();
    let wide = search(2, 0.0, 5).run(&mut Table::new(2, tell), 1).unwrap();
    assert_eq!((&greedy[0][0].tokens[..], &wide[0][0].tokens[..]), (&[1, 1][..], &[2][..]));
    assert!(
        (greedy[0][0].log_prob - 0.24f64.ln()).abs() < 1e-6
            && (wide[0][0].log_prob - 0.36f64.ln()).abs() < 1e-6
    );
    // Row by row: the second sequence was row 1 when its word was predicted from the start's row 0.
    assert_eq!(wide[0][0].rows, [0, 1]);
}

#[test]
fn sentences_do_not_see_each_other() {
    let beam = search(3, 0.8, 6);
    let together = beam.run(&mut Table::new(3, scrambled), 9).unwrap();
    for (sentence, found) in together.iter().enumerate() {
        let mut alone = beam.run(&mut Table::new(3, |_, h: &[u32]| scrambled(sentence, h)), 1).unwrap();
        alone[0].iter_mut().for_each(|h| h.rows.iter_mut().for_each(|row| *row += sentence * 3));
        assert_eq!(found, &alone[0]);
    }
}

#[test]
fn ties_go_to_the_lower_token() {
    let even = |_: usize, _: &[u32]| [f32::NEG_INFINITY, -1.0, -1.0, -1.0];
    let found = search(2, 0.0, 2).run(&mut Table::new(2, even), 1).unwrap();
    // Both words come before the end each time, so nothing ends and the first two are cut off.
    let tokens: Vec<_> = found[0].iter().map(|h| (&h.tokens[..], h.ended)).collect();
    assert_eq!(tokens, [(&[1, 1][..], false), (&[1, 2][..], false)]);
}

#[test]
fn a_search_without_room_gives_what_ends_at_once_or_nothing_more() {
    let found = search(2, 0.0, 0).run(&mut Table::new(2, scrambled), 2).unwrap();
    assert!(found.iter().all(|f| f.iter().all(|h| h.tokens.is_empty())));
    assert!(search(2, 0.0, 3).run(&mut Table::new(2, scrambled), 0).unwrap().is_empty());
}

/// What the best `width` would be if no search ever stopped before its greatest length: the same steps, without a rule.
fn never_stopped(beam: &BeamSearch, sentence: usize) -> Vec<(Vec<u32>, f64)> {
    let score =
        |log_prob: f64, length: usize| log_prob / ((5.0 + length as f64) / 6.0).powf(beam.length_penalty);
    let (mut found, mut live) = (Vec::new(), vec![(vec![START], 0.0)]);
    for length in 0..=beam.max_tokens {
        let mut all: Vec<(Vec<u32>, f64)> = Vec::new();
        for (history, log_prob) in &live {
            let told = scrambled(sentence, history);
            all.extend(
                (1..=END).map(|t| ([&history[..], &[t]].concat(), log_prob + f64::from(told[t as usize]))),
            );
        }
        // No two are equally likely in a scrambled world.
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ends = |text: &Vec<u32>| text.last() == Some(&END);
        for (text, log_prob) in all.iter().take(beam.width).filter(|(text, _)| ends(text)) {
            found.push((text[1..text.len() - 1].to_vec(), score(*log_prob, length + 1)));
        }
        live = all.into_iter().filter(|(text, _)| !ends(text)).take(beam.width).collect();
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(beam.width);
    found
}

#[test]
fn a_narrow_beam_stops_only_when_nothing_alive_can_win() {
    for width in 1..=5 {
        for alpha in [0.0, 0.6, 1.0, 2.0] {
            let beam = search(width, alpha, 9);
            let found = beam.run(&mut Table::new(width, scrambled), 40).unwrap();
            for (sentence, found) in found.iter().enumerate() {
                let ended = found.iter().filter(|h| h.ended);
                let ended: Vec<_> = ended.map(|h| (h.tokens.clone(), h.score)).collect();
                let mut expected = never_stopped(&beam, sentence);
                if width == 1 && alpha > 0.0 {
                    // Greedy takes the first end, not the best.
                    expected = never_stopped(&search(1, 0.0, 9), sentence);
                    assert_eq!(ended.first().map(|e| &e.0), expected.first().map(|e| &e.0));
                    continue;
                }
                assert_eq!(ended, expected, "width {width}, penalty {alpha}, sentence {sentence}");
            }
        }
    }
}

/// Two sequences end early; a longer one that is likelier than both is still alive then.
#[test]
fn a_longer_sequence_that_is_likelier_is_waited_for() {
    let tell = |_: usize, history: &[u32]| {
        let p: [f32; VOCAB] = match history[1..] {
            [] => [0.0, 0.56, 0.14, 0.3],
            [1] => [0.0, 0.0, 0.8, 0.2],
            [2] => [0.0, 0.0, 0.1, 0.9],
            _ => [0.0, 0.0, 0.0, 1.0],
        };
        p.map(f32::ln)
    };
    for alpha in [0.0, 0.6] {
        let mut model = Table::new(2, tell);
        let found = search(2, alpha, 30).run(&mut model, 1).unwrap();
        assert_eq!((&found[0][0].tokens[..], found[0][0].ended), (&[1, 2][..], true));
        assert!((found[0][0].log_prob - 0.448_f64.ln()).abs() < 1e-6, "{}", found[0][0].log_prob);
        assert!((found[0][1].log_prob - 0.3_f64.ln()).abs() < 1e-6 && found[0][1].tokens.is_empty());
        assert_eq!(model.calls, 3, "nothing alive is left after the third step");
    }
    // Without the penalty the bound is what a live sequence has now: it stops long before the greatest length.
    let mut model = Table::new(2, scrambled);
    search(2, 0.0, 1000).run(&mut model, 1).unwrap();
    assert!(model.calls < 100, "{}", model.calls);
}

#[test]
fn what_is_banned_is_never_chosen_and_a_dead_end_is_dropped() {
    const NO: f32 = f32::NEG_INFINITY;
    // Word 1 leads nowhere, word 2 to an end.
    let tell = |_: usize, history: &[u32]| match history[1..] {
        [] => [NO, -0.1, -3.0, NO],
        [1] => [NO; VOCAB],
        [2] => [NO, NO, NO, 0.0],
        _ => [0.0, 0.0, 0.0, NO],
    };
    let found = search(2, 0.0, 5).run(&mut Table::new(2, tell), 1).unwrap();
    assert_eq!(found[0].iter().map(|h| (&h.tokens[..], h.ended)).collect::<Vec<_>>(), [(&[2][..], true)]);
    // Greedy took the word that leads nowhere, and no other sequence is left.
    let error = search(1, 0.0, 5).run(&mut Table::new(1, tell), 1).unwrap_err();
    assert!(matches!(error, NnError::NoneAllowed { row: 0 }), "{error}");
    let none = |sentence: usize, _: &[u32]| if sentence == 1 { [NO; VOCAB] } else { [NO, NO, NO, 0.0] };
    for width in [1, 2] {
        let error = search(width, 0.0, 3).run(&mut Table::new(width, none), 2).unwrap_err();
        assert!(matches!(error, NnError::NoneAllowed { row: 1 }), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |beam: BeamSearch| beam.run(&mut Table::new(1, scrambled), 1).unwrap_err();
    for width in [0, MAX_WIDTH + 1, usize::MAX] {
        assert!(matches!(refused(search(width, 0.0, 3)), NnError::BeamWidth { .. }));
    }
    for alpha in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(refused(search(1, alpha, 3)), NnError::LengthPenalty { .. }));
    }
    let beyond = BeamSearch { end: 4, ..search(1, 0.0, 3) };
    assert!(matches!(refused(beyond), NnError::StepModel { .. }));
    for bad in [f32::NAN, f32::INFINITY] {
        let broken = move |_: usize, _: &[u32]| [0.0, bad, f32::NEG_INFINITY, 0.0];
        let error = search(1, 0.0, 3).run(&mut Table::new(1, broken), 1).unwrap_err();
        assert!(matches!(error, NnError::NotFinite { id: 1 }), "{error}");
    }
}
