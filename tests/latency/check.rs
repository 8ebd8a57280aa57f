//! The measurement of latency itself: a short run of each part finds every line, every answer and every interruption.
//!
//! No figure is asserted but what cannot be otherwise: nothing is heard before it could have come over both legs.

mod figures;
mod hear;
mod interruptions;
mod rig;
mod turns;

use hear::PER_MS;
use rig::{LEG, Latencies, Speech};
use turns::Row;

fn legs() -> usize {
    2 * usize::try_from(LEG.as_millis()).unwrap() * PER_MS
}

#[test]
fn every_line_has_its_answer_and_no_answer_is_faster_than_the_way() {
    let mut speech = Speech::start();
    let row = turns::measure(&mut speech, Latencies::at(0), true, (2, 3));
    assert_eq!((row.turns.len(), row.lines), (6, 6));
    for turn in &row.turns {
        let reply = turn.reply.expect("an answer");
        assert!(!turn.is_cut_off && reply >= turn.sound.unwrap(), "{turn:?}");
        assert!(reply - turn.said.end >= legs(), "{turn:?}");
    }
    // The server's account: one a turn, whose whole is less than what the caller waits.
    assert_eq!((row.accounts.len(), row.taken), (6, 6));
    let (made, dropped) = row.guesses;
    assert!(made > 0 && dropped <= made, "{made} {dropped}");
    let wait = row.mouth_to_ear(|turn| turn.reply);
    let total = row.stage("total_ms");
    assert_eq!((wait.count(), total.count()), (6, 6));
    for percent in [50, 100] {
        assert!(wait.percentile(percent) > total.percentile(percent), "{wait:?} {total:?}");
    }
    let columns = |text: &str| text.lines().last().unwrap().matches('|').count();
    assert_eq!(columns(&row.written("low end", "on")), columns(Row::HEAD));
    assert_eq!(columns(&row.stages("low end", "on")), columns(Row::STAGES_HEAD));
}

#[test]
fn a_line_with_a_pause_in_it_is_one_line() {
    let row = turns::with_a_pause(&mut Speech::start(), 300, (1, 3));
    assert_eq!((row.turns.len(), row.lines), (3, 3));
    assert!(row.taken >= 3, "{}", row.taken);
}

#[test]
fn every_interruption_is_found_and_the_history_begins_as_the_answer_does() {
    let measured = interruptions::measure(&mut Speech::start(), (500, 500), (2, 3));
    assert_eq!((measured.interruptions.len(), measured.lines), (6, 6));
    for one in &measured.interruptions {
        let way = LEG.as_secs_f64() * 2_000.0;
        assert!(!one.loud_after && one.from_onset >= way, "{one:?}");
        assert!(one.from_condition.is_none_or(|took| took < one.from_onset), "{one:?}");
    }
    let (near, of) = measured.share_within(1);
    // Every answer that could be paired begins as it was spoken, and ends within a word of what was heard.
    assert!(of > 0 && near == of, "{:?}", measured.remembered);
    assert!(measured.written().contains("| 6 of 6 |"));
}
