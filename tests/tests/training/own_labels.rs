//! Labels of tokens by the public face alone: ragged rows, tokens that nobody labelled, and a loss of one's own.

use seqloom::Result;
use seqloom::prelude::custom::*;
use seqloom::train::Columns;
use seqloom_tests::device;

const WORDS: usize = 9;
const TAGS: usize = 3;

/// The tag of a word depends on its neighbours: the sum of the two, modulo 3. Every fifth token has none, which the id 3 says.
fn sentences() -> Columns {
    let word = |row: usize, t: usize| (row * 31 + t * t * 17 + row * t * 7) % WORDS;
    let steps = |row: usize| 4 + row % 9;
    let sentence = |row| (0..steps(row)).map(|t| word(row, t) as u32).collect::<Vec<_>>();
    let tag = |words: &[u32], t: usize| {
        let beside = [t.wrapping_sub(1), t + 1].map(|at| words.get(at).copied().unwrap_or(0));
        if t % 5 == 4 { TAGS as u32 } else { (beside[0] + beside[1]) % TAGS as u32 }
    };
    let words: Vec<_> = (0..600).map(sentence).collect();
    let tags = words.iter().map(|words| (0..words.len()).map(|t| tag(words, t)).collect()).collect();
    Columns::new().sequences("words", "lengths", words).sequences("tags", "tag_lengths", tags)
}

struct Tagger {
    embedding: Embedding,
    gru: Gru,
    head: Linear,
}

impl Tagger {
    fn new(params: &mut Params) -> Self {
        let both = RecurrentConfig { bidirectional: true, ..RecurrentConfig::new(16, 32) };
        Self {
            embedding: Embedding::new(params, "embedding", WORDS, 16),
            gru: Gru::new(params, "gru", both),
            head: Linear::new(params, "head", 64, TAGS),
        }
    }

    /// Log-probabilities of the tags and a 1 at each token's tag, both [B, T, 3]; and which tokens count, [B, T].
    fn read<'g>(&self, g: &'g Graph, batch: &Inputs) -> [Tensor<'g>; 3] {
        let batch = batch.bind(g);
        let lengths = batch.lengths("lengths");
        let words = self.embedding.forward(batch.ids("words", WORDS));
        let log_probs = self.head.forward(self.gru.forward(words, None, Some(lengths)).output).log_softmax();
        let picked = batch.ids("tags", TAGS + 1).one_hot(TAGS + 1).slice(-1, 0, TAGS);
        [log_probs, picked, picked.sum(-1) * lengths.mask()]
    }
}

impl Model<Inputs> for Tagger {
    /// The focal loss, −(1 − p)²·ln p (Lin et al. 2017), over the tokens that have a tag.
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let [log_probs, picked, counts] = self.read(g, batch);
        let of_tag = (log_probs * picked).sum(-1);
        let focal = -(1.0 - of_tag.exp()).square() * of_tag;
        (focal * counts).sum_all() / counts.sum_all()
    }
}

#[test]
fn a_tagger_learns_from_partly_labelled_sentences_by_a_loss_of_ones_own() -> Result<()> {
    let (train, held_out) = sentences().samples()?.split(0.2, 1)?;
    let mut params = Params::seeded(7);
    let tagger = Tagger::new(&mut params);
    let optimizer = AdamW { lr: 5e-3, ..AdamW::default() };
    let mut trainer = Trainer::for_model(&device::shared(), params, optimizer, tagger)?;
    for batch in train.batches(16).by_length().epochs(12) {
        trainer.step(&batch)?;
    }
    trainer.finish()?;

    let batch = held_out.batches(held_out.len()).next().unwrap();
    let g = trainer.store().inference_graph();
    let [log_probs, picked, counts] = trainer.model().read(&g, &batch);
    let right = log_probs.argmax(-1).one_hot(TAGS) * picked;
    let accuracy = (right.sum(-1) * counts).sum_all() / counts.sum_all();
    let outputs = [("accuracy", accuracy)];
    let program = Program::compile(trainer.store(), &g, Request { outputs: &outputs, ..Request::default() })?;
    let read: Vec<_> = batch.tensors().into_iter().filter(|(name, _)| *name != "tag_lengths").collect();
    program.run(&read, &Control::default())?;
    let accuracy = program.read("accuracy")?.wait()?[0];
    println!("{accuracy} of the tags of unseen sentences are right");
    assert!(accuracy > 0.97, "{accuracy}");
    Ok(())
}
