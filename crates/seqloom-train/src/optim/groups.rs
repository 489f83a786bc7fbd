//! Groups of parameters that are trained otherwise than the rest.

use std::fmt;

use seqloom_graph::{ParamSpec, Treatment};

use super::settings::{Range, checked, from_zero};
use crate::error::{Error, Result};
use crate::fault::GroupFault;

/// Parameters that a predicate finds, and what is different for them: the learning rate, the weight decay, whether they are
/// trained. What no group takes is trained by the optimizer's own settings.
///
/// ```
/// use seqloom_train::Group;
///
/// let groups = [
///     Group::named("encoder", |name| name.starts_with("encoder.")).frozen(),
///     Group::named("head", |name| name.starts_with("head.")).lr_factor(10.0).weight_decay(0.0),
/// ];
/// ```
pub struct Group {
    name: String,
    takes: Box<dyn Fn(&ParamSpec) -> bool>,
    rate: Rate,
    weight_decay: Option<f64>,
    frozen: bool,
}

/// A group's learning rate.
#[derive(Clone, Copy, Debug)]
enum Rate {
    /// As a factor of the optimizer's.
    Factor(f64),
    /// As itself.
    Lr(f64),
}

impl Group {
    /// The parameters whose `state_dict` names the predicate finds. `name` is the group's, for errors.
    #[must_use]
    pub fn named(name: &str, takes: impl Fn(&str) -> bool + 'static) -> Self {
        Self::matching(name, move |spec| takes(&spec.name))
    }

    /// The parameters that the predicate finds by name and shape.
    #[must_use]
    pub fn matching(name: &str, takes: impl Fn(&ParamSpec) -> bool + 'static) -> Self {
        let (takes, rate) = (Box::new(takes), Rate::Factor(1.0));
        Self { name: name.to_owned(), takes, rate, weight_decay: None, frozen: false }
    }

    /// Biases, scales of norms, and embeddings, without weight decay: what has fewer than two dimensions, and what has a part of
    /// its name that contains `embed` or `norm`, or is `positions`, `wte` or `wpe`.
    #[must_use]
    pub fn no_decay() -> Self {
        let spared = |part: &str| {
            part.contains("embed") || part.contains("norm") || ["positions", "wte", "wpe"].contains(&part)
        };
        let takes = move |spec: &ParamSpec| spec.shape.rank() < 2 || spec.name.split('.').any(spared);
        Self::matching("no decay", takes).weight_decay(0.0)
    }

    /// The same group with this learning rate. It stays in proportion to the optimizer's: schedules and
    /// [`crate::Trainer::set_lr`] change both by the same factor.
    #[must_use]
    pub fn lr(self, lr: f64) -> Self {
        Self { rate: Rate::Lr(lr), ..self }
    }

    /// The same group with the optimizer's learning rate times this factor.
    #[must_use]
    pub fn lr_factor(self, factor: f64) -> Self {
        Self { rate: Rate::Factor(factor), ..self }
    }

    /// The same group with this weight decay instead of the optimizer's.
    #[must_use]
    pub fn weight_decay(self, decay: f64) -> Self {
        Self { weight_decay: Some(decay), ..self }
    }

    /// The same group, not trained: no gradient is computed and no state kept.
    #[must_use]
    pub fn frozen(self) -> Self {
        Self { frozen: true, ..self }
    }

    /// What it does to its parameters, where the optimizer's learning rate is `lr`.
    fn treatment(&self, lr: f64) -> Result<Treatment> {
        let lr_factor = match self.rate {
            Rate::Factor(factor) => {
                checked(&[("Group::lr_factor", factor, from_zero as Range)])?;
                factor
            }
            Rate::Lr(own) => {
                checked(&[("Group::lr", own, from_zero as Range)])?;
                if lr == 0.0 {
                    let needs = "with an optimizer's learning rate above 0";
                    return Err(Error::Setting { setting: "Group::lr", value: own, needs });
                }
                own / lr
            }
        };
        checked(&[("Group::weight_decay", self.weight_decay.unwrap_or(0.0), from_zero as Range)])?;
        Ok(Treatment { lr_factor, weight_decay: self.weight_decay, frozen: self.frozen })
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, rate, weight_decay, frozen, .. } = self;
        write!(f, "Group({name:?}, {rate:?}, weight decay {weight_decay:?}, frozen {frozen})")
    }
}

/// What is done to each parameter.
///
/// # Errors
/// [`Error::Setting`]; [`Error::Group`] if a group takes no trained parameter or two take the same.
pub(crate) fn treatments(groups: &[Group], specs: &[ParamSpec], lr: f64) -> Result<Vec<Treatment>> {
    let mut of_params: Vec<(Treatment, Option<&str>)> = vec![(Treatment::default(), None); specs.len()];
    for group in groups {
        let treatment = group.treatment(lr)?;
        let mut found = false;
        let takes = |spec: &ParamSpec| spec.trained && (group.takes)(spec);
        for (spec, of_param) in specs.iter().zip(&mut of_params).filter(|(spec, _)| takes(spec)) {
            found = true;
            if let Some(first) = of_param.1 {
                let (name, first, second) = (spec.name.clone(), first.to_owned(), group.name.clone());
                return Err(GroupFault::Claimed { name, first, second }.into());
            }
            *of_param = (treatment, Some(&group.name));
        }
        if !found {
            return Err(GroupFault::Empty { group: group.name.clone() }.into());
        }
    }
    Ok(of_params.into_iter().map(|(treatment, _)| treatment).collect())
}

#[cfg(test)]
mod tests {
    use seqloom_graph::{Init, Params};

    use super::*;

    fn specs() -> Vec<ParamSpec> {
        let mut params = Params::seeded(1);
        let shapes: [(&str, &[usize]); 5] = [
            ("embedding.weight", &[5, 2]),
            ("blocks.0.norm1.weight", &[2]),
            ("blocks.0.linear.weight", &[2, 2]),
            ("blocks.0.linear.bias", &[2]),
            ("head.weight", &[5, 2]),
        ];
        for (name, shape) in shapes {
            params.add(name, shape, Init::Zeros);
        }
        params.constant("blocks.0.mean", &[2], vec![0.0; 2]);
        params.iter().cloned().collect()
    }

    #[test]
    fn biases_norms_and_embeddings_have_no_decay_by_one_call() {
        let found = treatments(&[Group::no_decay()], &specs(), 0.1).unwrap();
        let decays: Vec<_> = found.iter().map(|treatment| treatment.weight_decay).collect();
        assert_eq!(decays, [Some(0.0), Some(0.0), None, Some(0.0), None, None]);
    }

    #[test]
    fn rates_are_factors_of_the_optimizers() {
        let head = Group::named("head", |name| name.starts_with("head.")).lr(0.3);
        let blocks = Group::named("blocks", |name| name.starts_with("blocks.")).lr_factor(0.5).frozen();
        let found = treatments(&[head, blocks], &specs(), 0.1).unwrap();
        let factors: Vec<_> = found.iter().map(|treatment| treatment.lr_factor).collect();
        assert_eq!(factors[..4], [1.0, 0.5, 0.5, 0.5]);
        assert!((factors[4] - 3.0).abs() < 1e-12);
        let frozen: Vec<_> = found.iter().map(|treatment| treatment.frozen).collect();
        assert_eq!(frozen, [false, true, true, true, false, false], "a constant is in no group");
    }

    #[test]
    fn senseless_groups_are_told() {
        let named = |name: &'static str| Group::named(name, move |param| param.contains(name));
        let refused = |groups: &[Group], lr| treatments(groups, &specs(), lr).unwrap_err().to_string();
        assert!(refused(&[named("mean")], 0.1).contains("group 'mean'"));
        let twice = refused(&[named("linear"), named("bias")], 0.1);
        for part in ["blocks.0.linear.bias", "'linear'", "'bias'"] {
            assert!(twice.contains(part), "{twice}");
        }
        assert!(refused(&[named("head").lr(f64::NAN)], 0.1).starts_with("Group::lr is NaN"));
        assert!(refused(&[named("head").lr_factor(-1.0)], 0.1).starts_with("Group::lr_factor is -1"));
        assert!(
            refused(&[named("head").weight_decay(f64::INFINITY)], 0.1).starts_with("Group::weight_decay")
        );
        assert!(refused(&[named("head").lr(0.1)], 0.0).contains("above 0"));
    }
}
