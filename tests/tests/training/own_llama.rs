//! A decoder of Llama's kind by the public face alone: a block of one's own, trained on text and generating from a cache.

use seqloom::Result;
use seqloom::graph::StoreKind;
use seqloom::prelude::custom::*;
use seqloom_tests::device;

#[derive(Clone, Debug)]
struct LlamaConfig {
    vocab: Vocab,
    channels: usize,
    heads: usize,
    key_heads: usize,
    hidden: usize,
    layers: usize,
    max_time: usize,
}

/// x + attention(norm(x)), then x + SwiGLU(norm(x)) (Touvron et al. 2023).
#[derive(Clone, Debug)]
struct Block {
    norms: [RmsNorm; 2],
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(params: &mut Params, name: &str, config: &LlamaConfig) -> Self {
        let &LlamaConfig { channels, heads, key_heads, hidden, .. } = config;
        let narrow = channels / heads * key_heads;
        params.scope(name, |params| {
            let norm = |params: &mut Params, name| RmsNorm::new(params, name, channels, 1e-5);
            let linear = |params: &mut Params, name, input, output| Linear::new(params, name, input, output);
            Self {
                norms: ["input_norm", "post_attention_norm"].map(|name| norm(params, name)),
                query: linear(params, "q_proj", channels, channels),
                key: linear(params, "k_proj", channels, narrow),
                value: linear(params, "v_proj", channels, narrow),
                out: linear(params, "o_proj", channels, channels),
                gate: linear(params, "gate_proj", channels, hidden),
                up: linear(params, "up_proj", channels, hidden),
                down: linear(params, "down_proj", hidden, channels),
            }
        })
    }
}

#[derive(Clone, Debug)]
struct Llama {
    config: LlamaConfig,
    embedding: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
    head: Linear,
}

impl Llama {
    fn new(params: &mut Params, config: LlamaConfig) -> Self {
        let (size, channels) = (config.vocab.size(), config.channels);
        let block = |layer| Block::new(params, &format!("layers.{layer}"), &config);
        let blocks = (0..config.layers).map(block).collect();
        Self {
            embedding: Embedding::new(params, "embed_tokens", size, channels),
            blocks,
            norm: RmsNorm::new(params, "norm", channels, 1e-5),
            head: Linear::new(params, "lm_head", channels, size),
            config,
        }
    }
}

impl Model<LmBatch> for Llama {
    fn loss<'g>(&self, g: &'g Graph, batch: &LmBatch) -> Tensor<'g> {
        self.next_token_loss(g, batch)
    }
}

impl LanguageModel for Llama {
    fn vocab(&self) -> &Vocab {
        &self.config.vocab
    }

    fn max_time(&self) -> Option<usize> {
        Some(self.config.max_time)
    }

    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        let LlamaConfig { channels, heads, key_heads, max_time, .. } = self.config;
        let cache = StateShape::cache(&[rows, max_time, key_heads, channels / heads]);
        vec![cache; 2 * self.blocks.len()]
    }

    fn read<'g>(&self, tokens: Tensor<'g>, past: Option<&Past<'g>>, _: Option<Lengths<'g>>) -> Reading<'g> {
        let LlamaConfig { channels, heads, max_time, .. } = self.config;
        let [rows, time] = [tokens.dim(0), tokens.dim(1)];
        let split = |x: Tensor<'g>| x.reshape(&[rows, time, x.dim(2) * heads / channels, channels / heads]);
        let (place, mask) = match past {
            None => (Place::From(0), AttentionOptions::default()),
            Some(past) => (Place::At(past.steps.positions()), AttentionOptions::after(past.steps)),
        };
        let turned = |x| Rotary::default().forward(split(x), place, max_time);
        let mut x = self.embedding.forward(tokens);
        let mut state = Vec::new();
        for (l, block) in self.blocks.iter().enumerate() {
            let [before, after] = &block.norms;
            let y = before.forward(x);
            let own = KeyValues { keys: turned(block.key.forward(y)), values: split(block.value.forward(y)) };
            let seen = past.map_or(own, |past| own.appended(&past.state, l, past.steps));
            state.extend(seen.padded(max_time));
            let mask = AttentionOptions { causal: true, ..mask };
            let attended = turned(block.query.forward(y)).attention(seen.keys, seen.values, mask);
            x = x + block.out.forward(attended.reshape(&[rows, time, channels]));
            let y = after.forward(x);
            x = x + block.down.forward(block.gate.forward(y).swiglu(block.up.forward(y)));
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
    let config = LlamaConfig {
        vocab: text.vocab(),
        channels: 32,
        heads: 4,
        key_heads: 2,
        hidden: 64,
        layers: 2,
        max_time: 64,
    };
    let model = Llama::new(&mut params, config);
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
    let vocab = Vocab::ids(11);
    let config =
        LlamaConfig { vocab, channels: 16, heads: 4, key_heads: 1, hidden: 24, layers: 2, max_time: 8 };
    let model = Llama::new(&mut params, config);
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
