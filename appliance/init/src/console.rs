//! The serial console: one line an event, `ward SECONDS CODE event=NAME name=value …`. It reads nothing: there is nobody to talk to.

use std::cell::Cell;
use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr,
};
use rustix::time::{ClockId, clock_gettime};
use ward_policy::limit;

use crate::code::Code;

/// What stands beside a code.
pub(crate) type Field<'f> = (&'f str, &'f dyn Display);

/// Where lines go. A line that nobody takes, as the host has stopped its serial port, holds nobody up for long: it is left out and counted.
#[derive(Debug, Default)]
pub(crate) struct Console {
    /// PID 1's own, which never blocks.
    own: Option<File>,
    /// The same device for whoever writes the log, which waits.
    others: Option<File>,
    lost: Cell<u32>,
    /// Whether a line was begun and not ended.
    is_torn: Cell<bool>,
}

impl Console {
    /// Opens the console. Without one nobody reads, and the machine goes on.
    #[must_use]
    pub(crate) fn open() -> Self {
        let open = |more: OFlags| {
            let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC | more;
            open("/dev/console", flags, Mode::empty()).ok().map(File::from)
        };
        let (own, others) = (open(OFlags::NONBLOCK), open(OFlags::empty()));
        own.iter().for_each(unstoppable);
        Self { own, others, ..Self::default() }
    }

    /// The console once more, for whoever writes the log.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        let absent = || std::io::Error::from(ErrorKind::NotFound);
        Ok(self.others.as_ref().ok_or_else(absent)?.try_clone()?.into())
    }

    /// Writes one line, and how many were lost before it.
    pub(crate) fn say(&self, code: Code, fields: &[Field<'_>]) {
        let Some(console) = &self.own else { return };
        let lost = self.lost.get();
        let mut all = fields.to_vec();
        if lost > 0 {
            all.push(("lost", &lost));
        }
        let mut text = line(now(), code, &all);
        if self.is_torn.get() {
            text.insert(0, '\n');
        }
        // Where one was lost, the next does not wait again.
        let patience = if lost > 0 { Duration::ZERO } else { limit::CONSOLE_PATIENCE };
        let taken = put(console, text.as_bytes(), patience);
        let is_whole = taken == text.len();
        self.lost.set(if is_whole { 0 } else { lost.saturating_add(1) });
        if taken > 0 {
            self.is_torn.set(!is_whole);
        }
    }
}

/// Writes what the other end takes within `patience`; how many bytes that were.
fn put(mut console: &File, text: &[u8], patience: Duration) -> usize {
    let until = now().saturating_add(patience);
    let mut taken = 0;
    while let Some(rest) = text.get(taken..).filter(|rest| !rest.is_empty()) {
        match console.write(rest) {
            Ok(0) => break,
            Ok(bytes) => taken = taken.saturating_add(bytes),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Full, or somebody else is writing.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = until.saturating_sub(now());
                if left.is_zero() {
                    break;
                }
                std::thread::sleep(left.min(CONSOLE_PAUSE));
            }
            Err(_) => break,
        }
    }
    taken
}

/// Between two tries: about as long as a hundred characters take at 115,200 bits a second.
const CONSOLE_PAUSE: Duration = Duration::from_millis(8);

/// Takes from whoever has the other end of the line what would hold the writer up: the character that stops output (XOFF), and a modem's
/// lines. A device that is no terminal has neither.
fn unstoppable(console: &File) {
    let Ok(mut settings) = tcgetattr(console) else { return };
    settings.input_modes.remove(InputModes::IXON | InputModes::IXOFF | InputModes::IXANY);
    settings.local_modes.remove(LocalModes::ICANON | LocalModes::ISIG | LocalModes::ECHO);
    settings.control_modes.remove(ControlModes::CRTSCTS | ControlModes::CREAD);
    settings.control_modes.insert(ControlModes::CLOCAL);
    tcsetattr(console, OptionalActions::Now, &settings).unwrap_or_default();
}

/// Since the machine started.
pub(crate) fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// The longest value, in characters.
const VALUE_CHARS_MAX: usize = 120;

/// A line with its end. A value is one word: whatever it holds, it ends no line and begins no other field.
fn line(at: Duration, code: Code, fields: &[Field<'_>]) -> String {
    let (seconds, micros) = (at.as_secs(), at.subsec_micros());
    let mut text = format!("ward {seconds}.{micros:06} {} event={}", code.id, code.event);
    for (name, value) in fields {
        let value = value.to_string();
        let plain = |char: char| if char.is_ascii_graphic() && char != '=' { char } else { '_' };
        let value: String = value.chars().take(VALUE_CHARS_MAX).map(plain).collect();
        // Writing into a string does not fail.
        write!(text, " {name}={value}").unwrap_or_default();
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code;

    #[test]
    fn a_line_is_one_line_whatever_its_values_hold() {
        let at = Duration::from_micros(12_345_678);
        let text = line(at, code::READY, &[("port", &443), ("what", &"a b\nward=1")]);
        assert_eq!(text, "ward 12.345678 INIT-0801 event=ready port=443 what=a_b_ward_1\n");
        let long = "x".repeat(1_000);
        assert!(line(at, code::READY, &[("what", &long)]).len() < 200);
    }

    #[test]
    fn a_line_that_nobody_takes_is_counted_and_the_next_says_so() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let mut own = File::from(OwnedFd::from(writer));
        let console = Console { own: own.try_clone().ok(), ..Console::default() };
        // Room for a few bytes only: the kernel counts in pages.
        while own.write(&[b'x'; 4_096]).is_ok() {}
        let began = now();
        for _ in 0..3 {
            console.say(code::READY, &[]);
        }
        let took = now().saturating_sub(began);
        assert!(took >= limit::CONSOLE_PATIENCE && took < 2 * limit::CONSOLE_PATIENCE, "{took:?}");
        assert_eq!(console.lost.get(), 3);
        let mut drained = vec![0; 1 << 20];
        assert!(std::io::Read::read(&mut reader, &mut drained).unwrap() >= 4_096);
        console.say(code::READY, &[("port", &443)]);
        console.say(code::READY, &[]);
        let length = std::io::Read::read(&mut reader, &mut drained).unwrap();
        let text = String::from_utf8_lossy(&drained[..length]);
        let lines: Vec<&str> = text.trim_start_matches(['x', '\n']).lines().collect();
        assert!(lines[0].ends_with("event=ready port=443 lost=3"), "{text}");
        assert!(lines[1].ends_with("event=ready"), "{text}");
    }
}
