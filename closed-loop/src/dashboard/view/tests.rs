use ratatui::backend::TestBackend;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::*;

fn group(name: &str) -> GroupSnapshot {
    GroupSnapshot {
        name: name.into(),
        lag: 6204,
        worst: 2110,
        ready: 2,
        wanted: 3,
        ceiling: 4,
        sent: 10_001,
        processed: 3797,
        rebalances: 4,
        alerts: vec![
            AlertNow { name: "Lag".into(), firing: true },
            AlertNow { name: "AtCeiling".into(), firing: false },
        ],
        pods: vec![
            PodRate { name: "kconsumer-x2x9p".into(), rate: 98.4 },
            PodRate { name: "kconsumer-k8w4q".into(), rate: 97.0 },
        ],
    }
}

fn view(colour: bool) -> View {
    let mut view = View::new(colour);
    view.chapter("Lag rises");
    for (at, lag) in (0..).zip([0, 2000, 4000, 8000, 6204]) {
        let name = "kconsumer".to_owned();
        view.note(&Snapshot {
            at: f64::from(at),
            groups: vec![GroupSnapshot { name, lag, ..GroupSnapshot::default() }],
        });
    }
    view
}

fn drawn(snapshot: &Snapshot, width: u16) -> Vec<String> {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height(snapshot)));
    view(true).draw(snapshot, 42.31, buffer.area, &mut buffer);
    text(&buffer)
}

fn text(buffer: &Buffer) -> Vec<String> {
    let row =
        |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    buffer.content.chunks(buffer.area.width.into()).map(|cells| row(cells).trim_end().to_owned()).collect()
}

#[test]
fn a_group_shows_its_lag_its_consumers_and_what_fires() {
    let snapshot = Snapshot { at: 42.0, groups: vec![group("kconsumer")] };
    let want = [
        "── Lag rises ───────────────────────────────────────────── 42.3 s ──",
        " lag        6,204 records, 2,110 in the worst partition  ▂▄█▆",
        " consumers  ■■□·  2 ready of 3 wanted, ceiling 4",
        " processed  3,797 of 10,001 sent         38% ████████░░░░░░░░░░░░░░░",
        " rebalances 4",
        " alerts     ● Lag fires   ○ AtCeiling is pending",
        " pods       kconsumer-x2x9p 98/s   kconsumer-k8w4q 97/s",
    ];
    assert_eq!(drawn(&snapshot, 68), want);
}

#[test]
fn several_groups_have_a_line_each() {
    let snapshot = Snapshot {
        at: 42.0,
        groups: vec![group("kconsumer"), GroupSnapshot { alerts: Vec::new(), ..group("orders") }],
    };
    let drawn = drawn(&snapshot, 130);
    assert_eq!(drawn.len(), 3);
    assert!(drawn[1].starts_with(" kconsumer            6,204  ▂▄█▆"), "{drawn:#?}");
    assert!(drawn[1].ends_with("● Lag fires   ○ AtCeiling is pending"), "{drawn:#?}");
    assert!(drawn[2].starts_with(" orders") && drawn[2].ends_with("4 rebalances"), "{drawn:#?}");
}

#[test]
fn a_narrow_terminal_cuts_and_never_breaks() {
    let snapshot = Snapshot { at: 42.0, groups: vec![group("kconsumer")] };
    for width in [1, 5, 12, 30] {
        assert_eq!(drawn(&snapshot, width).len(), usize::from(SINGLE), "{width}");
    }
}

#[test]
fn words_scroll_above_the_lines_and_are_folded_to_the_width() {
    let options = TerminalOptions { viewport: Viewport::Inline(SINGLE) };
    let Ok(mut terminal) = Terminal::with_options(TestBackend::new(24, 12), options);
    let (view, snapshot) = (view(true), Snapshot { at: 1.0, groups: vec![group("kconsumer")] });
    let lines = view.lines(TextStyle::Command, "$ kubectl get kcg kconsumer", 24);
    let Ok(()) = terminal.insert_before(2, |buffer| write(&lines, buffer));
    let Ok(_) = terminal.draw(|frame| view.draw(&snapshot, 1.0, frame.area(), frame.buffer_mut()));
    let screen = text(terminal.backend().buffer());
    assert_eq!(screen[..2], ["$ kubectl get kcg kconsu", "mer"]);
    assert!(screen[2].starts_with("── Lag rises"), "{screen:#?}");
}

#[test]
fn without_colours_nothing_is_coloured() {
    let snapshot = Snapshot { at: 42.0, groups: vec![group("kconsumer")] };
    let coloured = |colour| {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 80, SINGLE));
        view(colour).draw(&snapshot, 42.0, buffer.area, &mut buffer);
        buffer.content.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert_eq!([true, false].map(coloured), [true, false]);
}

#[test]
fn the_sparkline_notes_a_value_each_second() {
    let mut view = View::new(false);
    for at in [0.0, 0.4, 0.9, 1.0, 1.5, 2.1] {
        view.note(&Snapshot { at, groups: vec![group("kconsumer")] });
    }
    assert_eq!(view.lags["kconsumer"].len(), 3);
}
