//! Live progress: on a terminal a few lines that are drawn again and again, below the story's words, which scroll above
//! them; elsewhere plain lines, when there is something to say.

mod plain;
mod snapshot;
mod view;

use std::fmt;
use std::io::{IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use kcg_devcluster::ControlPlane;
use ratatui::backend::CrosstermBackend;
use ratatui::{TerminalOptions, Viewport};

pub use snapshot::{AlertNow, GroupSnapshot, PodRate, Snapshot};

use kcg_demo::terminal::{Expect, Screen, Shell, Terminal, TextStyle, is_coloured};
use plain::Plain;
use view::View;

/// The lines are drawn no more often.
const DRAW: Duration = Duration::from_millis(250);

type Live = ratatui::Terminal<CrosstermBackend<Stdout>>;

/// What a person sees while the story runs. Dropped, it leaves the terminal as it found it; a panic drops it, too.
pub struct Dashboard {
    shell: Shell,
    plain: Terminal,
    state: Mutex<State>,
}

struct State {
    screen: Where,
    view: View,
    lines: Plain,
    shown: Option<(Snapshot, Instant)>,
    drawn: Option<Instant>,
}

/// Where the progress is shown.
enum Where {
    /// A terminal on which nothing was drawn yet: how many lines are needed is known with the first snapshot.
    Terminal,
    Live(Box<Live>),
    Lines,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}

impl Dashboard {
    /// Draws on standard output if it is a terminal.
    pub fn new() -> Self {
        let screen = if std::io::stdout().is_terminal() { Where::Terminal } else { Where::Lines };
        let (view, lines) = (View::new(is_coloured()), Plain::default());
        let state = Mutex::new(State { screen, view, lines, shown: None, drawn: None });
        Self { shell: Shell::default(), plain: Terminal::new(), state }
    }

    /// From now on commands reach this cluster.
    pub fn connect(&mut self, plane: &ControlPlane) -> Result<()> {
        self.shell.connect(plane)
    }

    /// A new chapter.
    pub fn heading(&self, text: &str) -> Result<()> {
        self.lock().view.chapter(text);
        self.print(TextStyle::Heading, text)
    }

    pub fn say(&self, text: &str) -> Result<()> {
        self.print(TextStyle::Plain, text)
    }

    /// Shows a command and runs it; then shows all it printed. The lines below stay alive meanwhile.
    pub async fn run(&self, command: &str, expect: Expect) -> Result<()> {
        self.shell.run(self, command, expect).await
    }

    /// Shows what is known now. To be called often: what is too often for a person is left out.
    pub fn show(&self, snapshot: &Snapshot) -> Result<()> {
        let mut state = self.lock();
        if matches!(state.screen, Where::Terminal) {
            state.screen = live(view::height(snapshot));
        }
        if matches!(state.screen, Where::Lines) {
            let line = state.lines.next(snapshot);
            drop(state);
            return line.map_or(Ok(()), |line| self.say(&line));
        }
        state.view.note(snapshot);
        state.shown = Some((snapshot.clone(), Instant::now()));
        state.draw(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A terminal that does not tell where its cursor stands gets plain lines.
fn live(height: u16) -> Where {
    let options = TerminalOptions { viewport: Viewport::Inline(height) };
    let backend = CrosstermBackend::new(std::io::stdout());
    ratatui::Terminal::with_options(backend, options).map_or(Where::Lines, |live| Where::Live(Box::new(live)))
}

impl State {
    fn draw(&mut self, now: bool) -> Result<()> {
        let Where::Live(live) = &mut self.screen else { return Ok(()) };
        let Some((snapshot, since)) = &self.shown else { return Ok(()) };
        if !now && self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW) {
            return Ok(());
        }
        let at = snapshot.at + since.elapsed().as_secs_f64();
        live.draw(|frame| self.view.draw(snapshot, at, frame.area(), frame.buffer_mut()))?;
        self.drawn = Some(Instant::now());
        Ok(())
    }
}

impl Screen for Dashboard {
    fn print(&self, ink: TextStyle, text: &str) -> Result<()> {
        let mut state = self.lock();
        let State { screen: Where::Live(live), view, .. } = &mut *state else {
            return self.plain.print(ink, text);
        };
        // Bounds the memory that one long answer takes; the order stays.
        for lines in view.lines(ink, text, live.size()?.width).chunks(100) {
            let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
            live.insert_before(height, |buffer| view::write(lines, buffer))?;
        }
        state.draw(true)
    }

    fn refresh(&self) -> Result<()> {
        self.lock().draw(false)
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        if let Where::Live(live) = &mut self.lock().screen {
            // Whoever ends has nobody to tell that the terminal is gone.
            let top = live.get_frame().area().as_position();
            // A panic's message was written over the lines: clearing them would take it away.
            if !std::thread::panicking() {
                let _ = live.clear();
                let _ = live.set_cursor_position(top);
            }
            let _ = live.show_cursor();
            let _ = std::io::stdout().flush();
        }
    }
}
