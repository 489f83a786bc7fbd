//! Learning rates over time against PyTorch's schedulers, update by update.

use seqloom_tests::golden::Golden;
use seqloom_train::{
    Better, CosineRestarts, Exponential, LinearSchedule, OneCycle, ReduceOnPlateau, Schedule, StepDecay,
};

/// The file holds f32 of values up to 1, so that half a unit in its last place is 3e-8; cosines in f64 add nothing to that.
const TOLERANCE: f64 = 1e-7;

#[test]
fn every_schedule_gives_the_rates_of_pytorch() {
    let golden = Golden::load("schedules");
    let other = OneCycle { rise: 0.4, div: 10.0, final_div: 100.0, ..OneCycle::new(60) };
    let cases: [(&str, &dyn Schedule); 8] = [
        ("linear", &LinearSchedule { start: 0.25, end: 1.0, steps: 8 }),
        ("linear_down", &LinearSchedule { start: 1.0, end: 0.125, steps: 40 }),
        ("step", &StepDecay { every: 7, gamma: 0.5 }),
        ("exponential", &Exponential { gamma: 0.95 }),
        ("restarts", &CosineRestarts { period: 9, growth: 1, floor: 0.1 }),
        ("restarts_growing", &CosineRestarts { period: 5, growth: 2, floor: 0.0 }),
        ("one_cycle", &OneCycle::new(60)),
        ("one_cycle_other", &other),
    ];
    for (name, schedule) in cases {
        schedule.check().unwrap();
        let wanted = golden.floats(name);
        assert_eq!(wanted.len(), 60);
        for (update, &wanted) in (1..).zip(wanted) {
            let got = schedule.factor(update);
            assert!(
                (got - f64::from(wanted)).abs() <= TOLERANCE,
                "{name}, update {update}: {got}, not {wanted}"
            );
        }
    }
}

#[test]
fn a_plateau_cuts_where_pytorch_does() {
    let golden = Golden::load("schedules");
    let lower = ReduceOnPlateau { patience: 3, factor: 0.5, threshold: 1e-2, ..ReduceOnPlateau::new(1.0) };
    let higher = ReduceOnPlateau {
        better: Better::Higher,
        patience: 2,
        factor: 0.3,
        cooldown: 4,
        min_lr: 0.01,
        ..ReduceOnPlateau::new(1.0)
    };
    for (name, mut plateau) in [("plateau.lower", lower), ("plateau.higher", higher)] {
        let mirrored = plateau.better == Better::Higher;
        for (at, (&value, &wanted)) in
            golden.floats("plateau.values").iter().zip(golden.floats(name)).enumerate()
        {
            let value = f64::from(value);
            let rate = plateau.observe(if mirrored { 3.0 - value } else { value });
            assert!(
                (rate - f64::from(wanted)).abs() <= TOLERANCE,
                "{name}, value {at}: {rate}, not {wanted}"
            );
        }
    }
}
