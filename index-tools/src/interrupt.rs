//! Ctrl-C: the first asks the work to stop, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::{Exit, Failure};

/// Whether the user has asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Handles SIGINT and SIGTERM from here on. For verbs that look at it between their steps;
    /// the others keep the system's way, which ends them.
    pub(crate) fn install() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: at the first signal the flag is not set yet when this looks at it.
            let code = Exit::Interrupted as i32;
            flag::register_conditional_shutdown(signal, code, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .map_err(|e| Failure::new(Exit::Internal, format!("cannot handle signals: {e}")))?;
        }
        Ok(Self(asked))
    }

    /// Never asks to stop: for verbs that the system may end at any time.
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    /// Whether to stop.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// As an error, for `?` between two steps.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.asked() { Err(Failure::interrupted()) } else { Ok(()) }
    }
}
