//! Rows of several lengths, and sequences in several pieces: both give the results of the same rows one by one and
//! whole.

use seqloom_graph::{
    Arena, Control, DType, HostTensor, Init, Objective, ParamStore, Params, Program, Request, StoreKind,
};
use seqloom_nn::{
    Gru, LmBatch, Lstm, LstmState, Model, Recurrent, RecurrentConfig, RecurrentLm, RecurrentLmConfig, Rnn,
    Vocab,
};
use seqloom_tests::compare::{Tolerance, assert_close, assert_same_bits};
use seqloom_tests::device;
use seqloom_train::{AdamW, Trainer};

/// Two programs of equal arithmetic in another order of summation: sums of some dozens of terms of size 1.
const TOLERANCE: Tolerance = Tolerance { abs: 2e-6, rel: 2e-5 };
const VOCAB: usize = 11;

/// Rows of 1 to 9 steps.
fn rows() -> Vec<Vec<u32>> {
    let row = |b: usize, len: usize| (0..len).map(|t| ((t * 7 + b * 5 + t * t * b) % VOCAB) as u32).collect();
    [4, 10, 2, 7, 10, 3].iter().enumerate().map(|(b, &len)| row(b, len)).collect()
}

fn model<L: Recurrent>(params: &mut Params) -> RecurrentLm<L> {
    let vocab = Vocab::ids(VOCAB);
    RecurrentLm::new(params, RecurrentLmConfig { vocab, embed: 6, hidden: 9, layers: 2, dropout: 0.0 })
}

/// Loss and gradients of a batch.
fn gradients<L: Recurrent>(batch: &LmBatch) -> (f32, Vec<Vec<f32>>) {
    let mut params = Params::seeded(5);
    let model = model::<L>(&mut params);
    let store = ParamStore::new(&device::shared(), params, StoreKind::Training).unwrap();
    let g = store.training_graph();
    let loss = model.loss(&g, batch);
    let objective = Some(Objective { loss, update: None });
    let program = Program::compile(&store, &g, Request { outputs: &[], objective }).unwrap();
    let tensors = seqloom_nn::Batch::tensors(batch);
    program.run(&tensors, &Control { loss_scale: 1.0, ..Control::default() }).unwrap();
    let loss = program.read("loss").unwrap().wait().unwrap()[0];
    (loss, store.read(Arena::Grads).unwrap())
}

/// A ragged batch's loss and gradients are its rows' own, weighted by their steps.
fn equals_its_rows<L: Recurrent>() {
    let rows = rows();
    let (loss, together) = gradients::<L>(&LmBatch::ragged(&rows, VOCAB).unwrap());
    let steps: usize = rows.iter().map(|row| row.len() - 1).sum();
    let mut mean_loss = 0.0;
    let mut sums: Vec<Vec<f32>> = together.iter().map(|g| vec![0.0; g.len()]).collect();
    for row in &rows {
        let len = row.len() - 1;
        let alone = LmBatch::new(1, len, row[..len].to_vec(), row[1..].to_vec()).unwrap();
        let (loss, gradients) = gradients::<L>(&alone);
        let weight = len as f32 / steps as f32;
        mean_loss += weight * loss;
        for (sum, gradient) in sums.iter_mut().zip(gradients) {
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * g);
        }
    }
    assert_close("loss", &[loss], &[mean_loss], TOLERANCE);
    for (i, (got, want)) in together.iter().zip(&sums).enumerate() {
        assert!(got.iter().any(|g| g.abs() > 1e-4), "gradient {i} is 0 everywhere");
        assert_close(&format!("gradient {i}"), got, want, TOLERANCE);
    }
}

#[test]
fn a_ragged_batch_of_an_rnn_equals_its_rows() {
    equals_its_rows::<Rnn>();
}

#[test]
fn a_ragged_batch_of_an_lstm_equals_its_rows() {
    equals_its_rows::<Lstm>();
}

#[test]
fn a_ragged_batch_of_a_gru_equals_its_rows() {
    equals_its_rows::<Gru>();
}

/// Windows of a stream, each with the next id as target.
fn windows(rows: usize, time: usize, count: usize) -> Vec<LmBatch> {
    let id = |row: usize, t: usize| ((t * t + 3 * t * (row + 1) + row) % VOCAB) as u32;
    let window = |w: usize| {
        let part = |shift: usize| {
            let ids = |row| (0..time).map(move |t| id(row, w * time + t + shift));
            (0..rows).flat_map(ids).collect()
        };
        let batch = LmBatch::new(rows, time, part(0), part(1)).unwrap();
        if w == 0 { batch.beginning() } else { batch }
    };
    (0..count).map(window).collect()
}

fn trainer<L: Recurrent>(
    lr: f64,
    stateful: bool,
) -> Trainer<LmBatch, impl for<'g> Fn(&'g seqloom_graph::Graph, &LmBatch) -> seqloom_graph::Tensor<'g>> {
    let mut params = Params::seeded(5);
    let model = model::<L>(&mut params);
    let model = if stateful { model.stateful() } else { model };
    let optimizer = AdamW { lr, weight_decay: 0.0, ..AdamW::default() };
    Trainer::new(&device::shared(), params, optimizer, move |g, batch| model.loss(g, batch)).unwrap()
}

/// Consecutive windows with the state carried are one long window: in training, in evaluation, and again after the stream
/// begins anew.
fn windows_equal_the_whole<L: Recurrent>() {
    let whole = trainer::<L>(0.0, false).evaluate(&windows(3, 24, 1)[0]).unwrap();
    let mut carrying = trainer::<L>(0.0, true);
    let windows = windows(3, 6, 4);
    for round in 0..2 {
        let (mut trained, mut evaluated) = (0.0, 0.0);
        for window in &windows {
            evaluated += carrying.evaluate(window).unwrap() / 4.0;
            carrying.step(window).unwrap();
            trained += carrying.loss().unwrap() / 4.0;
        }
        assert_close(&format!("training, round {round}"), &[trained], &[whole], TOLERANCE);
        assert_close(&format!("evaluation, round {round}"), &[evaluated], &[whole], TOLERANCE);
    }
    // Without a state windows are strangers: the comparison above means something.
    let mut forgetting = trainer::<L>(0.0, false);
    let strangers: f32 = windows.iter().map(|w| forgetting.evaluate(w).unwrap() / 4.0).sum();
    assert!((strangers - whole).abs() > 1e-4, "{strangers} and {whole}");
}

#[test]
fn windows_of_an_rnn_with_its_state_equal_the_whole() {
    windows_equal_the_whole::<Rnn>();
}

#[test]
fn windows_of_an_lstm_with_its_state_equal_the_whole() {
    windows_equal_the_whole::<Lstm>();
}

#[test]
fn windows_of_a_gru_with_its_state_equal_the_whole() {
    windows_equal_the_whole::<Gru>();
}

/// The state is part of a checkpoint: a run resumed between two windows has the bits of one that was not stopped.
#[test]
fn a_resumed_stream_goes_on_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let windows = windows(3, 6, 5);
    let mut unbroken = trainer::<Lstm>(0.01, true);
    for (i, window) in windows.iter().enumerate() {
        if i == 3 {
            unbroken.save(&path).unwrap();
        }
        unbroken.step(window).unwrap();
    }
    let mut resumed = trainer::<Lstm>(0.01, true);
    resumed.load(&path).unwrap();
    for window in &windows[3..] {
        resumed.step(window).unwrap();
    }
    assert_same_bits("loss", &[resumed.loss().unwrap()], &[unbroken.loss().unwrap()]);
    let parameters = |trainer: &ParamStore| trainer.read(Arena::Params).unwrap().concat();
    assert_same_bits("parameters", &parameters(resumed.store()), &parameters(unbroken.store()));
}

/// A layer run step by step, the state handed on, gives what it gives over the whole sequence.
#[test]
fn single_steps_equal_the_sequence() {
    let (batch, time, input, hidden) = (3, 4, 5, 7);
    let config = RecurrentConfig { layers: 2, ..RecurrentConfig::new(input, hidden) };
    let mut params = Params::seeded(9);
    let (lstm, gru) = (Lstm::new(&mut params, "lstm", config), Gru::new(&mut params, "gru", config));
    let values = (0..batch * time * input).map(|k| (k as f32 * 0.7).sin()).collect();
    let x = params.add("x", &[batch, time, input], Init::Values(values));
    let store = ParamStore::new(&device::shared(), params, StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let x = g.param(x);
    let zeros = g.full(&config.state_shape(batch), 0.0);
    let mut state = LstmState { h: zeros, c: zeros };
    let mut h = zeros;
    let (mut of_lstm, mut of_gru) = (zeros, zeros);
    for t in 0..time {
        let x_t = x.slice(1, t, 1).reshape(&[batch, input]);
        (of_lstm, state) = lstm.step(x_t, state);
        (of_gru, h) = gru.step(x_t, h);
    }
    let (whole_lstm, whole_gru) = (lstm.forward(x, None, None), gru.forward(x, None, None));
    let pairs = [
        ("y of the LSTM", of_lstm, whole_lstm.output.slice(1, time - 1, 1).reshape(&[batch, hidden])),
        ("h of the LSTM", state.h, whole_lstm.h_n),
        ("c of the LSTM", state.c, whole_lstm.c_n),
        ("y of the GRU", of_gru, whole_gru.output.slice(1, time - 1, 1).reshape(&[batch, hidden])),
        ("h of the GRU", h, whole_gru.h_n),
    ];
    let names: Vec<_> = (0..pairs.len()).map(|i| [format!("steps{i}"), format!("whole{i}")]).collect();
    let outputs: Vec<_> = names
        .iter()
        .zip(pairs)
        .flat_map(|([steps, whole], (_, a, b))| [(steps.as_str(), a), (whole.as_str(), b)])
        .collect();
    let program = Program::compile(&store, &g, Request { outputs: &outputs, objective: None }).unwrap();
    program.run(&[], &Control::default()).unwrap();
    for ([steps, whole], (what, ..)) in names.iter().zip(pairs) {
        let read = |name: &str| program.read(name).unwrap().wait().unwrap();
        assert_close(what, &read(steps), &read(whole), TOLERANCE);
    }
}

/// A carried state lives as long as the store, by name and shape; mistakes with it are errors of the recording.
#[test]
fn carried_states_are_read_kept_and_reset() {
    let store = ParamStore::new(&device::shared(), Params::seeded(0), StoreKind::Inference).unwrap();
    let g = store.inference_graph();
    let x = g.input("x", &[2], DType::F32);
    let sum = g.state("sum", &[2]) + x;
    g.keep("sum", sum);
    let program =
        Program::compile(&store, &g, Request { outputs: &[("sum", sum)], objective: None }).unwrap();
    let run = |values: [f32; 2]| {
        let x = HostTensor::f32(&[2], values.to_vec()).unwrap();
        program.run(&[("x", &x)], &Control::default()).unwrap();
        program.read("sum").unwrap().wait().unwrap()
    };
    assert_eq!(run([1.0, 2.0]), [1.0, 2.0]);
    assert_eq!(run([10.0, 20.0]), [11.0, 22.0]);
    store.reset_states(false);
    assert_eq!(run([5.0, 5.0]), [5.0, 5.0]);
    assert!(store.read_states().unwrap().is_empty(), "training has none");

    let refused = |wanted: &str, record: &dyn Fn(&seqloom_graph::Graph)| {
        let g = store.inference_graph();
        record(&g);
        let message = g.check().unwrap_err().to_string();
        assert!(message.contains(wanted) && message.contains("ragged.rs"), "{message}");
    };
    refused("no state 'h' was read", &|g| g.keep("h", g.full(&[2], 0.0)));
    refused("has shape [2], not [3]", &|g| {
        let _ = g.state("h", &[2]);
        g.keep("h", g.full(&[3], 0.0));
    });
    refused("kept twice", &|g| {
        let h = g.state("h", &[2]);
        g.keep("h", h * 2.0);
        g.keep("h", h * 3.0);
    });
    refused("already recorded", &|g| {
        let _ = (g.state("h", &[2]), g.state("h", &[3]));
    });
}
