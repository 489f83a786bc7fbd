//! The recurrent encoder–decoder: one network reads a sentence, another writes its translation.
//!
//! If no step's input depends on the previous step's output (no attention, or Luong's), the decoder is recorded for any
//! number of steps at once. Otherwise it is recorded step by step: with input feeding, with Bahdanau's attention, when
//! the decoder reads its own words, and in inference. All ways record the same layers ([`Seq2Seq::step`] is one step of
//! them), so the trained model is the one that translates.

use seqloom_graph::{Graph, Lengths, Params, Tensor};

use crate::attention::scores::{Attention, Memory, Score};
use crate::batch::Batch;
use crate::batch::translation_batch::{TranslationBatch, TranslationVocab};
use crate::layers::dropout::Dropout;
use crate::layers::embedding::Embedding;
use crate::layers::linear::Linear;
use crate::layers::losses::packed_cross_entropy;
use crate::model::Model;
use crate::models::encoder_decoder::{Begun, EncoderDecoder, Next, Source};
use crate::recurrent::Recurrent;
use crate::recurrent::gru::Gru;
use crate::recurrent::lstm::Lstm;
use crate::recurrent::shapes::RecurrentConfig;
use crate::state::{Past, StateShape};

/// Where a decoder applies attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wiring {
    /// After the recurrent layers: their output h_t is the query, and h̃_t = tanh(W_c·\[c_t; h_t\]) goes to the head (Luong et
    /// al. 2015, without input feeding).
    Luong,
    /// As [`Wiring::Luong`], and h̃_t is also a part of the next step's input, initially zeros (their "input feeding").
    InputFeeding,
    /// Before the recurrent layers: the state of the last layer after the step before is the query, the context is a part
    /// of the input, and \[s_t; c_t; e_t\] goes to the head (Bahdanau et al. 2015, with a linear layer in place of their
    /// maxout).
    Bahdanau,
}

/// Sizes of a [`Seq2Seq`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seq2SeqConfig {
    /// Ids of both sides, and the tokens that start and end a target.
    pub vocab: TranslationVocab,
    /// Channels of both embeddings, C.
    pub embed: usize,
    /// Width of the hidden states of encoder and decoder, H.
    pub hidden: usize,
    /// Recurrent layers of encoder and decoder each, L; at least 1 (0 is taken as 1).
    pub layers: usize,
    /// Whether the encoder runs in both directions, D = 2. Then the decoder starts from a projection of both final states.
    pub bidirectional: bool,
    /// Probability of dropout while training: on the embeddings and between the layers.
    pub dropout: f32,
    /// The decoder's attention; without it the decoder knows the source only by its initial state.
    pub attention: Option<(Score, Wiring)>,
    /// Longest source that it reads, in tokens.
    pub max_source: usize,
}

impl Seq2SeqConfig {
    /// One layer in one direction without attention and dropout, for sources of any length.
    #[must_use]
    pub fn new(vocab: TranslationVocab, embed: usize, hidden: usize) -> Self {
        Self {
            vocab,
            embed,
            hidden,
            layers: 1,
            bidirectional: false,
            dropout: 0.0,
            attention: None,
            max_source: usize::MAX,
        }
    }
}

/// An encoder–decoder over recurrent layers (Sutskever et al. 2014; Cho et al. 2014), with attention if asked for.
///
/// ```text
/// m_1 .. m_S, s = encoder(embedding(x_1 .. x_S))        outputs [S, D·H] and final states
/// s_0           = s                                     D = 1
/// s_0           = tanh(W_b·[s_forward; s_backward] + b_b)   D = 2; an LSTM's c without the tanh; each layer its own
/// h_t, s_t      = decoder([e(y_{t-1}); ..], s_{t-1})    y_0 = <bos>; the attention's wiring says what else is read
/// logits_t      = head(h_t, or what the wiring makes of it)
/// loss          = mean over true target steps of −ln softmax(logits_t)[y_t]
/// ```
///
/// Parameters: `encoder.embedding.weight` [Vs, C], `encoder.{lstm,gru,rnn}.*`, `encoder.bridge.{h,c}_l{l}.{weight,bias}` [H, 2H] if
/// bidirectional; `decoder.embedding.weight` [V, C], `decoder.attention.*` as [`Attention`] names them,
/// `decoder.{lstm,gru,rnn}.*`, `decoder.combine.{weight,bias}` [H, D·H + H] with Luong's wirings, `decoder.head.{weight,bias}`.
///
/// Errors: [`Score::Dot`] needs D = 1 (both sides of the product have width H); a source of more than `max_source` steps, a
/// state of another shape, a batch of other vocabularies poison the result; ids and lengths out of range are found on the
/// host.
#[derive(Clone, Debug)]
pub struct Seq2Seq<L> {
    config: Seq2SeqConfig,
    source_embedding: Embedding,
    encoder: L,
    /// By layer, for each tensor of a state; none if the encoder has one direction.
    bridge: Vec<Vec<Linear>>,
    target_embedding: Embedding,
    attention: Option<(Attention, Wiring)>,
    decoder: L,
    combine: Option<Linear>,
    head: Linear,
    dropout: Dropout,
}

/// The encoder–decoder over [`Lstm`]s.
pub type LstmSeq2Seq = Seq2Seq<Lstm>;
/// The encoder–decoder over [`Gru`]s.
pub type GruSeq2Seq = Seq2Seq<Gru>;

/// What a decoder carries from step to step, for R rows.
#[derive(Clone, Debug)]
pub struct DecoderState<'g> {
    /// The recurrent layers' state, [L, R, H] for each tensor that [`Recurrent::STATE`] names.
    pub recurrent: Vec<Tensor<'g>>,
    /// With [`Wiring::InputFeeding`], h̃ of the step before [R, H].
    pub fed: Option<Tensor<'g>>,
}

/// What an encoder hands to a decoder.
#[derive(Clone, Debug)]
pub struct Encoded<'g> {
    /// The memory of attention; `None` without attention.
    pub memory: Option<Memory<'g>>,
    /// Where the decoder starts, R = B.
    pub state: DecoderState<'g>,
}

/// One step of a decoder.
#[derive(Clone, Debug)]
pub struct DecoderStep<'g> {
    /// What [`Seq2Seq::logits`] takes [R, F].
    pub features: Tensor<'g>,
    /// Attention weights of each row [R, S]; `None` without attention.
    pub weights: Option<Tensor<'g>>,
    /// The state after the step.
    pub state: DecoderState<'g>,
}

impl<L: Recurrent> Seq2Seq<L> {
    /// Registers the model's parameters.
    pub fn new(params: &mut Params, config: Seq2SeqConfig) -> Self {
        let config = Seq2SeqConfig { layers: config.layers.max(1), ..config };
        let Seq2SeqConfig { vocab, embed, hidden, layers, bidirectional, dropout, .. } = config;
        let sizes = RecurrentConfig { layers, bidirectional, dropout, ..RecurrentConfig::new(embed, hidden) };
        let memory = sizes.directions() * hidden;
        let (source_embedding, encoder, bridge) = params.scope("encoder", |params| {
            let embedding = Embedding::new(params, "embedding", vocab.source, embed);
            let encoder = L::register(params, L::NAME, sizes);
            let bridge = if bidirectional { L::STATE } else { &[] };
            let linear = |params: &mut Params, tensor: &str, l| {
                Linear::new(params, &format!("{tensor}_l{l}"), 2 * hidden, hidden)
            };
            let bridge = params.scope("bridge", |params| {
                bridge.iter().map(|t| (0..layers).map(|l| linear(params, t, l)).collect()).collect()
            });
            (embedding, encoder, bridge)
        });
        params.scope("decoder", |params| {
            let target_embedding = Embedding::new(params, "embedding", vocab.target, embed);
            let attention = config
                .attention
                .map(|(score, wiring)| (Attention::new(params, "attention", score, hidden, memory), wiring));
            let (also_read, combined, features) = match config.attention {
                None => (0, false, hidden),
                Some((_, Wiring::Luong)) => (0, true, hidden),
                Some((_, Wiring::InputFeeding)) => (hidden, true, hidden),
                Some((_, Wiring::Bahdanau)) => (memory, false, hidden + memory + embed),
            };
            let sizes = RecurrentConfig { input: embed + also_read, bidirectional: false, ..sizes };
            let decoder = L::register(params, L::NAME, sizes);
            let combine = combined.then(|| Linear::new(params, "combine", memory + hidden, hidden));
            let head = Linear::new(params, "head", features, vocab.target);
            let dropout = Dropout::new(dropout);
            Self {
                config,
                source_embedding,
                encoder,
                bridge,
                target_embedding,
                attention,
                decoder,
                combine,
                head,
                dropout,
            }
        })
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &Seq2SeqConfig {
        &self.config
    }

    fn wiring(&self) -> Option<Wiring> {
        self.attention.map(|(_, wiring)| wiring)
    }

    /// Records the encoder: source ids [B, S] and their lengths (all S if `None`) → what the decoder starts from.
    #[track_caller]
    #[must_use]
    pub fn encode<'g>(&self, sources: Tensor<'g>, lengths: Option<Lengths<'g>>) -> Encoded<'g> {
        let (rows, positions, most) = (sources.dim(0), sources.dim(1), self.config.max_source);
        let sources = if positions > most {
            sources.refused("seq2seq", &format!("sources have {most} steps at most"))
        } else {
            sources
        };
        let embedded = self.dropout.forward(self.source_embedding.forward(sources));
        let run = self.encoder.run(embedded, None, lengths);
        let memory = self.attention.as_ref().map(|(attention, _)| attention.memory(run.output, lengths));
        let recurrent = match &self.bridge[..] {
            [] => run.state,
            bridges => {
                let tensors = bridges.iter().zip(run.state).enumerate();
                // No tanh for the cell state: it is not bounded.
                tensors.map(|(i, (bridge, state))| self.bridged(bridge, state, rows, i == 0)).collect()
            }
        };
        let fed = (self.wiring() == Some(Wiring::InputFeeding))
            .then(|| sources.graph().full(&[rows, self.config.hidden], 0.0));
        Encoded { memory, state: DecoderState { recurrent, fed } }
    }

    /// Final states of both directions [L·2, B, H] → start states [L, B, H].
    #[track_caller]
    fn bridged<'g>(&self, bridge: &[Linear], state: Tensor<'g>, rows: usize, bounded: bool) -> Tensor<'g> {
        let (layers, hidden) = (self.config.layers, self.config.hidden);
        // [L, 2, B, H] → [L, B, 2H]: both directions of a row side by side.
        let pairs = state.reshape(&[layers, 2, rows, hidden]).transpose(1, 2);
        let pairs = pairs.reshape(&[layers, rows, 2 * hidden]);
        let starts: Vec<_> = bridge
            .iter()
            .enumerate()
            .map(|(l, linear)| {
                let start = linear.forward(pairs.slice(0, l, 1));
                if bounded { start.tanh() } else { start }
            })
            .collect();
        side_by_side(&starts, 0, pairs)
    }

    /// Records the embedding of target ids [..] → [.., C], without dropout.
    #[track_caller]
    #[must_use]
    pub fn embed<'g>(&self, targets: Tensor<'g>) -> Tensor<'g> {
        self.target_embedding.forward(targets)
    }

    /// Records one step of R rows: embedded tokens [R, C], the state before → features, weights and the state after. With
    /// attention R is a multiple of the memory's B, and rows b·R/B to (b + 1)·R/B − 1 attend to sentence b.
    #[track_caller]
    #[must_use]
    pub fn step<'g>(
        &self,
        embedded: Tensor<'g>,
        state: &DecoderState<'g>,
        memory: Option<&Memory<'g>>,
    ) -> DecoderStep<'g> {
        let (rows, layers, hidden) = (embedded.dim(0), self.config.layers, self.config.hidden);
        let sentences = memory.map_or(rows, |m| m.values.dim(0)).max(1);
        let beams = |t: Tensor<'g>| t.reshape(&[sentences, rows / sentences, t.dim(1)]);
        let flat = |t: Tensor<'g>| t.reshape(&[rows, t.dim(2)]);
        match (self.wiring(), &self.attention, memory, state.recurrent.first()) {
            (Some(Wiring::Bahdanau), Some((attention, _)), Some(memory), Some(before)) => {
                let query = before.slice(0, layers - 1, 1).reshape(&[rows, hidden]);
                let attended = attention.forward(beams(query), memory);
                let context = flat(attended.context);
                let (output, recurrent) = self.cell(Tensor::concat(embedded, &[context], 1), state);
                let features = Tensor::concat(output, &[context, embedded], 1);
                let state = DecoderState { recurrent, fed: None };
                DecoderStep { features, weights: Some(flat(attended.weights)), state }
            }
            _ => {
                let input = state.fed.map_or(embedded, |fed| Tensor::concat(embedded, &[fed], 1));
                let (output, recurrent) = self.cell(input, state);
                let (features, weights) = self.after(beams(output), memory);
                let features = flat(features);
                let fed = (self.wiring() == Some(Wiring::InputFeeding)).then_some(features);
                DecoderStep { features, weights: weights.map(flat), state: DecoderState { recurrent, fed } }
            }
        }
    }

    /// The recurrent layers over one step [R, C'] → the last one's output [R, H] and the state.
    #[track_caller]
    fn cell<'g>(&self, x: Tensor<'g>, state: &DecoderState<'g>) -> (Tensor<'g>, Vec<Tensor<'g>>) {
        let (rows, input) = (x.dim(0), x.dim(1));
        let run = self.decoder.run(x.reshape(&[rows, 1, input]), Some(&state.recurrent), None);
        (run.output.reshape(&[rows, self.config.hidden]), run.state)
    }

    /// The part after the recurrent layers, with Luong's wirings or none: outputs [B, T, H] → features [B, T, H],
    /// weights.
    #[track_caller]
    fn after<'g>(&self, output: Tensor<'g>, memory: Option<&Memory<'g>>) -> (Tensor<'g>, Option<Tensor<'g>>) {
        match (&self.attention, &self.combine, memory) {
            (Some((attention, _)), Some(combine), Some(memory)) => {
                let attended = attention.forward(output, memory);
                let both = Tensor::concat(attended.context, &[output], -1);
                (combine.forward(both).tanh(), Some(attended.weights))
            }
            (None, _, _) => (output, None),
            _ => (output.refused("seq2seq", "attention needs the encoder's memory"), None),
        }
    }

    /// Records the logits of features [.., F] → [.., V].
    #[track_caller]
    #[must_use]
    pub fn logits<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(features)
    }

    /// The decoder step by step: embedded targets [B, T, C] and which of them are given [B, T] (all if `None`) → features
    /// [B, T, F].
    #[track_caller]
    fn unrolled<'g>(
        &self,
        given: Tensor<'g>,
        teacher: Option<Tensor<'g>>,
        encoded: Encoded<'g>,
    ) -> Tensor<'g> {
        let (rows, time, channels) = (given.dim(0), given.dim(1), given.dim(2));
        let Encoded { memory, mut state } = encoded;
        let mut all: Vec<Tensor<'g>> = Vec::with_capacity(time);
        for t in 0..time {
            let token = given.slice(1, t, 1).reshape(&[rows, channels]);
            let read = match (teacher, all.last()) {
                (Some(teacher), Some(before)) => {
                    let own = self.likeliest(before.reshape(&[rows, before.dim(2)]));
                    own + teacher.slice(1, t, 1) * (token - own)
                }
                _ => token,
            };
            let step = self.step(self.dropout.forward(read), &state, memory.as_ref());
            all.push(step.features.reshape(&[rows, 1, step.features.dim(1)]));
            state = step.state;
        }
        side_by_side(&all, 1, given)
    }

    /// The embedding of the token that the features [R, F] make likeliest [R, C]. A product picks the row of the table,
    /// so no id has to come back from the device.
    #[track_caller]
    fn likeliest<'g>(&self, features: Tensor<'g>) -> Tensor<'g> {
        let logits = self.logits(features.detach());
        let rows = logits.dim(0);
        let picks = logits.equal(logits.max(-1).reshape(&[rows, 1]));
        let picks = picks / picks.sum(-1).reshape(&[rows, 1]);
        picks.detach().matmul(self.target_embedding.table(features.graph()))
    }
}

impl<L: Recurrent> Model<TranslationBatch> for Seq2Seq<L> {
    /// Records the loss of a batch, a scalar in nats per target token (`<eos>` counted), over inputs named as the batch names
    /// its tensors.
    ///
    /// What a decoder reads at each step is the token that the batch gives, or, where
    /// [`TranslationBatch::with_teacher_forcing`] says so, the one that it finds likeliest itself (among equal ones, the
    /// mean of their embeddings). No gradient flows through that choice.
    #[track_caller]
    fn loss<'g>(&self, g: &'g Graph, batch: &TranslationBatch) -> Tensor<'g> {
        let (inputs, vocab) = (batch.bind(g), self.config.vocab);
        let sources = inputs.ids("sources", vocab.source);
        let sources = match batch.vocab() {
            Some(other) if other != vocab => {
                sources.refused("seq2seq", &format!("a batch of {other:?} for a model of {vocab:?}"))
            }
            _ => sources,
        };
        let encoded = self.encode(sources, Some(inputs.lengths("source_lengths")));
        let lengths = inputs.lengths("target_lengths");
        let given = self.embed(inputs.ids("target_inputs", vocab.target));
        let teacher = inputs.has("teacher").then(|| inputs.get("teacher"));
        let features = match (self.wiring(), teacher) {
            (None | Some(Wiring::Luong), None) => {
                let run = self.decoder.run(
                    self.dropout.forward(given),
                    Some(&encoded.state.recurrent),
                    Some(lengths),
                );
                self.after(run.output, encoded.memory.as_ref()).0
            }
            _ => self.unrolled(given, teacher, encoded),
        };
        // The head, the widest layer, over true steps alone.
        let logits = self.logits(lengths.pack(features));
        let targets = inputs.ids("target_outputs", vocab.target.saturating_add(1));
        packed_cross_entropy(logits, lengths, targets, vocab.target, 0.0)
    }
}

impl<L: Recurrent> EncoderDecoder for Seq2Seq<L> {
    fn vocab(&self) -> TranslationVocab {
        self.config.vocab
    }

    fn max_source(&self) -> usize {
        self.config.max_source
    }

    /// Values [B, S, M] and keys [B, S, K]; keys only if they are separate tensors. None without attention.
    fn memory_shapes(&self, sentences: usize, positions: usize) -> Vec<Vec<usize>> {
        let width = self.encoder.config().directions() * self.config.hidden;
        let Some((attention, _)) = &self.attention else { return Vec::new() };
        let keys = attention.projects_keys().then(|| attention.key_width(self.config.hidden, width));
        std::iter::once(width).chain(keys).map(|width| vec![sentences, positions, width]).collect()
    }

    /// The recurrent tensors, then what is fed, if anything is.
    fn state_shapes(&self, rows: usize) -> Vec<StateShape> {
        let recurrent = StateShape::new(&self.decoder.config().state_shape(rows), 1);
        let mut shapes = vec![recurrent; L::STATE.len()];
        if self.wiring() == Some(Wiring::InputFeeding) {
            shapes.push(StateShape::new(&[rows, self.config.hidden], 0));
        }
        shapes
    }

    #[track_caller]
    fn begin<'g>(&self, sources: Tensor<'g>, lengths: Lengths<'g>) -> Begun<'g> {
        let Encoded { memory, state } = self.encode(sources, Some(lengths));
        let projects = self.attention.is_some_and(|(attention, _)| attention.projects_keys());
        let told =
            memory.into_iter().flat_map(|m| std::iter::once(m.values).chain(projects.then_some(m.keys)));
        let state = state.recurrent.into_iter().chain(state.fed).collect();
        Begun { memory: told.collect(), state }
    }

    #[track_caller]
    fn next<'g>(&self, tokens: Tensor<'g>, past: &Past<'g>, source: &Source<'g>) -> Next<'g> {
        let mut recurrent = past.state.clone();
        let fed = recurrent.split_off(L::STATE.len().min(recurrent.len())).pop();
        let lengths = Some(source.lengths);
        let memory = source.memory.first().map(|&values| Memory {
            values,
            keys: source.memory.get(1).copied().unwrap_or(values),
            lengths,
        });
        let after = self.step(self.embed(tokens), &DecoderState { recurrent, fed }, memory.as_ref());
        let state = after.state.recurrent.into_iter().chain(after.state.fed).collect();
        Next { logits: self.logits(after.features), weights: after.weights, state }
    }
}

/// Tensors joined along `axis` pairwise, so each is copied log₂ n times instead of n. For no tensors, `fallback`; no
/// caller relies on it, because there is always a step and a layer.
#[track_caller]
fn side_by_side<'g>(parts: &[Tensor<'g>], axis: isize, fallback: Tensor<'g>) -> Tensor<'g> {
    match parts {
        [] => fallback,
        [only] => *only,
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            Tensor::concat(side_by_side(left, axis, fallback), &[side_by_side(right, axis, fallback)], axis)
        }
    }
}
