//! Text and translations generated with a cache equal those of the model that rereads everything for each token: for
//! every kind of position, for prompts of several lengths, greedy, sampled and by beam search. Their probabilities are
//! those of training, no step compiles or allocates anything, and what cannot be generated is an error.

use seqloom::graph::{Arena, Control, GraphError, Program, Request};
use seqloom::nn::NnError;
use seqloom::prelude::custom::*;
use seqloom_tests::device::{shared, shared_as_gpu};

const VOCAB: usize = 11;
const MOST: usize = 24;

/// Weights large enough that an untrained model has preferences.
fn opinionated(store: &ParamStore, factor: f32) {
    for (i, values) in store.read(Arena::Params).unwrap().into_iter().enumerate() {
        let name = &store.specs()[i].name;
        // Terms by distance begin at 0, and are to matter here.
        let values = if name.contains("relative") {
            (0..values.len()).map(|k| (k as f32 * 1.7).sin()).collect()
        } else if name.contains("norm") || name.contains("bias") {
            values
        } else {
            values.into_iter().map(|v| v * factor).collect::<Vec<_>>()
        };
        store.write(Arena::Params, i, &values).unwrap();
    }
}

/// A model with this many symbols, its parameters on the device.
fn gpt(change: impl FnOnce(&mut GptConfig)) -> (Gpt, ParamStore) {
    gpt_on(&shared(), change)
}

fn gpt_on(device: &Device, change: impl FnOnce(&mut GptConfig)) -> (Gpt, ParamStore) {
    let mut config = GptConfig::new(Vocab::ids(VOCAB), 16, 4, 2, MOST);
    change(&mut config);
    let mut params = Params::seeded(5);
    let model = Gpt::new(&mut params, config);
    let store = ParamStore::new(device, params, StoreKind::Training).unwrap();
    opinionated(&store, 12.0);
    (model, store)
}

const PROMPTS: [&[u32]; 3] = [&[3, 1, 4, 1, 5, 9], &[2], &[7, 7, 0, 10, 2, 6, 5, 3, 8, 8, 1]];

/// Logits [T, V] of a text read at once.
fn logits_of(model: &impl LanguageModel, store: &ParamStore, text: &[u32]) -> Vec<f32> {
    let g = store.inference_graph();
    let tokens = g.ids("tokens", &[1, text.len()], model.vocab().size());
    let logits = model.logits(model.read(tokens, None, None).features);
    let request = Request { outputs: &[("logits", logits)], objective: None };
    let program = Program::compile(store, &g, request).unwrap();
    let tokens = HostTensor::u32(&[1, text.len()], text.to_vec()).unwrap();
    program.run(&[("tokens", &tokens)], &Control::default()).unwrap();
    program.read("logits").unwrap().wait().unwrap()
}

/// ln P of the symbols of a text from `from` on.
fn log_prob(model: &impl LanguageModel, store: &ParamStore, text: &[u32], from: usize) -> f64 {
    let logits = logits_of(model, store, text);
    let rows =
        logits.chunks(model.vocab().size()).map(|row| row.iter().map(|&l| f64::from(l)).collect::<Vec<_>>());
    let told = rows.map(|row| {
        let sum: f64 = row.iter().map(|l| l.exp()).sum();
        row.into_iter().map(|l| l - sum.ln()).collect::<Vec<_>>()
    });
    let told: Vec<_> = told.collect();
    (from..text.len()).map(|t| told[t - 1][text[t] as usize]).sum()
}

/// Each symbol after the prompt is the likeliest one after all before it, read anew.
fn assert_greedy(model: &impl LanguageModel, store: &ParamStore, prompt: &[u32], said: &[u32]) {
    let text = [prompt, &said[..said.len() - 1]].concat();
    let logits = logits_of(model, store, &text);
    for (row, &id) in logits.chunks(model.vocab().size()).skip(prompt.len() - 1).zip(said) {
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // Two logits may be equal up to the rounding of two programs; then either is the likeliest.
        assert!(best - row[id as usize] < 1e-3, "{prompt:?} {said:?}: {row:?}");
    }
}

/// What is written in a batch is greedy, as is what is written alone, and they are the same.
fn cached_is_uncached(model: &(impl LanguageModel + Clone), store: &ParamStore) {
    let mut generator = model.generator(store).unwrap();
    let count = MOST - 11 + 1;
    let said = generator.greedy_batch(&PROMPTS, count).unwrap();
    assert!(said.iter().any(|said| said.iter().any(|id| *id != said[0])), "a test of nothing: {said:?}");
    for (prompt, said) in PROMPTS.iter().zip(&said) {
        assert_eq!(said.len(), count);
        assert_greedy(model, store, prompt, said);
    }
    assert_eq!(generator.greedy_ids(PROMPTS[1], count).unwrap(), said[1]);
    assert_eq!(generator.greedy_batch(&PROMPTS, count).unwrap(), said, "each text starts from nothing");
}

#[test]
fn a_cache_of_learned_and_of_sinusoidal_positions() {
    for positions in [AbsolutePositions::Learned, AbsolutePositions::Sinusoidal(SinusoidLayout::Interleaved)]
    {
        let (model, store) = gpt(|config| config.positions = positions);
        cached_is_uncached(&model, &store);
    }
}

#[test]
fn a_cache_of_rotated_keys() {
    for interleaved in [true, false] {
        let rotary = RelativePositions::Rotary(Rotary { interleaved, ..Rotary::default() });
        let (model, store) = gpt(|config| {
            config.positions = AbsolutePositions::None;
            config.block.relative = rotary;
        });
        cached_is_uncached(&model, &store);
    }
}

#[test]
fn a_cache_with_terms_by_distance() {
    for relative in [RelativePositions::Alibi, RelativePositions::Learned { radius: 5 }] {
        let (model, store) = gpt(|config| {
            config.positions = AbsolutePositions::None;
            config.block.relative = relative;
        });
        cached_is_uncached(&model, &store);
    }
}

#[test]
fn a_cache_of_which_a_window_is_seen_and_shared_key_heads() {
    let (model, store) = gpt(|config| {
        config.window = Some(4);
        config.block.key_heads = Some(2);
        config.block.norm = NormKind::Rms;
        config.tied = true;
    });
    cached_is_uncached(&model, &store);
}

#[test]
fn a_cache_with_the_kernels_of_a_gpu() {
    let (model, store) = gpt_on(&shared_as_gpu(), |config| config.block.relative = RelativePositions::Alibi);
    cached_is_uncached(&model, &store);
}

#[test]
fn recurrent_states_of_prompts_of_several_lengths() {
    let config = LstmLmConfig { vocab: Vocab::ids(VOCAB), embed: 8, hidden: 12, layers: 2, dropout: 0.1 };
    let mut params = Params::seeded(3);
    let model = LstmLm::new(&mut params, config);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    opinionated(&store, 8.0);
    cached_is_uncached(&model, &store);
    let mut params = Params::seeded(3);
    let config = WindowLmConfig { vocab: Vocab::ids(VOCAB), order: 4, embed: 8, hidden: 12 };
    let model = WindowLm::new(&mut params, config);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    opinionated(&store, 8.0);
    cached_is_uncached(&model, &store);
    let mut params = Params::seeded(3);
    let config = ConvLmConfig { vocab: Vocab::ids(VOCAB), channels: 8, kernel: 3, layers: 2, growth: 2 };
    let model = ConvLm::new(&mut params, config);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    opinionated(&store, 4.0);
    cached_is_uncached(&model, &store);
}

/// The best of all texts of `count` symbols, found by trying them all.
fn best_of_all(model: &Gpt, store: &ParamStore, prompt: &[u32], count: u32) -> (Vec<u32>, f64) {
    let all = (0..VOCAB.pow(count))
        .map(|k| (0..count).map(|i| (k / VOCAB.pow(i) % VOCAB) as u32).collect::<Vec<_>>());
    let scored = all.map(|more| {
        let text = [prompt, &more].concat();
        (more, log_prob(model, store, &text, prompt.len()))
    });
    scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap()
}

/// Beams report the probability that the model gives their text, find what greedy search misses, and do so for prompts of
/// several lengths at once, in a Transformer's cache and in a recurrent state.
fn beams_have_their_texts_probability(model: &(impl LanguageModel + Clone), store: &ParamStore) {
    let mut generator = model.generator(store).unwrap();
    let found = generator.beam(&PROMPTS, 4, 0.0, 8, None).unwrap();
    let greedy = generator.greedy_batch(&PROMPTS, 8).unwrap();
    let mut better = 0;
    for ((prompt, found), greedy) in PROMPTS.iter().zip(&found).zip(&greedy) {
        assert_eq!(found.len(), 4);
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        for hypothesis in found {
            assert_eq!((hypothesis.tokens.len(), hypothesis.ended), (8, false));
            let text = [prompt, &hypothesis.tokens[..]].concat();
            let exact = log_prob(model, store, &text, prompt.len());
            // Eight logarithms of two programs.
            assert!((hypothesis.log_prob - exact).abs() < 2e-3, "{exact} {hypothesis:?}");
        }
        let of_greedy = log_prob(model, store, &[prompt, &greedy[..]].concat(), prompt.len());
        assert!(found[0].log_prob > of_greedy - 2e-3);
        better += usize::from(found[0].log_prob > of_greedy + 2e-3);
    }
    assert!(better > 0, "beams that never change places test little");
    let narrow = generator.beam(&PROMPTS, 1, 0.6, 8, None).unwrap();
    assert_eq!(narrow.into_iter().map(|mut f| f.remove(0).tokens).collect::<Vec<_>>(), greedy);
    // With an end: what ended has a shorter text, and its end is part of its probability.
    let ended = generator.beam(&PROMPTS, 4, 0.6, 8, Some(6)).unwrap();
    let mut some = 0;
    for (prompt, hypothesis) in
        PROMPTS.iter().zip(&ended).flat_map(|(p, found)| found.iter().map(move |h| (p, h)))
    {
        let end: &[u32] = if hypothesis.ended { &[6] } else { &[] };
        assert!(!hypothesis.tokens.contains(&6) && hypothesis.tokens.len() <= 8);
        let text = [prompt, &hypothesis.tokens[..], end].concat();
        let exact = log_prob(model, store, &text, prompt.len());
        assert!((hypothesis.log_prob - exact).abs() < 2e-3, "{exact} {hypothesis:?}");
        some += usize::from(hypothesis.ended);
    }
    assert!(some > 0, "a test of nothing");
}

#[test]
fn beams_in_a_cache() {
    let (model, store) = gpt(|config| config.block.relative = RelativePositions::Alibi);
    opinionated(&store, 0.5);
    beams_have_their_texts_probability(&model, &store);
    // A beam as wide as the vocabulary finds the best of all texts of two symbols.
    let mut generator = model.generator(&store).unwrap();
    let found = generator.beam(&[&PROMPTS[0][..2]], VOCAB, 0.0, 2, None).unwrap();
    let (tokens, log_prob) = best_of_all(&model, &store, &PROMPTS[0][..2], 2);
    assert_eq!(found[0][0].tokens, tokens);
    assert!((found[0][0].log_prob - log_prob).abs() < 1e-3);
}

#[test]
fn beams_in_a_recurrent_state() {
    let config = LstmLmConfig { vocab: Vocab::ids(VOCAB), embed: 8, hidden: 12, layers: 2, dropout: 0.0 };
    let mut params = Params::seeded(3);
    let model = LstmLm::new(&mut params, config);
    let store = ParamStore::new(&shared(), params, StoreKind::Inference).unwrap();
    opinionated(&store, 8.0);
    beams_have_their_texts_probability(&model, &store);
}

#[test]
fn what_is_drawn_follows_the_model_and_its_seed() {
    let (model, store) = gpt(|_| ());
    opinionated(&store, 0.3);
    let drawn = |seed| {
        let generator = model.generator(&store).unwrap().with_seed(seed);
        generator.with_temperature(0.8).unwrap().with_top_k(3).unwrap().sample_batch(&PROMPTS, 12).unwrap()
    };
    assert_eq!(drawn(4), drawn(4));
    assert_ne!(drawn(4), drawn(5));
    // Each symbol is among the three likeliest, and not always the likeliest.
    let mut ranks = [0; VOCAB];
    for (prompt, said) in PROMPTS.iter().zip(drawn(4)) {
        let logits = logits_of(&model, &store, &[prompt, &said[..]].concat());
        for (row, id) in logits.chunks(VOCAB).skip(prompt.len() - 1).zip(said) {
            ranks[row.iter().filter(|&&other| other > row[id as usize] + 1e-4).count()] += 1;
        }
    }
    assert!(ranks[0] > 0 && ranks[1] > 0 && ranks[2] > 0 && ranks[3..] == [0; VOCAB - 3], "{ranks:?}");
    // A nucleus that the likeliest symbol fills is greedy.
    let mut certain = model.generator(&store).unwrap().with_top_p(1e-6).unwrap();
    let greedy = certain.greedy_batch(&PROMPTS, 12).unwrap();
    assert_eq!(certain.sample_batch(&PROMPTS, 12).unwrap(), greedy);
    // Twelve hundred first symbols against the model's own distribution.
    let mut plain = model.generator(&store).unwrap().with_seed(9);
    let prompts = vec![PROMPTS[0]; 60];
    let mut counts = [0.0; VOCAB];
    for _ in 0..20 {
        plain.sample_batch(&prompts, 1).unwrap().iter().for_each(|said| counts[said[0] as usize] += 1.0);
    }
    let logits = logits_of(&model, &store, PROMPTS[0]);
    let last = &logits[logits.len() - VOCAB..];
    let sum: f64 = last.iter().map(|&l| f64::from(l).exp()).sum();
    for (count, &logit) in counts.iter().zip(last) {
        let p = f64::from(logit).exp() / sum;
        let deviation = (1200.0 * p * (1.0 - p)).sqrt();
        assert!((count - 1200.0 * p).abs() < 4.5 * deviation + 1.0, "{counts:?}");
    }
}

#[test]
fn a_step_compiles_and_allocates_nothing() {
    // A separate device, because its objects are counted.
    let device = Device::open(DeviceOptions::default()).unwrap();
    let (model, store) = gpt_on(&device, |_| ());
    let mut generator = model.generator(&store).unwrap();
    generator.greedy_batch(&PROMPTS, 2).unwrap();
    let before = (device.allocated_bytes(), device.counts());
    generator.greedy_batch(&PROMPTS, 13).unwrap();
    assert_eq!((device.allocated_bytes(), device.counts()), before);
    assert_eq!(generator.steps(), 1 + 12);
    // New rows are written where the cache lies: however large it is, a step needs no more memory and no more dispatches.
    let (large, store_of_large) = gpt_on(&device, |config| config.max_time = 40 * MOST);
    let large = large.generator(&store_of_large).unwrap();
    // Programs over one store share their slots, so this one has a store in which it is the first.
    let (small, store_of_small) = gpt_on(&device, |_| ());
    let small = small.generator(&store_of_small).unwrap();
    assert_eq!(
        large.program().memory().own(),
        small.program().memory().own(),
        "{}",
        large.program().explain()
    );
    assert_eq!(large.program().dispatches(), small.program().dispatches());
    // Two generators over one store, a third one of beams: none disturbs the others.
    let mut other = model.generator(&store).unwrap();
    let alone = generator.greedy_batch(&PROMPTS, 5).unwrap();
    other.greedy_batch(&[PROMPTS[2], PROMPTS[2], PROMPTS[1]], 9).unwrap();
    other.beam(&PROMPTS, 2, 0.0, 4, None).unwrap();
    assert_eq!(generator.greedy_batch(&PROMPTS, 5).unwrap(), alone);
    let held = device.allocated_bytes();
    drop((generator, other));
    assert!(device.allocated_bytes() < held, "states go with their generators");
}

/// A block of a step over one sequence: keys and values are projected with the queries and appended to their caches by one
/// dispatch each, where the parts of the projection can be bound.
#[test]
fn a_step_of_one_sequence_projects_once_and_appends_once_a_block() {
    let count = |rows: usize| {
        let (model, store) = gpt(|config| *config = GptConfig::new(Vocab::ids(VOCAB), 64, 4, 2, MOST));
        let mut generator = model.generator(&store).unwrap();
        generator.greedy_batch(&vec![PROMPTS[0]; rows], 2).unwrap();
        let explained = generator.program().explain();
        let of = |kernel: &str| explained.lines().filter(|line| line.contains(kernel)).count();
        (of("matmul"), of("append_pair"), of("append"))
    };
    // Per block: one projection or three, what attention gives, and two of the feed-forward; the head.
    assert_eq!(count(1), (2 * 4 + 1, 2, 2));
    assert_eq!(count(3), (2 * 6 + 1, 2, 2));
}

/// Prompts of any lengths are read by few programs, and a text does not depend on which of them are kept.
#[test]
fn readers_of_prompts_are_few() {
    let (model, store) = gpt(|config| config.max_time = 150);
    let mut generator = model.generator(&store).unwrap();
    let prompt: Vec<u32> = (0..130).map(|i| (i * i % VOCAB as u32 + i) % VOCAB as u32).collect();
    let first = generator.greedy_ids(&prompt[..3], 4).unwrap();
    for length in (1..=130).step_by(3) {
        generator.greedy_ids(&prompt[..length], 1).unwrap();
    }
    let memory = generator.memory();
    // Multiples of 8 up to 64, of 16 up to 128, and 150 itself.
    assert_eq!((memory.shapes.held, memory.shapes.most, memory.shapes.dropped), (8, 8, 8 + 4 + 1 - 8));
    assert!(memory.states > 0 && memory.total == memory.states + memory.programs, "{memory:?}");
    assert_eq!(generator.greedy_ids(&prompt[..3], 4).unwrap(), first);
}

#[test]
fn what_cannot_be_generated_is_named() {
    let (model, store) = gpt(|_| ());
    let mut generator = model.generator(&store).unwrap();
    assert!(matches!(generator.greedy_batch::<&[u32]>(&[], 3), Err(NnError::NoPrompts)));
    assert!(matches!(generator.beam::<&[u32]>(&[], 2, 0.0, 3, None), Err(NnError::NoPrompts)));
    let long = vec![1; MOST + 1];
    let too_long = |found: Result<Vec<u32>, NnError>| match found {
        Err(NnError::PromptTooLong { row: 0, prompt, more, most: MOST }) => (prompt, more),
        other => panic!("{other:?}"),
    };
    assert_eq!(too_long(generator.greedy_ids(&long, 1)), (MOST + 1, 0));
    assert_eq!(too_long(generator.greedy_ids(&long[..20], 6)), (20, 5));
    assert_eq!(generator.greedy_ids(&long[..20], 5).unwrap().len(), 5, "the last symbol is not read");
    assert_eq!(generator.greedy_ids(&long[..MOST], 1).unwrap().len(), 1);
    let named = generator.sample_batch(&[&long[..3], &long[..22]], 4);
    assert!(matches!(named, Err(NnError::PromptTooLong { row: 1, .. })), "{named:?}");
    assert!(matches!(generator.beam(&[[1; 20]], 2, 0.0, 5, Some(3)), Err(NnError::PromptTooLong { .. })));
    assert!(generator.beam(&[[1; 20]], 2, 0.0, 5, None).is_ok());
    assert!(matches!(generator.beam(&[[1]], 0, 0.0, 5, None), Err(NnError::BeamWidth { width: 0, .. })));
    assert!(matches!(generator.beam(&[[1]], 2, f64::NAN, 5, None), Err(NnError::LengthPenalty { .. })));
    assert!(matches!(generator.beam(&[[1]], 2, 0.0, 5, Some(11)), Err(NnError::UnknownId { id: 11, .. })));
    let unknown = generator.greedy_batch(&[[1, 2], [3, 99]], 2);
    assert!(matches!(unknown, Err(NnError::Graph(GraphError::OutOfRange { value: 99, .. }))), "{unknown:?}");
    assert_eq!(generator.greedy_batch(&[[1, 2], [3, 4]], 0).unwrap(), [[], []] as [[u32; 0]; 2]);
    assert!(generator.beam(&[[1]], 2, 0.0, 0, None).unwrap()[0].is_empty());
    assert_eq!(generator.greedy_batch(&[&[][..], &[0]], 3).unwrap().concat().len(), 6);
    assert!(matches!(generator.with_top_k(0), Err(NnError::TopK)));
    for p in [0.0, -0.1, 1.5, f32::NAN] {
        assert!(matches!(model.generator(&store).unwrap().with_top_p(p), Err(NnError::TopP { .. })));
    }
    for (i, spec) in store.specs().iter().enumerate() {
        store.write(Arena::Params, i, &vec![f32::NAN; spec.shape.elements()]).unwrap();
    }
    let mut generator = model.generator(&store).unwrap();
    assert!(matches!(generator.greedy_ids(&[1], 1), Err(NnError::NotFinite { .. })));
    assert!(matches!(generator.beam(&[[1]], 2, 0.0, 2, None), Err(NnError::NotFinite { .. })));
}

/// Sets the bias of these symbols in the head.
fn biased(store: &ParamStore, ids: impl IntoIterator<Item = usize>, value: f32) {
    let head = store.specs().iter().position(|spec| spec.name == "head.bias").unwrap();
    let mut bias = store.read(Arena::Params).unwrap().swap_remove(head);
    ids.into_iter().for_each(|id| bias[id] = value);
    store.write(Arena::Params, head, &bias).unwrap();
}

#[test]
fn a_banned_symbol_is_never_chosen() {
    let (model, store) = gpt(|_| ());
    opinionated(&store, 0.5);
    let said = model.generator(&store).unwrap().greedy_batch(&PROMPTS, 12).unwrap();
    let favourite = said[0][0];
    biased(&store, [favourite as usize, 4], f32::NEG_INFINITY);
    let allowed = |said: &[u32]| !said.contains(&favourite) && !said.contains(&4);
    let mut generator = model.generator(&store).unwrap();
    let greedy = generator.greedy_batch(&PROMPTS, 12).unwrap();
    assert!(greedy.iter().all(|said| said.len() == 12 && allowed(said)), "{greedy:?}");
    PROMPTS.iter().zip(&greedy).for_each(|(prompt, said)| assert_greedy(&model, &store, prompt, said));
    let drawn = generator.sample_batch(&PROMPTS, 12).unwrap();
    assert!(drawn.iter().all(|said| said.len() == 12 && allowed(said)), "{drawn:?}");
    // As wide as the vocabulary, so that banned symbols would be among the candidates.
    let beams = generator.beam(&PROMPTS, VOCAB, 0.0, 6, None).unwrap();
    for (prompt, hypothesis) in
        PROMPTS.iter().zip(&beams).flat_map(|(p, found)| found.iter().map(move |h| (p, h)))
    {
        assert!(allowed(&hypothesis.tokens), "{hypothesis:?}");
        let exact = log_prob(&model, &store, &[prompt, &hypothesis.tokens[..]].concat(), prompt.len());
        assert!((hypothesis.log_prob - exact).abs() < 2e-3, "{exact} {hypothesis:?}");
    }
    // The only symbol that is left follows with certainty.
    biased(&store, (0..VOCAB).filter(|&id| id != 7), f32::NEG_INFINITY);
    let mut generator = model.generator(&store).unwrap();
    assert_eq!(generator.greedy_ids(PROMPTS[0], 3).unwrap(), [7; 3]);
    assert_eq!(generator.sample_ids(PROMPTS[0], 3).unwrap(), [7; 3]);
    let beams = generator.beam(&PROMPTS[..1], 2, 0.0, 3, None).unwrap();
    assert_eq!((beams[0].len(), &beams[0][0].tokens[..], beams[0][0].log_prob), (1, &[7; 3][..], 0.0));
}

#[test]
fn a_choice_that_cannot_be_made_is_named() {
    let (model, store) = gpt(|_| ());
    let every_way = |wanted: &dyn Fn(&NnError) -> bool| {
        let mut generator = model.generator(&store).unwrap();
        let errors = [
            generator.greedy_batch(&PROMPTS, 2).unwrap_err(),
            generator.sample_batch(&PROMPTS, 2).unwrap_err(),
            generator.beam(&PROMPTS, 1, 0.0, 2, None).unwrap_err(),
            generator.beam(&PROMPTS, 3, 0.7, 2, Some(5)).unwrap_err(),
        ];
        assert!(errors.iter().all(wanted), "{errors:?}");
    };
    biased(&store, 0..VOCAB, f32::NEG_INFINITY);
    every_way(&|error| matches!(error, NnError::NoneAllowed { row: 0 }));
    for bad in [f32::NAN, f32::INFINITY] {
        biased(&store, 0..VOCAB, 0.0);
        biased(&store, [3], bad);
        every_way(&|error| matches!(error, NnError::NotFinite { id: 3 }));
    }
}

#[test]
fn texts_end_at_their_end_however_they_are_made() {
    let (model, store) = gpt(|_| ());
    opinionated(&store, 0.3);
    let generator = || model.generator(&store).unwrap().with_seed(4);
    let count = 12;
    let greedy = generator().greedy_batch(&PROMPTS, count).unwrap();
    let drawn = generator().sample_batch(&PROMPTS, count).unwrap();
    // A symbol that some rows write and not at once.
    let cut = |said: &[u32], end: u32| said.iter().position(|&id| id == end).map_or(said.len(), |at| at);
    let uneven = |all: &[Vec<u32>]| {
        let ends = (0..VOCAB as u32).filter(|&end| {
            let lengths: Vec<_> = all.iter().map(|said| cut(said, end)).collect();
            lengths.iter().any(|&n| n > 0 && n < count) && lengths.iter().any(|&n| n != lengths[0])
        });
        ends.collect::<Vec<_>>()
    };
    let ends = [uneven(&greedy), uneven(&drawn)];
    assert!(ends.iter().all(|ends| !ends.is_empty()), "a test of nothing: {greedy:?} {drawn:?}");
    for &end in ends.iter().flatten() {
        let mut generator = generator().with_end(end).unwrap();
        // Greedy search takes no random numbers, so what is drawn after it starts at the first of the seed.
        for (all, ended) in [
            (&greedy, generator.greedy_batch(&PROMPTS, count).unwrap()),
            (&drawn, generator.sample_batch(&PROMPTS, count).unwrap()),
        ] {
            for (all, ended) in all.iter().zip(&ended) {
                assert_eq!(ended, &all[..cut(all, end)], "what comes before the end, without it");
            }
        }
        // Beams take the same end, and one of their own instead.
        let own = generator.beam(&PROMPTS, 3, 0.6, 8, None).unwrap();
        assert_eq!(own, model.generator(&store).unwrap().beam(&PROMPTS, 3, 0.6, 8, Some(end)).unwrap());
        let other = (end + 1) % VOCAB as u32;
        let found = generator.beam(&PROMPTS, 3, 0.6, 8, Some(other)).unwrap();
        assert!(found.iter().flatten().all(|hypothesis| !hypothesis.tokens.contains(&other)));
    }
    // All rows end: no step is made for none.
    let end = greedy[1][0];
    let mut generator = generator().with_end(end).unwrap();
    assert_eq!(generator.greedy_ids(PROMPTS[1], count).unwrap(), [0; 0]);
    assert_eq!(generator.steps(), 0);
    let unknown = generator.with_end(VOCAB as u32);
    assert!(matches!(unknown, Err(NnError::UnknownId { id: 11, size: VOCAB, .. })), "{unknown:?}");
}
