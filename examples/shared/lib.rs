//! Shared by the examples: how a program ends.

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use seqloom::device::DeviceError;

/// The exit code of a program that is `done`. An error is printed first, and below it what `advice` there is.
pub fn exit<E: Display>(done: Result<(), E>, advice: impl FnOnce(&E) -> Option<&'static str>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    if let Some(advice) = advice(&error) {
        eprintln!("{advice}");
    }
    ExitCode::FAILURE
}

/// What to do about an error of Seqloom or of its device: a line for those that another adapter could mend.
pub fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let fault = match error.downcast_ref::<seqloom::Error>() {
        Some(seqloom::Error::Device(fault)) => Some(fault),
        _ => error.downcast_ref::<DeviceError>(),
    };
    let of_adapter = matches!(
        fault?,
        DeviceError::NoAdapter
            | DeviceError::AdapterNotFound { .. }
            | DeviceError::Unsuitable { .. }
            | DeviceError::Open { .. }
    );
    of_adapter.then_some("`cargo xtask doctor` lists this machine's adapters and what each lacks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_advice_for_what_an_adapter_lacks_and_for_nothing_else() {
        let told = |error: Box<dyn Error>| advice(error.as_ref()).is_some_and(|a| a.contains("doctor"));
        assert!(told(DeviceError::NoAdapter.into()));
        assert!(told(seqloom::Error::from(DeviceError::NoAdapter).into()));
        assert!(!told(DeviceError::Lost { reason: "unplugged".to_owned() }.into()));
        assert!(!told(seqloom::Error::NoStep { what: "loss" }.into()));
        assert!(!told("something else".into()));
    }

    #[test]
    fn only_what_failed_is_told_and_fails() {
        let code = |done: Result<(), &str>| format!("{:?}", exit(done, |_| None));
        assert_eq!(code(Ok(())), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(Err("no")), format!("{:?}", ExitCode::FAILURE));
    }
}
