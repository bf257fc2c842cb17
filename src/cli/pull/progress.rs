//! What is seen while skills are pulled: a bar for each on a terminal, lines where something has to be waited for
//! elsewhere.

use std::io::IsTerminal as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::say;
use crate::pull::Wanted;
use crate::pull::transfer::Event;

const BAR: &str = "{prefix} {bar:30} {bytes:>10}/{total_bytes:10} {wide_msg}";

/// The skills on their way.
pub struct Progress<'a> {
    wanted: &'a [Wanted],
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
}

impl<'a> Progress<'a> {
    /// Bars if stderr is a terminal.
    pub fn new(wanted: &'a [Wanted]) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| bars(wanted));
        Self { wanted, bars }
    }

    /// Shows what happens to the skill at `index`.
    pub fn show(&self, index: usize, event: &Event<'_>) {
        let bar = self.bars.as_ref().and_then(|(_, bars)| bars.get(index));
        match (bar, event) {
            (Some(bar), Event::Expected(bytes)) => bar.inc_length(*bytes),
            (Some(bar), Event::Received(bytes)) => bar.inc(*bytes),
            (Some(bar), Event::Lost(bytes)) => bar.dec(*bytes),
            (Some(bar), Event::Unpacking) => bar.set_message("unpacking"),
            (Some(bar), Event::Done) => bar.set_message("done"),
            (Some(bar), Event::Waiting(failure, pause)) => {
                bar.set_message(format!("{failure}; again in {:.1} s", pause.as_secs_f64()));
            }
            (None, Event::Waiting(failure, pause)) => {
                let name = self
                    .wanted
                    .get(index)
                    .map_or("", |wanted| wanted.name.as_str());
                let pause = pause.as_secs_f64();
                say(format_args!("{name}: {failure}; again in {pause:.1} s"));
            }
            (None, _) => {}
        }
    }

    /// Takes the bars away: what became of the skills is printed by itself.
    pub fn end(&self) {
        if let Some((all, bars)) = &self.bars {
            for bar in bars {
                bar.finish_and_clear();
            }
            // Nothing can be done about a terminal that is gone.
            let _ = all.clear();
        }
    }
}

fn bars(wanted: &[Wanted]) -> (MultiProgress, Vec<ProgressBar>) {
    let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    let longest = wanted
        .iter()
        .map(|wanted| wanted.name.as_str().len())
        .max()
        .unwrap_or_default();
    let bars = wanted
        .iter()
        .map(|wanted| {
            let bar = all.add(ProgressBar::new(0).with_style(style.clone()));
            bar.set_prefix(format!("{:longest$}", wanted.name.as_str()));
            bar
        })
        .collect();
    (all, bars)
}
