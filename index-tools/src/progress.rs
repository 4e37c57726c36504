//! How work reports on itself: a bar a stage on a terminal, a line a stage into a pipe, JSON
//! lines for programs, or nothing. All of it goes to standard error.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;
use vicinage::progress::{Progress, Stage};

use crate::interrupt::Interrupt;
use crate::text::DIM;
use crate::units;

/// Between two lines of JSON about one stage.
const LINE_EVERY: Duration = Duration::from_millis(200);

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, otherwise a line for each finished stage
    Auto,
    /// Nothing
    None,
    /// One JSON object a line: begin, progress, end, error
    Json,
}

/// Shows progress, and passes on Ctrl-C.
pub(crate) struct Reporter {
    mode: Shown,
    interrupt: Interrupt,
    /// Units done in the current stage. Outside the lock, as it is counted from every thread.
    done: AtomicU64,
    current: Mutex<Option<Current>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Bars,
    Lines,
    Json,
    Nothing,
}

/// The stage that is running.
struct Current {
    name: &'static str,
    total: Option<u64>,
    unit: &'static str,
    /// Whether a line about it remains.
    stays: bool,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Reporter {
    pub(crate) fn new(mode: ProgressMode, interrupt: Interrupt) -> Self {
        let mode = match mode {
            ProgressMode::Auto if std::io::stderr().is_terminal() => Shown::Bars,
            ProgressMode::Auto => Shown::Lines,
            ProgressMode::Json => Shown::Json,
            ProgressMode::None => Shown::Nothing,
        };
        Self { mode, interrupt, done: AtomicU64::new(0), current: Mutex::new(None) }
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Begins a stage that has no [`Stage`] of its own.
    pub(crate) fn start(&self, name: &'static str, total: Option<u64>, unit: &'static str) {
        self.enter(name, total, unit, true);
    }

    /// The same for one of several steps whose results will be told together: people see it only
    /// while it runs.
    pub(crate) fn start_step(&self, name: &'static str, total: u64, unit: &'static str) {
        self.enter(name, Some(total), unit, false);
    }

    fn enter(&self, name: &'static str, total: Option<u64>, unit: &'static str, stays: bool) {
        let now = Instant::now();
        let bar = (self.mode == Shown::Bars).then(|| bar(name, total, unit));
        self.done.store(0, Ordering::Relaxed);
        if self.mode == Shown::Json {
            say(&json!({ "event": "begin", "stage": name, "total": total, "unit": unit }));
        }
        let mut current = self.lock();
        if let Some(Current { bar: Some(bar), .. }) = current.take() {
            bar.finish_and_clear();
        }
        *current = Some(Current { name, total, unit, stays, started: now, last_line: now, bar });
    }

    /// Ends the current stage.
    pub(crate) fn finish(&self) {
        let Some(stage) = self.lock().take() else { return };
        let done = self.done.load(Ordering::Relaxed);
        if let Some(bar) = &stage.bar {
            bar.finish_and_clear();
        }
        match self.mode {
            // What was broken off has no result to tell.
            Shown::Bars | Shown::Lines if !stage.stays || self.interrupt.asked() => {}
            Shown::Bars | Shown::Lines => {
                // A closed standard error is no reason to stop.
                let _ = anstream::stderr().write_all(stage.summary(done).as_bytes());
            }
            Shown::Json => say(&json!({
                "event": "end", "stage": stage.name, "done": done, "unit": stage.unit,
                "seconds": stage.started.elapsed().as_secs_f64(),
            })),
            Shown::Nothing => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        // A panic elsewhere leaves nothing half done here.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Reporter {
    fn begin(&self, stage: Stage, total: Option<u64>, unit: &'static str) {
        self.start(stage.name(), total, unit);
    }

    fn advance(&self, done: u64) {
        let done = self.done.fetch_add(done, Ordering::Relaxed) + done;
        if !matches!(self.mode, Shown::Bars | Shown::Json) {
            return;
        }
        // Whoever comes while another thread is showing has nothing to add.
        let Ok(mut current) = self.current.try_lock() else { return };
        let Some(stage) = current.as_mut() else { return };
        if let Some(bar) = &stage.bar {
            bar.set_position(done);
        } else if stage.last_line.elapsed() >= LINE_EVERY {
            stage.last_line = Instant::now();
            say(&stage.line(done));
        }
    }

    fn end(&self, _stage: Stage) {
        self.finish();
    }

    fn cancelled(&self) -> bool {
        self.interrupt.asked()
    }
}

impl Drop for Reporter {
    /// An error or Ctrl-C came in the middle of a stage: its bar goes, so that the message stands
    /// alone.
    fn drop(&mut self) {
        if let Some(Current { bar: Some(bar), .. }) = self.lock().take() {
            bar.finish_and_clear();
        }
    }
}

impl Current {
    /// What stays of a stage: its name, how much, how long, how fast.
    fn summary(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64();
        let time = units::seconds(seconds);
        if done == 0 {
            return format!("  {:<11}{:>22}{time:>12}\n", self.name, "");
        }
        let amount = units::amount(done, self.unit);
        let speed = units::speed(done as f64 / seconds.max(1e-9), self.unit);
        format!("  {:<11}{amount:>22}{time:>12}  {DIM}{speed}{DIM:#}\n", self.name)
    }

    fn line(&self, done: u64) -> serde_json::Value {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = done as f64 / seconds.max(1e-9);
        let left = self.total.map(|total| total.saturating_sub(done) as f64 / rate.max(1e-9));
        json!({
            "event": "progress", "stage": self.name, "done": done, "total": self.total,
            "unit": self.unit, "seconds": seconds, "rate": rate, "eta_seconds": left,
        })
    }
}

/// One line of JSON on standard error.
fn say(value: &serde_json::Value) {
    // In one write, so that lines do not mix. A closed standard error is no reason to stop.
    let _ = std::io::stderr().lock().write_all(format!("{value}\n").as_bytes());
}

fn bar(name: &'static str, total: Option<u64>, unit: &'static str) -> ProgressBar {
    let template = match total {
        Some(_) => "  {prefix:<11}{bar:24.cyan/dim} {percent:>3}%  {amount:>20}  {speed}  {left}",
        None => "  {prefix:<11}{spinner:.cyan}  {amount:>20}  {speed}",
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
        .with_key("amount", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&units::amount(state.pos(), unit));
        })
        .with_key("speed", move |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&units::speed(state.per_sec(), unit));
        })
        .with_key("left", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            if state.pos() > 0 {
                let _ = write!(to, "{} left", units::whole_seconds(state.eta().as_secs() + 1));
            }
        });
    let target = ProgressDrawTarget::stderr_with_hz(10);
    let bar = ProgressBar::with_draw_target(total, target).with_style(style).with_prefix(name);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
