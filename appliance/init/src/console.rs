//! The serial console: one line an event, `ward SECONDS CODE event=NAME name=value …`. It reads nothing: there is nobody to talk to.

use std::fmt::{Display, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr,
};
use rustix::time::{ClockId, clock_gettime};

use crate::code::Code;

/// What stands beside a code.
pub(crate) type Field<'f> = (&'f str, &'f dyn Display);

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Console(Option<File>);

impl Console {
    /// Opens the console. Without one nobody reads, and the machine goes on.
    #[must_use]
    pub(crate) fn open() -> Self {
        let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open("/dev/console", flags, Mode::empty()).ok().map(File::from);
        file.iter().for_each(unstoppable);
        Self(file)
    }

    /// No console: what is said is lost.
    #[cfg(test)]
    pub(crate) const fn nowhere() -> Self {
        Self(None)
    }

    /// The console once more, for whoever writes the log.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        let absent = || std::io::Error::from(std::io::ErrorKind::NotFound);
        Ok(self.0.as_ref().ok_or_else(absent)?.try_clone()?.into())
    }

    /// Writes one line.
    pub(crate) fn say(&self, code: Code, fields: &[Field<'_>]) {
        let text = line(now(), code, fields);
        if let Some(mut console) = self.0.as_ref() {
            // In one piece, so that no other line comes between; what cannot be written cannot be said.
            console.write_all(text.as_bytes()).unwrap_or_default();
        }
    }
}

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
}
