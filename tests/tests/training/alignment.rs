//! Labels without their places, by the public face alone: an LSTM learns to label strokes of unknown begin and length by CTC.

use seqloom::prelude::custom::*;
use seqloom_tests::device;
use seqloom_train::random::below;

const CLASSES: usize = 4; // The blank and three labels.
const TIME: usize = 20;
const ROWS: usize = 16;
const MOST: usize = 5;

/// Rows of strokes, and their labels: each label is seen for 1 to 3 steps, nothing for 0 to 2 steps between two, for 1 at least
/// between equals.
fn strokes(seed: u64) -> (Inputs, Vec<Vec<u32>>) {
    let (mut x, mut steps, mut targets, mut labels) = (vec![], vec![], vec![], vec![]);
    let mut drawn = 0;
    let mut draw = |limit: usize| {
        drawn += 1;
        below(seed, drawn, limit)
    };
    for _ in 0..ROWS {
        let (mut seen, mut said) = (vec![0; draw(3)], Vec::new());
        for _ in 0..=draw(MOST) {
            let label = 1 + draw(CLASSES - 1);
            let apart = draw(3).max(usize::from(said.last() == Some(&(label as u32))));
            let stroke = [vec![0; apart], vec![label; 1 + draw(3)]].concat();
            if seen.len() + stroke.len() > TIME {
                break;
            }
            seen.extend(stroke);
            said.push(label as u32);
        }
        let of = |t: usize, class: usize| seen.get(t) == Some(&class);
        x.extend((0..TIME * CLASSES).map(|i| f32::from(u8::from(of(i / CLASSES, i % CLASSES)))));
        steps.push(seen.len() as u32);
        targets.extend((0..MOST).map(|i| said.get(i).copied().unwrap_or(0)));
        labels.push(said);
    }
    let counts = labels.iter().map(|said| said.len() as u32).collect();
    let inputs = Inputs::new()
        .floats("x", &[ROWS, TIME, CLASSES], x)
        .ids("steps", &[ROWS], steps)
        .ids("targets", &[ROWS, MOST], targets)
        .ids("labels", &[ROWS], counts);
    (inputs, labels)
}

fn ids(tensor: &HostTensor) -> Vec<u32> {
    match tensor.data() {
        HostData::U32(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

struct Labeler {
    lstm: Lstm,
    head: Linear,
}

impl Labeler {
    fn log_probs<'g>(&self, x: Tensor<'g>) -> Tensor<'g> {
        self.head.forward(self.lstm.forward(x, None, None).output).log_softmax()
    }
}

impl Model<Inputs> for Labeler {
    fn loss<'g>(&self, g: &'g Graph, batch: &Inputs) -> Tensor<'g> {
        let batch = batch.bind(g);
        let [x, targets, steps, labels] = ["x", "targets", "steps", "labels"].map(|name| batch.get(name));
        losses::ctc_loss(self.log_probs(x), targets, steps, labels, losses::CtcLossOptions::default())
    }
}

#[test]
fn an_lstm_learns_to_label_by_ctc() {
    let mut params = Params::seeded(3);
    let lstm = Lstm::new(&mut params, "lstm", RecurrentConfig::new(CLASSES, 32));
    let model = Labeler { lstm, head: Linear::new(&mut params, "head", 32, CLASSES) };
    let optimizer = AdamW { lr: 1e-2, ..AdamW::default() };
    let mut trainer = Trainer::for_model(&device::shared(), params, optimizer, model).unwrap();
    for step in 0..200 {
        trainer.step(&strokes(step).0).unwrap();
    }
    trainer.finish().unwrap();

    let g = trainer.store().inference_graph();
    let x = g.input("x", &[ROWS, TIME, CLASSES], DType::F32);
    let outputs = [("log_probs", trainer.model().log_probs(x))];
    let request = Request { outputs: &outputs, ..Request::default() };
    let program = Program::compile(trainer.store(), &g, request).unwrap();
    let (mut right, mut all) = (0, 0);
    for seed in 1000..1010 {
        let (batch, wanted) = strokes(seed);
        program.run(&[("x", batch.host("x").unwrap())], &Control::default()).unwrap();
        let scores = program.read("log_probs").unwrap().wait().unwrap();
        let steps = ids(batch.host("steps").unwrap());
        let found = ctc_greedy(&scores, [ROWS, TIME, CLASSES], Some(&steps), 0).unwrap();
        right += found.iter().zip(&wanted).filter(|(found, wanted)| found == wanted).count();
        all += ROWS;
    }
    println!("{right} of {all} rows that it has not seen are labelled without a mistake");
    assert!(right * 100 >= all * 95, "{right} of {all}");
}
