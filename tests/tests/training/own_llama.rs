//! A decoder of Llama's kind by the public face alone: a block of one's own, trained on text and generating from a cache.

use seqloom::Result;
use seqloom::graph::StoreKind;
use seqloom::prelude::custom::*;
use seqloom_tests::device;

/// x + attention(norm(x)), then x + SwiGLU(norm(x)) (Touvron et al. 2023).
#[derive(Clone, Debug)]
struct Block {
    norms: [RmsNorm; 2],
    attention: MultiHeadAttention,
    mlp: FeedForward,
}

#[derive(Clone, Debug)]
struct Llama {
    vocab: Vocab,
    max_time: usize,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
}

impl Llama {
    fn new(params: &mut Params, vocab: Vocab, [channels, heads, key_heads, max_time]: [usize; 4]) -> Self {
        let relative = RelativePositions::Rotary(Rotary::default());
        let own = AttentionConfig::new(channels, heads);
        let attention = AttentionConfig { key_heads, relative, max_positions: max_time, bias: false, ..own };
        let norm = |params: &mut Params, name: &str| RmsNorm::new(params, name, channels, 1e-5);
        let mut block = |layer| {
            params.scope(&format!("layers.{layer}"), |params| Block {
                norms: ["input_layernorm", "post_attention_layernorm"].map(|name| norm(params, name)),
                attention: MultiHeadAttention::new(params, "self_attn", attention.clone()),
                mlp: FeedForward::new(params, FeedForwardConfig::llama(channels, 2 * channels)),
            })
        };
        let blocks = [0, 1].map(&mut block).to_vec();
        let embedding = Embedding::new(params, "embed_tokens", vocab.size(), channels);
        let head = Linear::without_bias(params, "lm_head", channels, vocab.size());
        Self { vocab, max_time, embedding, blocks, norm: norm(params, "norm"), head }
    }
}

impl Model<LmBatch> for Llama {
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for Llama {
    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        let cache = |block: &Block| StateShape::cache(&block.attention.cache_shape(rows, self.max_time));
        self.blocks.iter().flat_map(|block| [cache(block), cache(block)]).collect()
    }

    fn read<'g>(&self, tokens: Tensor<'g>, past: Option<&Past<'g>>, _: Option<Lengths<'g>>) -> Reading<'g> {
        let (place, mask) = match past {
            None => (Place::From(0), AttentionOptions::default()),
            Some(past) => (Place::At(past.steps.positions()), AttentionOptions::after(past.steps)),
        };
        let (mut x, mut state) = (self.embedding.forward(tokens), Vec::new());
        for (l, Block { norms, attention, mlp }) in self.blocks.iter().enumerate() {
            let (query, own) = attention.project(norms[0].forward(x), place);
            let seen = past.map_or(own, |past| own.appended(&past.state, l, past.steps));
            state.extend(seen.padded(self.max_time));
            x = x + attention.attend(query, seen, AttentionOptions { causal: true, ..mask });
            x = x + mlp.forward(norms[1].forward(x));
        }
        Reading { features: self.norm.forward(x), state }
    }

    fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }
}

const PHRASE: &str = "the cat sat on the mat. ";

#[test]
fn a_llama_of_ones_own_learns_a_phrase_and_continues_it_from_its_cache() -> Result<()> {
    let text = CharCorpus::from_text(&PHRASE.repeat(40))?;
    let mut params = Params::seeded(3);
    let model = Llama::new(&mut params, text.vocab(), [32, 4, 2, 64]);
    let adam = AdamW { lr: 3e-3, clip_norm: Some(1.0), ..AdamW::default() };
    let mut trainer = Trainer::for_model(&device::shared(), params, adam, model.clone())?;
    for batch in text.batches(8, 32).steps(150) {
        trainer.step(&batch)?;
    }
    // What is left is the first letters of a window, which leave the place in the phrase open.
    assert!(trainer.loss()? < 0.2, "{}", trainer.loss()?);
    let said = model.generator(&trainer)?.greedy("the cat ", 40)?;
    assert!(PHRASE.repeat(3).starts_with(&said), "{said}");
    Ok(())
}

#[test]
fn a_step_from_the_cache_reads_as_the_whole_text_does() -> Result<()> {
    let device = device::shared();
    let mut params = Params::seeded(3);
    let model = Llama::new(&mut params, Vocab::ids(11), [16, 4, 1, 8]);
    let tokens = [3, 1, 4, 1, 5, 9];
    // By the whole text: the likeliest token after each prefix.
    let g = Graph::inference(&params);
    let read = model.read(g.input("tokens", &[1, 6], DType::U32), None, None);
    let outputs = [("logits", model.logits(read.features))];
    let store = ParamStore::new(&device, params.clone(), StoreKind::Inference)?;
    let program = Program::compile(&store, &g, Request { outputs: &outputs, ..Request::default() })?;
    program.run(&[("tokens", &HostTensor::u32(&[1, 6], tokens.to_vec())?)], &Control::default())?;
    let logits = program.read("logits")?.wait()?;
    let likeliest = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
    let whole: Vec<u32> = logits.chunks(11).map(likeliest).collect();
    // By the cache: one prefix after the other.
    let mut generator = model.generator(&store)?;
    for end in 1..=tokens.len() {
        assert_eq!(generator.greedy_ids(&tokens[..end], 1)?, [whole[end - 1]], "after {end} tokens");
    }
    Ok(())
}
