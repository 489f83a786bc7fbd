//! Training on hidden tokens, end to end: an encoder-only Transformer learns to fill in rows of several lengths.

use seqloom_nn::{
    Bert, BertConfig, BlockConfig, MaskedBatch, Masking, Model, NnError, TransformerDropout, Vocab,
};
use seqloom_tests::device;
use seqloom_train::random::below;
use seqloom_train::{AdamW, Error, Trainer};

const SYMBOLS: usize = 6;

/// Rows of one symbol each, of lengths from 3 to 10: what is hidden can be told from what is not.
fn batch(seed: u64) -> MaskedBatch {
    let rows: Vec<Vec<u32>> = (0..12)
        .map(|row| {
            let length = if row == 0 { 10 } else { 3 + below(seed, 2 * row, 8) };
            vec![below(seed, 2 * row + 1, SYMBOLS) as u32; length]
        })
        .collect();
    MaskedBatch::new(&rows, &Masking::new(SYMBOLS + 1, SYMBOLS as u32), seed).unwrap()
}

#[test]
fn hidden_tokens_are_told_from_their_neighbours() {
    let mut params = seqloom_graph::Params::seeded(1);
    let config = BertConfig::new(Vocab::ids(SYMBOLS + 1), 16, 2, 1, 10);
    let block = BlockConfig { dropout: TransformerDropout::default(), ..config.block };
    let model = Bert::new(&mut params, BertConfig { block, ..config });
    let optimizer = AdamW { lr: 1e-2, ..AdamW::default() };
    let mut trainer =
        Trainer::new(&device::shared(), params, optimizer, |g, batch: &MaskedBatch| model.loss(g, batch))
            .unwrap();
    let held_out = || (1000..1005).map(batch);
    let before = trainer.evaluate_all(held_out()).unwrap();
    for step in 0..120 {
        trainer.step(&batch(step)).unwrap();
    }
    let after = trainer.evaluate_all(held_out()).unwrap();
    println!("{before} → {after}, {:?} programs", trainer.programs());
    // At first seven symbols are about as likely.
    assert!((before - 7f64.ln()).abs() < 0.5, "{before}");
    assert!(after < 0.2, "{after}");
    // As many as there are multiples of a 32nd of 120 among the numbers of hidden tokens.
    assert!(trainer.programs().0 <= 3, "{:?}", trainer.programs());
}

#[test]
fn a_batch_for_another_vocabulary_or_with_a_mistake_is_refused() {
    let mut params = seqloom_graph::Params::seeded(1);
    let model = Bert::new(&mut params, BertConfig::new(Vocab::ids(9), 16, 2, 1, 10));
    let mut trainer = Trainer::new(&device::shared(), params, AdamW::default(), |g, batch: &MaskedBatch| {
        model.loss(g, batch)
    })
    .unwrap();
    let error = trainer.step(&batch(1)).unwrap_err();
    assert!(error.to_string().contains("a batch of 7 symbols for a model of 9"), "{error}");
    let error = trainer.step(&MaskedBatch::poisoned(NnError::MaskRatio { ratio: 2.0 })).unwrap_err();
    assert!(matches!(error, Error::Model(NnError::MaskRatio { .. })), "{error}");
    assert_eq!(trainer.step_count(), 0);
}
