//! Language models compared: text generated with carried state equals that of the whole sequence, a Markov chain learns
//! the frequencies of pairs, and each model learns what the one before it cannot.

use seqloom::graph::{Control, Program, Request};
use seqloom::prelude::*;
use seqloom_tests::device::shared;

fn markov(params: &mut Params, vocab: Vocab) -> MarkovLm {
    MarkovLm::new(params, vocab)
}

fn window(params: &mut Params, vocab: Vocab, order: usize) -> WindowLm {
    WindowLm::new(params, WindowLmConfig { vocab, order, embed: 8, hidden: 16 })
}

fn latent(params: &mut Params, vocab: Vocab) -> LatentLm {
    LatentLm::new(params, LatentLmConfig { vocab, state: 12, hidden: 16 })
}

fn convolutions(params: &mut Params, vocab: Vocab, growth: usize) -> ConvLm {
    ConvLm::new(params, ConvLmConfig { vocab, channels: 12, kernel: 3, layers: 2, growth })
}

/// The symbols of a greedy text are the likeliest ones of the model reading that text at once.
fn carried_state_is_the_whole_past(params: Params, model: &(impl LanguageModel + Clone)) {
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    carried_state_is_the_whole_past_of(&store, model);
}

fn carried_state_is_the_whole_past_of(store: &ParamStore, model: &(impl LanguageModel + Clone)) {
    let vocab = model.vocab().size();
    let prompt = [1, 2, 0];
    let mut generator = model.generator(store).unwrap();
    let said = generator.greedy_ids(&prompt, 20).unwrap();
    assert_eq!(generator.greedy_ids(&prompt, 20).unwrap(), said, "each text starts from a state of zeros");
    let all = [&prompt[..], &said].concat();
    let g = store.inference_graph();
    let logits = model.logits(model.read(g.ids("tokens", &[1, all.len()], vocab), None, None).features);
    let request = Request { outputs: &[("logits", logits)], objective: None };
    let program = Program::compile(store, &g, request).unwrap();
    let tokens = HostTensor::u32(&[1, all.len()], all.clone()).unwrap();
    program.run(&[("tokens", &tokens)], &Control::default()).unwrap();
    let logits = program.read("logits").unwrap().wait().unwrap();
    for (step, row) in logits.chunks_exact(vocab).enumerate().skip(2).take(20) {
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Two logits may be equal up to rounding; then either is the likeliest.
        assert!(best - row[all[step + 1] as usize] < 1e-5, "step {step}: {row:?}, said {}", all[step + 1]);
    }
}

#[test]
fn what_is_carried_is_the_whole_past() {
    // Initial weights that tell symbols apart; a Markov chain starts with none, so it is trained in a test of its own.
    for order in [1, 2, 6] {
        let mut params = Params::seeded(7);
        let model = window(&mut params, Vocab::ids(9), order);
        carried_state_is_the_whole_past(params, &model);
    }
    let mut params = Params::seeded(7);
    let model = latent(&mut params, Vocab::ids(9));
    carried_state_is_the_whole_past(params, &model);
    for growth in [1, 2] {
        let mut params = Params::seeded(7);
        let model = convolutions(&mut params, Vocab::ids(9), growth);
        carried_state_is_the_whole_past(params, &model);
    }
}

/// The loss of ragged rows together, whose steps are rounded up, is that of their symbols alone, with nothing padded.
fn padding_is_not_seen(params: Params, model: &impl LanguageModel) {
    let rows = [vec![1, 2, 3, 4, 5, 6, 7], vec![8, 0], vec![3, 3, 2, 1]];
    let mut trainer =
        Trainer::new(&shared(), params, AdamW::default(), |g, batch: &LmBatch| model.loss(g, batch)).unwrap();
    let together = trainer.evaluate(&LmBatch::ragged(&rows, 9).unwrap()).unwrap();
    let ragged = |row: &Vec<u32>| LmBatch::ragged(&[row], 9).unwrap();
    let full = |row: &Vec<u32>| {
        LmBatch::new(1, row.len() - 1, row[..row.len() - 1].to_vec(), row[1..].to_vec()).unwrap()
    };
    for batch in [ragged as fn(&Vec<u32>) -> LmBatch, full] {
        let alone = rows.iter().map(batch).collect::<Vec<_>>();
        let apart = trainer.evaluate_all(alone).unwrap();
        // Sums of at most ten f32 terms near ln 9 in another order: a few units of the last place.
        assert!((f64::from(together) - apart).abs() < 1e-5, "{together} {apart}");
    }
}

/// Of the 8 steps that 6 are rounded up to, a Transformer reads the 6 it has places for; rows of more are refused.
#[test]
fn rounding_passes_no_greatest_length() {
    let config = || GptConfig::new(Vocab::ids(9), 8, 2, 2, 6);
    let mut params = Params::seeded(3);
    let model = Gpt::new(&mut params, config());
    padding_is_not_seen(params, &model);
    let mut params = Params::seeded(3);
    let model = Gpt::new(&mut params, config());
    let mut trainer =
        Trainer::new(&shared(), params, AdamW::default(), |g, batch: &LmBatch| model.loss(g, batch)).unwrap();
    let rows = |longest: usize| LmBatch::ragged(&[vec![1; longest + 1], vec![2, 3]], 9).unwrap();
    trainer.step(&rows(6)).unwrap();
    let error = trainer.step(&rows(7)).unwrap_err();
    assert!(error.to_string().contains("'lengths': element 0 is 7, allowed are 1 to 6"), "{error}");
    assert!(trainer.step(&rows(9)).unwrap_err().to_string().contains("16 steps, the model reads 6 at most"));
    assert_eq!(trainer.step_count(), 1);
}

#[test]
fn padding_is_seen_by_no_loss() {
    let mut params = Params::seeded(3);
    let model = markov(&mut params, Vocab::ids(9));
    padding_is_not_seen(params, &model);
    let mut params = Params::seeded(3);
    let model = convolutions(&mut params, Vocab::ids(9), 2);
    padding_is_not_seen(params, &model);
    let mut params = Params::seeded(3);
    let model = window(&mut params, Vocab::ids(9), 3);
    padding_is_not_seen(params, &model);
    let mut params = Params::seeded(3);
    let model = latent(&mut params, Vocab::ids(9));
    padding_is_not_seen(params, &model);
}

/// Loss in nats a symbol on the text itself, after `steps` steps of training on it; and the trained parameters.
fn trained(params: Params, model: &impl LanguageModel, text: &CharCorpus, steps: u64) -> (f64, ParamStore) {
    let optimizer = AdamW { lr: 0.03, weight_decay: 0.0, ..AdamW::default() };
    let mut trainer =
        Trainer::new(&shared(), params, optimizer, |g, batch: &LmBatch| model.loss(g, batch)).unwrap();
    for batch in text.batches(4, 24).steps(steps) {
        trainer.step(&batch).unwrap();
    }
    (trainer.evaluate_all(text.batches(4, 24)).unwrap(), trainer.store().clone())
}

#[test]
fn a_markov_chain_learns_how_often_pairs_occur() {
    // After a: b three times out of four, else c; after b and c: a.
    let text = CharCorpus::from_text(&"abababac".repeat(60)).unwrap();
    let mut params = Params::seeded(1);
    let model = markov(&mut params, text.vocab());
    let (loss, store) = trained(params, &model, &text, 400);
    let entropy = -(0.75f64 * 0.75f64.ln() + 0.25 * 0.25f64.ln()) / 2.0;
    assert!((loss - entropy).abs() < 0.01, "{loss} instead of {entropy}");
    // Enough draws that a share of 3/4 is met within 0.06 by four standard deviations.
    let said = model.generator(&store).unwrap().with_seed(5).sample("a", 1600).unwrap();
    let share = said.matches("ab").count() as f64 / said.matches('a').count() as f64;
    assert!((share - 0.75).abs() < 0.06, "{share}");
    carried_state_is_the_whole_past_of(&store, &model);
}

#[test]
fn each_model_learns_what_the_one_before_it_cannot() {
    // One symbol tells nothing of the next, two tell all.
    let text = CharCorpus::from_text(&"aabb".repeat(100)).unwrap();
    let (mut a, mut b) = (Params::seeded(1), Params::seeded(1));
    let (short, long) = (markov(&mut a, text.vocab()), window(&mut b, text.vocab(), 2));
    let (chain, _) = trained(a, &short, &text, 150);
    let (pair, _) = trained(b, &long, &text, 150);
    assert!(chain > 0.6 && pair < 0.2, "{chain} {pair}");
    // Seven of one symbol before the other: a window of three cannot count them, a state can.
    let text = CharCorpus::from_text(&"aaaaaaab".repeat(60)).unwrap();
    let (mut a, mut b) = (Params::seeded(1), Params::seeded(1));
    let (short, long) = (window(&mut a, text.vocab(), 3), latent(&mut b, text.vocab()));
    let (windowed, _) = trained(a, &short, &text, 300);
    let (summed, _) = trained(b, &long, &text, 300);
    // Of eight symbols five follow three equal ones, and one of these five differs: 5/8 of the entropy of 1/5.
    let least = -(0.2f64 * 0.2f64.ln() + 0.8 * 0.8f64.ln()) * 5.0 / 8.0;
    assert!(windowed > least * 0.95 && summed < windowed / 2.0, "{windowed} {summed}, at least {least}");
}
